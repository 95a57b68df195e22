"""One run of a real etcd: boot, chaos, heal, settle, final reads; all of it recorded.

The workload and the watchers live on one asyncio loop. Faults act through calls that block (signals, Docker, Toxiproxy), so they have a
thread of their own, one after the other: a rolling restart delays the next fault, never the workload.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple, Protocol

import msgspec

from kchaos import __version__
from kchaos.engine.etcd.drawing import Mix
from kchaos.engine.etcd.finals import final_reads
from kchaos.engine.etcd.polling import Poller
from kchaos.engine.etcd.schedule import LASTS_S, LONG, guess_s
from kchaos.engine.etcd.tasks import uncollected
from kchaos.engine.etcd.watchers import Watchers
from kchaos.engine.etcd.workload import Workload
from kchaos.engine.signals import cancelling, deaf
from kchaos.errors import HarnessError, KchaosError
from kchaos.history.record import Entry, Header, Mark, Run
from kchaos.history.recorder import Recorder
from kchaos.nemesis.etcd.catalog import catalog
from kchaos.nemesis.etcd.target import CALM_S, Target
from kchaos.nemesis.fault import bit
from kchaos.nemesis.schedule import Nemesis
from kchaos.real.client import Client
from kchaos.real.cluster import Cluster
from kchaos.real.logs import alarms, disturbed
from kchaos.real.probe import serves
from kchaos.scenario import At, Scenario

AFTER_S = 1.0
"""How long the workload goes on once the cluster has settled, so that there are reads after the last fault."""
TICK_S = 0.05
TELL_S = 0.25
LOOK_S = 2.0


class Load(NamedTuple):
    """What the clients do."""

    clients: int = 24
    rate: float | None = None
    """Operations per second in all; None: as fast as they are answered."""
    mix: Mix = Mix()


class Progress(NamedTuple):
    """The figures of a run under way."""

    phase: str
    operations: int
    unknown: int
    rate: int
    """Operations that ended within the last second."""
    faults: int
    """Injected so far."""
    bit: int
    """Of those that are over, how many did something."""
    elections: int


class Listener(Protocol):
    """Hears how a run goes on; called a few times a second."""

    def told(self, progress: Progress) -> None:
        """Take the figures so far."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM in the middle: ``run`` is what was recorded until then."""

    def __init__(self, run: Run) -> None:
        super().__init__("interrupted")
        self.run = run


class Failed(Exception):
    """The environment failed in the middle: ``run`` is what was recorded until then, ``__cause__`` the error."""

    def __init__(self, run: Run) -> None:
        super().__init__("failed")
        self.run = run


def drive(cluster: Cluster, scenario: Scenario, load: Load, listener: Listener | None = None, facts: Mapping[str, str] | None = None) -> Run:
    """Run a scenario on a cluster that has been started, and return what happened; the cluster is whole again, and still there.

    Raises Interrupted and Failed with what was recorded.
    """
    driver = _Driver(cluster, scenario, load, listener, facts or {})
    try:
        asyncio.run(driver.heedful())
    except KeyboardInterrupt as error:
        deaf()  # one is enough: from here on the run is saved and the cluster stopped
        raise Interrupted(driver.so_far("interrupted")) from error
    except Exception as error:
        cause = driver.disturbed() or _cause(error)  # what follows from that would mislead
        raise Failed(driver.so_far(str(cause))) from cause
    return driver.recorder.finish()


