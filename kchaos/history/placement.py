"""Placement: where in the revision order each answered operation stands, and whether that order agrees with real time.

etcd gives every change the next revision, and every answer the revision that it was given at, so that the only linearization that can
be right is known beforehand: change after change by revision, and behind each change the answers that were given as of it. What is left
to check is O(n log n): an operation that returned before another was called must not stand behind it (Herlihy & Wing, "Linearizability",
1990, section 2.2; the revision: https://etcd.io/docs/v3.6/learning/api/#response-header). Two operations of which neither returned
before the other was called, equal instants included, may stand in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kchaos.history.anomaly import MOST, Anomaly, anomaly, is_write, seconds, witness
from kchaos.history.beside import held, refused
from kchaos.history.events import Log
from kchaos.history.operations import Operation, Outcome

FIRST_REVISION = 1
"""The revision of an empty store."""


class Placed(NamedTuple):
    """The operations that count. Position 2r: the change that took revision r; 2r + 1: an answer as of r; -1: not placed."""

    position: list[int]
    order: list[int]
    """Indices of the answered operations by position."""
    writer: Mapping[int, int]
    """Revision -> index of the operation that was acknowledged with it."""
    doubled: Sequence[tuple[int, int]]
    """Pairs of operations that were acknowledged with the same revision."""
    unknown: list[int]
    """Indices of writes without an answer."""


class Timed(NamedTuple):
    """What real time says."""

    floor: Mapping[int, int]
    """Unknown write -> the highest revision that any client had been told of before it was called: it took none up to that."""
    inverted: Sequence[tuple[int, int]]
    """Pairs (a, b): a returned before b was called, yet stands behind it."""


def place(operations: Sequence[Operation]) -> Placed:
    """Return the revision order. Serializable reads and failed calls have no place in it."""
    position: list[int] = []
    put = position.append
    order: list[int] = []
    writer: dict[int, int] = {}
    doubled: list[tuple[int, int]] = []
    unknown: list[int] = []
    ok, nobody_knows = Outcome.OK, Outcome.UNKNOWN
    for index, (_, _, kind, _, _, outcome, _, writes, _, revision, succeeded, _, deleted, _) in enumerate(operations):
        if outcome == ok and kind != "serializable-get":
            order.append(index)
            if writes and succeeded and (deleted > 0 or writes[0][1] is not None or any(value is not None for _, value in writes)):
                put(2 * revision)
                if writer.setdefault(revision, index) != index:
                    doubled.append((writer[revision], index))
            else:
                put(2 * revision + 1)
        else:
            put(-1)
            if outcome == nobody_knows and writes:
                unknown.append(index)
    order.sort(key=position.__getitem__)
    return Placed(position, order, writer, doubled, unknown)


def timed(operations: Sequence[Operation], placed: Placed) -> Timed:
    """Compare the revision order with real time: one walk over all calls, behind which the returns follow."""
    position = placed.position
    returns = [operation[4] for operation in operations]
    calls = [operation[3] for operation in operations]
    by_return = sorted(range(len(operations)), key=returns.__getitem__)
    by_call = sorted(range(len(operations)), key=calls.__getitem__)
    unknown = set(placed.unknown)
    floor: dict[int, int] = {}
    inverted: list[tuple[int, int]] = []
    highest, holder = 2 * FIRST_REVISION + 1, -1
    waiting = iter(by_return)
    next_return = next(waiting, None)
    returned_s = returns[next_return] if next_return is not None else 0.0
    for index in by_call:
        called_s = calls[index]
        while next_return is not None and returned_s < called_s:
            at = position[next_return]
            if at > highest:
                highest, holder = at, next_return
            next_return = next(waiting, None)
            if next_return is not None:
                returned_s = returns[next_return]
        at = position[index]
        if at < highest:
            if at >= 0:
                if holder >= 0:  # else it is as of a revision that no store has: replay tells
                    inverted.append((holder, index))
            elif index in unknown:
                floor[index] = highest >> 1
    return Timed(floor, inverted)


def two_at_one_revision(operations: Sequence[Operation], placed: Placed) -> list[Anomaly]:
    """Return an anomaly for each revision that two changes were acknowledged with, for the first few."""
    return [
        Anomaly(
            "duplicate-revision",
            f"revision {operations[b].revision} was given to two changes",
            max(operations[a].return_s, operations[b].return_s),
            (witness(a, operations[a]), witness(b, operations[b])),
        )
        for a, b in placed.doubled[:MOST]
    ]  # fmt: skip


def against_real_time(operations: Sequence[Operation], timed_: Timed) -> list[Anomaly]:
    """Return an anomaly for each operation that stands before one that was over when it was called; of each rule the first few."""
    out = []
    told: Counter[str] = Counter()
    for a, b in timed_.inverted:
        first, then = operations[a], operations[b]
        words = f"revision {first.revision} was answered at {seconds(first.return_s)}"
        rule = "revision-order" if is_write(then) else "stale-read"
        told[rule] += 1
        if told[rule] > MOST:
            continue
        if is_write(then):
            then_ = f"the change called at {seconds(then.call_s)} took revision {then.revision}, which is not after it"
        else:
            then_ = f"the answer to the call of {seconds(then.call_s)} is as of revision {then.revision}"
        out.append(Anomaly(rule, f"{words}; {then_}", then.return_s, (witness(a, first), witness(b, then))))
    return out


def gaps(operations: Sequence[Operation], placed: Placed, timed_: Timed, log: Log | None = None) -> tuple[list[int], list[Anomaly]]:
    """Return the revisions that no acknowledged change took, which unknown writes must have taken; or why they can't have.

    By a ``log`` the revisions up to its last are known to exist, whether or not an answer told of them.

    An unknown write may take any revision above its floor, so of the gaps in ascending order the j-th needs j writes that may take it or an
    earlier one; since what may take a gap may take all later ones, that is also enough as far as time goes (Hall's theorem on nested sets).
    """
    floors = sorted(timed_.floor.values())
    found: list[int] = []
    last = FIRST_REVISION
    able = 0
    end = log.last if log is not None else 0
    for place_, index in enumerate((*placed.order, -1)):
        at = placed.position[index] if index >= 0 else 2 * end + 1
        revision = at >> 1
        low = last + 1
        high = revision if at & 1 else revision - 1
        while low <= high:
            while able < len(floors) and floors[able] < low:
                able += 1
            if len(found) >= able:
                return found, [_nobody(operations, placed, log, (low, high), place_, able)]
            found.append(low)
            low += 1
        last = max(last, revision)
    return found, []


def _nobody(operations: Sequence[Operation], placed: Placed, log: Log | None, span: tuple[int, int], at: int, able: int) -> Anomaly:
    """Return the anomaly of revisions that nobody took, right before a place in the order: who tells of them, or else what else counts."""
    low, high = span
    taken = f"revision {low} was" if low == high else f"revisions {low} to {high} were"
    short = "no call without an answer can have taken it" if low == high else "the calls without an answer are too few to have taken them"
    told = f"{taken} taken by nobody: no acknowledged change has it, and {short} ({able} could have taken it or an earlier gap)"
    before, after = placed.order[max(0, at - 1) : at], placed.order[at : at + 1]
    events = log.revisions.get(low, ()) if log is not None else ()
    beside = refused(operations, {(event.key, event.value) for event in events})
    logged = held(log, low) if log is None or log.covers(low) or not (before and after) else []  # that it does not go there proves little
    if len(before) + len(after) + len(beside) + len(logged) < 2:
        beside = placed.unknown[:1] or placed.order[at + 1 : at + 2]  # what came too late or was one too few; or who else was told of a later revision
    shown = [*(witness(i, operations[i]) for i in (*before, *beside)), *logged, *(witness(i, operations[i]) for i in after)]
    return anomaly("gap", told, max((operations[i].return_s for i in (*before, *after)), default=0.0), shown)
