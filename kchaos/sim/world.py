"""Hosts, the processes on them, and their Runtime: the simulated arm of ``kchaos.runtime``."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from kchaos.errors import HarnessError
from kchaos.runtime import Handler
from kchaos.sim.disk import CrashModel, SimDisk
from kchaos.sim.loop import Handle, Owner, SimLoop
from kchaos.sim.network import SimNetwork
from kchaos.sim.noise import Noise, Quiet, picker

EPOCH_S = 1_767_225_600.0
"""The wall clock at virtual time 0: 2026-01-01T00:00:00Z."""


class Host:
    """A machine: power, a clock that may be wrong, a disk."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.up = True
        self.down_since = now
        self.outages = 0
        self.paused = False
        self.skew_s = 0.0
        self.rate = 1.0
        self.rate_since = 0.0
        self.base_s = 0.0
        self.disk = SimDisk()

    def clock(self, now: float) -> float:
        """Return monotonic seconds on this host when the world's time is ``now``."""
        return self.base_s + (now - self.rate_since) * self.rate

    def set_rate(self, now: float, rate: float) -> None:
        """Let the clock run ``rate`` times as fast as true time from now on (drift)."""
        self.base_s, self.rate_since, self.rate = self.clock(now), now, rate


class Process:
    """One process on a host, and its :class:`kchaos.runtime.Runtime`."""

    def __init__(self, world: World, host: Host, name: str, incarnation: int = 0) -> None:
        self._world = world
        self._loop = world.loop
        self._host = host
        self.address = f"{host.name}/{name}"
        self.incarnation = incarnation
        self.owner = Owner(self.address)
        self.handler: Handler | None = None
        self._streams: dict[str, random.Random] = {}

    @property
    def host(self) -> Any:
        """Return the Host (its name, for the component: see :class:`_Runtime`)."""
        return self._host


class SimRuntime:
    """What a component on a simulated process may touch."""

    def __init__(self, process: Process, world: World) -> None:
        self._process = process
        self._world = world
        self._loop = world.loop
        self._machine: Host = process.host
        self.host: str = self._machine.name
        self.address = process.address

    @property
    def disk(self) -> SimDisk:
        """Return the host's disk."""
        return self._machine.disk

    def now(self) -> float:
        """Return monotonic seconds on this host's clock."""
        machine = self._machine
        return self._loop._now if machine.rate == 1.0 and not machine.base_s else machine.clock(self._loop._now)

    def wall(self) -> float:
        """Return epoch seconds on this host's clock."""
        return EPOCH_S + self.now() + self._machine.skew_s

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any, background: bool = False) -> Handle:
        """Call back after ``delay_s`` of this host's clock."""
        loop = self._loop
        return loop.schedule(loop._now + delay_s / self._machine.rate, callback, args, self._process.owner, None, background)

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call back before any timer."""
        self._loop.soon(callback, args, self._process.owner)

    async def sleep(self, delay_s: float, *, background: bool = False) -> None:
        """Wait."""
        gate = SimGate(self._loop)
        self.call_later(delay_s, gate.open, background=background)
        await gate.wait()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task of this process."""
        owner = self._process.owner
        task: asyncio.Task[None] = self._loop.create_task(coroutine, name=name, context=owner.context)
        owner.tasks[task] = None
        task.add_done_callback(self._ended, context=owner.context)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._process.owner.tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            error.add_note(f"in task {task.get_name()} of {self.address} at t={self._loop.time():.3f}")
            self._loop.call_exception_handler({"exception": error})

    def gate(self) -> SimGate:
        """Return a closed gate."""
        return SimGate(self._loop)

    def random(self, purpose: str) -> random.Random:
        """Return the stream for ``purpose``."""
        streams = self._process._streams
        found = streams.get(purpose)
        if found is None:
            again = self._process.incarnation  # started again, a process draws afresh: uids and names would repeat else
            found = streams[purpose] = self._world.random(f"{self.address}/{purpose}" + (f"#{again}" if again else ""))
        return found

    def listen(self, handler: Handler) -> None:
        """Receive messages."""
        self._process.handler = handler

    def send(self, address: str, payload: Any, stream: int | None = None) -> None:
        """Send a message."""
        self._world.network.send(self._process, address, payload, stream)


