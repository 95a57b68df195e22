"""Members agree: they hold one history, and one state at one revision; none ends by itself, and all serve once faults are healed.

etcd's own check compares HashKV at equal revisions (https://etcd.io/docs/v3.6/op-guide/data_corruption/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kchaos.history.anomaly import MOST, Anomaly, Judgement, Witness, anomaly, judgement, seconds
from kchaos.history.collected import Final, Hash, Life, Panic, times_killed
from kchaos.history.events import Log
from kchaos.history.lately import Lately, became


def members_agree(hashes: Sequence[Hash], logs: Mapping[str, Log], lives: Sequence[Life] = ()) -> Judgement:
    """Compare hashes at equal (revision, compact_revision), and logs where both tell."""
    anomalies: list[Anomaly] = []
    first: dict[tuple[int, int], Hash] = {}
    for one in hashes:
        other = first.setdefault((one.revision, one.compact_revision), one)
        if other.hash != one.hash:
            words = f"{other.member} and {one.member} hold different states at revision {one.revision} (compacted up to {one.compact_revision})"
            shown = [Witness(-1, None, f"{h.member} answered the hash {h.hash} at {seconds(h.t)}; {times_killed(lives, h.member)}") for h in (other, one)]
            anomalies.append(Anomaly("hash", words, one.t, tuple(shown)))
    names = sorted(logs)
    for member in names[1:]:
        a, b = logs[names[0]], logs[member]
        if a.revisions is b.revisions:
            continue
        differing = _first_difference(a, b)
        if differing is not None:
            words = f"the histories of {a.member} and {b.member} differ from revision {differing} on"
            anomalies.append(Anomaly("history", words, 0.0, tuple(_held(log, differing, lives) for log in (a, b))))
    return judgement(anomalies)


def _first_difference(a: Log, b: Log) -> int | None:
    low, high = max(a.first, b.first), min(a.last, b.last)
    for revision in sorted({one for log in (a, b) for one in log.revisions if low <= one <= high}):
        if a.revisions.get(revision, ()) != b.revisions.get(revision, ()):
            return revision
    return None


def _held(log: Log, revision: int, lives: Sequence[Life]) -> Witness:
    there = "; ".join(event.words() for event in log.revisions.get(revision, ())) or "nothing"
    return Witness(-1, None, f"{log.member} holds at revision {revision}: {there}; {times_killed(lives, log.member)}")


def kept_running(panics: Sequence[Panic], lately: Lately) -> Judgement:
    """Tell whether no member has panicked, or exited although nobody had told it to."""
    anomalies = []
    for one in panics[:MOST]:
        then = next((life for life in lately.lives if life.member == one.member and life.t > one.t), None)
        after = Witness(-1, None, f"{became(then)}, the first that is on record of its process after that") if then else None
        told = Witness(-1, None, f"{one.member}: {one.line}")
        shown = _some(lately.answer(one.member, one.t), lately.process(one.member, one.t), told, after)
        anomalies.append(anomaly("panic", f"the log of {one.member} holds a panic or a fatal error; {lately.answered(one.member, one.t)}", one.t, shown))
    exits = [life for life in lately.lives if life.event == "exited"]
    for life in exits[:MOST]:
        member, before = life.member, lately._replace(lives=[each for each in lately.lives if each is not life])
        line = next((Witness(-1, None, f"{member}: {one.line}") for one in panics if one.member == member), None)
        told = Witness(-1, None, became(life))
        shown = _some(before.answer(member, life.t), before.process(member, life.t), line or lately.silence(member, life.t), told)
        anomalies.append(anomaly("exit", f"{member} has exited, and nobody had told it to; {before.answered(member, life.t)}", life.t, shown))
    return judgement(anomalies, untold=len(panics[MOST:]) + len(exits[MOST:]))


def recovered(finals: Sequence[Final], members: Sequence[str], lately: Lately) -> Judgement:
    """Tell whether every member answers at the end, and all follow one leader in one term."""
    anomalies: list[Anomaly] = []
    last = {one.member: one for one in finals}
    there = [one for one in last.values() if one.reachable]
    for member in members:
        final = last.get(member)
        if final is None or not final.reachable:
            t = final.t if final is not None else max((one.t for one in finals), default=0.0)
            rest = next((Witness(-1, None, f"{one.member} answers at {seconds(one.t)}") for one in there), None)
            told = Witness(-1, None, f"{member} did not answer" + (f" at {seconds(t)}" if final is not None else " when all were asked"))
            shown = _some(lately.answer(member, t), lately.process(member, t), rest or lately.silence(member, t), told)
            anomalies.append(anomaly("no-answer", f"{member} does not answer, although all faults are healed; {lately.answered(member, t)}", t, shown))
    for one in there:
        if not one.leader:
            other = next((_led(each) for each in there if each is not one), None)
            shown = _some(lately.leader(one.member, one.t), lately.process(one.member, one.t), other, _led(one))
            anomalies.append(anomaly("no-leader", f"{one.member} knows no leader, although all faults are healed", one.t, shown))
    for one in there[1:]:
        if one.leader and there[0].leader and (one.leader, one.raft_term) != (there[0].leader, there[0].raft_term):
            anomalies.append(Anomaly("two-leaders", f"{there[0].member} and {one.member} follow different leaders", one.t, (_led(there[0]), _led(one))))
    return judgement(anomalies)


def _some(*witnesses: Witness | None) -> list[Witness]:
    return [one for one in witnesses if one is not None]


def _led(one: Final) -> Witness:
    return Witness(-1, None, f"{one.member} follows leader {one.leader or 'none'} in term {one.raft_term} at {seconds(one.t)}")
