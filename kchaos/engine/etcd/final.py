"""What every member holds once all is healed and settled: a read through each, a hash at one revision, and the whole history of each.

The history is read by watches from revision 1 on over all keys. etcd hands a watch that is behind at most 1,000 revisions at a time, ten times
a second, and reads all revisions that are left for each of these (storage/mvcc/watchable_store.go: syncWatchers), so that one watch over
n revisions costs n²/1,000 reads; many watches, each over a window of revisions, are served by the same reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from kchaos.engine.etcd.calls import Call, do
from kchaos.engine.etcd.poll import told
from kchaos.history.operations import OP, Operation, Outcome, mark_data
from kchaos.history.record import Entry, Mark
from kchaos.history.recorder import Recorder
from kchaos.real.client import Client
from kchaos.real.failures import CallError
from kchaos.real.messages import EVERYTHING_AFTER, FIRST, Status

Change = tuple[str, str | None, int, int, int]
"""Key, value or None, mod_revision, create_revision, version: as in the marks."""

PART = 1000
"""Changes in one mark, at most (more only if one revision has more)."""
WINDOW = 1000
WINDOWS = 64
"""Watches at a time, and the least revisions of each."""
MOST_READS = 128
"""etcd's own bound of one transaction (--max-txn-ops)."""
AGAIN_S = 0.2
WITHIN_S = 10.0
HASH_TIMEOUT_S = 10.0
"""A hash goes over the whole store."""


async def final_reads(endpoints: Mapping[str, str], recorder: Recorder, *, within_s: float = WITHIN_S) -> int:
    """Record ``final``, ``hash`` and ``log`` of every member; return the revision that they are compared at (0: nobody has answered).

    Each member is asked for a linearizable read of all keys that were written, as an operation of the history; it is reachable if it
    answers one within ``within_s`` seconds. Members that do not have no ``hash`` and no ``log``; what else can't be read, for instance
    because a member has not come up to the revision in ``within_s`` seconds, has a mark ``unread``.
    """
    clients = {member: Client(endpoint) for member, endpoint in endpoints.items()}
    try:
        process, keys = _next(recorder.entries)
        reads = await asyncio.gather(
            *(_read(client, recorder, process + number, member, keys, within_s) for number, (member, client) in enumerate(clients.items()))
        )
        revision = max(reads)
        await _finals(clients, recorder, dict(zip(clients, reads, strict=True)))
        reachable = {member: clients[member] for member, found in zip(clients, reads, strict=True) if found}
        for member, client in reachable.items():
            await _hash(recorder, member, client, revision, within_s)
        await _logs(reachable, recorder, revision, within_s)
        return revision
    finally:
        for client in clients.values():
            await client.close()


def _next(entries: Iterable[Entry]) -> tuple[int, Sequence[str]]:
    """Return the first process number that nobody has had, and all keys that were to be written."""
    process = 0
    keys: set[str] = set()
    for entry in entries:
        if isinstance(entry, Mark) and entry.what == OP:
            process = max(process, entry.data["process"] + 1)
            keys.update(key for key, _ in entry.data.get("writes", ()))
    return process, sorted(keys)


async def _read(client: Client, recorder: Recorder, process: int, member: str, keys: Sequence[str], within_s: float) -> int:
    """Return the revision of a linearizable read of all keys through a member; 0 if it is not answered in time."""
    calls = [Call("txn", (), (), tuple(keys[first : first + MOST_READS])) for first in range(0, max(1, len(keys)), MOST_READS)]
    revision = 0

    def record(operation: Operation) -> None:
        recorder.mark(OP, **mark_data(operation))

    try:
        async with asyncio.timeout(within_s):
            for call in calls:
                while (operation := await do(client, recorder.now, process, member, call, record)).outcome is not Outcome.OK:
                    await asyncio.sleep(AGAIN_S)
                revision = operation.revision
    except TimeoutError:
        return 0
    return revision


