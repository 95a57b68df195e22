"""What is on record beside an operation: who bears witness with it where no other operation contradicts it by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kchaos.history.anomaly import Witness
from kchaos.history.events import Log
from kchaos.history.operations import Operation, Outcome


def held(log: Log | None, revision: int) -> list[Witness]:
    """Return what a log holds at a revision, or that it does not go there; nothing if there is no log."""
    if log is None:
        return []
    whose = f"the history of {log.member}"
    if not log.covers(revision):
        return [Witness(-1, None, f"{whose} tells of the revisions {log.first} to {log.last}, not of {revision}")]
    there = "; ".join(event.words() for event in log.revisions.get(revision, ())) or "nothing"
    return [Witness(-1, None, f"{whose} holds at revision {revision}: {there}")]


def held_of(log: Log | None, key: str, revision: int) -> list[Witness]:
    """Return what a log says that a key was as of a revision; nothing if there is no log."""
    if log is None:
        return []
    whose = f"the history of {log.member}"
    events = [event for at, found in log.revisions.items() if at <= revision for event in found if event.key == key]
    if not events:
        return [Witness(-1, None, f"{whose}, which begins at revision {log.first}, holds no change of {key} up to revision {revision}")]
    return [Witness(-1, None, f"{whose} holds as the last change of {key} up to revision {revision}: {max(events, key=lambda one: one.mod_revision).words()}")]


def refused(operations: Sequence[Operation], wanted: Collection[tuple[str, str | None]]) -> list[int]:
    """Return the first call that failed and would have written one of these (key, value): what is there all the same may be its."""
    return next(([number] for number, one in enumerate(operations) if one.outcome == Outcome.FAILED and not set(wanted).isdisjoint(one.writes)), [])


def nearest(order: Sequence[int], place: int) -> list[int]:
    """Return the operation that stands right before a place in the order of revisions, or, if there is none, the one behind it."""
    return [order[one] for one in (place - 1, place + 1) if 0 <= one < len(order)][:1]


def told_of(operations: Sequence[Operation], number: int, key: str) -> list[int]:
    """Return the other answer that is nearest to one by revision: of those that speak of a key, or, if none does, of all."""
    one = operations[number]
    answers = [(not any(seen.key == key for seen in other.seen), abs(other.revision - one.revision), i)
               for i, other in enumerate(operations) if other.outcome == Outcome.OK and i != number]  # fmt: skip
    return [min(answers)[2]] if answers else []
