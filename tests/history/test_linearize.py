"""The checker of linearizability says of every small history what a search over all orders says; and of long ones it finds the one thing wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kchaos.history.durable import durable
from kchaos.history.events import Event, Log, log_of
from kchaos.history.linearize import linearizable
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.history.placement import place
from tests.history import bruteforce
from tests.history.enough import enough_witnesses
from tests.history.long_histories import long_history
from tests.history.random_histories import history, log_for, shortened, spoiled, spoiled_log

SAMPLE = 4_000
WHOLE = 100_000


def _agree(operations: list[Operation], log: Log | None = None) -> str:
    """Return what both say of a history."""
    want = "ok" if bruteforce.linearizable(operations, log) else "violation"
    found = linearizable(operations, log)
    assert found.verdict == want, (want, found, operations, log)
    for one in found.anomalies:
        assert enough_witnesses(one) or len(place(operations).order) + (log is not None) < 2, (one, operations, log)
        assert all(w.operation is None or operations[w.number] == w.operation for w in one.witnesses)
    return want


def _drawn(seeds: range) -> Counter[tuple[bool, str]]:
    """Return how often (spoiled, verdict) came of histories drawn from seeds, every second of them spoiled; each is judged by both."""
    counts: Counter[tuple[bool, str]] = Counter()
    for seed in seeds:
        random = Random(seed)
        operations = history(random, *random.choice(((8, 4), (8, 4), (12, 6))))
        bad = bool(seed % 2)
        if bad:
            operations = spoiled(random, operations)
        counts[bad, _agree(operations)] += 1
    return counts


def test_a_sample_of_small_histories_agrees_with_a_search_over_all_orders() -> None:
    """Half are spoiled, and of those more than half are then wrong: neither answer is the rule."""
    counts = _drawn(range(SAMPLE))
    assert counts[False, "ok"] == SAMPLE // 2, "what a linearizable store answers is linearizable"
    assert min(counts[True, "ok"], counts[True, "violation"]) > SAMPLE // 10, counts


@pytest.mark.soak
def test_many_small_histories_agree_with_a_search_over_all_orders() -> None:
    counts = _drawn(range(WHOLE))
    assert sum(counts.values()) == WHOLE and counts[False, "ok"] == WHOLE // 2 and counts[True, "violation"] > WHOLE // 10, counts


# -- with the log of a member ------------------------------------------------------------------------------------------


def _drawn_with_log(seeds: range) -> Counter[tuple[str, str]]:
    """Return how often (what was done to it, verdict) came of histories with a member's log: half are wrong in something, a third of the logs is short."""
    counts: Counter[tuple[str, str]] = Counter()
    for seed in seeds:
        random = Random(seed)
        events: list[Event] = []
        operations = history(random, *random.choice(((8, 4), (8, 4), (12, 6))), events=events)
        log = whole = log_for(events)
        what = ("true", "answers", "true", "log", "true", "log", "true", "both")[seed % 8]
        if what in ("answers", "both"):
            operations = spoiled(random, operations)
        if what in ("log", "both"):
            log = spoiled_log(random, log)
        if random.random() < 1 / 3:
            log = shortened(random, log)
        counts[what, _agree(operations, log)] += 1
        if what == "true" and log.last == whole.last:
            assert durable(operations, {"m1": log}).verdict == "ok", (operations, log)
    return counts


def _balanced(counts: Counter[tuple[str, str]], of: int) -> None:
    """Neither answer is the rule, but for what is true."""
    assert counts["true", "ok"] == of // 2 and counts["true", "violation"] == 0, counts
    for what in ("answers", "log", "both"):
        assert counts[what, "violation"] > of // 40 and counts[what, "ok"] > of // 200, counts


def test_a_sample_of_small_histories_with_a_log_agrees_with_a_search_over_all_orders_that_make_that_log() -> None:
    _balanced(_drawn_with_log(range(SAMPLE)), SAMPLE)


@pytest.mark.soak
def test_many_small_histories_with_a_log_agree_with_a_search_over_all_orders_that_make_that_log() -> None:
    _balanced(_drawn_with_log(range(WHOLE)), WHOLE)


# -- anything at all ---------------------------------------------------------------------------------------------------

_keys = st.sampled_from(("a", "b"))
_numbers = st.integers(0, 5)
_values = st.sampled_from((None, "x", "y"))


