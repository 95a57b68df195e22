"""The Runtime on stock asyncio: the components of a cluster as tasks of one event loop, in real time, with real files.

Messages between the processes pass inside the program, in order, one turn of the loop later; sockets belong to the backends of real servers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from kchaos.real.disk import RealDisk
from kchaos.runtime import Handler, Refused


class RealWorld:
    """Hosts and processes in this program. ``folder`` holds the disks; ``failure`` is the first error of a task or callback."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.seed = seed
        self._folder = folder
        self._disks: dict[str, RealDisk] = {}
        self.processes: dict[str, RealRuntime] = {}
        self.failure: BaseException | None = None

    def start(self, host: str, name: str) -> RealRuntime:
        """Start a process of a host; its disk stays when it ends."""
        disk = self._disks.get(host)
        if disk is None:
            disk = self._disks[host] = RealDisk(self._folder / host)
        process = self.processes[f"{host}/{name}"] = RealRuntime(self, host, name, disk)
        return process

    def failed(self, error: BaseException) -> None:
        """Keep the first failure."""
        if self.failure is None:
            self.failure = error

    def deliver(self, sender: str, address: str, payload: Any) -> None:
        """Hand a message to whoever listens, or return it."""
        target = self.processes.get(address)
        if target is not None and target.handler is not None:
            target.guarded(target.handler, sender, payload)
            return
        origin = self.processes.get(sender)
        if origin is not None and origin.handler is not None and not isinstance(payload, Refused):
            origin.guarded(origin.handler, address, Refused(payload))

    async def close(self) -> None:
        """Stop all tasks and timers; raise the first failure."""
        for process in list(self.processes.values()):
            await process.stop()
        self.processes.clear()
        if self.failure is not None:
            raise self.failure


class RealTimer:
    """A timer that its process can cancel."""

    __slots__ = ("_handle", "_process")

    def __init__(self, process: RealRuntime, handle: asyncio.TimerHandle) -> None:
        self._process = process
        self._handle = handle

    def cancel(self) -> None:
        """Never fire."""
        self._handle.cancel()
        self._process.timers.pop(self, None)


class RealGate:
    """A future behind :class:`kchaos.runtime.Gate`."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def open(self, value: Any = None) -> None:
        """Let the waiter go on."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` in the waiter."""
        if not self._future.done():
            self._future.set_exception(error)

    def wait(self) -> asyncio.Future[Any]:
        """Return what to await."""
        return self._future


class RealRuntime:
    """What a component may touch; made by :meth:`RealWorld.start`, inside a running loop."""

    def __init__(self, world: RealWorld, host: str, name: str, disk: RealDisk) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._streams: dict[str, random.Random] = {}
        self.timers: dict[RealTimer, None] = {}
        self.host = host
        self.address = f"{host}/{name}"
        self.handler: Handler | None = None

    @property
    def disk(self) -> RealDisk:
        """Return the host's disk."""
        return self._disk

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._loop.time()

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def guarded(self, callback: Callable[..., None], *args: Any) -> None:
        """Call back; what it raises is a failure of the whole run."""
        try:
            callback(*args)
        except Exception as error:  # kept, and raised when the world closes
            self._world.failed(error)

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any, background: bool = False) -> RealTimer:
        """Call back after ``delay_s``; nothing here ends a run early, so ``background`` changes nothing."""
        timer: RealTimer

        def fire() -> None:
            self.timers.pop(timer, None)
            self.guarded(callback, *args)

        timer = RealTimer(self, self._loop.call_later(delay_s, fire))
        self.timers[timer] = None
        return timer

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call back before any timer."""
        self._loop.call_soon(self.guarded, callback, *args)

    async def sleep(self, delay_s: float, *, background: bool = False) -> None:
        """Wait."""
        await asyncio.sleep(delay_s)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task of this process."""
        task = self._loop.create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            error.add_note(f"in task {task.get_name()} of {self.address}")
            self._world.failed(error)

    def gate(self) -> RealGate:
        """Return a closed gate."""
        return RealGate()

    def random(self, purpose: str) -> random.Random:
        """Return the stream for ``purpose``, the same as in simulation."""
        found = self._streams.get(purpose)
        if found is None:
            found = self._streams[purpose] = random.Random(f"{self._world.seed}/{self.address}/{purpose}")
        return found

    def listen(self, handler: Handler) -> None:
        """Receive messages."""
        self.handler = handler

    def send(self, address: str, payload: Any, stream: int | None = None) -> None:
        """Send a message; all arrive in order here."""
        del stream
        self._loop.call_soon(self._world.deliver, self.address, address, payload)

    async def stop(self) -> None:
        """End the process: no timer fires any more, tasks are cancelled, nobody listens."""
        self.handler = None
        self._world.processes.pop(self.address, None)
        for timer in list(self.timers):
            timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
