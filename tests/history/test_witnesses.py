"""Every anomaly has two to four witnesses, each of which was recorded; where there is no second one it says so."""

from __future__ import annotations

from random import Random

import pytest

from kchaos.history.anomaly import ALONE, Anomaly
from kchaos.history.backwards import never_back
from kchaos.history.collected import Final, Life, Panic, Silence, Status
from kchaos.history.durable import durable
from kchaos.history.events import Event, log_of
from kchaos.history.lately import Lately
from kchaos.history.linearize import linearizable
from kchaos.history.members import kept_running, recovered
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.placement import place
from kchaos.history.serializable import past_reads
from tests.history.enough import enough_witnesses
from tests.history.random_histories import history, log_for, shortened, spoiled, spoiled_log

SAMPLE = 3_000


def _serializable(random: Random, operations: list[Operation]) -> list[Operation]:
    return [one._replace(kind="serializable-get") if one.kind == "get" and random.random() < 0.7 else one for one in operations]


def test_whatever_is_wrong_with_a_small_history_has_its_witnesses() -> None:
    """By all checkers of operations, with and without a log, right or wrong; operations are named by their places."""
    rules: dict[str, int] = {}
    for seed in range(SAMPLE):
        random = Random(seed)
        events: list[Event] = []
        operations = spoiled(random, _serializable(random, history(random, *random.choice(((8, 4), (3, 2))), events=events)))
        log = (lambda whole: shortened(random, whole) if random.random() < 0.3 else whole)(spoiled_log(random, log_for(events)))
        found = [linearizable(operations), linearizable(operations, log), past_reads(operations), past_reads(operations, log), never_back(operations)]
        found += [durable(operations, {"m1": log}), durable(operations, {}, final_s=0.0)]
        for one in (anomaly for judgement in found for anomaly in judgement.anomalies):
            rules[one.rule] = rules.get(one.rule, 0) + 1
            assert enough_witnesses(one) or len(place(operations).order) < 2, (one, operations, log)
            assert all(w.operation is None or operations[w.number] == w.operation for w in one.witnesses)
    assert len(rules) > 15, rules
    assert rules.keys() >= {"not-in-the-log", "gap", "lost", "otherwise", "future", "not-a-past-state", "value-from-nowhere", "wrong-delete-count"}, rules


def _put(key: str, value: str, revision: int, t: float, outcome: Outcome = Outcome.OK) -> Operation:
    return Operation(1, "m1", "put", t, t + 0.5, outcome, writes=((key, value),), revision=revision if outcome is Outcome.OK else 0)


def _get(seen: Seen, revision: int, t: float, kind: str = "get") -> Operation:
    return Operation(2, "m2", kind, t, t + 0.5, Outcome.OK, reads=(seen.key,), revision=revision, seen=(seen,))


FROM_NOWHERE = _get(Seen("a", "z", 2, 1, 2), 2, 3.0)
WRONG = [Event("a", "y", 2, 2, 1)]


def _only(found: tuple[Anomaly, ...], rule: str) -> Anomaly:
    (one,) = found
    assert one.rule == rule
    return one


def test_what_the_log_holds_instead_bears_witness() -> None:
    """Behind the write, and the call that may have written it."""
    operations = [_put("a", "x", 2, 1.0), _put("a", "y", 0, 1.0, Outcome.UNKNOWN)]
    one = _only(linearizable(operations, log_of("m1", WRONG, 1, 2)).anomalies, "not-in-the-log")
    assert [w.number for w in one.witnesses] == [1, 0, -1]
    assert one.witnesses[-1].words == "the history of m1 holds at revision 2: a=y at revision 2 (version 1, create_revision 2)"


def test_a_call_that_failed_bears_witness_of_what_it_would_have_written() -> None:
    for log in (None, log_of("m1", [Event("a", "z", 2, 2, 1)], 1, 2)):
        operations = [_put("a", "z", 0, 1.0, Outcome.FAILED), _put("b", "y", 0, 2.0, Outcome.UNKNOWN), FROM_NOWHERE]
        found = linearizable(operations, log).anomalies
        assert [w.number for one in found for w in one.witnesses] == [0, *([-1] if log else []), 2], found


def test_the_operation_next_by_revision_bears_witness_where_no_other_contradicts() -> None:
    operations = [_put("a", "x", 2, 3.0), _get(Seen("a", None), 0, 1.0)]
    one = _only(linearizable(operations).anomalies, "impossible-revision")
    assert [w.number for w in one.witnesses] == [0, 1] and "next to it by revision: 2, answered at 3.500 s" in one.words and one.at_s == 1.5


