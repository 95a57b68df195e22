"""What campaigns draw: reproducible, sensible, varied, and led by what has not been exercised yet."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.campaign import BudgetOption, campaign
from kchaos.engine.cases import Sort
from kchaos.engine.coverage import Coverage, transitions
from kchaos.engine.drawn import MOST_KINDS, MOST_STEPS, Space, draw_scenarios
from kchaos.engine.kubernetes import run
from kchaos.engine.scenarios import check_steps
from kchaos.engine.sweep import space, sweep
from kchaos.engine.triggers import vocabulary
from kchaos.models.faults.catalog import catalog
from kchaos.nemesis.strategies import draw
from kchaos.scenario import Nth, Scenario, Step
from tests.drawn import TEXT
from tests.support import SITUATIONS, system_of


@functools.cache
def prepared() -> tuple[System, Boot, Space]:
    system = system_of(TEXT)
    booted = boot(system)
    whole = space(system, booted, [kind.name for kind in catalog()], 0)
    rollout = Scenario(steps=(Step(do="rollout", args={"target": "Deployment/default/api"}),))
    return system, booted, whole._replace(words={"rollout": vocabulary(run(system, booted, rollout).run)})


def test_a_seed_draws_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under CI too, where Hypothesis has a profile of its own; and nothing is written to the folder."""
    monkeypatch.chdir(tmp_path)
    strategy = st.lists(st.tuples(st.integers(0, 99), st.sampled_from("abc"), st.booleans(), st.floats(0, 1), st.text("xy"), st.binary()))
    once = draw(strategy, 50, "a")
    monkeypatch.setenv("CI", "1")
    assert list(draw(strategy, 50, "a")) == list(once)
    assert list(draw(strategy, 50, "b")) != list(once)
    assert len(once) == 50
    assert list(tmp_path.iterdir()) == []


def test_every_drawn_scenario_makes_sense() -> None:
    """Known faults on targets that are there, a dozen steps at most, of few kinds; with a rollout, many of them at its events."""
    system, _, whole = prepared()
    found = draw_scenarios(whole, 200, "sense")
    for one in found:
        check_steps(one.scenario.steps, system)
        assert 1 <= len(one.scenario.steps) <= MOST_STEPS
        assert len({step.do: None for step in one.scenario.steps}) <= MOST_KINDS + 1
    rolled = [one.scenario.steps for one in found if any(step.do == "rollout" for step in one.scenario.steps)]
    at_events = [isinstance(step.when, Nth) for steps in rolled for step in steps if step.do not in whole.operations]
    assert 0.3 < sum(at_events) / len(at_events) < 0.8
    assert len({one.masters: None for one in found}) == len({one.scenario.seed: None for one in found}) == 2
    assert len({one.scenario.digest(): None for one in found}) > 190


def test_every_kind_is_drawn() -> None:
    """Swarm omission leaves kinds out of a scenario, never out of a campaign."""
    _, _, whole = prepared()
    drawn = Counter(step.do for one in draw_scenarios(whole, 300, "kinds") for step in one.scenario.steps)
    assert set(whole.targets) - set(drawn) == set()


def test_what_never_bit_is_drawn_more_often() -> None:
    """A kind that never bit is drawn at least twice as often as where all have bitten, or none."""
    _, _, whole = prepared()

    def drawn(bit: dict[str, int]) -> int:
        return sum(step.do == "clock-drift" for one in draw_scenarios(whole, 600, "led", bit=bit) for step in one.scenario.steps)

    often = dict.fromkeys(whole.targets, 10)
    assert drawn({**often, "clock-drift": 0}) >= 2 * max(drawn(often), drawn({}))


def test_what_showed_something_new_is_varied() -> None:
    """Many scenarios of the next round share all steps but one with a scenario of the pool."""
    system, _, whole = prepared()
    pool = draw_scenarios(whole, 3, "pool")
    varied = draw_scenarios(whole, 100, "next", pool=pool)
    near = 0
    for one in varied:
        check_steps(one.scenario.steps, system)
        kept = [sum(step in parent.scenario.steps for step in one.scenario.steps) for parent in pool]
        near += any(len(parent.scenario.steps) - 1 <= count for parent, count in zip(pool, kept, strict=True) if count)
    assert near > 25


def test_coverage_counts_what_bit() -> None:
    """Inert faults count for nothing; pairs are of faults that bit in one run; a transition is new once."""
    coverage = Coverage(["drain", "rollout", "pod-kill"])
    line = {"drain": "bit", "rollout": "bit", "pod-kill": "inert"}
    report = [{"name": name, "status": status} for name, status in line.items()]
    assert coverage.add(report, ["a: start > create pods"])
    assert not coverage.add(report[:1], ["a: start > create pods"])
    summary = coverage.summary()
    assert summary.faults == (2, 3) and summary.pairs == (1, 3) and summary.transitions == 1
    assert summary.never == ("pod-kill",) and summary.by_component == {"a": 1}


def test_transitions_tell_decisions_apart() -> None:
    """A rolling restart: the Deployment controller makes a ReplicaSet and scales two; the ReplicaSet controller makes and deletes pods."""
    system, booted, _ = prepared()
    found = transitions(run(system, booted, Scenario(steps=(Step(do="rollout", args={"target": "Deployment/default/api"}),))).run)
    told = " ".join(found)
    for decision in ("create replicasets", "update replicasets", "create pods", "delete pods", "update deployments/status"):
        assert f"> {decision}" in told
    assert list(found) == sorted(set(found))


def test_one_process_or_two() -> None:
    """Rounds that are led by what was exercised are the same under -j 2; level 1 comes first, then pairs and drawn scenarios in turn."""
    system = system_of((SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8"))
    booted = boot(system)
    plan = sweep(system, booted, ["drain", "rollout"])
    whole = space(system, booted, ["drain", "rollout", "leader-crash", "pod-kill", "answer-lost"], 0)
    budget = BudgetOption(examples=len(plan.level1) + 50)
    alone = campaign(system, booted, plan, budget=budget, space=whole)
    together = campaign(system, booted, plan, budget=budget, space=whole, jobs=2)
    assert alone == together
    assert alone.count(Sort.DRAWN) >= 25 and len(alone.examples) == budget.examples
    sorts = [one.case.sort for one in alone.examples]
    assert sorts[: len(plan.level1)] == [Sort.LEVEL1] * len(plan.level1)
    assert alone.coverage.faults[0] >= 4 and alone.coverage.transitions > 20
