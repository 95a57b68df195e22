"""A campaign: the sweep's scenarios run one after the other or on several processes, gathered in order.

What is found depends on the seed and on how many examples ran, never on how many processes ran them nor on how fast they were.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import msgspec

from kchaos.canonical import digest
from kchaos.check.property import Violation
from kchaos.engine.kubernetes import Boot, Outcome, System, boot, run
from kchaos.engine.measure import Figures, measure
from kchaos.engine.signals import Terminated, check
from kchaos.engine.sweep import Sweep
from kchaos.engine.workers import Workers
from kchaos.errors import InvalidScenario
from kchaos.scenario import Budget, Scenario, Step

DEFAULT_PAIRS = 40


class BudgetOption(NamedTuple):
    """How many examples (None: level 1 and some pairs), and for how many seconds of real time at most."""

    examples: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, text: str | None) -> BudgetOption:
        """Parse ``200``, ``10s`` or ``2m``. Raises InvalidScenario."""
        if text is None:
            return cls()
        plain = text.strip().lower()
        try:
            if plain.endswith(("s", "m")):
                seconds = float(plain[:-1]) * (60 if plain.endswith("m") else 1)
                if 0 < seconds < math.inf:
                    return cls(None, seconds)
            elif int(plain) > 0:
                return cls(int(plain), None)
        except ValueError:
            pass
        raise InvalidScenario(f"not a budget: {text}", hint="write a number of examples, such as 200, or a time, such as 10s or 2m")

    def spent(self, examples: int, seconds: float) -> bool:
        """Tell whether so many examples in so much time use it up."""
        return (self.examples is not None and examples >= self.examples) or (self.seconds is not None and seconds >= self.seconds)


class Example(NamedTuple):
    """One run of the campaign, without its history: what was violated, what the steps came to, figures."""

    number: int
    steps: tuple[Step, ...]
    digest: str
    violations: tuple[tuple[str, Violation], ...]
    report: tuple[dict[str, Any], ...]
    figures: Figures
    virtual_s: float

    @property
    def label(self) -> str:
        """Return in words what was done."""
        return " then ".join(f"{step.do} of {step.args.get('target')}" for step in self.steps) or "no fault"


class Done(NamedTuple):
    """A finished or interrupted campaign."""

    examples: tuple[Example, ...]
    planned: int
    level1: tuple[int, int]
    pairs: tuple[int, int]
    interrupted: bool
    terminated: bool = False
    """Interrupted by SIGTERM rather than Ctrl-C."""

    @property
    def complete(self) -> bool:
        """Tell whether all of level 1 ran."""
        return self.level1[0] == self.level1[1]

    def digest(self) -> str:
        """Return the digest over all examples' digests, in order."""
        return digest([one.digest for one in self.examples])


def scenario_of(steps: tuple[Step, ...], seed: int, budget: Budget | None = None) -> Scenario:
    """Return the scenario of an example, without its inputs."""
    return Scenario(seed=seed, steps=steps, budget=budget or Budget())


def example(system: System, booted: Boot, index: int, steps: tuple[Step, ...], seed: int) -> tuple[Example, Outcome]:
    """Run one example."""
    outcome = run(system, booted, scenario_of(steps, seed))
    figures = measure(outcome.run, system.settings.get("rates", {}))
    found = tuple((prop.id, violation) for prop, violation in outcome.violations)
    return Example(index, steps, outcome.run.digest, found, tuple(outcome.steps), figures, round(outcome.virtual_s, 3)), outcome


def campaign(
    system: System, booted: Boot, plan: Sweep, *, seed: int = 0, budget: BudgetOption | None = None, jobs: int = 1,
    progress: Callable[[Example], None] | None = None,
) -> Done:  # fmt: skip
    """Run level 1, then pairs, within the budget; an interruption (Ctrl-C, SIGTERM) keeps what is known."""
    budget = budget or BudgetOption()
    level1 = len(plan.level1)
    if budget.examples is not None:
        planned = min(budget.examples, level1 + len(plan.pairs))
    elif budget.seconds is not None:
        planned = level1 + len(plan.pairs)
    else:
        planned = level1 + min(DEFAULT_PAIRS, len(plan.pairs))
    work = ((i, plan.level1[i] if i < level1 else plan.pair(i - level1)) for i in range(planned))
    until = time.monotonic() + budget.seconds if budget.seconds is not None else None
    found: list[Example] = []
    interrupted = terminated = False
    source = _alone(system, booted, work, seed) if jobs <= 1 else _together(system, work, seed, jobs)
    try:
        for one in source:
            found.append(one)
            if progress is not None:
                progress(one)
            if until is not None and time.monotonic() >= until:
                break
            check()
    except KeyboardInterrupt as stop:
        interrupted, terminated = True, isinstance(stop, Terminated)
    finally:
        source.close()
    ran = len(found)
    return Done(tuple(found), planned, (min(ran, level1), level1), (max(0, ran - level1), len(plan.pairs)), interrupted, terminated)


def _alone(system: System, booted: Boot, work: Iterator[tuple[int, tuple[Step, ...]]], seed: int) -> Generator[Example, None, None]:
    for index, steps in work:
        yield example(system, booted, index, steps, seed)[0]


def _prepare(first: tuple[System, int]) -> Callable[[tuple[int, tuple[Step, ...]]], Example]:
    """Boot in a worker process; return what runs one example there."""
    system, seed = first
    booted = boot(system, seed)
    return lambda question: example(system, booted, *question, seed)[0]


def _together(system: System, work: Iterator[tuple[int, tuple[Step, ...]]], seed: int, jobs: int) -> Generator[Example, None, None]:
    """Run on ``jobs`` processes; yield in the order of the plan."""
    workers = Workers(jobs, _prepare, (system, seed))
    try:
        yield from workers.answers(work)
    finally:
        workers.kill()


def as_json(one: Example) -> dict[str, Any]:
    """Return an example as JSON."""
    return {
        "index": one.number, "steps": msgspec.to_builtins(one.steps), "digest": one.digest, "virtual_s": one.virtual_s,
        "outage_s": one.figures.outage_s, "lost_requests": one.figures.lost,
        "violations": [{"id": ident, **msgspec.to_builtins(violation)} for ident, violation in one.violations],
    }  # fmt: skip
