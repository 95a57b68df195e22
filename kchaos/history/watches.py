"""Watches: what each watcher is told is in order, told once, whole for each revision, and leaves nothing out.

etcd promises exactly these (https://etcd.io/docs/v3.6/learning/api_guarantees/#watch-apis): *ordered*, *unique*, *reliable* (a sequence of
events never drops a part of it), *atomic* (a revision's events come together), *resumable*, and *bookmarkable* (a progress notification
guarantees that all events up to its revision have been told).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from kchaos.history.anomaly import MOST, Anomaly, Judgement, Witness, judgement, seconds, witness
from kchaos.history.authors import Authors
from kchaos.history.collected import Late, Response, Stretch
from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation
from kchaos.history.told import asked, told_up_to
from kchaos.history.told import response as told_witness
from kchaos.history.untimely import misplaced, too_soon, vanished


class Watched(NamedTuple):
    """What the watchers of a run got wrong, by claim; the figures say how much there was to get wrong."""

    ordered: Judgement
    complete: Judgement
    atomic: Judgement
    responses: int
    due: int
    """Events that they had to be told."""
    together: int
    """Revisions of several events that they had to be told at once."""


class Truth(NamedTuple):
    """What happened, by revision. ``whole``: with version and create_revision, and nothing is missing from ``first`` to ``last``."""

    revisions: Mapping[int, tuple[Event, ...]]
    order: Sequence[int]
    whole: bool
    first: int
    last: int
    authors: Authors


def truth(operations: Sequence[Operation], log: Log | None) -> Truth:
    """Return what happened by a log, or, without one, the acknowledged changes (deletes of several keys at once left out)."""
    authors = Authors(operations)
    if log is not None:
        return Truth(log.revisions, sorted(log.revisions), True, log.first, log.last, authors)
    found = {}
    for revision, number in authors.acknowledged.items():
        one = operations[number]
        gone = sum(value is None for _, value in one.writes)
        found[revision] = tuple(Event(key, value, revision) for key, value in one.writes if value is not None or gone == one.deleted)
    order = sorted(found)
    return Truth(found, order, False, order[0] if order else 1, order[-1] if order else 0, authors)


KNOWN = "as etcd before 3.4.25 and 3.5.8 is known to do: https://github.com/etcd-io/etcd/issues/15220"
"""What a notification that was asked for may be: too early, since it overtakes events."""
LATE = "late"
"""The rule that is about time: what was not told yet may still be told, so that it is no proof."""


def watches(
    stretches: Sequence[Stretch], operations: Sequence[Operation], log: Log | None, late: Sequence[Late] = (),
    logs: Sequence[Log] = (), final_s: float | None = None,
) -> Watched:  # fmt: skip
    """Judge all watchers, and the watches that told ``logs``, the members' histories; ``final_s``: when the reads began that say how far these go.

    A watcher that is only late leaves it unknown whether all are told everything.
    """
    known = truth(operations, log)
    ordered = [one for each in logs for one in misplaced(each)]
    complete: list[Anomaly] = []
    atomic: list[Anomaly] = []
    due = together = 0
    told_to: dict[str, int] = {}
    for stretch in stretches:
        ordered += _ordered(stretch, told_to.get(stretch.watcher))
        atomic += _split(stretch)
        last = _last(stretch)
        if last is not None:
            told_to[stretch.watcher] = last
        wanted, several, missing, torn = _against(stretch, last, known, operations)
        due += wanted
        together += several
        complete += missing
        atomic += torn
        complete += too_soon(stretch, known.authors, operations)
        if log is not None and final_s is not None and last is not None and last > log.last:
            complete += vanished(stretch, log, final_s)
    overdue: list[Anomaly] = []
    reasons: list[str] = []
    for one in late:
        asked_for = [stretch for stretch in stretches if stretch.watcher == one.watcher]
        found = list(_overdue(one, asked_for, told_to.get(one.watcher), known, operations))
        overdue += found
        if found:
            reasons.append(f"watcher {one.watcher}: {found[0].words}")
        elif asked_for and asked_for[-1].begins is None and one.watcher not in told_to:
            reasons.append(f"the request of watcher {one.watcher} was never confirmed by {asked_for[-1].member}, although all faults are healed")
    whole = judgement([*complete, *overdue])
    if reasons and not complete:
        whole = whole._replace(verdict="unknown", reason="; ".join(reasons))
    responses = sum(1 for stretch in stretches for response in stretch.responses if response.events)
    return Watched(judgement(ordered), whole, judgement(atomic), responses, due, together)


def _last(stretch: Stretch) -> int | None:
    """Return the last revision up to which a stretch claims to have told everything."""
    return max(map(told_up_to, stretch.responses), default=None)


def _ordered(stretch: Stretch, resumed_after: int | None) -> Iterable[Anomaly]:
    """Yield what comes too early, twice or out of order; ``resumed_after``: what the watcher had been told up to by the stretch before."""
    begins = stretch.begins
    if resumed_after is not None and 0 < stretch.from_revision <= resumed_after:
        resumed_after = None  # the client asked for the past once more, and may be told of it once more
    before: Response | None = None
    highest = 0
    told = 0
    for response in stretch.responses:
        found = _out_of_place(response, begins, resumed_after, before, highest) if response.events else None
        if found is not None and told < MOST:
            told += 1
            rule, words, beside = found
            shown = [told_witness(stretch, before)] if beside and before is not None else []
            yield Anomaly(rule, words, response.t, (asked(stretch), *shown, told_witness(stretch, response)))
        up_to = told_up_to(response)
        if up_to >= highest:
            before, highest = response, up_to


def _out_of_place(
    response: Response, begins: int | None, resumed_after: int | None, before: Response | None, highest: int
) -> tuple[str, str, bool] | None:  # fmt: skip
    """Return the rule that a response breaks, in words, and whether the response before it shows that; None: it breaks none."""
    revisions = [event.mod_revision for event in response.events]
    first, last = min(revisions), max(revisions)
    if begins is not None and first < begins:
        return "too-early", f"an event of revision {first} was told to a watcher that asked for {begins} and later", False
    if resumed_after is not None and first <= resumed_after:
        return "twice", f"an event of revision {first} was told after the watcher had been told of all up to revision {resumed_after}", False
    if before is not None and not before.events and first <= highest:
        words = f"an event of revision {first} was told after the notification that all up to revision {highest} had been told"
        return "bookmark", f"{words} ({KNOWN})", True
    if before is not None and first < highest:
        return "order", f"revision {first} was told after revision {highest}", True
    if before is not None and first == highest and not _keys(before, first).isdisjoint(_keys(response, first)):
        return "twice", f"an event of revision {first} was told twice", True
    if len(revisions) > 1:
        if len({(event.mod_revision, event.key) for event in response.events}) < len(revisions):
            return "twice", "one response holds the same event twice", False
        if revisions != sorted(revisions):
            return "order", f"one response holds revisions out of order: {_out_of_order(revisions)}", False
    if last > response.revision:
        return "future", f"an event of revision {last} was told by a store that was at revision {response.revision}", False
    return None


def _out_of_order(revisions: Sequence[int]) -> str:
    at = next(i for i in range(1, len(revisions)) if revisions[i] < revisions[i - 1])
    return f"{revisions[at - 1]}, then {revisions[at]}"


def _split(stretch: Stretch) -> Iterable[Anomaly]:
    """Yield revisions whose events came in two responses."""
    told = [response for response in stretch.responses if response.events]
    for before, then in pairwise(told):
        revision = then.events[0].mod_revision
        if before.events[-1].mod_revision == revision and _keys(before, revision).isdisjoint(_keys(then, revision)):  # else one came twice, which is another claim
            words = f"the events of revision {revision} came in two responses"
            yield Anomaly("split", words, then.t, (asked(stretch), told_witness(stretch, before), told_witness(stretch, then)))


def _keys(one: Response, revision: int) -> set[str]:
    return {event.key for event in one.events if event.mod_revision == revision}


def _against(stretch: Stretch, last: int | None, known: Truth, operations: Sequence[Operation]) -> tuple[int, int, list[Anomaly], list[Anomaly]]:
    """Hold what was told against what happened: events due, revisions of several events due, what is missing or wrong, what is torn."""
    begins = stretch.begins
    if begins is None or last is None:
        return 0, 0, [], []
    low, high = max(begins, known.first), min(last, known.last)
    reach = _reach(stretch)
    got: dict[int, dict[str, Event]] = {}
    for response in stretch.responses:
        for event in response.events:
            got.setdefault(event.mod_revision, {})[event.key] = event
    due = together = 0
    missing: list[Anomaly] = []
    torn: list[Anomaly] = []
    for revision in known.order[bisect_left(known.order, low) : bisect_right(known.order, high)]:
        wanted = [event for event in known.revisions[revision] if stretch.wants(event.key)]
        due += len(wanted)
        together += len(wanted) > 1
        there = got.pop(revision, {})
        lacking = [event for event in wanted if event.key not in there]
        if lacking and len(lacking) < len(wanted):
            words = f"of revision {revision} only a part was told: {lacking[0].words()} is missing"
            torn.append(Anomaly("torn", words, _when(stretch, reach, revision), _shown(stretch, reach, revision, lacking, known, operations)))
        elif lacking:
            words = f"{lacking[0].words()} was never told, though later revisions were (up to {last})"
            missing.append(Anomaly("missing", words, _when(stretch, reach, revision), _shown(stretch, reach, revision, lacking, known, operations)))
        for event in wanted:
            told = there.pop(event.key, None)
            if told is not None and (told != event if known.whole else told.value != event.value):
                words = f"it was told: {told.words()}; it is: {event.words()}"
                missing.append(Anomaly("content", words, _when(stretch, reach, revision), _shown(stretch, reach, revision, [event], known, operations)))
        if there and known.whole:
            extra = next(iter(there.values()))
            words = f"it was told: {extra.words()}, which the history does not hold"
            missing.append(Anomaly("invented", words, _when(stretch, reach, revision), _shown(stretch, reach, revision, [], known, operations)))
    for revision, events in got.items() if known.whole else ():
        if low <= revision <= high:
            extra = next(iter(events.values()))
            words = f"it was told: {extra.words()}; the history holds nothing at this revision"
            missing.append(Anomaly("invented", words, _when(stretch, reach, revision), _shown(stretch, reach, revision, [], known, operations)))
    return due, together, missing, torn


def _overdue(late: Late, stretches: Sequence[Stretch], told_to: int | None, known: Truth, operations: Sequence[Operation]) -> Iterable[Anomaly]:
    """Yield the first event that a late watcher still waits for, if there is one."""
    if not stretches:
        return
    last = stretches[-1]
    begins = max(last.begins or known.last + 1, (told_to or 0) + 1)
    for revision in known.order[bisect_left(known.order, begins) : bisect_right(known.order, late.revision)]:
        wanted = [event for event in known.revisions[revision] if last.wants(event.key)]
        if wanted:
            words = f"{wanted[0].words()} has not been told by {seconds(late.t)}, although all faults are healed; the watcher was told of all up to {told_to or 'none'}"
            yield Anomaly(LATE, words, late.t, _shown(last, _reach(last), revision, wanted, known, operations))
            return


def _reach(stretch: Stretch) -> list[int]:
    """Return for each response the last revision that it or one before it tells of: it never falls, so that it can be searched."""
    return list(accumulate(map(told_up_to, stretch.responses), max))


def _past(stretch: Stretch, reach: Sequence[int], revision: int) -> Response | None:
    """Return the first response at or past a revision."""
    at = bisect_left(reach, revision)
    return stretch.responses[at] if at < len(reach) else None


def _when(stretch: Stretch, reach: Sequence[int], revision: int) -> float:
    """Return when a watcher was told of something at or past a revision."""
    past = _past(stretch, reach, revision)
    return past.t if past is not None else stretch.asked_s


def _shown(
    stretch: Stretch, reach: Sequence[int], revision: int, events: Sequence[Event], known: Truth, operations: Sequence[Operation]
) -> tuple[Witness, ...]:
    """Return the request, the response at or past a revision, and who changed or what the history holds there."""
    past = _past(stretch, reach, revision)
    shown = [asked(stretch), *([told_witness(stretch, past)] if past is not None else [])]
    author = known.authors.acknowledged.get(revision)
    if author is not None:
        shown.append(witness(author, operations[author]))
    if known.whole and events:
        shown.append(Witness(-1, None, f"the history holds: {'; '.join(event.words() for event in events[:2])}"))
    return tuple(shown)
