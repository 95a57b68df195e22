"""Whose owner is dead is decided only where it can be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kchaos.real import orphans
from kchaos.real.leases import Lease
from kchaos.real.orphans import LEASE, PLACE, Orphan, candidates, dead, place

HERE = "here"
GOOD = {"run": "ab", "owner": "host:7", LEASE: "/x/ab.lease", PLACE: HERE}


def found(**changed: str) -> list[Orphan]:
    labels = GOOD | {{"lease": LEASE, "place": PLACE}.get(name, name): value for name, value in changed.items()}
    return candidates([labels], "run", "owner", HERE)


def test_a_run_is_judged_once_by_the_labels_of_all_that_it_has() -> None:
    assert candidates([GOOD, {"run": "cd"}, GOOD, {}], "run", "owner", HERE) == [Orphan("ab", Path("/x/ab.lease"), 7)]


@pytest.mark.parametrize(
    "changed",
    [{"place": "elsewhere"}, {"place": ""}, {"lease": "ab.lease"}, {"lease": "/x/other.lease"}, {"lease": "/home"}, {"owner": "host"}, {"run": "cd"}],
)  # fmt: skip
def test_what_tells_another_place_or_no_file_of_its_own_is_not_judged(changed: dict[str, str]) -> None:
    assert found(**changed) == []


def test_where_the_system_does_not_tell_the_place_nothing_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "_BOOT", tmp_path / "none")
    assert place() == ""
    assert candidates([GOOD | {PLACE: ""}], "run", "owner", place()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_a_place_is_the_same_for_all_processes_beside_each_other() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from kchaos.real.orphans import place; print(place())"], stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    assert told.stdout.strip() == place() != ""


def test_a_lease_that_is_held_is_a_living_runs_and_one_that_is_free_a_dead_ones(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    orphan = Orphan(lease.id, lease.path, pid_that_is_free())
    with dead(orphan) as is_dead:
        assert not is_dead
    lease.leave()
    with dead(orphan) as is_dead:
        assert is_dead
        with dead(orphan) as again:  # who cleans up holds it
            assert not again


def test_a_lease_that_is_gone_is_a_dead_runs_if_its_process_is_gone_too(tmp_path: Path) -> None:
    for folder in (tmp_path / "no-folder", tmp_path):
        with dead(Orphan("ab", folder / "ab.lease", os.getpid())) as is_dead:
            assert not is_dead
        with dead(Orphan("ab", folder / "ab.lease", pid_that_is_free())) as is_dead:
            assert is_dead


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ab.lease")
    with dead(Orphan("ab", tmp_path / "ab.lease", pid_that_is_free())) as is_dead:
        assert not is_dead


def pid_that_is_free() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid
