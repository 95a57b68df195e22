"""Linearizability by search over all orders, after Wing & Gong (1993) with Lowe's memory of configurations (2017): slow and plain.

Shares nothing with what it is the judge of: no order by revision, no placement; only the meaning of one operation on a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation, Outcome

Held = tuple[str, int, int, int]
"""value, mod_revision, version, create_revision."""
Store = tuple[int, tuple[tuple[str, Held], ...]]
"""Revision, keys."""
EMPTY: Store = (1, ())


def apply(store: Store, one: Operation) -> tuple[Store, tuple[int, bool, tuple[tuple[object, ...], ...], int]]:
    """Return the store after an operation, and its answer: revision, succeeded, seen, deleted."""
    revision, kv = store[0], dict(store[1])
    succeeded = all((kv[key][1] if key in kv else 0) == mod for key, mod in one.compares)
    seen = tuple((key, kv[key][0], kv[key][1], kv[key][2], kv[key][3]) if key in kv else (key, None, 0, 0, 0) for key in one.reads)
    deleted = 0
    if succeeded:
        gone = [key for key, value in one.writes if value is None and key in kv]
        put = [(key, value) for key, value in one.writes if value is not None]
        if gone or put:
            revision += 1
        for key in gone:
            del kv[key]
            deleted += 1
        for key, value in put:
            old = kv.get(key)
            kv[key] = (value, revision, old[2] + 1 if old else 1, old[3] if old else revision)
    return (revision, tuple(sorted(kv.items()))), (revision, succeeded, seen, deleted)


def changes(before: Store, after: Store) -> tuple[Event, ...]:
    """Return what a member's log holds of the step from one store to the next, in order of key."""
    old, new = dict(before[1]), dict(after[1])
    return tuple(
        Event(key, None, after[0]) if key not in new else Event(key, new[key][0], new[key][1], new[key][3], new[key][2])
        for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    )  # fmt: skip


def linearizable(operations: Sequence[Operation], log: Log | None = None) -> bool:
    """Tell whether some order of all acknowledged operations and some of the unknown ones explains every answer, in keeping with real time.

    With ``log`` each step to a revision that it covers must change exactly what it holds there, and its last revision must be reached.
    """
    ops = [
        one for one in operations
        if (one.outcome is Outcome.OK and one.kind != "serializable-get") or (one.outcome is Outcome.UNKNOWN and one.writes)
    ]  # fmt: skip
    ends = [one.return_s if one.outcome is Outcome.OK else inf for one in ops]
    required = sum(1 << i for i, one in enumerate(ops) if one.outcome is Outcome.OK)
    tried: set[tuple[int, Store]] = set()
    stack: list[tuple[int, Store]] = [(0, EMPTY)]
    while stack:
        config = stack.pop()
        if config in tried:
            continue
        tried.add(config)
        done, store = config
        if done & required == required and (log is None or store[0] >= log.last):
            return True
        deadline = min((end for i, end in enumerate(ends) if not done >> i & 1), default=inf)
        for i, one in enumerate(ops):
            if done >> i & 1 or one.call_s > deadline:
                continue
            after, answer = apply(store, one)
            if one.outcome is Outcome.OK and answer != (one.revision, one.succeeded, tuple(tuple(s) for s in one.seen), one.deleted):
                continue
            if log is not None and after[0] != store[0] and log.first <= after[0] <= log.last and changes(store, after) != log.revisions.get(after[0], ()):
                continue
            stack.append((done | 1 << i, after))
    return False
