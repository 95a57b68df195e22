"""Durability: what was acknowledged is in every member's history, at its revision, with its content, whatever became of the members.

etcd: "any completed operations are durable" (https://etcd.io/docs/v3.6/learning/api_guarantees/#durability).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kchaos.history.anomaly import MOST, Anomaly, Judgement, Witness, is_write, judgement, seconds, witness
from kchaos.history.collected import Life, killed_after
from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation, Outcome

LOST = "lost"
OTHERWISE = "otherwise"


def durable(operations: Sequence[Operation], logs: Mapping[str, Log], lives: Sequence[Life] = (), final_s: float | None = None) -> Judgement:
    """Judge a history by each member's log; where there is none, by the reads that were called from ``final_s`` on."""
    written = [(number, one) for number, one in enumerate(operations) if one.outcome == Outcome.OK and is_write(one)]
    anomalies: list[Anomaly] = []
    untold = 0
    for log in _distinct(logs):
        lost = [pair for pair in written if pair[1].revision >= log.first and not _told(pair[1], log.revisions.get(pair[1].revision, ()))]
        anomalies += [_lost(number, one, log, logs, lives) for number, one in lost[:MOST]]
        untold += len(lost[MOST:])
    if not logs and final_s is not None:
        anomalies += _by_reads(operations, written, final_s)
    return judgement(anomalies, untold=untold)


def _distinct(logs: Mapping[str, Log]) -> list[Log]:
    """Return each different log once, in the name of all members that tell it."""
    out: list[Log] = []
    for log in logs.values():
        same = next((i for i, other in enumerate(out) if other[1:] == log[1:]), None)
        if same is None:
            out.append(log)
        else:
            out[same] = out[same]._replace(member=f"{out[same].member}, {log.member}")
    return out


def _told(one: Operation, events: Sequence[Event]) -> bool:
    """Tell whether a revision's events are what an acknowledged change did."""
    by_key = {event.key: event for event in events}
    gone = 0
    for key, value in one.writes:
        event = by_key.pop(key, None)
        if value is None:
            if event is not None:
                gone += 1
                if event.value is not None:
                    return False
        elif event is None or event.value != value:
            return False
    return gone == one.deleted and not by_key


def _lost(number: int, one: Operation, log: Log, logs: Mapping[str, Log], lives: Sequence[Life]) -> Anomaly:
    events = log.revisions.get(one.revision, ())
    whose = f"the history of {log.member}"
    if events:
        told = f"{whose} holds something else at revision {one.revision}: {'; '.join(event.words() for event in events)}"
    elif one.revision > log.last:
        told = f"{whose} ends at revision {log.last}"
    else:
        told = f"{whose} holds nothing at revision {one.revision}"
    seen = [Witness(-1, None, told)]
    elsewhere = _found(one, log)
    if elsewhere is not None:
        seen.append(Witness(-1, None, f"{whose} holds it elsewhere: {elsewhere.words()}"))
    holding = [name for name, other in logs.items() if other.covers(one.revision) and _told(one, other.revisions.get(one.revision, ()))]
    where = f"it is, at revision {one.revision}, in the history of {', '.join(holding)}" if holding else "it is at its revision in no member's history"
    seen.append(Witness(-1, None, where))
    killed = "; ".join(killed_after(lives, member, one.return_s) for member in log.member.split(", "))
    words = f"revision {one.revision}, acknowledged at {seconds(one.return_s)}, is not in {whose} as it was acknowledged; {killed}"
    return Anomaly(OTHERWISE if events else LOST, words, one.return_s, (witness(number, one), *seen))


def _found(one: Operation, log: Log) -> Event | None:
    """Return an event of a log, at another revision, that has a change's content."""
    wanted = {(key, value) for key, value in one.writes if value is not None}
    for events in log.revisions.values():
        for event in events:
            if (event.key, event.value) in wanted and event.mod_revision != one.revision:
                return event
    return None


def _by_reads(operations: Sequence[Operation], written: Sequence[tuple[int, Operation]], final_s: float) -> list[Anomaly]:
    """Hold the final reads against the last acknowledged change of each key: they must know of that one or a later one."""
    last: dict[str, tuple[int, Operation]] = {}
    deleted = {key for one in operations if one.outcome != Outcome.FAILED for key, value in one.writes if value is None}
    for number, one in written:
        for key, _ in one.writes:
            if key not in last or last[key][1].revision < one.revision:
                last[key] = (number, one)
    out = []
    for number, read in enumerate(operations):
        if read.outcome != Outcome.OK or read.call_s < final_s:
            continue
        for seen in read.seen:
            known = last.get(seen.key)
            if known is None or known[1].return_s >= read.call_s:
                continue
            absent = seen.value is None and seen.mod_revision == 0
            if absent and seen.key in deleted:
                continue
            if seen.mod_revision < known[1].revision and (dict(known[1].writes)[seen.key] is not None or not absent):
                words = f"the final read of {seen.key} at {read.member} knows nothing of revision {known[1].revision}, acknowledged at {seconds(known[1].return_s)}"
                out.append(Anomaly(LOST, words, read.return_s, (witness(*known), witness(number, read))))
    return out
