"""Clients that each ask one member one thing after the other, and write down what came back.

As in Jepsen: a client is a process that does one call at a time; once an outcome is unknown its process is over, for the call may take
effect at any later time, and the client goes on under a new number. A client stays with its member, so that each member's own answers
are seen through every fault.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from kchaos.engine.etcd.calls import do, filled, learn
from kchaos.engine.etcd.counts import Counts
from kchaos.engine.etcd.drawing import Drawer, Mix
from kchaos.engine.etcd.tasks import cancelled, slept
from kchaos.engine.etcd.watchers import Watchers
from kchaos.history.operations import OP, Operation, Outcome, mark_data
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client

__all__ = ["Counts", "Mix", "Workload"]

CAUGHT_UP_S = 5.0
PAUSE_S = 0.1
"""After a call that failed, so that a member that is down does not get thousands of calls a second that say nothing."""


class Workload:
    """Clients over all members, round robin, and watchers of what they write; recorded as marks ``op``, ``watch`` and so on."""

    def __init__(
        self,
        endpoints: Mapping[str, str],
        recorder: Recorder,
        seed: int,
        *,
        clients: int = 24,
        rate: float | None = None,
        mix: Mix | None = None,
    ) -> None:
        """Take where each member is reached (host:port), where to record (its clock is the run's), and what to do.

        ``rate``: operations per second of all clients together; None: as many as are answered.
        """
        self.counts = Counts(recorder.now)
        self._endpoints = endpoints
        self._recorder = recorder
        self._now = recorder.now
        self._seed = seed
        self._number = clients
        self._mix = mix or Mix()
        self._between_s = 1 / rate if rate else 0.0
        self._slot_s = 0.0
        self._processes = 0
        self._newest = 0
        self._stop = asyncio.Event()
        self._connections: dict[str, Client] = {}
        self._watchers: Watchers | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin, inside the event loop in which all of it runs."""
        self._connections = {member: Client(endpoint) for member, endpoint in self._endpoints.items()}
        self._watchers = Watchers(self._connections, self._recorder, seed=self._seed, keys=self._mix.names())
        self._watchers.start()
        members = list(self._connections)
        lanes = [self._client(self._new_process(), members[number % len(members)]) for number in range(self._number)]
        self._tasks = [asyncio.create_task(lane) for lane in (*lanes, self._watchers.wander(self._stop))]

    async def stop(self) -> None:
        """Wait for the calls under way, which end by their time-out, and for the watchers to be told of all writes; close the connections.

        A watcher whose member does not come up to the newest write in time is ended as it is. May be called twice. Raises what a client
        has failed with, if it is no error of a call.
        """
        self._stop.set()
        tasks, self._tasks = self._tasks, []
        try:
            await asyncio.gather(*tasks)
            if self._watchers is not None and tasks:
                await self._watchers.caught_up(self._newest, within_s=CAUGHT_UP_S)
        finally:
            await cancelled(tasks)
            await self._close()

    async def _close(self) -> None:
        connections, self._connections = self._connections, {}
        try:
            if self._watchers is not None:
                await self._watchers.stop()
        finally:
            for client in connections.values():
                await client.close()

    def _new_process(self) -> int:
        """Return the number of a process that nobody has had."""
        self._processes += 1
        return self._processes - 1

    async def _client(self, process: int, member: str) -> None:
        client = self._connections[member]
        drawer = Drawer(random.Random(f"{self._seed}/client-{process}"), self._mix)
        count, retry = 0, ""
        known: dict[str, int] = {}
        while not self._stop.is_set():
            if self._between_s and not await self._turn():
                return
            call = filled(drawer.next(retry), known, process, count)
            count += len(call.writes)
            operation = await do(client, self._now, process, member, call, self._record)
            learn(known, operation)
            failed_cas = operation.kind == "cas" and operation.outcome is Outcome.OK and not operation.succeeded
            retry = call.reads[0] if failed_cas else ""
            if operation.outcome is Outcome.UNKNOWN:
                process, count = self._new_process(), 0
            if operation.outcome is not Outcome.OK:
                await slept(self._stop, PAUSE_S)

    def _record(self, operation: Operation) -> None:
        self._recorder.mark(OP, **mark_data(operation))
        self.counts.add(operation)
        self._newest = max(self._newest, operation.revision)

    async def _turn(self) -> bool:
        """Wait for the next slot of the wished rate; False if all is over before it comes."""
        self._slot_s = max(self._now(), self._slot_s + self._between_s)
        return not await slept(self._stop, self._slot_s - self._now())
