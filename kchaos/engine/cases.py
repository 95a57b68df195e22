"""What a campaign runs, example by example: level 1, pairs and drawn scenarios, and those that failed before; on which system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from kchaos.canonical import encode
from kchaos.check.property import Violation
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.coverage import transitions
from kchaos.engine.drawn import Drawn, Variant
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.measure import Figures, measure
from kchaos.engine.system import build
from kchaos.engine.triggers import Word, vocabulary
from kchaos.scenario import At, Scenario, Step


class Sort(StrEnum):
    """Why an example is run."""

    CORPUS = "corpus"
    LEVEL1 = "level 1"
    PAIR = "pair"
    DRAWN = "drawn"
    TRIGGERED = "triggered"


class Case(NamedTuple):
    """One example to come. ``scenario``: steps, noise and seed, without topology and inputs; ``masters``: on how many."""

    sort: Sort
    scenario: Scenario
    masters: int

    def drawn(self) -> Drawn:
        """Return it as what can be varied."""
        return Drawn(self.scenario, self.masters)


class Example(NamedTuple):
    """One run of the campaign, without its history: what was violated, what the steps came to, figures, what it exercised."""

    number: int
    case: Case
    digest: str
    violations: tuple[tuple[str, Violation], ...]
    report: tuple[dict[str, Any], ...]
    figures: Figures
    virtual_s: float
    transitions: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()
    """The sorts of events that a single step brought about."""
    exercised: tuple[str, ...] = ()
    """Which properties of users it put to the test."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps."""
        return self.case.scenario.steps

    @property
    def label(self) -> str:
        """Return in words what was done."""
        return label_of(self.steps)


OF, THEN, NO_FAULT = " of ", " then ", "no fault"
"""What labels are made of."""


def label_of(steps: Sequence[Step]) -> str:
    """Return in words what is done: all of two steps, the first two of more."""
    told = [f"{step.do}{OF}{step.args.get('target')}" for step in steps[:2]]
    if len(steps) > 2:
        told[-1] += f" and {len(steps) - 2} more"
    return THEN.join(told) or NO_FAULT


def call_of(step: Step) -> str:
    """Return a step in words: ``at 3 s: scale of Deployment/default/web (replicas 1), for 5 s``."""
    when = f"at {step.when.s:g} s" if isinstance(step.when, At) else f"at event {step.when.n} of {json.dumps(step.when.event)}"
    more = [f"{name} {value}" for name, value in step.args.items() if name != "target" and not isinstance(value, dict)]
    lasts = f", for {step.for_s:g} s" if step.for_s is not None else ""
    return f"{when}: {step.do} of {step.args.get('target', '')}" + (f" ({', '.join(more)})" if more else "") + lasts


class Variants:
    """The system under test on one or three masters and under several seeds, each booted once, when it is first needed."""

    def __init__(self, system: System, booted: Boot, seed: int) -> None:
        self._base = system
        self._systems = {system.topology.masters: system}
        self._booted = {Variant(seed, system.topology.masters): booted}

    def system(self, masters: int) -> System:
        """Return the system on that many masters."""
        found = self._systems.get(masters)
        if found is None:
            topology = {**msgspec.to_builtins(self._base.topology), "masters": masters}
            found = self._systems[masters] = build(topology, self._base.inputs)
        return found

    def of(self, case: Case) -> tuple[System, Boot]:
        """Return what a case runs on."""
        system = self.system(case.masters)
        key = Variant(case.scenario.seed, case.masters)
        if key not in self._booted:
            self._booted[key] = boot(system, key.seed)
        return system, self._booted[key]

    def whole(self, case: Case) -> Scenario:
        """Return a case's scenario with topology and inputs: it can be saved and replayed anywhere."""
        system = self.system(case.masters)
        return msgspec.structs.replace(case.scenario, topology=msgspec.to_builtins(system.topology), inputs=dict(system.inputs))


def example(variants: Variants, number: int, case: Case) -> tuple[Example, Outcome]:
    """Run one example."""
    system, booted = variants.of(case)
    try:
        outcome = run(system, booted, case.scenario)
    except Exception as error:  # ours: with the steps it can be seen again
        steps = encode(msgspec.to_builtins(case.scenario)).decode()
        error.add_note(f"in example {number} ({case.sort}, {case.masters} masters): {steps}")
        raise
    figures = measure(outcome.run, system.settings.get("rates", {}))
    found = tuple((prop.id, violation) for prop, violation in outcome.violations)
    words = tuple(vocabulary(outcome.run)) if case.sort is Sort.LEVEL1 else ()
    return Example(
        number,
        case,
        outcome.run.digest,
        found,
        tuple(outcome.steps),
        figures,
        round(outcome.virtual_s, 3),
        transitions(outcome.run),
        words,
        outcome.exercised,
    ), outcome
