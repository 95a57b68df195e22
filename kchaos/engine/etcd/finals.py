"""What every member holds once all is healed and settled: a read through each, a hash at one revision, and the whole history of each.

The history is read by watches from revision 1 on over all keys. etcd hands a watch that is behind at most 1,000 revisions at a time, ten times
a second, and reads all revisions that are left for each of these (storage/mvcc/watchable_store.go: syncWatchers), so that one watch over
n revisions costs n²/1,000 reads; many watches, each over a window of revisions, are served by the same reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kchaos.engine.etcd.calls import Call
from kchaos.engine.etcd.polling import Poller
from kchaos.engine.etcd.workload import Workload
from kchaos.history.operations import Outcome
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
HASH_TIMEOUT_S = 10.0
"""A hash goes over the whole store."""


async def final_reads(
    clients: Mapping[str, Client], recorder: Recorder, workload: Workload, poller: Poller, *, keys: Sequence[str], within_s: float
) -> dict[str, int]:
    """Record ``final``, ``hash`` and ``log`` of every member; return how far each reachable member's store goes, at most to the newest revision read.

    Each member is asked for a linearizable read of all keys, as an operation of the history; it is reachable if it answers one within
    ``within_s`` seconds. A member that then is behind what another has answered is asked once more: nothing is written any more, so a
    second linearizable answer that is still behind says that the member has lost something. It is not waited for, and is read as far as it
    goes. Hashes are taken at each revision at which a member's store ends, of all that go so far. What can't be read has a mark ``unread``.
    """
    reads = await _reads(workload, clients, keys, within_s)
    behind = [member for member, revision in reads.items() if 0 < revision < max(reads.values())]
    reads |= await _reads(workload, behind, keys, within_s)
    reachable = [member for member, revision in reads.items() if revision]
    for member, status in (await _agreed(poller, clients, reachable, within_s)).items():
        recorder.mark(
            "final",
            member=member,
            revision=status.revision if status else 0,
            raft_term=status.raft_term if status else 0,
            leader=poller.name(status.leader) if status else "",
            reachable=bool(reads[member]),
        )
    held = {member: revision for member, revision in reads.items() if revision}
    for revision in sorted(set(held.values())):
        await asyncio.gather(*(_hash(recorder, member, clients[member], revision) for member in held if held[member] >= revision))
    await _logs(clients, recorder, held, within_s)
    return held


async def _reads(workload: Workload, members: Iterable[str], keys: Sequence[str], within_s: float) -> dict[str, int]:
    names = list(members)
    return dict(zip(names, await asyncio.gather(*(_read(workload, member, keys, within_s) for member in names)), strict=True))


async def _read(workload: Workload, member: str, keys: Sequence[str], within_s: float) -> int:
    """Return the revision of a linearizable read of all keys through a member; 0 if it is not answered in time."""
    process, revision = workload.new_process(), 0
    try:
        async with asyncio.timeout(within_s):
            for first in range(0, len(keys), MOST_READS):
                call = Call("txn", (), (), tuple(keys[first : first + MOST_READS]))
                while (operation := await workload.do(process, member, call)).outcome is not Outcome.OK:
                    await asyncio.sleep(AGAIN_S)
                revision = operation.revision
    except TimeoutError:
        return 0
    return revision


async def _agreed(poller: Poller, clients: Mapping[str, Client], reachable: Sequence[str], within_s: float) -> dict[str, Status | None]:
    """Return each member's status, asked at one time; again, for ``within_s`` seconds at most, while those that are reachable differ.

    An election may be under way, and a status may come late: neither is a cluster that does not recover.
    """
    until = asyncio.get_running_loop().time() + within_s
    while True:
        found = dict(zip(clients, await asyncio.gather(*(poller.once(member) for member in clients)), strict=True))
        led = {(one.leader, one.raft_term) if (one := found[member]) is not None else (0, 0) for member in reachable}
        if (len(led) <= 1 and all(leader for leader, _ in led)) or asyncio.get_running_loop().time() > until:
            return found
        await asyncio.sleep(AGAIN_S)


async def _hash(recorder: Recorder, member: str, client: Client, revision: int) -> None:
    """Record a member's hash as of a revision."""
    try:
        got = await client.hash_kv(revision, timeout_s=HASH_TIMEOUT_S)
    except CallError as error:
        recorder.mark("unread", member=member, unread="hash", error=str(error))
    else:
        recorder.mark("hash", member=member, revision=revision, hash=got.hash, compact_revision=got.compact_revision)


async def _logs(clients: Mapping[str, Client], recorder: Recorder, held: Mapping[str, int], within_s: float) -> None:
    """Record the members' histories as far as each goes, one after the other; what equals an earlier one is not repeated."""
    known: dict[str, list[Change]] = {}
    for member, revision in held.items():
        try:
            log = await history(clients[member], revision, within_s=within_s)
        except CallError as error:
            recorder.mark("unread", member=member, unread="log", error=str(error))
            continue
        same = next((other for other, found in known.items() if held[other] == revision and found == log), None)
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
