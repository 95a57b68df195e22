"""Linearizability of a history of etcd, decided by the revisions that etcd itself gave: exact, and fast enough for a million operations.

In three steps: place every answered operation by its revision and hold that against real time (:mod:`kchaos.history.placement`);
replay the changes in this order and hold every answer against what the store would have said (:mod:`kchaos.history.replay`); where
revisions are missing, find the unanswered writes that took them (:mod:`kchaos.history.search`). "ok" is only said of an order that was
replayed to its end; "violation" only where no order is left; "unknown" where the search was given up.
"""

from __future__ import annotations

from collections.abc import Sequence

from kchaos.history.anomaly import MOST, Anomaly, Judgement, judgement
from kchaos.history.events import Log
from kchaos.history.explain import Explainer
from kchaos.history.operations import Operation
from kchaos.history.placement import against_real_time, gaps, place, timed, two_at_one_revision
from kchaos.history.replay import Replay
from kchaos.history.search import Search

EFFORT = 3_000_000
"""Operations that a search may replay or look at again before it gives up: about five seconds."""


def linearizable(operations: Sequence[Operation], log: Log | None = None, effort: int | None = None) -> Judgement:
    """Judge a history that began with an empty store at revision 1 and in which nobody else wrote.

    Serializable reads are left out: they may be answered from the past (:mod:`kchaos.history.serializable`). With ``log`` each change must
    be in it at its revision with its content, and it says what unanswered writes did. ``effort``: :data:`EFFORT` if it is not given.
    """
    effort = EFFORT if effort is None else effort
    placed = place(operations)
    times = timed(operations, placed)
    anomalies = [*two_at_one_revision(operations, placed), *against_real_time(operations, times)]
    untold = len(placed.doubled) + len(times.inverted) - len(anomalies)
    if placed.doubled:
        return judgement(anomalies, untold=untold)  # what a store at both would have answered, nobody can say
    free, nobody = gaps(operations, placed, times, log)
    anomalies += nobody
    if nobody:
        return judgement(anomalies, untold=untold)
    explainer = Explainer(operations, placed, len(free), log)
    if not free:
        return judgement([*anomalies, *_replayed(Replay(operations, placed, log), explainer)], untold=untold)
    found = Search(operations, placed, times, free, log, effort).run()
    if found.assigned:
        return judgement(anomalies, untold=untold)
    if not found.exhausted:
        reason = f"{len(free)} revisions were taken by some of {len(placed.unknown)} unanswered writes, and no assignment was found that explains all answers"
        return judgement(anomalies, f"{reason}; the search was given up after {effort} steps", untold)
    return judgement([*anomalies, explainer.failure(found.failure) if found.failure is not None else explainer.gap(found.empty_gap)], untold=untold)


def _replayed(replay: Replay, explainer: Explainer) -> list[Anomaly]:
    """Return what a history without gaps gets wrong; past the first few of them no more are told apart."""
    out: list[Anomaly] = []
    at = 0
    while len(out) < 4 * MOST:
        stop = replay.run(at)
        if stop.failure is None:
            assert not stop.gap, "a gap that was not there when they were counted"
            break
        out.append(explainer.failure(stop.failure))
        at = stop.at + 1
    return out
