"""Watchers that write down every event of their stream, and go on after a break where etcd guarantees that nothing is missed.

That is the revision after the last event seen, after the last progress notification, or, for a watch from now on that has seen nothing
yet, after the revision of its confirmation (the rules of etcd's own client, client/v3/watch.go: serveSubstream; a response's header says
more only if it has no events). A watcher stays with its member.

Progress is also asked for, and believed. etcd before the fix of https://github.com/etcd-io/etcd/issues/15220 (among them 3.5.1) may answer
too early: that is a broken promise of etcd, and what a watcher misses by it is for the checkers to find.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

from kchaos.engine.etcd.drawing import PREFIX
from kchaos.engine.etcd.tasks import cancelled, slept
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client, Watch
from kchaos.real.failures import CallError
from kchaos.real.messages import WatchAnswer, prefix_end

PAUSE_S = 0.2
"""Between a break and the next try."""
PROGRESS_S = 1.0
"""How often a progress notification is asked for; of itself etcd sends one every 10 minutes."""
PAST_S = 5.0
"""How long a watch from a random past revision lives before another takes its place."""
PAST_REVISIONS = 2000
"""How far back such a watch begins at most: each event that it repeats is recorded again."""


class Watcher:
    """One watch of one member, resumed for as long as :meth:`run` runs."""

    def __init__(self, name: str, member: str, client: Client, recorder: Recorder, key: str, *, single: bool, from_revision: int) -> None:
        """Take what to watch: one key, or all that begin with ``key``; from which revision on (0: from now on)."""
        self.name = name
        self.member = member
        self.next_revision = from_revision
        """Nothing before it is missing; 0: nothing is known yet."""
        self._client = client
        self._recorder = recorder
        self._key = key
        self._end = "" if single else prefix_end(key)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            asked = self.next_revision
            single = {} if self._end else {"single": True}
            self._recorder.mark("watch", watcher=self.name, member=self.member, prefix=self._key, from_revision=asked, **single)
            reason, compacted = "cancelled", 0
            try:
                async with self._client.watch(self._key, self._end, from_revision=asked) as watch:
                    asking = asyncio.create_task(_ask_progress(watch))
                    try:
                        reason, compacted = await self._read(watch)
                    finally:
                        await cancelled((asking,))
            except CallError as error:
                reason = str(error)
            finally:
                self._recorder.mark("watch-ended", watcher=self.name, reason=reason, compact_revision=compacted)
            self.next_revision = max(self.next_revision, compacted)
            await asyncio.sleep(PAUSE_S)

    async def _read(self, watch: Watch) -> tuple[str, int]:
        """Record until the server ends the watch; return its reason and, if the past is gone, the first revision that is not."""
        async for answer in watch:
            if answer.canceled:
                return answer.reason or "cancelled by the server", answer.compact_revision
            self._record(answer)
        return "the stream was ended by the server", 0

    def _record(self, answer: WatchAnswer) -> None:
        if answer.created:
            self._recorder.mark("watch-created", watcher=self.name, revision=answer.revision)
            self.next_revision = self.next_revision or answer.revision + 1
        elif answer.events:
            events = [event[:5] for event in answer.events]
            self._recorder.mark("watched", watcher=self.name, revision=answer.revision, events=events)
            self.next_revision = answer.events[-1].mod_revision + 1
        else:
            self._recorder.mark("progress", watcher=self.name, revision=answer.revision)
            self.next_revision = max(self.next_revision, answer.revision + 1)


async def _ask_progress(watch: Watch) -> None:
    """Ask again and again. A stream that has ended in the meantime tells its reader."""
    while True:
        await asyncio.sleep(PROGRESS_S)
        try:
            await watch.ask_progress()
        except CallError:
            return


class Watchers:
    """All watchers of a run: of the whole prefix from now on and from revision 1 on, of single keys, and from random past revisions.

    Use it with ``async with``; :meth:`wander` starts the watches from the past, one after the other on changing members, while the
    workload runs; :meth:`caught_up` waits for the others at the end.
    """

    def __init__(self, clients: Mapping[str, Client], recorder: Recorder, *, seed: int, keys: Sequence[str]) -> None:
        """Take each member's client, where to record, and the workload's keys, of which each member gets one to watch."""
        self._clients = clients
        self._recorder = recorder
        self._rng = random.Random(f"{seed}/watchers")
        self._tasks: list[asyncio.Task[None]] = []
        members = list(clients)
        self._watchers = [
            self._new("all-from-now", members[0], PREFIX, from_revision=0),
            self._new("all-from-1", members[1 % len(members)], PREFIX, from_revision=1),
        ]
        for member in members:
            key = self._rng.choice(keys)
            self._watchers.append(self._new(f"key-{member}", member, key, from_revision=0, single=True))

    def _new(self, name: str, member: str, key: str, *, from_revision: int, single: bool = False) -> Watcher:
        return Watcher(name, member, self._clients[member], self._recorder, key, single=single, from_revision=from_revision)

    async def __aenter__(self) -> Watchers:
        self._tasks = [asyncio.create_task(watcher.run()) for watcher in self._watchers]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancelled(self._tasks)

    async def wander(self, stop: asyncio.Event) -> None:
        """Watch from random past revisions until ``stop``: each watch lives for a few seconds, then one on the next member follows."""
        members = list(self._clients)
        number = 0
        while not stop.is_set():
            newest = max(watcher.next_revision for watcher in self._watchers)
            if newest <= 1:
                await slept(stop, PAUSE_S)
                continue
            member = members[(number + 2) % len(members)]
            first = self._rng.randint(max(1, newest - PAST_REVISIONS), newest - 1)
            task = asyncio.create_task(self._new(f"past-{number}", member, PREFIX, from_revision=first).run())
            number += 1
            try:
                await slept(stop, PAST_S)
            finally:
                await cancelled((task,))

    async def caught_up(self, held: Mapping[str, int], *, within_s: float) -> Sequence[tuple[str, int]]:
        """Wait until the lasting watchers have seen, or been told of, all that their members hold; return those that have not, and up to where.

        ``held``: how far each member's store goes; members that are not named are not waited for, and should have told all that any holds.
        """
        try:
            async with asyncio.timeout(within_s):
                while any(watcher.member in held for watcher, _ in self._late(held)):
                    await asyncio.sleep(PAUSE_S)
        except TimeoutError:
            pass  # said by who is late
        return [(watcher.name, revision) for watcher, revision in self._late(held)]

    def _late(self, held: Mapping[str, int]) -> Sequence[tuple[Watcher, int]]:
        newest = max(held.values(), default=0)
        wanted = [(watcher, held.get(watcher.member, newest)) for watcher in self._watchers]
        return [(watcher, revision) for watcher, revision in wanted if watcher.next_revision <= revision]
