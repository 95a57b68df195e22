"""Shards: disjoint parts that are the whole together, the same every time; their results merge to the result of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.booting import boot
from kchaos.engine.campaign import BudgetOption, Done, campaign, planned
from kchaos.engine.cases import Sort
from kchaos.engine.execute import Question, execute
from kchaos.engine.machines import of_numbers
from kchaos.engine.merge import merge
from kchaos.engine.result import Result
from kchaos.engine.shard import Shard
from kchaos.engine.sweep import space, sweep
from kchaos.errors import InvalidScenario
from kchaos.models.manifests.load import Text
from kchaos.reports.columns import headline
from tests.support import SITUATIONS, system_of

FILE = SITUATIONS / "one-replica.yaml"
FAULTS = "drain,rollout,pod-kill"


def answer(shard: Shard = Shard(), budget: str | None = None) -> Result:  # noqa: B008  # immutable
    """Return the result of a shard; without pairs beyond the budget."""
    question = Question(
        texts=[Text(FILE.name, FILE.read_bytes())], machines=lambda objects: of_numbers(None, None, objects), faults=FAULTS,
        budget=BudgetOption.of(budget), fail_on=Severity.WARNING, shard=shard, command=f"kchaos run . --shard {shard} -q",
    )  # fmt: skip
    return msgspec.structs.replace(execute(question).result, duration_s=1.0)


@pytest.fixture(scope="module")
def thirds() -> list[Result]:
    return [answer(Shard(n, 3)) for n in (1, 2, 3)]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/", "a/b", "-1/4", "1/4/2", "1/1001", ""])
def test_what_is_no_shard(text: str) -> None:
    """It says what to write instead."""
    with pytest.raises(InvalidScenario, match="not a shard"):
        Shard.parse(text)


def test_parts_are_the_whole() -> None:
    """Of any length, by any number of shards: disjoint, all of it, and no part larger by more than one."""
    for of in (1, 2, 3, 7):
        for length in range(20):
            parts = [Shard(n, of).part(range(length)) for n in range(1, of + 1)]
            assert sorted(i for part in parts for i in part) == list(range(length))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_shards_run_what_one_process_would() -> None:
    """Level 1 and pairs are the same set; each shard draws as many as its part, others than the other shards do."""
    system = system_of((SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8"))
    booted = boot(system)
    plan = sweep(system, booted, ["drain", "rollout", "pod-kill"])
    whole = space(system, booted, ["drain", "rollout", "pod-kill"], 0)
    budget = BudgetOption(examples=len(plan.level1) + 11)

    def ran(shard: Shard) -> Done:
        done = campaign(system, booted, plan, budget=budget, space=whole, shard=shard)
        assert len(done.examples) == planned(plan, budget, whole, shard) and done.complete
        return done

    def steps(found: list[Done], *sorts: Sort) -> list[str]:
        return sorted(str((one.case.sort, one.case.scenario)) for done in found for one in done.examples if one.case.sort in sorts)

    alone, parts = ran(Shard()), [ran(Shard(n, 3)) for n in (1, 2, 3)]
    assert steps(parts, Sort.LEVEL1, Sort.PAIR) == steps([alone], Sort.LEVEL1, Sort.PAIR)
    drawn = steps(parts, Sort.DRAWN)
    assert len(drawn) == len(dict.fromkeys(drawn)) == alone.count(Sort.DRAWN) > 0
    assert ran(Shard(2, 3)) == parts[1]


def test_a_shard_alone_is_not_unknown(thirds: list[Result]) -> None:
    """It has run all of its part, and says which."""
    for number, one in enumerate(thirds, 1):
        assert not one.reasons and one.examples.level1_done == one.examples.level1
        assert f" (shard {number}/3): " in headline(one)


def test_merged_shards_are_the_whole(thirds: list[Result]) -> None:
    """Verdict, findings of single faults, the table and the faults are those of one run of level 1."""
    whole = answer(budget=str(sum(one.examples.level1 for one in thirds)))
    shards = [answer(Shard(n, 3), str(whole.examples.level1)) for n in (1, 2, 3)]
    merged = merge(shards[::-1])
    assert (merged.verdict, merged.exit_code, merged.shard) == (whole.verdict, whole.exit_code, "") == ("fail", 1, "")
    assert merged.examples == whole.examples and merged.workloads == whole.workloads and merged.faults == whole.faults
    assert merged.notes == whole.notes and merged.inputs == whole.inputs and merged.coverage == whole.coverage
    assert merged.matrix.classes == whole.matrix.classes and merged.timelines and set(merged.timelines) == set(whole.timelines)

    def of(result: Result) -> list[object]:
        return [
            (f.id, f.fingerprint, f.severity, f.summary, f.examples, sorted(f.affected), sorted(f.faults)) for f in result.findings
        ]  # fmt: skip

    assert of(merged) == of(whole) and merged.findings
    assert merged.command == "kchaos run . -q"
    assert json.loads(merged.to_json()) == json.loads(merge(shards).to_json())


def test_merged_shards_add_up_what_they_judged(thirds: list[Result]) -> None:
    """Of each class of faults as many examples as all shards had; every picture that a shard drew is there."""
    whole = merge(thirds)
    for name, count in whole.matrix.classes.items():
        assert count == sum(one.matrix.classes[name] for one in thirds)
    judged = {row.id: row for row in whole.matrix.properties}
    broken = [(row.id, name, found.examples) for one in thirds for row in one.matrix.properties for name, found in row.violated.items()]
    assert broken and sum(count for _, _, count in broken) == sum(f.examples for row in judged.values() for f in row.violated.values())
    assert set(whole.timelines) == {print_ for one in thirds for print_ in one.timelines} != set()


def test_a_missing_shard_is_unknown(thirds: list[Result]) -> None:
    """Unless what is there fails: never a pass."""
    clean = [msgspec.structs.replace(one, findings=(), verdict="pass", exit_code=0) for one in thirds]
    assert merge(clean).verdict == "pass"
    found = merge(clean[:2])
    assert (found.verdict, found.exit_code) == ("unknown", 3)
    assert found.reasons == ("shard 3/3 is missing: what it would have run is not known",)
    assert merge(thirds[:2]).verdict == "fail"


def test_an_unfinished_shard_is_unknown(thirds: list[Result]) -> None:
    """It is told which."""
    clean = [msgspec.structs.replace(one, findings=()) for one in thirds]
    counts = msgspec.structs.replace(clean[1].examples, level1_done=0)
    found = merge([clean[0], msgspec.structs.replace(clean[1], examples=counts, reasons=("unfinished",)), clean[2]])
    assert found.verdict == "unknown" and len(found.reasons) == 1
    assert found.reasons[0].startswith("level 1 of the sweep is unfinished: 0 of ") and found.reasons[0].endswith("(shard 2/3)")


def test_remarks_are_those_of_all_shards(thirds: list[Result]) -> None:
    """What one shard alone says of the input, it says for want of examples."""
    remark = Finding(id="KC315", property="known-workload", severity=Severity.ERROR, summary="x", object="", fingerprint="f", examples=0)
    first, *others = (msgspec.structs.replace(one, findings=()) for one in thirds)
    one = merge([msgspec.structs.replace(first, findings=(remark,)), *others])
    all_ = merge([msgspec.structs.replace(each, findings=(remark,)) for each in (first, *others)])
    assert (one.findings, all_.findings) == ((), (remark,))
    assert (one.verdict, all_.verdict) == ("pass", "fail")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: msgspec.structs.replace(one, seed=1), "differ in seed"),
        (lambda one: msgspec.structs.replace(one, inputs={"x": "y"}), "differ in inputs"),
        (lambda one: msgspec.structs.replace(one, shard="2/4"), "not of one run"),
        (lambda one: msgspec.structs.replace(one, shard="1/3"), "given twice"),
        (lambda one: msgspec.structs.replace(one, shard=""), "only if they are shards"),
    ],
)
def test_strangers_are_refused(thirds: list[Result], change: Callable[[Result], Result], says: str) -> None:
    """Results of different runs, of different numbers of shards, or of no shard have no common verdict."""
    with pytest.raises(InvalidScenario, match=says):
        merge([thirds[0], change(thirds[1])])