@st.composite
def _operation(draw: st.DrawFn) -> Operation:
    """An operation with an answer of its own making: it fits the others by chance only."""
    call = draw(st.integers(0, 6))
    outcome = draw(st.sampled_from((Outcome.OK, Outcome.OK, Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED)))
    reads = draw(st.lists(_keys, unique=True, max_size=2))
    writes = draw(st.lists(st.tuples(_keys, _values), unique_by=lambda one: one[0], max_size=2))
    answered = outcome is Outcome.OK
    seen = tuple(
        Seen(key, value, draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 5))) if value is not None else Seen(key, None)
        for key, value in ((key, draw(_values)) for key in reads)
    )
    return Operation(
        draw(st.integers(1, 3)), "m1", draw(st.sampled_from(("txn", "txn", "serializable-get"))) if not writes else "txn", float(call),
        float(call + draw(st.integers(0, 4))), outcome, tuple(draw(st.lists(st.tuples(_keys, _numbers), max_size=2))), tuple(writes), tuple(reads),
        draw(st.integers(1, 5)) if answered else 0, draw(st.booleans()) if answered else True, seen if answered else (),
        draw(st.integers(0, 2)) if answered and any(value is None for _, value in writes) else 0,
    )  # fmt: skip


@settings(max_examples=1_500, deadline=None)
@given(st.lists(_operation(), max_size=6))
def test_arbitrary_answers_are_judged_alike(operations: list[Operation]) -> None:
    _agree(operations)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_what_a_store_answered_with_one_answer_exchanged_is_judged_alike(seed: int, swaps: int) -> None:
    """Answers of the right form at the wrong place."""
    random = Random(seed)
    operations = history(random)
    for _ in range(swaps):
        i, j = random.randrange(len(operations)), random.randrange(len(operations))
        a, b = operations[i], operations[j]
        if a.outcome is b.outcome is Outcome.OK and a.reads == b.reads:
            operations[i], operations[j] = a._replace(seen=b.seen, revision=b.revision), b._replace(seen=a.seen, revision=a.revision)
    _agree(operations)


# -- long histories with one thing wrong -------------------------------------------------------------------------------

LONG = 20_000


