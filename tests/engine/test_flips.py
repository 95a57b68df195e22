"""Which assumptions flip the verdict: scenarios that decide, run again with one of them changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.engine.execute import Answer
from kchaos.engine.flips import TRIES, Tried, tries_of
from kchaos.engine.merge import merge
from kchaos.engine.settings import Settings
from kchaos.engine.shard import Shard
from tests.support import SITUATIONS, ask


def asked(name: str, **options: Any) -> Answer:
    """Return the answer for one of the situations; a budget of so many examples has room for all changes."""
    return ask([SITUATIONS / f"{name}.yaml"], **{"budget": "240", "faults": "drain,rollout,pod-kill", **options})


def of(answer: Answer, assumption: str) -> dict[str, Tried]:
    """Return what came of the changes of one assumption, by value."""
    return {one.value: one for one in answer.result.flips.tried if one.assumption == assumption}


def test_a_warning_that_hangs_on_an_expectation() -> None:
    """An outage of the only pod is none if a minute is borne; a pod that starts slower is away for longer."""
    answer = asked("one-replica", faults="drain")
    found = answer.result.flips
    assert found.scenarios and found.scenarios[0].startswith("KC202 Deployment/")
    (minute,) = of(answer, "outage_s").values()
    assert minute.was == "0" and minute.value == "60" and minute.flips and minute.mended[0].startswith("KC202 Deployment/")
    slower, faster = of(answer, "start_s")["10"], of(answer, "start_s")["2.5"]
    assert not slower.flips and not faster.flips and slower.figures[0].endswith("s of outage") and slower.figures != faster.figures
    assert msgspec.json.decode(answer.result.to_json(), type=type(answer.result)).flips == found


def test_a_verdict_that_flips() -> None:
    """With warnings that fail, one that appears makes the verdict fail; where it fails already that is no news."""
    passes = asked("one-replica", faults="drain", settings=Settings(defaults={"outage_s": 8}), fail_on=Severity.WARNING)
    longer = of(passes, "start_s")["10"]
    assert passes.result.verdict == "pass" and longer.new and longer.new[0].startswith("warning KC202") and longer.verdict == "fail"
    fails = asked("one-replica", faults="drain", fail_on=Severity.WARNING)
    assert fails.result.verdict == "fail" and not any(one.verdict for one in fails.result.flips.tried)


def test_workloads_of_their_own() -> None:
    """What is said of a workload is changed alike, and told: its pod is away for 30 s more."""
    answer = asked("one-replica", faults="drain", settings=Settings(workloads={"default/worker": {"start_s": 30}}))
    (told,) = of(answer, "start_s")["10 (and alike in 1 workload)"].figures
    before, _, after = told.partition(" → ")
    assert int(after.partition(" ")[0]) - int(before) == 30


def test_only_what_can_matter() -> None:
    """No requests without a Service, no quorum without a StatefulSet, no run time without Jobs and init containers."""
    names = {one.assumption for one in asked("one-replica", faults="drain").result.flips.tried}
    assert {"start_s", "exit_after_s", "image_pull_s"} <= names and not names & {"quorum", "run_s", "prestop_s"}


@pytest.mark.parametrize(
    ("examples", "budget", "tries"), [(115, None, 11), (30, None, 6), (9000, None, TRIES), (20, 20, 2), (4, 4, 0), (240, 240, 24)]
)
def test_it_is_bounded(examples: int, budget: int | None, tries: int) -> None:
    """A tenth of the examples; without a budget at least a few."""
    assert tries_of(examples, budget) == tries


def test_nothing_is_tried_within_a_small_budget() -> None:
    """Nor said."""
    assert not asked("one-replica", budget="4").result.flips.tried


def test_shards() -> None:
    """Together they have what each tried, and say nothing of the verdict."""
    parts = [asked("one-replica", faults="drain", shard=Shard(n, 2)).result for n in (1, 2)]
    merged = merge(parts).flips
    assert {one.assumption for part in parts for one in part.flips.tried} == {one.assumption for one in merged.tried}
    assert not any(one.verdict for one in merged.tried)
