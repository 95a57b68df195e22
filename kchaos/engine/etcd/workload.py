"""Clients that each ask one member one thing after the other, and write down what came back.

As in Jepsen: a client is a process that does one call at a time; once an outcome is unknown its process is over, for the call may take
effect at any later time, and the client goes on under a new number. A client stays with its member, so that each member's own answers
are seen through every fault.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from kchaos.engine.etcd.calls import Call, answered, ask, filled, learn, unanswered
from kchaos.engine.etcd.counters import Counters
from kchaos.engine.etcd.drawing import Drawer, Mix
from kchaos.engine.etcd.tasks import slept
from kchaos.history.operations import OP, Operation, Outcome, mark_data
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client
from kchaos.real.failures import CallError

PAUSE_S = 0.1
"""After a call that failed, so that a member that is down does not get thousands of calls a second that say nothing."""


class Workload:
    """``count`` clients over all members, round robin, recorded as marks ``op``."""

    def __init__(
        self,
        clients: Mapping[str, Client],
        recorder: Recorder,
        now: Callable[[], float],
        *,
        seed: int,
        count: int = 24,
        mix: Mix | None = None,
        rate: float = 0.0,
    ) -> None:
        """Take each member's client, where to record, the run's clock (seconds since its begin, monotonic), and what to do.

        ``rate``: operations per second of all clients together; 0: as many as they can.
        """
        self.counters = Counters()
        self._clients = clients
        self._recorder = recorder
        self._now = now
        self._seed = seed
        self._count = count
        self._mix = mix or Mix()
        self._between_s = 1 / rate if rate else 0.0
        self._slot_s = 0.0
        self._processes = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until ``stop`` is set; then wait for the calls under way, which end by their time-out. May be run again."""
        members = list(self._clients)
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._client(self.new_process(), members[number % len(members)], stop))

    def new_process(self) -> int:
        """Return the number of a process that nobody has had."""
        self._processes += 1
        return self._processes - 1

    def record(self, operation: Operation) -> None:
        """Write an operation down, and count it."""
        self._recorder.mark(OP, **mark_data(operation))
        self.counters.add(operation)

    async def _client(self, process: int, member: str, stop: asyncio.Event) -> None:
        drawer = Drawer(random.Random(f"{self._seed}/client-{process}"), self._mix)
        count, retry = 0, ""
        known: dict[str, int] = {}
        while not stop.is_set():
            if self._between_s and not await self._turn(stop):
                return
            call = filled(drawer.next(retry), known, process, count)
            count += len(call.writes)
            operation = await self.do(process, member, call)
            learn(known, operation)
            failed_cas = operation.kind == "cas" and operation.outcome is Outcome.OK and not operation.succeeded
            retry = call.reads[0] if failed_cas else ""
            if operation.outcome is Outcome.UNKNOWN:
                process = self.new_process()
            if operation.outcome is not Outcome.OK:
                await slept(stop, PAUSE_S)

    async def do(self, process: int, member: str, call: Call) -> Operation:
        """Make one call and record it. However it ends it is recorded, also if it is cancelled or a library fails: it may have been sent."""
        called_s = round(self._now(), 6)  # rounding keeps the order of any two instants, or makes them equal: it can't hide an overlap
        try:
            answer = await ask(self._clients[member], call)
            operation = answered(process, member, call, called_s, round(self._now(), 6), answer)
        except CallError as error:
            operation = unanswered(process, member, call, called_s, round(self._now(), 6), error)
        except BaseException as error:
            told = CallError("CANCELLED", "by kchaos") if isinstance(error, asyncio.CancelledError) else CallError(type(error).__name__, str(error))
            self.record(unanswered(process, member, call, called_s, round(self._now(), 6), told))
            raise
        self.record(operation)
        return operation

    async def _turn(self, stop: asyncio.Event) -> bool:
        """Wait for the next slot of the wished rate; False if all is over before it comes."""
        self._slot_s = max(self._now(), self._slot_s + self._between_s)
        return not await slept(stop, self._slot_s - self._now())
