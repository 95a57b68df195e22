"""Long histories, as a linearizable etcd would have answered them: for the figures, and for planting a single bug in many operations."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from random import Random
from typing import Any

import msgspec

from kchaos.history.events import Event
from kchaos.history.operations import Operation, Outcome, Seen, mark_data
from kchaos.history.record import Header, Mark, Run

MEMBERS = ("m1", "m2", "m3")


def long_history(
    count: int, seed: int = 1, keys: int = 64, processes: int = 12, unknown_every: int = 500, events: list[Event] | None = None
) -> list[Operation]:  # fmt: skip
    """Return ``count`` operations of several processes at about 1,000 a second, in the order in which they returned or were given up.

    One of ``unknown_every`` operations is a write without an answer; half of those took effect, some long after. What happened is added to ``events``.
    """
    random = Random(seed)
    names = [f"k{i}" for i in range(keys)]
    state: dict[str, Seen] = {}
    revision, t = 1, 0.0
    free = [0.0] * processes
    out: list[Operation] = []
    pending: list[tuple[str, str]] = []
    ok, unknown = Outcome.OK, Outcome.UNKNOWN

    def put(key: str, value: str) -> None:
        old = state.get(key)
        now = state[key] = Seen(key, value, revision, old.version + 1 if old else 1, old.create_revision if old else revision)
        if events is not None:
            events.append(Event(key, value, revision, now.create_revision, now.version))

    for number in range(count):
        t += random.random() * 0.002
        process = min(range(processes), key=free.__getitem__) if number % 3 else number % processes
        call = max(free[process], t - random.random() * 0.008)
        t = max(t, call)
        end = t + random.random() * 0.008
        free[process] = end + 0.0001
        key, member, dice = names[random.randrange(keys)], MEMBERS[process % 3], random.random()
        here = state.get(key)
        seen = (here if here is not None else Seen(key, None),)
        if dice < 0.45:
            kind = "get" if dice < 0.35 else "serializable-get"
            out.append(Operation(process, member, kind, call, end, ok, reads=(key,), revision=revision, seen=seen))
            continue
        value = f"v{number}"
        if number % unknown_every == unknown_every - 1:
            out.append(Operation(process, member, "put", call, end + 1.0, unknown, writes=((key, value),), error="deadline"))
            free[process] += 1.0
            if random.random() < 0.5:
                pending.append((key, value))
            continue
        if pending and random.random() < 0.05:
            revision += 1
            put(*pending.pop())
            here = state.get(key)
            seen = (here if here is not None else Seen(key, None),)
        if dice < 0.8:
            revision += 1
            put(key, value)
            out.append(Operation(process, member, "put", call, end, ok, writes=((key, value),), revision=revision))
        elif dice < 0.9:
            wanted = here.mod_revision if here is not None and dice < 0.88 else 1
            held = wanted == (here.mod_revision if here is not None else 0)
            revision += held
            if held:
                put(key, value)
            out.append(
                Operation(process, member, "cas", call, end, ok, ((key, wanted),), ((key, value),), (key,), revision, held, seen)
            )  # fmt: skip
        elif dice < 0.95:
            there = here is not None
            revision += there
            state.pop(key, None)
            if there and events is not None:
                events.append(Event(key, None, revision))
            out.append(Operation(process, member, "delete", call, end, ok, writes=((key, None),), revision=revision, deleted=int(there)))
        else:
            other = names[(names.index(key) + 1) % keys]
            revision += 1
            put(key, value)
            put(other, value)
            out.append(Operation(process, member, "txn", call, end, ok, writes=((key, value), (other, value)), revision=revision))
    out.sort(key=lambda one: one.return_s)
    return out


def long_run(count: int, faults: int = 30, seed: int = 1) -> Run:
    """Return a run of three members with ``count`` operations, three watchers that resume at each fault, and everything that is read at the end."""
    events: list[Event] = []
    operations = long_history(count, seed, events=events)
    end_s = operations[-1].return_s
    told = [list(event) for event in events]
    marks: list[tuple[float, str, dict[str, Any]]] = [(one.return_s, "op", mark_data(one)) for one in operations]
    marks += [(0.0, "phase", {"name": "chaos"}), (end_s + 1, "phase", {"name": "final"})]
    at = {one.revision: one.return_s for one in operations if one.revision}
    returned = [one.return_s for one in operations]
    applied = [1, *accumulate((one.revision for one in operations), max)]
    polled = [(t / 4, max(1, applied[bisect_right(returned, t / 4)])) for t in range(int(4 * end_s))]
    for number, member in enumerate(MEMBERS):
        marks.append((0.0, "member", {"member": member, "event": "started"}))
        marks += [(t, "status", {"member": member, "revision": at_t, "raft_term": 2, "leader": "m1", "asked_s": t}) for t, at_t in polled]
        marks.append((end_s + 2, "hash", {"member": member, "revision": events[-1].mod_revision, "hash": 1, "compact_revision": -1}))
        marks.append((end_s + 3, "final", {"member": member, "revision": events[-1].mod_revision, "raft_term": 2, "leader": "m1", "reachable": True}))
        log = {"same_as": "m1"} if number else {"from_revision": 1, "revision": events[-1].mod_revision, "events": told}
        marks.append((end_s + 2, "log", {"member": member, **log}))
        marks += _watching(f"w{number}", member, events, at, len(events) // faults)
    for step in range(faults):
        t = end_s * (step + 0.5) / faults
        marks.append((t, "fault", {"step": step, "name": "kill", "action": "injected", "args": {"target": "m2"}, "planned": False}))
        marks += [(t, "member", {"member": "m2", "event": "killed"}), (t + 0.5, "member", {"member": "m2", "event": "restarted"})]
        marks.append((t + 1, "evidence", {"step": step, "name": "kill", "args": {}, "status": "bit", "evidence": {}}))
    marks.sort(key=lambda one: one[0])
    entries = [Mark(t, what, msgspec.json.decode(msgspec.json.encode(data))) for t, what, data in marks]
    return Run(Header(scenario={"system": "etcd"}), list(entries), "")


def _watching(watcher: str, member: str, events: list[Event], at: dict[int, float], resumes: int) -> list[tuple[float, str, dict[str, Any]]]:
    """Return what one watcher is told: one response for each revision, a resumption now and then."""
    marks: list[tuple[float, str, dict[str, Any]]] = []
    t, last, batch = 0.0, 0, list[Event]()

    def ask() -> None:
        marks.append((t, "watch", {"watcher": watcher, "member": member, "prefix": "k", "from_revision": last + 1}))
        marks.append((t, "watch-created", {"watcher": watcher, "revision": last}))

    ask()
    for number, event in enumerate([*events, Event("", None, 0)]):
        if batch and event.mod_revision != last:
            t = max(t, at.get(last, 0.0))
            marks.append((t, "watched", {"watcher": watcher, "revision": last, "events": [list(one) for one in batch]}))
            batch = []
            if number % resumes == 0:
                marks.append((t, "watch-ended", {"watcher": watcher, "reason": "connection"}))
                ask()
        batch.append(event)
        last = event.mod_revision
    return marks
