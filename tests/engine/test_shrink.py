"""The shrinker reaches the expected few steps, whatever is planted, and never returns what does not fail."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kchaos.engine.booting import boot
from kchaos.engine.kubernetes import run
from kchaos.engine.settings import Settings
from kchaos.engine.shrink import Answer, shrink
from kchaos.engine.smaller import Systems, Wanted, shrink_scenario
from kchaos.engine.system import inputs_of
from kchaos.scenario import At, Nth, Scenario, Step
from kchaos.sim.noise import Deviation, Deviations, Quiet, Seeded
from tests.support import SITUATIONS, loaded, system_of


def steps(*names: str) -> tuple[Step, ...]:
    return tuple(Step(do=name, args={"target": "x", "extra": 3}, when=At(37.5), for_s=4.0) for name in names)


def planted(*needed: str) -> Callable[[Scenario], Answer]:
    """Fails when all of some steps are there, in that order."""

    def attempt(scenario: Scenario) -> Answer:
        names = iter([step.do for step in scenario.steps])
        return Answer(all(name in names for name in needed))

    return attempt


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12), st.data())
def test_only_what_is_needed_is_left(names: list[str], data: st.DataObject) -> None:
    """Of up to a dozen steps exactly those that are needed stay, each as simple as it can be."""
    chosen = sorted(data.draw(st.sets(st.integers(0, len(names) - 1), max_size=3)))
    needed = [names[index] for index in chosen]
    found = shrink(Scenario(steps=steps(*names)), planted(*needed), tries=2000)
    assert [step.do for step in found.scenario.steps] == needed
    assert all(step == Step(do=step.do, args={"target": "x"}) for step in found.scenario.steps)
    assert found.finished


def test_an_event_that_matters_keeps_its_number() -> None:
    """Needs the third event or a later one: neither a time nor the first event will do."""
    scenario = Scenario(steps=(Step(do="a", args={"target": "x"}, when=Nth({"verb": "create"}, 17)),))

    def attempt(one: Scenario) -> Answer:
        return Answer(any(isinstance(step.when, Nth) and step.when.n >= 3 for step in one.steps))

    assert shrink(scenario, attempt).scenario.steps[0].when == Nth({"verb": "create"}, 3)


def test_schedule_noise_becomes_the_few_deviations_that_matter() -> None:
    made = tuple(Deviation("node-1", nth, 2) for nth in range(1, 41))

    def attempt(one: Scenario) -> Answer:
        noise = msgspec.convert(one.noise, Quiet | Seeded | Deviations)
        if isinstance(noise, Seeded):
            return Answer(True, Deviations(made))
        nths = [each.nth for each in noise.of] if isinstance(noise, Deviations) else []
        return Answer({5, 23} <= set(nths))

    found = shrink(Scenario(noise={"type": "seeded", "seed": 1, "p": 0.1}), attempt)
    assert msgspec.convert(found.scenario.noise, Deviations) == Deviations((Deviation("node-1", 5, 2), Deviation("node-1", 23, 2)))


def test_a_spent_budget_returns_what_fails() -> None:
    """With few tries the result is larger, but it fails."""
    attempt = planted("a", "b")
    found = shrink(Scenario(steps=steps(*"xaxxbxxxxxxx")), attempt, tries=5)
    assert found.tried == 5 and not found.finished
    assert attempt(found.scenario).fails


def test_steps_can_be_left_alone() -> None:
    """Only the passes that are asked for run."""
    scenario = Scenario(steps=steps("a", "b"))
    assert shrink(scenario, planted(), passes=()).scenario == scenario


@pytest.mark.parametrize("seed", range(3))
def test_a_real_failure_shrinks_to_its_cause(seed: int) -> None:
    """A drain that a budget blocks for ever, under eight other things: the drain alone is left, on a smaller cluster with less in it."""
    text = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
    other = (SITUATIONS / "endpoint-race.healthy.yaml").read_text(encoding="utf-8")
    system = system_of(text + "---\n" + other)
    booted = boot(system, seed)
    workloads = list(booted.workloads)
    drains = [Step(do="drain", args={"target": node}) for node in booted.placed]
    noisy = [Step(do="pod-kill", args={"target": workload}, when=At(20.0 * (i + 1))) for i, workload in enumerate(workloads)]
    around = [Step(do="rollout", args={"target": workload}, when=At(5.0)) for workload in workloads]
    objects = [one.obj for one in loaded(text + "---\n" + other).manifests]
    scenario = Scenario(
        seed=seed, steps=(*around, *drains, *noisy), topology=msgspec.to_builtins(system.topology),
        inputs=inputs_of(objects, [], Settings(), "1.34"), noise={"type": "seeded", "seed": seed, "p": 0.02},
    )  # fmt: skip
    outcome = run(system, booted, scenario)
    prop, violation = next((p, v) for p, v in outcome.violations if p.id == "KC203")
    wanted = Wanted.of(prop, violation)
    found = shrink_scenario(scenario, wanted, Systems())
    again = run(*Systems().of(found.scenario), found.scenario)
    assert wanted.best(again.violations)
    assert [step.do for step in found.scenario.steps] == ["drain"]
    assert found.scenario.noise == {"type": "quiet"}
    assert len(found.scenario.topology["nodes"]) <= 2
    assert len(found.scenario.inputs["objects"]) <= 2
    fewer = msgspec.structs.replace(scenario, steps=found.scenario.steps, noise=found.scenario.noise)
    assert wanted.best(run(system, booted, fewer).violations)


THREE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
        {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}
      containers: [{name: db, image: "registry.example/db:1"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db}
spec: {minAvailable: 2, selector: {matchLabels: {app: db}}}
"""


def test_the_smaller_system_fails_for_the_same_reason() -> None:
    """Two drains at once on three nodes exhaust a budget that is right; with two replicas it would be wrong, which is another matter."""
    objects = [one.obj for one in loaded(THREE).manifests]
    system = system_of(THREE, nodes=3, zones=1)
    drains = tuple(Step(do="drain", args={"target": f"node-{i}"}, when=At(float(i))) for i in (1, 2))
    inputs = inputs_of(objects, [], Settings(), "1.34")
    scenario = Scenario(steps=drains, topology=msgspec.to_builtins(system.topology), inputs=inputs)
    prop, violation = next((p, v) for p, v in run(system, boot(system), scenario).violations if p.id == "KC203")
    assert "allows 1 of 3 pods to be away" in violation.advice
    found = shrink_scenario(scenario, Wanted.of(prop, violation)).scenario
    again = Wanted.of(prop, violation).best(run(*Systems().of(found), found).violations)
    assert again is not None and "allows 1 of 3 pods to be away" in again.advice
    assert [obj["spec"].get("replicas") for obj in found.inputs["objects"] if obj["kind"] == "StatefulSet"] == [3]
