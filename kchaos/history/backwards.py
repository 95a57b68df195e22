"""Revisions never go back: neither what one member tells during one life of its process, nor, for who asks for the latest, anybody's.

etcd: "the revision ... is a global logical clock" that only grows (https://etcd.io/docs/v3.6/learning/api/#revisions). Whatever tells of a
revision (an answer, an event, a progress notification, a status) tells of what a member has applied, and only what is committed is
applied; so a linearizable answer must know of everything that anybody was told before it was asked for, and a change must come after it.

A serializable answer and a status come from one member's store, which a restart may set back to what was last committed to disk: those
are compared within one life of the process, and so is the term. That one is the term of the entry that the member has applied last
(etcd's server.go: setTerm), and terms never fall along a log (Raft, section 5.3). Events prove nothing there: etcd hands them out right
before the store's own revision moves (watchable_store_txn.go: End).

Not judged: two leaders in one term. A status reads the leader from the newest message and the term from the last applied entry, so that
a healthy member names the new leader beside the old term for as long as it has not applied the new leader's first entry.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from kchaos.history.anomaly import MOST, Anomaly, Judgement, Witness, is_write, judgement, seconds, witness
from kchaos.history.collected import Life, Response, Status, Stretch
from kchaos.history.operations import Operation, Outcome
from kchaos.history.told import response

ENDS = ("killed", "restarted", "exited", "started")

Source = int | Status | tuple[Stretch, Response]
"""Who told: an operation by its number, a status, a response to a watcher."""
Told = tuple[float, float, int, Source]
"""When it was asked for, when it was told, and a number that must not fall: a revision or a term. Plain, for there are very many."""


def never_back(
    operations: Sequence[Operation], statuses: Sequence[Status] = (), lives: Sequence[Life] = (), stretches: Sequence[Stretch] = ()
) -> Judgement:  # fmt: skip
    """Judge all answers, by every member and among members; the first few of each that went back are told."""
    answered: list[Told] = [(one.call_s, one.return_s, one.revision, number) for number, one in enumerate(operations) if one.outcome == Outcome.OK]
    said: list[Told] = [(one.asked_s, one.t, one.revision, one) for one in statuses]
    watched: list[Told] = [(one.t, one.t, _revision(one), (stretch, one)) for stretch in stretches for one in stretch.responses]
    latest: list[Told] = [
        (one.call_s, one.return_s, one.revision - is_write(one), number)  # a change was made of what is one revision before it
        for number, one in enumerate(operations) if one.outcome == Outcome.OK and not one.serializable
    ]  # fmt: skip
    anomalies = [_anomaly("revision-went-back", "", pair, operations) for pair in _falls([*answered, *said, *watched], latest)]
    by_member: dict[str, list[Told]] = {}
    for one, told in zip((one for one in operations if one.outcome == Outcome.OK), answered, strict=True):
        by_member.setdefault(one.member, []).append(told)
    for status, told in zip(statuses, said, strict=True):
        by_member.setdefault(status.member, []).append(told)
    for member, told_by in by_member.items():
        breaks = sorted(one.t for one in lives if one.member == member and one.event in ENDS)
        for found in _by_life(told_by, breaks):
            later = [one for one in found if not isinstance(one[3], int) or operations[one[3]].serializable]  # the others have been compared with everything
            anomalies += [_anomaly("member-went-back", member, pair, operations) for pair in _falls(found, later)]
            terms: list[Told] = [(one[0], one[1], one[3].raft_term, one[3]) for one in found if isinstance(one[3], Status)]
            anomalies += [_fell(member, pair) for pair in _falls(terms, terms)]
    return judgement(anomalies)


def _revision(one: Response) -> int:
    return one.events[-1].mod_revision if one.events else one.revision


def _by_life(told: Sequence[Told], breaks: Sequence[float]) -> Iterator[Sequence[Told]]:
    """Yield what was asked for and told within one life of a process, life by life."""
    if not breaks:
        yield told
        return
    lives: dict[int, list[Told]] = {}
    for one in told:
        life = bisect_right(breaks, one[0])
        if life == bisect_right(breaks, one[1]):
            lives.setdefault(life, []).append(one)
    yield from lives.values()


def _falls(before: Sequence[Told], after: Sequence[Told]) -> Iterator[tuple[Told, Told]]:
    """Yield pairs of which the first was told before the second was asked for, and is higher: the first few."""
    told = sorted(before, key=itemgetter(1))
    highest, holder, place, found = -1, None, 0, 0
    for one in sorted(after, key=itemgetter(0)):
        asked_s = one[0]
        while place < len(told) and told[place][1] < asked_s:
            if told[place][2] > highest:
                highest, holder = told[place][2], told[place]
            place += 1
        if one[2] < highest and holder is not None:
            yield holder, one
            found += 1
            if found == MOST:
                return


def _anomaly(rule: str, member: str, pair: tuple[Told, Told], operations: Sequence[Operation]) -> Anomaly:
    first, then = pair
    words = f"{_first(first)}; {_then(then, operations)}"
    shown = (_witness(first[3], operations), _witness(then[3], operations))
    return Anomaly(rule, f"{member} went back without a restart: {words}" if member else words, then[1], shown)


def _first(told: Told) -> str:
    if isinstance(told[3], Status):
        return f"{told[3].member} said at {seconds(told[1])} that it is at revision {told[2]}"
    if isinstance(told[3], tuple):
        return f"watcher {told[3][0].watcher} was told of revision {told[2]} at {seconds(told[1])}"
    return f"revision {told[2]} was answered at {seconds(told[1])}"


def _then(told: Told, operations: Sequence[Operation]) -> str:
    if not isinstance(told[3], int):
        return f"the status that was asked for at {seconds(told[0])} says revision {told[2]}"
    one = operations[told[3]]
    if is_write(one) and not one.serializable:
        return f"the change called at {seconds(one.call_s)} took revision {one.revision}, which is not after it"
    return f"the answer to the call of {seconds(one.call_s)} is as of revision {one.revision}"


def _witness(source: Source, operations: Sequence[Operation]) -> Witness:
    if isinstance(source, int):
        return witness(source, operations[source])
    if isinstance(source, Status):
        return Witness(-1, None, f"{source.member} said at {seconds(source.t)} that it is at revision {source.revision}")
    return response(*source)


def _fell(member: str, pair: tuple[Told, Told]) -> Anomaly:
    first, then = pair
    words = f"{member} went back from term {first[2]} to {then[2]} without a restart"
    return Anomaly("term-went-back", words, then[1], tuple(Witness(-1, None, f"{member} said at {seconds(t)} that it is in term {term}") for _, t, term, _ in pair))