async def _finals(clients: Mapping[str, Client], recorder: Recorder, reads: Mapping[str, int]) -> None:
    """Record what each member says of itself at the end."""
    statuses: dict[str, Status] = {}
    for member, client in clients.items():
        if reads[member]:
            with suppress(CallError):  # it has answered a read, and is gone again: told by the revision 0
                statuses[member] = await client.status()
    names = {status.member_id: member for member, status in statuses.items()}
    for member, found in reads.items():
        said = told(statuses[member], names) if member in statuses else {"revision": 0, "raft_term": 0, "leader": ""}
        recorder.mark(
            "final", member=member, revision=said["revision"], raft_term=said["raft_term"], leader=said["leader"], reachable=bool(found)
        )


async def _hash(recorder: Recorder, member: str, client: Client, revision: int, within_s: float) -> None:
    """Record a member's hash as of a revision, once it has come so far."""
    error = "no answer in time"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    got = await client.hash_kv(revision, timeout_s=HASH_TIMEOUT_S)
                    break
                except CallError as reason:
                    error = str(reason)
                await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        recorder.mark("unread", member=member, unread="hash", error=error)
        return
    recorder.mark("hash", member=member, revision=revision, hash=got.hash, compact_revision=got.compact_revision)


async def _logs(clients: Mapping[str, Client], recorder: Recorder, revision: int, within_s: float) -> None:
    """Record the members' histories up to a revision, one member after the other; what equals an earlier one is not repeated."""
    known: dict[str, list[Change]] = {}
    for member, client in clients.items():
        try:
            log = await history(client, revision, within_s=within_s)
        except CallError as error:
            recorder.mark("unread", member=member, unread="log", error=str(error))
            continue
        same = next((other for other, found in known.items() if found == log), None)
        if same is not None:
            recorder.mark("log", member=member, from_revision=1, revision=revision, same_as=same)
            continue
        known[member] = log
        for first, last, changes in parts(log, revision):
            recorder.mark("log", member=member, from_revision=first, revision=last, events=changes)


async def history(client: Client, revision: int, *, within_s: float) -> list[Change]:
    """Return all changes that a member holds, of all keys, from its first revision to ``revision``, in its order.

    ``within_s``: how long nothing new may come. Raises CallError if a watch ends or breaks, also if its past is compacted.
    """
    turn = asyncio.Semaphore(WINDOWS)
    size = max(WINDOW, -(-revision // WINDOWS))

    async def window(first: int) -> list[Change]:
        async with turn:
            return await _window(client, first, min(first + size - 1, revision), within_s)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(window(first)) for first in range(2, revision + 1, size)]  # revision 1 is the empty store
    except* CallError as errors:
        raise errors.exceptions[0] from None
    return [change for task in tasks for change in task.result()]


async def _window(client: Client, first: int, last: int, within_s: float) -> list[Change]:
    changes: list[Change] = []
    async with client.watch(FIRST, EVERYTHING_AFTER, from_revision=first, progress_notify=False) as watch:
        answers = aiter(watch)
        while not changes or changes[-1][2] < last:
            try:
                async with asyncio.timeout(within_s):
                    answer = await anext(answers, None)
            except TimeoutError:
                raise CallError("DEADLINE_EXCEEDED", f"the watch from revision {first} on has not reached {last}") from None
            if answer is None or answer.canceled:
                reason = answer.reason if answer else "the stream was ended by the server"
                raise CallError("CANCELLED", f"the watch from revision {first} on was ended: {reason}")
            changes += [event[:5] for event in answer.events]
    while changes and changes[-1][2] > last:
        changes.pop()
    return changes


def parts(log: Sequence[Change], revision: int) -> Iterator[tuple[int, int, Sequence[Change]]]:
    """Yield a history in parts: first revision, last revision, changes; together they cover 1 to ``revision`` without a hole.

    A revision is never divided.
    """
    begin, first = 0, 1
    while begin < len(log):
        end = min(begin + PART, len(log))
        while end < len(log) and log[end][2] == log[end - 1][2]:
            end += 1
        last = log[end - 1][2] if end < len(log) else revision
        yield first, last, log[begin:end]
        begin, first = end, last + 1
    if first == 1:
        yield 1, revision, ()
