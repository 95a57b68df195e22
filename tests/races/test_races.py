"""Each planted race is found by a fault that fires at an event, shrinks to a few steps, and is not found by the plain sweep."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.campaign import campaign
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.shrink import Answer, shrink
from kchaos.engine.story import story
from kchaos.engine.sweep import sweep
from kchaos.engine.triggers import together, triggered, vocabulary
from kchaos.models.faults.catalog import catalog
from kchaos.scenario import Scenario, Step
from tests.races.planted import RACES, Race

PATIENCE_S = 60.0
TRIES = 25
races = pytest.mark.parametrize("race", RACES, ids=[race.name for race in RACES])


def caught(race: Race, outcome: Outcome) -> bool:
    """Tell whether the property that must notice the race does."""
    return any(prop.id == race.caught_by for prop, _ in outcome.violations)


def without(race: Race, system: System, scenario: Scenario) -> Outcome:
    """Run a scenario on the same application with nothing planted."""
    return run(system, boot(system), scenario)


def find(race: Race, patch: pytest.MonkeyPatch, faults: Iterable[str] | None) -> tuple[System, Boot, Scenario]:
    """Plant a race and return the first scenario that shows it, but nothing when it is not planted."""
    system = race.system()
    with pytest.MonkeyPatch.context() as planted:
        race.plant(planted)
        booted = boot(system)
        alone = run(system, booted, Scenario(steps=race.operation))
    assert not caught(race, alone), "the operation alone shows it: no fault is needed"
    words = vocabulary(alone.run)
    one_fault: Iterable[tuple[Step, ...]] = ((found,) for found in triggered(words, None if faults is None else list(faults)))
    for steps in itertools.chain(one_fault, together(words) if faults is None else ()):
        scenario = Scenario(steps=(*race.operation, *steps))
        with pytest.MonkeyPatch.context() as planted:
            race.plant(planted)
            outcome = run(system, booted, scenario)
        if caught(race, outcome) and not caught(race, without(race, system, scenario)):
            race.plant(patch)
            return system, booted, scenario
    raise AssertionError(f"no triggered fault shows {race.name}")


@races
def test_a_triggered_fault_shows_it(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fires at an event does; it shrinks to at most eight steps and two faults, and its story names the fault."""
    system, booted, scenario = find(race, monkeypatch, race.faults)
    small = shrink(scenario, lambda one: Answer(caught(race, run(system, booted, one))), tries=TRIES).scenario
    kinds = catalog()
    assert len(small.steps) <= 8
    faults = [one.do for one in small.steps if not kinds.get(one.do).operation]
    assert 1 <= len(faults) <= 2
    outcome = run(system, booted, small)
    assert caught(race, outcome)
    told = story(outcome.run, next(v.object for prop, v in outcome.violations if prop.id == race.caught_by))
    assert 3 <= len(told) <= 30
    assert any(f"{fault} of " in line for fault in faults for line in told)


@pytest.mark.soak
@races
def test_the_trigger_sweep_finds_it(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told which fault to try, in less than a minute of this process."""
    began = time.process_time()
    find(race, monkeypatch, None)
    assert time.process_time() - began < PATIENCE_S


@pytest.mark.soak
@races
def test_the_plain_sweep_does_not_find_it(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    """No single fault of level 1 at a time of its own, nor forty pairs of them, show what is planted any more often than without it."""
    system = race.system()
    clean = plain(race, system, boot(system))
    race.plant(monkeypatch)
    assert plain(race, system, boot(system)) == clean


def plain(race: Race, system: System, booted: Boot) -> list[str]:
    """Return the examples of a plain campaign in which the property fails."""
    done = campaign(system, booted, sweep(system, booted))
    assert done.complete
    return [one.label for one in done.examples if any(ident == race.caught_by for ident, _ in one.violations)]