def test_a_serializable_read_of_what_never_was_is_held_against_the_history() -> None:
    operations = [_put("a", "x", 2, 1.0), _get(Seen("b", "z", 2, 1, 2), 2, 2.0, "serializable-get")]
    log = log_of("m3", [Event("a", "x", 2, 2, 1)], 1, 2)
    one = _only(past_reads(operations, log).anomalies, "not-a-past-state")
    assert one.witnesses[1].words == "the history of m3, which begins at revision 1, holds no change of b up to revision 2"
    assert [w.number for w in _only(past_reads(operations).anomalies, "not-a-past-state").witnesses] == [0, 1]


@pytest.mark.parametrize(
    "operations",
    [[_get(Seen("a", None), 0, 1.0)], [_put("a", "x", 1, 1.0)], [_put("a", "x", 3, 1.0)], [_put("a", "x", 2, 1.0)._replace(deleted=1)]],
)  # fmt: skip
def test_where_nothing_else_was_recorded_it_is_said(operations: list[Operation]) -> None:
    (one,) = linearizable(operations).anomalies
    assert [w.number for w in one.witnesses] == [0] and one.words.endswith(f"({ALONE})")


# -- members -----------------------------------------------------------------------------------------------------------

LIVES = (Life(0.0, "m1", "started"), Life(3.0, "m1", "killed"), Life(3.5, "m1", "restarted"), Life(9.0, "m1", "exited"))
STATUSES = (Status(1.0, "m1", 5, 2, "m2"), Status(4.0, "m1", 6, 3, ""), Status(4.0, "m2", 6, 3, "m2"))


def test_a_member_without_a_leader_says_when_it_last_had_one() -> None:
    finals = [Final(8.0, "m1", True, "", 3, 6), Final(8.0, "m2", True, "m2", 3, 6)]
    one = _only(recovered(finals, ["m1", "m2"], Lately(LIVES, STATUSES)).anomalies, "no-leader")
    assert [w.words for w in one.witnesses] == [
        "m1 last knew a leader at 1.000 s: it was led by m2 in term 2",
        "m1 was restarted at 3.500 s, the last that is on record of its process by then; m1 was killed 1 time, last at 3.000 s",
        "m2 follows leader m2 in term 3 at 8.000 s",
        "m1 follows leader none in term 3 at 8.000 s",
    ]


def test_a_member_that_does_not_answer_has_its_last_answer_for_a_witness() -> None:
    """A client's, or one to a status request, whichever came last; and, if nobody else answers either, that it was silent before."""
    call = _put("a", "x", 2, 4.2)._replace(member="m1")
    silent = (Silence(5.0, "m1", "connection refused"),)
    one = _only(recovered([Final(8.0, "m1", False, "", 0, 0)], ["m1"], Lately(LIVES, STATUSES, silent, [call])).anomalies, "no-answer")
    assert [w.number for w in one.witnesses] == [0, -1, -1, -1] and "its last answer on record came at 4.700 s" in one.words
    assert one.witnesses[0].words.startswith("the last answer of m1 by then: process 1 wrote a=x at m1")
    assert one.witnesses[2].words == "m1 had no answer to a status request at 5.000 s: connection refused"
    (later,) = recovered([Final(8.0, "m1", False, "", 0, 0)], ["m1"], Lately(LIVES, [*STATUSES, Status(6.0, "m1", 7, 3, "m2")], (), [call])).anomalies
    assert later.witnesses[0].words == "m1 said at 6.000 s that it is at revision 7, led by m2 in term 3"


def test_a_member_that_ends_has_its_past_for_a_witness() -> None:
    found = kept_running([Panic(8.9, "m1", "panic: out of range")], Lately(LIVES, STATUSES)).anomalies
    assert [one.rule for one in found] == ["panic", "exit"]
    assert found[0].witnesses[-1].words == "m1 was found to have exited at 9.000 s, the first that is on record of its process after that"
    assert [w.words for w in found[1].witnesses] == [
        "m1 said at 4.000 s that it is at revision 6, without a leader in term 3",
        "m1 was restarted at 3.500 s, the last that is on record of its process by then; m1 was killed 1 time, last at 3.000 s",
        "m1: panic: out of range",
        "m1 was found to have exited at 9.000 s",
    ]


def test_a_member_of_which_nothing_is_known_says_so() -> None:
    found = [
        *kept_running([Panic(1.0, "m1", "panic: x")], Lately()).anomalies, *kept_running([], Lately([Life(1.0, "m1", "exited")])).anomalies,
        *recovered([Final(1.0, "m1", False, "", 0, 0)], ["m1"], Lately()).anomalies, *recovered([Final(1.0, "m1", True, "", 2, 1)], ["m1"], Lately()).anomalies,
    ]  # fmt: skip
    assert [one.rule for one in found] == ["panic", "exit", "no-answer", "no-leader"] and not any(enough_witnesses(one) for one in found)


def test_what_crashes_over_and_over_is_counted() -> None:
    found = kept_running([Panic(float(t), "m1", "panic: x") for t in range(50)], Lately())
    assert len(found.anomalies) == 5 and found.total == 50