def _cause(error: Exception) -> Exception:
    """Return what failed first in a group of tasks: what we can say in a sentence before anything else."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_cause(one) for one in error.exceptions]
    return next((one for one in causes if isinstance(one, KchaosError)), causes[0])


Due = list[tuple[float, int, Callable[[int], None]]]
"""A heap of what is to be done when, in seconds of chaos, with which step."""


class _Driver:
    def __init__(self, cluster: Cluster, scenario: Scenario, load: Load, listener: Listener | None, facts: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._scenario = scenario
        self._load = load
        self._listener = listener
        self._facts = facts
        began = time.monotonic()
        self._now: Callable[[], float] = lambda: time.monotonic() - began
        header = Header(kchaos=__version__, scenario=msgspec.to_builtins(scenario))
        self.recorder = Recorder(header, self._now)
        self._target = Target(cluster, self.recorder.mark, self._now)
        self._nemesis = Nemesis(self._target, catalog(), scenario.steps, _never, self.recorder.mark)
        self._alarms: Counter[str] = Counter()
        """How many lines of each member's log are recorded."""
        self._faults = 0
        self._bit = 0
        self._phase = ""
        self.recorder.listeners.append(self._seen)

    def _seen(self, entry: Entry) -> None:
        if not isinstance(entry, Mark):
            return
        if entry.what == "status":
            self._target.observe(entry.t, entry.data)
        elif entry.what == "fault" and entry.data["action"] == "injected":
            self._faults += 1

    def _begin(self, phase: str) -> None:
        self._phase = phase
        self.recorder.mark("phase", name=phase)

    def so_far(self, why: str) -> Run:
        """Return what was recorded, with what the members' logs cry out and what the faults have done until now, as far as the cluster still
        tells, and why it ends here.
        """
        with suppress(KchaosError):
            self._ends()
        self.recorder.mark("broken-off", reason=why)
        with suppress(KchaosError):
            self._nemesis.report()
        return self.recorder.finish()

    async def heedful(self) -> None:
        """Run until a signal asks to end; raise what it asked, once every task has ended."""
        task = asyncio.current_task()
        assert task is not None
        with cancelling(task) as heard:
            try:
                await self.run()
            except asyncio.CancelledError:
                if heard:
                    raise heard[0] from None
                raise

    async def run(self) -> None:
        """Go through all phases."""
        self._begin("boot")
        self.recorder.mark("versions", kchaos=__version__, **self._cluster.versions, **self._facts)
        for member in self._cluster.members:
            self.recorder.mark("member", member=member, event="started")
        async with AsyncExitStack() as stack:
            clients = {
                member: await stack.enter_async_context(Client(self._cluster.endpoint(member))) for member in self._cluster.members
            }
            mix = self._load.mix
            workload = Workload(
                clients, self.recorder, self._now, seed=self._scenario.seed, count=self._load.clients, mix=mix, rate=self._load.rate or 0.0,
            )  # fmt: skip
            poller = Poller(clients, self.recorder)
            watchers = Watchers(clients, self.recorder, seed=self._scenario.seed, keys=mix.names())
            asked, polled = asyncio.Event(), asyncio.Event()
            async with watchers, asyncio.TaskGroup() as group:
                try:
                    group.create_task(uncollected(polled))
                    group.create_task(poller.run(polled))
                    asking = group.create_task(workload.run(asked))
                    group.create_task(watchers.wander(asked))
                    group.create_task(self._watch(polled))
                    group.create_task(self._tell(workload, poller, polled))
                    with ThreadPoolExecutor(1, "nemesis") as pool:
                        try:
                            await self._chaos(pool)
                            await self._heal(pool)
                        finally:
                            self._target.ended.set()
                    await self._settle()
                    await asyncio.sleep(AFTER_S)
                    asked.set()
                    await asking
                    self._begin("final")
                    self._nemesis.report()
                    within_s = self._scenario.budget.settle_s
                    held = await final_reads(clients, self.recorder, workload, poller, keys=mix.names(), within_s=within_s)
                    for late, revision in await watchers.caught_up(held, within_s=within_s):
                        self.recorder.mark("watch-late", watcher=late, revision=revision)
                    await asyncio.to_thread(self._logs)
                finally:
                    asked.set()
                    polled.set()

    async def _chaos(self, pool: ThreadPoolExecutor) -> None:
        """Fire the steps at their times, and undo each when it has lasted; what comes late because another took long lasts as long as any.

        A fault that is laid beside no other waits until the cluster is calm, some seconds at most, and those after it come so much later:
        else the aftermath of the one before would pass for its doing.
        """
        self._begin("chaos")
        loop = asyncio.get_running_loop()
        began_s, chaos_s = self._now(), self._scenario.budget.chaos_s
        due: Due = [(step.when.s if isinstance(step.when, At) else 0.0, index, self._nemesis.fire) for index, step in enumerate(self._scenario.steps)]
        heapify(due)
        while due:
            at_s, index, act = heappop(due)
            if max(at_s, self._now() - began_s) > chaos_s:
                break
            step = self._scenario.steps[index]
            if act == self._nemesis.fire and not self._target.watched:
                await asyncio.sleep(max(0.0, began_s + at_s - CALM_S - self._now()))
                await loop.run_in_executor(pool, self._target.await_calm)
                late_s = self._now() - began_s - at_s
                if late_s > 0:
                    at_s, due = at_s + late_s, _delayed(due, self._nemesis.fire, late_s)
                if at_s + min(step.for_s or 0.0, LASTS_S[0]) > chaos_s:
                    break
            await asyncio.sleep(max(0.0, began_s + at_s - self._now()))
            await loop.run_in_executor(pool, act, index)
            if step.do in LONG and act == self._nemesis.fire:  # what comes after it comes later, too: nothing was meant to be laid beside it
                overrun_s = self._now() - began_s - at_s - guess_s(step, self._cluster.members)
                if overrun_s > 0:
                    due = _delayed(due, self._nemesis.fire, overrun_s)
            if act == self._nemesis.fire and (step.for_s is not None or step.do in LONG):  # the latter are over when they return
                heappush(due, (self._now() - began_s + (step.for_s or 0.0), index, self._undo))
        await asyncio.sleep(max(0.0, began_s + chaos_s - self._now()))

    def _undo(self, index: int) -> None:
        self._nemesis.undo(index)
        self._bit += bit(self._nemesis.evidence(index))

    async def _heal(self, pool: ThreadPoolExecutor) -> None:
        self._begin("heal")
        await asyncio.get_running_loop().run_in_executor(pool, self._nemesis.heal)
        await asyncio.to_thread(self._cluster.links.heal)

    async def _settle(self) -> None:
        """Wait until every member serves and all follow one leader, within the scenario's bound; KC410 judges whether they did."""
        self._begin("settle")
        until_s = self._now() + self._scenario.budget.settle_s
        while self._now() < until_s:
            served = await asyncio.gather(*(asyncio.to_thread(serves, self._cluster.endpoint(name)) for name in self._cluster.members))
            since = [one for name in self._cluster.members if (one := self._target.statuses.get(name)) is not None and one.t > self._now() - 1.0]
            if all(served) and len(since) == len(self._cluster.members) and len({one.leader for one in since}) == 1 and since[0].leader:
                return
            await asyncio.sleep(TICK_S)

    def _logs(self) -> None:
        """Record who has ended by itself (what faults have killed is started again by now), and what the logs cry out."""
        self._look()
        self._ends()

    def _ends(self) -> None:
        for member in self._cluster.members:
            if self._cluster.state(member) == "exited" and member not in self._target.down and not disturbed(self._cluster, member):
                self.recorder.mark("member", member=member, event="exited")
                self._target.down.add(member)
            for line in list(alarms(self._cluster.log(member)))[self._alarms[member] :]:
                self.recorder.mark("panic", member=member, line=line)
                self._alarms[member] += 1

    def disturbed(self) -> HarnessError | None:
        """Return what to say if someone else holds a member, or it has ended for what it can't help."""
        with suppress(KchaosError):
            for member in self._cluster.members:
                if told := disturbed(self._cluster, member):
                    return HarnessError(told)
        return None

    def _look(self) -> None:
        """Raise HarnessError if someone else holds a member, it has ended for what it can't help, or what stands between the members has ended."""
        for member in self._cluster.members:
            self._cluster.state(member)
        if told := self.disturbed():
            raise told

    async def _watch(self, stop: asyncio.Event) -> None:
        """Look every now and then, so that a run of ten minutes which proves nothing any more is not gone through to its end."""
        while not stop.is_set():
            await asyncio.to_thread(self._look)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)

    async def _tell(self, workload: Workload, poller: Poller, stop: asyncio.Event) -> None:
        while self._listener is not None and not stop.is_set():
            self._listener.told(Progress(
                self._phase, workload.counters.operations, workload.counters.unknown, workload.counters.rate(self._now()), self._faults, self._bit,
                poller.elections,
            ))  # fmt: skip
            await asyncio.sleep(TELL_S)


def _delayed(due: Due, fire: Callable[[int], None], by_s: float) -> Due:
    """Return what is due, all that is yet to fire so much later."""
    later = [(when + by_s * (what == fire), number, what) for when, number, what in due]
    heapify(later)
    return later


def _never(_after_s: float, _callback: Callable[[], None]) -> Any:
    raise AssertionError("faults of real etcd fire at times, not at events")
