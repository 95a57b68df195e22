"""Revisions never go back: neither what one member tells during one life of its process, nor, for who asks for the latest, anybody's.

etcd: "the revision ... is a global logical clock" that only grows (https://etcd.io/docs/v3.6/learning/api/#revisions). A serializable
answer and a status come from one member's store, which a restart may set back to what was last committed to disk: those are compared
within one life of the process. A linearizable answer must know of everything that anybody was told before it was asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from kchaos.history.anomaly import MOST, Anomaly, Judgement, Witness, judgement, seconds, witness
from kchaos.history.collected import Life, Status
from kchaos.history.operations import Operation, Outcome

ENDS = ("killed", "restarted", "exited", "started")


def never_back(operations: Sequence[Operation], statuses: Sequence[Status] = (), lives: Sequence[Life] = ()) -> Judgement:
    """Judge all answers, by every member and among members; the first few of each that went back are told."""
    answered = [(number, one) for number, one in enumerate(operations) if one.outcome == Outcome.OK]
    anomalies = list(_walk("revision-went-back", answered, [(n, one) for n, one in answered if not one.serializable], operations))
    members = dict.fromkeys([*(one.member for _, one in answered), *(one.member for one in statuses)])
    for member in members:
        breaks = sorted(one.t for one in lives if one.member == member and one.event in ENDS)
        by_life: dict[int, list[tuple[int, Operation]]] = {}
        for number, one in answered:
            if one.member == member:
                life = bisect_right(breaks, one.call_s)
                if life == bisect_right(breaks, one.return_s):
                    by_life.setdefault(life, []).append((number, one))
        for found in by_life.values():
            later = [(number, one) for number, one in found if one.serializable]  # the others have been compared with everything
            anomalies += _walk("member-went-back", found, later, operations)
        anomalies += _polled([one for one in statuses if one.member == member], breaks)
    return judgement(anomalies)


def _walk(
    rule: str, before: Sequence[tuple[int, Operation]], after: Sequence[tuple[int, Operation]], operations: Sequence[Operation]
) -> Iterable[Anomaly]:  # fmt: skip
    returned = sorted(before, key=lambda pair: pair[1].return_s)
    highest, holder, place, told = 0, -1, 0, 0
    for number, one in sorted(after, key=lambda pair: pair[1].call_s):
        while place < len(returned) and returned[place][1].return_s < one.call_s:
            if returned[place][1].revision > highest:
                highest, holder = returned[place][1].revision, returned[place][0]
            place += 1
        if one.revision < highest and told < MOST:
            told += 1
            first = f"revision {highest} was answered at {seconds(operations[holder].return_s)}"
            words = f"{first}; the answer to the call of {seconds(one.call_s)} is as of revision {one.revision}"
            yield Anomaly(rule, words, one.return_s, (witness(holder, operations[holder]), witness(number, one)))


def _polled(statuses: Sequence[Status], breaks: Sequence[float]) -> Iterable[Anomaly]:
    for one, then in pairwise(statuses):
        if then.revision < one.revision and bisect_right(breaks, one.t) == bisect_right(breaks, then.t):
            shown = [Witness(-1, None, f"{s.member} said at {seconds(s.t)} that it is at revision {s.revision}") for s in (one, then)]
            yield Anomaly("member-went-back", f"{one.member} went back from revision {one.revision} to {then.revision} without a restart", then.t, tuple(shown))
