"""A full disk takes no writes that need room, keeps what it has, and gives the room back."""

from __future__ import annotations

import errno

import pytest

from kchaos.nemesis.disks import FullDisk
from kchaos.sim.world import World


def test_a_full_disk_takes_nothing_more() -> None:
    world = World()
    disk = world.add_host("a").disk
    disk.write("x", b"12345678")
    full = FullDisk(world, "a")
    assert disk.free_share() == 0.0
    for write in (lambda: disk.append("x", b"9"), lambda: disk.write("y", b"1")):
        with pytest.raises(OSError, match="no space") as caught:
            write()
        assert caught.value.errno == errno.ENOSPC
    disk.write("x", b"1234")  # less than before needs no room
    assert disk.read("x") == b"1234"
    assert full.evidence() == {"share_taken": 1.0, "writes_failed": 2}
    full.undo()
    full.undo()
    disk.append("x", b"9")
    assert disk.free_share() == 1.0


def test_a_part_is_left() -> None:
    """With a capacity, what is left is counted in bytes."""
    world = World()
    disk = world.add_host("a").disk
    disk.capacity_bytes = 100
    disk.write("x", b"0" * 20)
    full = FullDisk(world, "a", free=0.1)
    assert disk.free_share() == 0.1
    disk.append("x", b"0" * 10)
    with pytest.raises(OSError, match="no space"):
        disk.append("x", b"0")
    full.undo()
    assert disk.free_share() == 0.7


def test_two_that_fill_one_disk_are_undone_one_by_one() -> None:
    world = World()
    disk = world.add_host("a").disk
    first, second = FullDisk(world, "a", 0.5), FullDisk(world, "a", 0.2)
    first.undo()
    assert disk.free_share() == 0.7
    second.undo()
    assert disk.free_share() == 1.0