def _first(operations: list[Operation], fits: Callable[[Operation], bool]) -> int:
    return next(i for i, one in enumerate(operations) if i > len(operations) // 2 and one.outcome is Outcome.OK and fits(one))


def _read(one: Operation) -> bool:
    return one.kind == "get" and one.seen[0].value is not None


def _stale(operations: list[Operation]) -> int:
    """A read that goes to a member that was left behind long ago."""
    early = next(one for one in operations if _read(one))
    at = _first(operations, lambda one: _read(one) and one.reads == early.reads)
    operations[at] = operations[at]._replace(revision=early.revision, seen=early.seen)
    return at


def _lost(operations: list[Operation]) -> int:
    """A read as of the right revision, without what was last written to its key."""
    at = _first(operations, lambda one: _read(one) and one.seen[0].version > 1)
    seen = operations[at].seen[0]
    before = max((s for one in operations for s in one.seen if s.key == seen.key and s.value and s.mod_revision < seen.mod_revision), key=lambda s: s.mod_revision)
    operations[at] = operations[at]._replace(seen=(before,))
    return at


def _nowhere(operations: list[Operation]) -> int:
    at = _first(operations, _read)
    operations[at] = operations[at]._replace(seen=(operations[at].seen[0]._replace(value="never written"),))
    return at


def _version(operations: list[Operation]) -> int:
    """What says that one write more or less took effect."""
    at = _first(operations, _read)
    seen = operations[at].seen[0]
    operations[at] = operations[at]._replace(seen=(seen._replace(version=seen.version + 1),))
    return at


def _twice(operations: list[Operation]) -> int:
    """Two members give the same revision away."""
    at = _first(operations, lambda one: one.kind == "put")
    before = max(one.revision for one in operations if one.kind == "put" and one.revision < operations[at].revision)
    operations[at] = operations[at]._replace(revision=before)
    return at


def _forgotten(operations: list[Operation]) -> int:
    """An acknowledged delete of a key that is still there."""
    at = _first(operations, lambda one: one.kind == "delete" and one.deleted == 1)
    operations[at] = operations[at]._replace(deleted=0, revision=operations[at].revision - 1)
    return at


PLANTED = {_stale: {"stale-read"}, _lost: {"lost-write"}, _nowhere: {"wrong-value", "value-from-nowhere"}, _version: {"wrong-version", "unexplained"},
           _twice: {"duplicate-revision"}, _forgotten: {"gap", "lost-write", "wrong-delete-count", "unexplained"}}  # fmt: skip


@pytest.mark.parametrize("unknown_every", [10**9, 200])
@pytest.mark.parametrize("plant", PLANTED, ids=lambda one: one.__name__.strip("_"))
def test_one_thing_wrong_is_found_among_many(plant: Callable[[list[Operation]], int], unknown_every: int) -> None:
    """With and without unanswered writes that could have been to blame; the one that is wrong is among the witnesses."""
    operations = long_history(LONG, unknown_every=unknown_every)
    assert linearizable(operations).verdict == "ok"
    at = plant(operations)
    found = linearizable(operations)
    assert found.verdict == "violation"
    assert {one.rule for one in found.anomalies} & PLANTED[plant], found.anomalies
    assert at in {witness.number for one in found.anomalies for witness in one.witnesses}, found.anomalies


# -- with the log of the store -----------------------------------------------------------------------------------------


def _put(revision: int, value: str, t: float, outcome: Outcome = Outcome.OK) -> Operation:
    return Operation(1, "m1", "put", t, t + 0.5, outcome, writes=(("a", value),), revision=revision if outcome is Outcome.OK else 0)


def test_the_log_says_what_unanswered_writes_did() -> None:
    """Nobody read it, so that without the log anything may have been."""
    operations = [_put(2, "x", 1.0), _put(0, "y", 2.0, Outcome.UNKNOWN), _put(4, "z", 3.0)]
    wrote = [Event("a", "x", 2, 2, 1), Event("a", "y", 3, 2, 2), Event("a", "z", 4, 2, 3)]
    assert linearizable(operations).verdict == "ok"
    assert linearizable(operations, log_of("m1", wrote, 1, 4)).verdict == "ok"
    wrote[1] = Event("a", "w", 3, 2, 2)
    assert linearizable(operations, log_of("m1", wrote, 1, 4)).verdict == "violation"


def test_what_the_log_holds_past_the_last_answer_is_explained_too() -> None:
    operations = [_put(2, "x", 1.0), _put(0, "y", 2.0, Outcome.UNKNOWN)]
    late = [Event("a", "x", 2, 2, 1), Event("a", "y", 3, 2, 2)]
    assert linearizable(operations, log_of("m1", late, 1, 3)).verdict == "ok"
    assert linearizable(operations, log_of("m1", [*late, Event("a", "y", 4, 2, 3)], 1, 4)).verdict == "violation"


def test_an_acknowledged_change_is_in_the_log_as_it_was() -> None:
    operations = [_put(2, "x", 1.0)]
    assert linearizable(operations, log_of("m1", [Event("a", "x", 2, 2, 1)], 1, 2)).verdict == "ok"
    for wrong in ([], [Event("a", "z", 2, 2, 1)], [Event("a", "x", 2, 2, 2)], [Event("a", "x", 2, 2, 1), Event("b", "x", 2, 2, 1)]):
        found = linearizable(operations, log_of("m1", wrong, 1, 2))
        assert [one.rule for one in found.anomalies] == ["not-in-the-log"], wrong


def test_what_the_log_does_not_cover_is_not_asked_of_it() -> None:
    """It may have been compacted, or end earlier."""
    operations = [_put(2, "x", 1.0), _put(3, "y", 2.0)]
    assert linearizable(operations, log_of("m1", [Event("a", "y", 3, 2, 2)], 3, 3)).verdict == "ok"
    assert linearizable(operations, log_of("m1", [Event("a", "x", 2, 2, 1)], 1, 2)).verdict == "ok"


def test_a_long_history_with_its_log_is_explained() -> None:
    events: list[Event] = []
    operations = long_history(LONG, unknown_every=20, keys=500, events=events)
    log = log_of("m1", events, 1, events[-1].mod_revision)
    assert linearizable(operations, log).verdict == "ok"
    at = next(i for i, one in enumerate(events) if i > len(events) // 2 and one.value is not None)
    events[at] = events[at]._replace(value="otherwise")
    assert linearizable(operations, log_of("m1", events, 1, events[-1].mod_revision)).verdict == "violation"


def test_a_search_that_was_given_up_says_so() -> None:
    """Never "ok": that is only said of an order that was replayed to its end."""
    operations = long_history(2_000, unknown_every=10)
    found = linearizable(operations, effort=-1_900)
    assert (found.verdict, found.anomalies) == ("unknown", ()) and "given up" in found.reason
    assert linearizable(operations).verdict == "ok"


def test_an_empty_history_is_linearizable() -> None:
    assert linearizable([]).verdict == "ok"
