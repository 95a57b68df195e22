"""What the clients ask is drawn from the seed, is unique and fits etcd's rules; what came back is told as it was."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kchaos.engine.etcd.calls import Call, answered, filled, learn, unanswered
from kchaos.engine.etcd.counters import Counters
from kchaos.engine.etcd.drawing import Drawer, Mix
from kchaos.engine.etcd.finals import PART, Change, parts
from kchaos.engine.etcd.tasks import cancelled, slept, uncollected
from kchaos.history.operations import Operation, Outcome, Seen, mark_data, operation_of
from kchaos.history.record import Mark
from kchaos.real.failures import CallError
from kchaos.real.messages import Answer, KeyValue

CAS = Call("cas", (("r/00", 4),), (("r/00", "7-0"),), ("r/00",))


def drawer(seed: int = 1, mix: Mix | None = None) -> Drawer:
    return Drawer(random.Random(f"{seed}/client-0"), mix or Mix())


@given(st.integers(0, 1000), st.lists(st.booleans(), min_size=30, max_size=30))
def test_the_same_seed_asks_the_same_whatever_was_answered(seed: int, failed: list[bool]) -> None:
    plain, disturbed = drawer(seed), drawer(seed)
    for told_to_retry in failed:
        want = plain.next()
        got = disturbed.next("r/09" if told_to_retry else "")
        assert got == want or (got.kind, got.reads) == ("cas", ("r/09",))


@given(st.integers(0, 1000), st.integers(1, 5))
def test_every_request_is_one_that_etcd_takes(seed: int, keys: int) -> None:
    asking = drawer(seed, Mix(keys=keys))
    for _ in range(50):
        asked = asking.next()
        assert asked.reads or asked.puts or asked.deletes
        written = (*asked.puts, *asked.deletes)
        assert len(set(written)) == len(written) and len(set(asked.reads)) == len(asked.reads)
        assert {*written, *asked.reads, *asked.compares} <= set(Mix(keys=keys).names())
        assert len(written) == 1 or asked.kind not in ("put", "delete", "cas")


def test_all_kinds_come_as_often_as_the_mix_says_and_transactions_do_all_that_there_is_to_do() -> None:
    asking = drawer()
    drawn = [asking.next() for _ in range(10_000)]
    kinds = Counter(asked.kind for asked in drawn)
    names, weights = Mix().kinds()
    for name, weight in zip(names, weights, strict=True):
        assert kinds[name] == pytest.approx(10_000 * weight / sum(weights), rel=0.25)
    several = [asked for asked in drawn if asked.kind == "txn"]
    assert {len({*asked.reads, *asked.puts, *asked.deletes}) for asked in several} == {2, 3}
    assert any(not asked.puts and not asked.deletes for asked in several) and any(asked.puts and not asked.reads for asked in several)
    assert any(asked.deletes and asked.puts for asked in several) and any(asked.compares for asked in several)
    assert 0.4 < sum(asked.next("r/03").kind == "cas" for asked in [drawer(n) for n in range(200)]) / 200 < 0.8


@pytest.mark.parametrize("kind", ["put", "get", "serializable_get", "cas", "delete", "txn"])
def test_a_weight_of_zero_is_never_drawn(kind: str) -> None:
    asking = drawer(mix=Mix(**{kind: 0}))
    assert kind.replace("_", "-") not in {asking.next().kind for _ in range(500)}


def test_values_are_the_process_and_a_number_and_unknown_keys_are_compared_as_absent() -> None:
    asked = drawer().next("")._replace(kind="txn", puts=("r/01", "r/02"), deletes=("r/03",), compares=("r/01", "r/04"), reads=())
    call = filled(asked, {"r/01": 12}, process=7, count=40)
    assert call.writes == (("r/01", "7-40"), ("r/02", "7-41"), ("r/03", None))
    assert call.compares == (("r/01", 12), ("r/04", 0))


def test_an_answer_becomes_an_operation_and_comes_back_from_its_mark() -> None:
    call = Call("txn", (("r/01", 3),), (("r/01", "7-0"), ("r/02", None)), ("r/01", "r/05"))
    answer = Answer(9, 2, ((KeyValue("r/01", "1-1", 3, 2, 1),), (), (), ()), deleted=1)
    operation = answered(7, "m2", call, 1.5, 2.0, answer)
    assert operation.seen == (Seen("r/01", "1-1", 3, 2, 1), Seen("r/05", None))
    assert (operation.revision, operation.deleted, operation.succeeded, operation.outcome) == (9, 1, True, Outcome.OK)
    data = msgspec.json.decode(msgspec.json.encode(mark_data(operation)))
    assert operation_of(Mark(2.0, "op", data)) == operation


def test_what_was_seen_and_written_is_known_afterwards_and_nothing_of_a_call_that_is_in_doubt() -> None:
    known = {"r/09": 1}
    learn(known, answered(0, "m1", CAS, 0, 1, Answer(9, 1, ((KeyValue("r/00", "x", 8, 1, 8),),), succeeded=False)))
    assert known == {"r/09": 1, "r/00": 8}
    learn(known, answered(0, "m1", CAS, 0, 1, Answer(10, 1, ((KeyValue("r/00", "x", 8, 1, 8),), ()))))
    assert known["r/00"] == 10
    learn(known, unanswered(0, "m1", CAS, 0, 1, CallError("DEADLINE_EXCEEDED", "")))
    assert known["r/00"] == 10
    learn(known, answered(0, "m1", Call("delete", (), (("r/00", None),), ()), 0, 1, Answer(11, 1, ((),), deleted=1)))
    assert known["r/00"] == 0


@pytest.mark.parametrize(
    ("call", "error", "outcome"),
    [
        (CAS, CallError("DEADLINE_EXCEEDED", ""), Outcome.UNKNOWN),
        (CAS, CallError("UNAVAILABLE", "failed to connect to all addresses; last error: ..."), Outcome.FAILED),
        (Call("get", (), (), ("r/00",)), CallError("DEADLINE_EXCEEDED", ""), Outcome.FAILED),
    ],
)
def test_only_a_write_can_be_in_doubt(call: Call, error: CallError, outcome: Outcome) -> None:
    operation = unanswered(3, "m1", call, 0.0, 1.0, error)
    assert operation.outcome is outcome and operation.error == str(error) and not operation.seen


def test_the_counters_tell_what_has_ended_and_how_fast_it_is_now() -> None:
    counters = Counters()
    assert counters.rate(0.0) == counters.operations == 0
    for number in range(300):
        outcome = Outcome.UNKNOWN if number % 100 == 0 else Outcome.OK
        counters.add(Operation(0, "m1", "put", 0.0, number / 100, outcome, error="" if outcome is Outcome.OK else "late"))
    assert (counters.operations, counters.unknown) == (300, 3)
    assert [counters.rate(now) for now in (3.0, 3.5, 9.0)] == [100, 50, 0]
    assert counters.errors == {"late": 3} and counters.kinds == {"put": 300}


@given(st.lists(st.integers(1, 3), max_size=900))
def test_a_history_is_told_in_parts_without_a_hole_that_divide_no_revision(sizes: list[int]) -> None:
    log: list[Change] = [("k", "v", revision, 2, 1) for revision, size in enumerate(sizes, start=2) for _ in range(size)]
    newest = len(sizes) + 1
    told_parts = list(parts(log, newest))
    assert [change for _, _, changes in told_parts for change in changes] == log
    assert told_parts[0][0] == 1 and told_parts[-1][1] == newest
    for (_, last, _), (first, _, _) in pairwise(told_parts):
        assert first == last + 1
    for first, last, changes in told_parts:
        assert all(first <= change[2] <= last for change in changes) and len(changes) <= PART + 2


def test_what_is_recorded_is_kept_from_the_collector_until_the_run_is_over() -> None:
    async def run() -> int:
        stop = asyncio.Event()
        task = asyncio.create_task(uncollected(stop, every_s=0.001))
        async with asyncio.timeout(20):
            while not gc.get_freeze_count():
                await asyncio.sleep(0.001)
        stop.set()
        await task
        return gc.get_freeze_count()

    assert asyncio.run(run()) == 0


def test_a_wait_ends_with_its_time_or_with_the_stop_and_tasks_end_with_what_they_failed_with() -> None:
    async def failing() -> None:
        raise ValueError("a mistake of ours")

    async def run() -> None:
        stop = asyncio.Event()
        assert not await slept(stop, 0.0) and not await slept(stop, 0.001)
        asyncio.get_running_loop().call_soon(stop.set)
        assert await slept(stop, 60.0) and await slept(stop, 0.0)
        await cancelled([asyncio.create_task(asyncio.sleep(60))])
        task = asyncio.create_task(failing())
        await asyncio.wait([task])
        with pytest.raises(ValueError, match="a mistake of ours"):
            await cancelled([task])

    asyncio.run(run())
