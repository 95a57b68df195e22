"""The hunt for a mutant: kchaos's own campaign until the property fails, then kchaos's own shrinker; and the same without the mutant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import pytest

from kchaos.check.property import Severity, Violation
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.campaign import BudgetOption, campaign
from kchaos.engine.cases import Example, Variants, label_of
from kchaos.engine.kubernetes import run
from kchaos.engine.smaller import Systems, Wanted, shrink_scenario
from kchaos.engine.sweep import Sweep, choose, space, sweep
from kchaos.engine.system import build, inputs_of
from kchaos.models.faults.catalog import catalog
from kchaos.properties.catalog import CATALOG
from kchaos.scenario import Scenario
from tests.mutants.mutant import Application, Mutant, Search
from tests.support import loaded

TRIES = 40
"""Candidates that shrinking may try."""


class Killed(NamedTuple):
    """How a mutant was found: in the n-th example of the campaign, by what; and what is left of that after shrinking."""

    example: int
    label: str
    steps: int
    violation: Violation
    scenario: Scenario


class _Found(Exception):
    """The campaign may end: this example shows the mutant."""

    def __init__(self, one: Example, violation: Violation) -> None:
        super().__init__(one.label)
        self.example, self.violation = one, violation


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Let the models run with a safeguard less; what they remember of pure functions is forgotten before and after."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        forget_caches()
        try:
            yield
        finally:
            forget_caches()


def forget_caches() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("kchaos.models."):
            for one in list(vars(module).values()):
                clear = getattr(one, "cache_clear", None)
                if clear is not None:
                    clear()


def system_of(application: Application) -> System:
    """Return what is under test."""
    objects = [one.obj for one in loaded(application.text).manifests]
    return build(msgspec.to_builtins(application.topology), inputs_of(objects, [], application.settings, "1.34"))


def plan_of(search: Search, system: System, booted: Boot) -> Sweep:
    """Return the scenarios of a search."""
    chosen = choose(search.faults or None, catalog())
    if search.triggers:
        return Sweep(((), *search.situations), (), triggers=True, at_events=tuple(chosen))
    plan = sweep(system, booted, chosen)
    return plan._replace(level1=(*plan.level1, *search.situations))


def hunt(mutant: Mutant) -> Killed | None:
    """Return how the mutant was found, None if it was not. It must be planted."""
    system = system_of(mutant.application)
    booted = boot(system)

    def look(one: Example) -> None:
        worst = min(failures(one, mutant.caught_by), key=lambda found: found.severity.rank, default=None)
        if worst is not None:
            raise _Found(one, worst)

    try:
        _campaign(mutant.search, system, booted, look)
    except _Found as found:
        return _shrunk(mutant, system, booted, found)
    return None


def failures(one: Example, ident: str) -> list[Violation]:
    """Return what an example says of a property; remarks do not count."""
    return [violation for prop, violation in one.violations if prop == ident and violation.severity is not Severity.INFO]


def _campaign(search: Search, system: System, booted: Boot, look: Callable[[Example], None] | None) -> list[Example]:
    plan = plan_of(search, system, booted)
    names = choose(search.faults or None, catalog())
    done = campaign(
        system,
        booted,
        plan,
        budget=BudgetOption(examples=len(plan.level1) + search.more),
        progress=look,
        space=space(system, booted, names, 0),
    )
    return list(done.examples)


def _shrunk(mutant: Mutant, system: System, booted: Boot, found: _Found) -> Killed:
    one = found.example
    variants = Variants(system, booted, 0)
    scenario = variants.whole(one.case)
    systems = Systems()
    systems.add(scenario, *variants.of(one.case))
    wanted = Wanted.of(CATALOG[mutant.caught_by], found.violation)
    small = shrink_scenario(scenario, wanted, systems, tries=TRIES, whole=False).scenario
    return Killed(one.number + 1, label_of(one.steps), len(small.steps), found.violation, small)


_WITHOUT: dict[str, list[Example]] = {}


def without(application: Application, search: Search) -> list[Example]:
    """Return the examples of a whole campaign with nothing planted, run once for each application and search."""
    key = repr((application.name, search))
    if key not in _WITHOUT:
        system = system_of(application)
        _WITHOUT[key] = _campaign(search, system, boot(system), None)
    return _WITHOUT[key]


def silent(mutant: Mutant, scenario: Scenario) -> bool:
    """Tell whether a scenario shows nothing of the property with nothing planted."""
    system, booted = Systems().of(scenario)
    return not any(
        prop.id == mutant.caught_by and violation.severity is not Severity.INFO
        for prop, violation in run(system, booted, scenario).violations
    )
