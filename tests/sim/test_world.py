"""The simulated world: crash, pause, links, clocks, disk, noise, tasks."""

from __future__ import annotations

import asyncio

import pytest

from kchaos.errors import HarnessError
from kchaos.runtime import Refused
from kchaos.sim.disk import SimDisk
from kchaos.sim.loop import SimLoop
from kchaos.sim.noise import Deviations, Seeded
from kchaos.sim.world import World


def two() -> tuple[World, list[object]]:
    world = World()
    world.add_host("a")
    world.add_host("b")
    got: list[object] = []
    return world, got


def test_a_crash_runs_nothing_any_more() -> None:
    """No CancelledError, no finally inside the run."""
    world, got = two()
    rt = world.start("a", "p")

    async def body() -> None:
        try:
            await rt.sleep(10.0)
        finally:
            got.append("finally")

    rt.spawn(body(), "body")
    rt.call_later(5.0, got.append, "timer")
    world.run(1.0)
    world.crash("a/p")
    world.run(20.0)
    assert got == []
    world.close()


def test_a_pause_holds_and_goes_on_in_order() -> None:
    """What came due while frozen runs afterwards, in its order."""
    world, got = two()
    rt = world.start("a", "p")
    for n in (1, 2, 3):
        rt.call_later(float(n), got.append, n)
    world.run(1.5)
    world.pause("a")
    world.run(10.0)
    assert got == [1]
    world.resume("a")
    world.run(10.1)
    assert got == [1, 2, 3]
    world.close()


def test_cut_is_one_way_and_heals() -> None:
    """A cut holds messages of one direction only; healing lets later ones through."""
    world, got = two()
    one, other = world.start("a", "p"), world.start("b", "q")
    other.listen(lambda sender, payload: got.append(("b", payload)))
    one.listen(lambda sender, payload: got.append(("a", payload)))
    world.network.cut("a", "b")
    one.send("b/q", 1)
    other.send("a/p", 2)
    world.run(1.0)
    assert got == [("a", 2)]
    world.network.heal("a", "b")
    one.send("b/q", 3)
    world.run(60.0)
    assert ("b", 3) in got
    world.close()


def test_power_loss_loses_what_was_not_synced() -> None:
    """A disk keeps what fsync promised."""
    world, _ = two()
    rt = world.start("a", "p")
    rt.disk.append("log", b"safe")
    rt.disk.sync("log")
    rt.disk.sync_dir()
    rt.disk.append("log", b"lost")
    world.power_off("a")
    world.power_on("a")
    assert world.start("a", "p").disk.read("log") == b"safe"
    world.close()


def test_a_full_disk_says_so() -> None:
    """ENOSPC, and what was there stays."""
    disk = SimDisk(capacity_bytes=4)
    disk.append("f", b"1234")
    with pytest.raises(OSError):
        disk.append("f", b"5")
    assert disk.read("f") == b"1234"


def test_clocks_may_be_wrong() -> None:
    """A host's wall clock is skewed, its neighbours' are not."""
    world, _ = two()
    one, other = world.start("a", "p"), world.start("b", "q")
    world.hosts["a"].skew_s = 30.0
    assert one.wall() - other.wall() == 30.0
    world.close()


def test_unknown_methods_are_fenced() -> None:
    """What simulated time does not have raises with a clear message."""
    loop = SimLoop()  # type: ignore[abstract]
    with pytest.raises(HarnessError, match="does not exist in simulated time"):
        loop.run_in_executor(None, print)
    loop.close()


def test_task_groups_are_deterministic() -> None:
    """Members of a TaskGroup are cancelled in the order they were started, not by address."""

    def once() -> list[int]:
        world, got = two()
        rt = world.start("a", "p")

        async def member(n: int) -> None:
            try:
                await rt.sleep(100.0)
            except asyncio.CancelledError:
                got.append(n)
                raise

        async def body() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for n in range(20):
                        group.create_task(member(n))
                    await rt.sleep(1.0)
                    raise ValueError
            except* ValueError:
                pass

        rt.spawn(body(), "body")
        world.run(5.0)
        world.close()
        return got  # type: ignore[return-value]

    assert once() == list(range(20)) == once()


def ring(noise: Seeded | Deviations | None) -> list[object]:
    world = World(3, noise)
    world.add_host("a")
    world.add_host("b")
    got: list[object] = []
    one, other = world.start("a", "p"), world.start("b", "q")
    other.listen(lambda sender, payload: got.append((payload, round(world.loop.time(), 6))))
    for n in range(30):
        one.call_later(0.001 * n, one.send, "b/q", n)
    world.run(20.0)
    world.close()
    return got


def test_noise_is_data() -> None:
    """Seeded noise is reproducible, changes times, and another seed gives another course."""
    assert ring(Seeded(1, 0.3)) == ring(Seeded(1, 0.3))
    assert ring(Seeded(1, 0.3)) != ring(None)
    assert ring(Seeded(1, 0.3)) != ring(Seeded(2, 0.3))


def test_refused_when_nobody_listens() -> None:
    """The sender hears that no such process listens."""
    world, got = two()
    rt = world.start("a", "p")
    rt.listen(lambda sender, payload: got.append(payload))
    rt.send("b/q", "x")
    world.run(1.0)
    assert got == [Refused("x")]
    world.close()


def test_noise_keeps_the_order_of_a_stream() -> None:
    """Messages of one stream are late together; others overtake them."""

    def arrived(stream: int | None) -> list[int]:
        world = World(noise=Seeded(3, 0.3))
        world.add_host("a")
        world.add_host("b")
        got: list[int] = []
        world.start("b", "q").listen(lambda _sender, payload: got.append(payload))
        rt = world.start("a", "p")
        for n in range(100):
            rt.call_later(n * 0.001, rt.send, "b/q", n, stream)
        world.run(10.0)
        world.close()
        return got

    assert arrived(1) == list(range(100))
    assert sorted(arrived(None)) == list(range(100)) != arrived(None)


def test_a_process_started_again_draws_afresh() -> None:
    """Its streams do not begin anew: an API server that has crashed would give out the same uids again."""
    world = World()
    world.add_host("h")
    drawn = []
    for _ in range(3):
        rt = world.start("h", "p")
        drawn.append([rt.random("uid").random() for _ in range(3)])
        world.crash("h/p")
    assert len({tuple(one): None for one in drawn}) == 3


def test_another_loop_steps_aside() -> None:
    """A world runs inside a task of asyncio's own loop, which goes on as the current one afterwards, also if the world fails."""
    world, got = two()
    rt = world.start("a", "p")

    async def body() -> None:
        await rt.sleep(5.0)
        got.append(rt.now())
        raise ValueError("ours")

    async def outside() -> None:
        before = asyncio.current_task()
        rt.spawn(body(), "body")
        world.run(1.0)
        with pytest.raises(ValueError, match="ours"):
            world.run(10.0)
        assert before is not None and asyncio.current_task() is before and asyncio.get_running_loop() is before.get_loop()
        await asyncio.sleep(0)
        got.append("on")

    asyncio.run(outside())
    world.close()
    assert got == [5.0, "on"]
