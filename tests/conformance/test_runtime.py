"""One suite for Runtime: simulated time and stock asyncio keep the same contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kchaos.real.runtime import RealWorld
from kchaos.runtime import Disk, Refused, Runtime
from kchaos.sim.world import World

Scene = Callable[[Callable[[str, str], Runtime]], Awaitable[None]]


class Arm:
    """Runs a scene: an async function that is given a way to start processes."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder

    def play(self, scene: Scene) -> None:
        if self.kind == "sim":
            self._simulated(scene)
        else:
            asyncio.run(self._real(scene))

    def _simulated(self, scene: Scene) -> None:
        world = World(seed=7)

        def start(host: str, name: str) -> Runtime:
            if host not in world.hosts:
                world.add_host(host)
            return world.start(host, name)

        ended: list[bool] = []

        async def whole() -> None:
            await scene(start)
            ended.append(True)

        start("director", "main").spawn(whole(), "scene")
        world.run(60.0)
        world.close()
        assert ended, "the scene did not end"

    async def _real(self, scene: Scene) -> None:
        world = RealWorld(self._folder, seed=7)
        await asyncio.wait_for(scene(world.start), 20)
        await world.close()


@pytest.fixture(params=["sim", "real"])
def arm(request: pytest.FixtureRequest, tmp_path: Path) -> Arm:
    return Arm(request.param, tmp_path)


def test_timers_fire_in_order_and_never_early(arm: Arm) -> None:
    """Timers due at one instant fire in the order they were set; now never goes back."""
    seen: list[tuple[str, float]] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")
        begun = rt.now()
        for label, delay in (("late", 0.06), ("first", 0.02), ("second", 0.02), ("third", 0.02)):
            rt.call_later(delay, lambda label=label: seen.append((label, rt.now() - begun)))
        await rt.sleep(0.12)

    arm.play(scene)
    assert [label for label, _ in seen] == ["first", "second", "third", "late"]
    assert all(t >= 0.019 for _, t in seen) and seen[-1][1] >= 0.059


def test_a_cancelled_timer_never_fires(arm: Arm) -> None:
    """Cancelling is final, and harmless when it has fired."""
    seen: list[str] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")
        gone = rt.call_later(0.02, seen.append, "cancelled")
        kept = rt.call_later(0.02, seen.append, "kept")
        gone.cancel()
        await rt.sleep(0.06)
        kept.cancel()

    arm.play(scene)
    assert seen == ["kept"]


def test_soon_comes_before_timers(arm: Arm) -> None:
    """call_soon runs before any timer."""
    seen: list[str] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")
        rt.call_later(0.0, seen.append, "timer")
        rt.call_soon(seen.append, "soon")
        await rt.sleep(0.03)

    arm.play(scene)
    assert seen == ["soon", "timer"]


def test_messages_keep_their_order(arm: Arm) -> None:
    """Messages between two processes arrive in the order sent, with the sender's address."""
    got: list[tuple[str, Any]] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        one, two = start("a", "p"), start("b", "q")
        two.listen(lambda sender, payload: got.append((sender, payload)))
        for n in range(20):
            one.send("b/q", {"n": n})
        await one.sleep(0.1)

    arm.play(scene)
    assert got == [("a/p", {"n": n}) for n in range(20)]


def test_nobody_listens(arm: Arm) -> None:
    """A message to a process that does not listen comes back as Refused."""
    got: list[tuple[str, Any]] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        one = start("a", "p")
        start("b", "other")
        one.listen(lambda sender, payload: got.append((sender, payload)))
        one.send("b/q", "hello")
        await one.sleep(0.1)

    arm.play(scene)
    assert got == [("b/q", Refused("hello"))]


def test_gates(arm: Arm) -> None:
    """A gate hands over a value or an error, once."""
    got: list[Any] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")
        gate, bad = rt.gate(), rt.gate()
        rt.call_later(0.01, gate.open, 5)
        rt.call_later(0.02, gate.open, 6)
        rt.call_later(0.01, bad.fail, ValueError("no"))
        got.append(await gate.wait())
        try:
            await bad.wait()
        except ValueError as error:
            got.append(str(error))
        await rt.sleep(0.03)

    arm.play(scene)
    assert got == [5, "no"]


def test_tasks_can_be_cancelled(arm: Arm) -> None:
    """Cancelling raises CancelledError inside the coroutine at its next wait."""
    got: list[str] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")

        async def body() -> None:
            try:
                await rt.sleep(5.0)
            except asyncio.CancelledError:
                got.append("cancelled")
                raise

        task = rt.spawn(body(), "body")
        await rt.sleep(0.02)
        task.cancel()
        await rt.sleep(0.02)
        assert task.done()

    arm.play(scene)
    assert got == ["cancelled"]


def test_a_failing_task_fails_the_run(arm: Arm) -> None:
    """What a task raises is never dropped."""

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        rt = start("a", "p")

        async def body() -> None:
            raise RuntimeError("broken")

        rt.spawn(body(), "body")
        await rt.sleep(0.02)

    with pytest.raises(RuntimeError, match="broken"):
        arm.play(scene)


def test_random_streams_are_keyed(arm: Arm) -> None:
    """A stream follows from seed, process and purpose alone, and is the same on both arms."""
    got: list[list[int]] = []

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        one, two = start("a", "p"), start("b", "p")
        for rt, purpose in ((one, "x"), (one, "y"), (two, "x")):
            got.append([rt.random(purpose).randrange(1000)])
        assert one.random("x") is one.random("x")

    arm.play(scene)
    assert got == [[EXPECTED[0]], [EXPECTED[1]], [EXPECTED[2]]]


def _expected() -> list[int]:
    import random

    return [random.Random(f"7/{key}").randrange(1000) for key in ("a/p/x", "a/p/y", "b/p/x")]


EXPECTED = _expected()


def test_disk(arm: Arm) -> None:
    """Files are read back as written, renamed and removed; a missing one raises FileNotFoundError."""
    state: dict[str, Any] = {}

    async def scene(start: Callable[[str, str], Runtime]) -> None:
        disk: Disk = start("a", "p").disk
        disk.append("wal/0", b"one")
        disk.append("wal/0", b"two")
        disk.sync("wal/0")
        disk.write("state", b"x")
        disk.write("state", b"y")
        disk.rename("state", "state.old")
        disk.sync_dir()
        state["files"] = disk.listdir()
        assert 0.0 <= disk.free_share() <= 1.0
        state["wal"] = disk.read("wal/0")
        disk.remove("wal/0")
        try:
            disk.read("wal/0")
        except FileNotFoundError:
            state["gone"] = True
        state["again"] = start("a", "q").disk.read("state.old")

    arm.play(scene)
    assert state == {"files": ["state.old", "wal/0"], "wal": b"onetwo", "gone": True, "again": b"y"}