class SimGate:
    """A future behind :class:`kchaos.runtime.Gate`."""

    __slots__ = ("_future",)

    def __init__(self, loop: SimLoop) -> None:
        self._future: asyncio.Future[Any] = loop.create_future()

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


class World:
    """One simulated run's machines; everything in it follows from ``seed``, ``noise`` and what the caller does."""

    def __init__(self, seed: int = 0, noise: Noise | None = None, start_s: float = 0.0) -> None:
        self.seed = seed
        self._start_s = start_s  # a world that goes on from an image draws afresh: names would repeat else
        self.loop = SimLoop(start_s)  # type: ignore[abstract]  # the rest is fenced off at import
        self.hosts: dict[str, Host] = {}
        self.processes: dict[str, Process] = {}
        self.picker = picker(noise or Quiet())
        self.network = SimNetwork(self, self.picker)
        self._graveyard: list[Process] = []
        self.on_boot: dict[str, list[Callable[[], None]]] = {}

    def random(self, key: str) -> random.Random:
        """Return a fresh stream keyed by the world's seed and ``key``."""
        return random.Random(f"{self.seed}/{key}" if not self._start_s else f"{self.seed}/{key}@{self._start_s}")

    def add_host(self, name: str) -> Host:
        """Add a machine that is up."""
        if name in self.hosts:
            raise HarnessError(f"host {name} exists already")
        host = self.hosts[name] = Host(name, self.loop.time())
        return host

    def start(self, host: str, name: str) -> SimRuntime:
        """Start a process; a crashed one of the same name is replaced."""
        address = f"{host}/{name}"
        old = self.processes.get(address)
        if old is not None:
            if not old.owner.crashed:
                raise HarnessError(f"process {address} is still running")
            self._graveyard.append(old)
        process = self.processes[address] = Process(self, self.hosts[host], name, old.incarnation + 1 if old is not None else 0)
        process.owner.paused = self.hosts[host].paused
        return SimRuntime(process, self)

    def processes_on(self, host: str) -> Iterator[Process]:
        """Yield the living processes of ``host`` in the order they were started."""
        prefix = host + "/"
        for address, process in list(self.processes.items()):
            if address.startswith(prefix) and not process.owner.crashed:
                yield process

    def crash(self, address: str) -> None:
        """End a process as kill -9 does: nothing of it runs again, not even ``finally``."""
        process = self.processes.get(address)
        if process is not None:
            process.owner.crashed = True
            process.owner.held.clear()

    def power_off(self, name: str, model: CrashModel = "keep-synced") -> int:
        """Cut a host's power, or what would have powered it; return the bytes its disk lost."""
        host = self.hosts[name]
        host.outages += 1
        if not host.up:
            return 0
        for process in self.processes_on(name):
            self.crash(process.address)
        host.up, host.down_since = False, self.loop.time()
        host.paused = False
        self.network.host_gone(name)
        return host.disk.crash(model, self.random(f"{name}/disk/{self.loop.next_number()}"))

    def power_on(self, name: str) -> None:
        """End one outage of a host; after the last, whoever registered in ``on_boot`` starts its processes."""
        host = self.hosts[name]
        host.outages = max(0, host.outages - 1)
        if host.up or host.outages:
            return
        host.up = True
        self.network.host_back(name)
        for boot in self.on_boot.get(name, []):
            boot()

    def pause(self, name: str) -> None:
        """Freeze all processes of a host (as a hung hypervisor does)."""
        self.hosts[name].paused = True
        for process in self.processes_on(name):
            process.owner.paused = True

    def resume(self, name: str) -> None:
        """Let a frozen host go on; what came due meanwhile runs now."""
        self.hosts[name].paused = False
        for process in self.processes_on(name):
            self.loop.resume(process.owner)

    def run(self, until_s: float) -> None:
        """Advance virtual time to ``until_s``."""
        self.loop.run(until_s)

    def close(self) -> None:
        """End the run; crashed and living coroutines are let go without running any further step of the world."""
        self.loop.close()
        for process in [*self.processes.values(), *self._graveyard]:
            process.owner.crashed = True
            for task in list(process.owner.tasks):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch for exactly this
                coroutine = task.get_coro()
                if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    coroutine.close()  # it never began
        self.processes.clear()
        self._graveyard.clear()
