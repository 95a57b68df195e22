"""Serializable reads: each returns some past state, whole and as of the revision that it names, and never a future one.

etcd: "serializable requests ... may be served from a stale state" (https://etcd.io/docs/v3.6/learning/api_guarantees/#isolation-level-and-consistency-of-replicas).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kchaos.history.anomaly import Anomaly, Judgement, anomaly, as_seen, is_write, judgement, seconds, witness
from kchaos.history.beside import held_of, refused, told_of
from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.past import Past


def past_reads(operations: Sequence[Operation], log: Log | None = None) -> Judgement:
    """Judge the serializable reads of a history; without ``log`` only by what acknowledged changes and unanswered ones tell."""
    past = Past(operations, log)
    writers = sorted((one.revision, number) for number, one in enumerate(operations) if one.outcome == Outcome.OK and is_write(one))
    revisions = [revision for revision, _ in writers]
    latest: list[int] = []
    """For each writer, which one up to it was called last."""
    for _, number in writers:
        latest.append(number if not latest or operations[number].call_s > operations[latest[-1]].call_s else latest[-1])
    maybe = {(key, value) for one in operations if one.outcome == Outcome.UNKNOWN for key, value in one.writes}
    # an answer tells how many keys a transaction deleted, not which: each may be one of them
    maybe |= {(key, None) for one in operations if one.outcome == Outcome.OK and is_write(one) for key, value in one.writes if value is None}
    by_revision = dict(writers)
    anomalies = []
    for number, one in enumerate(operations):
        if one.outcome != Outcome.OK or not one.serializable:
            continue
        up_to = bisect_right(revisions, one.revision)
        if up_to and operations[latest[up_to - 1]].call_s > one.return_s:
            after = latest[up_to - 1]
            words = f"it was answered at {seconds(one.return_s)} as of revision {one.revision}, but revision {operations[after].revision} was asked for only later"
            anomalies.append(Anomaly("future", words, one.return_s, (witness(number, one), witness(after, operations[after]))))
        elif past.whole and one.revision > past.last and up_to < len(revisions):
            continue  # beyond what the log tells
        for seen in one.seen if one.revision >= past.first else ():
            found = _wrong(seen, past.at(seen.key, one.revision), one.revision, past.whole, maybe)
            if found:
                event = past.at(seen.key, one.revision)
                wrote = [by_revision.get(at) for at in (seen.mod_revision, event.mod_revision if event is not None else 0)]
                authors = list(dict.fromkeys(i for i in wrote if i is not None))
                if wrote[1] is None:
                    authors += refused(operations, {(seen.key, seen.value)})
                if not authors and log is None:
                    # what the store was or became as of then, or what else was told of it
                    authors = [i for _, i in (*writers[max(0, up_to - 1) : up_to], *writers[up_to:])[:1]] or told_of(operations, number, seen.key)
                shown = [witness(i, operations[i]) for i in authors[:2]] + (held_of(log, seen.key, one.revision) if wrote[1] is None else [])
                anomalies.append(anomaly("not-a-past-state", found, one.return_s, [*shown, witness(number, one)]))
                break
    return judgement(anomalies)


def _wrong(seen: Seen, event: Event | None, revision: int, whole: bool, maybe: set[tuple[str, str | None]]) -> str:
    """Return in words why a key can't have been so as of a revision; empty: it can."""
    absent = seen.value is None and not seen.mod_revision
    here = f"as of revision {revision} it was told: {as_seen(seen)}"
    if seen.mod_revision > revision:
        return f"{here}; that revision was not there yet"
    if whole:
        if event is None or event.value is None:
            return "" if absent else f"{here}; {seen.key} was not there as of then"
        same = (seen.value, seen.mod_revision, seen.version, seen.create_revision) == (event.value, event.mod_revision, event.version, event.create_revision)
        return "" if same else f"{here}; it was {event.words()}"
    if event is None:
        return "" if absent or (seen.key, seen.value) in maybe else f"{here}; nobody wrote that"
    if absent:
        return "" if event.value is None or (seen.key, None) in maybe else f"{here}; {event.words()}, and no delete came after it"
    if seen.mod_revision < event.mod_revision:
        return f"{here}; a later change was acknowledged: {event.words()}"
    if seen.mod_revision == event.mod_revision:
        return "" if seen.value == event.value else f"{here}; it was {event.words()}"
    return "" if (seen.key, seen.value) in maybe else f"{here}; nobody wrote that"
