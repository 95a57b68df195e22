"""Members agree: they hold one history, and one state at one revision.

etcd's own check compares HashKV at equal revisions (https://etcd.io/docs/v3.6/op-guide/data_corruption/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kchaos.history.anomaly import Anomaly, Judgement, Witness, judgement, seconds
from kchaos.history.collected import Final, Hash, Life, times_killed
from kchaos.history.events import Log


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


def recovered(finals: Sequence[Final], members: Sequence[str]) -> Judgement:
    """Tell whether every member answers at the end, and all follow one leader in one term."""
    anomalies: list[Anomaly] = []
    last = {one.member: one for one in finals}
    for member in members:
        final = last.get(member)
        if final is None or not final.reachable:
            rest = [Witness(-1, None, f"{one.member} answers at {seconds(one.t)}") for one in last.values() if one.reachable]
            told = Witness(-1, None, f"{member} did not answer" + (f" at {seconds(final.t)}" if final is not None else " when all were asked"))
            anomalies.append(Anomaly("no-answer", f"{member} does not answer, although all faults are healed", final.t if final else 0.0, (told, *rest[:2])))
    there = [one for one in last.values() if one.reachable]
    for one in there:
        if not one.leader:
            anomalies.append(Anomaly("no-leader", f"{one.member} knows no leader, although all faults are healed", one.t, (_led(one),)))
    for one in there[1:]:
        if one.leader and there[0].leader and (one.leader, one.raft_term) != (there[0].leader, there[0].raft_term):
            anomalies.append(Anomaly("two-leaders", f"{there[0].member} and {one.member} follow different leaders", one.t, (_led(there[0]), _led(one))))
    return judgement(anomalies)


def _led(one: Final) -> Witness:
    return Witness(-1, None, f"{one.member} follows leader {one.leader or 'none'} in term {one.raft_term} at {seconds(one.t)}")
