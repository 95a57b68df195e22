"""The shrinker: from a scenario that fails to the smallest one that still does, whoever found it (sweep, campaign, corpus, step mode).

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", TSE 2002) over the steps and the schedule's
deviations, then single fields; other *passes* (fewer nodes, fewer replicas) are handed in by who knows the system. A pass yields candidates
from the boldest to the most timid; the first that still fails becomes the scenario, and the pass begins anew with it. All is done when no
pass makes anything smaller, or when the budget of tries is spent: then what was reached is returned, and it fails as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from kchaos.scenario import At, Nth, Scenario, Step
from kchaos.sim.noise import Deviations, Noise, Quiet, Seeded

TRIES = 200
"""Candidates that are tried at most, unless a caller says otherwise: at 20 examples a second ten seconds."""

Pass = Callable[[Scenario], Iterable[Scenario]]
"""Yields smaller scenarios, the boldest first; all of them smaller by the same measure, so that taking one after the other ends."""
T = TypeVar("T")


class Answer(NamedTuple):
    """What a candidate came to: ``fails`` as the original does; ``deviations`` that schedule noise made in it."""

    fails: bool
    deviations: Deviations = Deviations()


Try = Callable[[Scenario], Answer]


class Shrunk(NamedTuple):
    """The smallest scenario found; how many candidates were tried; whether nothing smaller is known to fail (or tries ran out)."""

    scenario: Scenario
    tried: int
    finished: bool


class _Spent(Exception):
    """No tries are left."""


class _Search:
    def __init__(self, scenario: Scenario, attempt: Try, tries: int, stop: Callable[[], bool]) -> None:
        self.best = scenario
        self.tried = 0
        self._attempt = attempt
        self._tries = tries
        self._stop = stop
        self._known: dict[str, None] = {scenario.digest(): None}

    def better(self, candidate: Scenario) -> bool:
        """Try a candidate, each only once; keep it if it fails."""
        key = candidate.digest()
        if key in self._known:
            return False
        if self.tried >= self._tries or self._stop():
            raise _Spent
        self._known[key] = None
        self.tried += 1
        if not self._attempt(candidate).fails:
            return False
        self.best = candidate
        return True

    def write_down_noise(self) -> None:
        """Do without drawn schedule noise, or else write down the deviations that it made: those can be taken out one by one."""
        noise: Noise = msgspec.convert(self.best.noise, Noise)
        if isinstance(noise, Seeded) and not self.better(_with_noise(self.best, Quiet())):
            self.tried += 1
            self.better(_with_noise(self.best, self._attempt(self.best).deviations))

    def exhaust(self, one: Pass) -> bool:
        """Repeat a pass until it finds nothing smaller; tell whether it found anything."""
        found = False
        while any(self.better(candidate) for candidate in one(self.best)):
            found = True
        return found


def shrink(
    scenario: Scenario, attempt: Try, *, passes: Sequence[Pass] | None = None, tries: int = TRIES, stop: Callable[[], bool] = lambda: False
) -> Shrunk:
    """Return the smallest scenario that still fails. ``scenario`` itself must fail; ``attempt`` runs a candidate.

    ``passes``: those of :data:`STEPS` unless given. ``stop`` is asked before each try: true ends the search with what is known.
    """
    search = _Search(scenario, attempt, tries, stop)
    try:
        search.write_down_noise()
        again = True
        while again:
            again = False
            for one in STEPS if passes is None else passes:
                again |= search.exhaust(one)
    except _Spent:
        return Shrunk(search.best, search.tried, False)
    return Shrunk(search.best, search.tried, True)


def _with_noise(scenario: Scenario, noise: Noise) -> Scenario:
    return msgspec.structs.replace(scenario, noise=msgspec.to_builtins(noise))


def without_chunks(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield ``items`` without a part of them: without all, without each half, each quarter … each single one."""
    size = len(items)
    while size >= 1:
        for start in range(0, len(items), size):
            yield (*items[:start], *items[start + size :])
        size = size // 2


def fewer_steps(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with fewer steps."""
    for steps in without_chunks(scenario.steps):
        yield msgspec.structs.replace(scenario, steps=steps)


def fewer_deviations(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with fewer deviations of its schedule."""
    noise: Noise = msgspec.convert(scenario.noise, Noise)
    if isinstance(noise, Deviations):
        for left in without_chunks(noise.of):
            yield _with_noise(scenario, Deviations(left) if left else Quiet())


def simpler_steps(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with one step simpler: default arguments, no time of its own, an earlier trigger."""
    for index, step in enumerate(scenario.steps):
        for simpler in _simpler(step):
            yield msgspec.structs.replace(scenario, steps=(*scenario.steps[:index], simpler, *scenario.steps[index + 1 :]))


def _simpler(step: Step) -> Iterator[Step]:
    if len(step.args) > 1:
        least: dict[str, Any] = {name: value for name, value in step.args.items() if name == "target"}
        yield msgspec.structs.replace(step, args=least)
        for name in step.args:
            if name != "target":
                yield msgspec.structs.replace(step, args={key: value for key, value in step.args.items() if key != name})
    if step.for_s is not None:
        yield msgspec.structs.replace(step, for_s=None)
    when = step.when
    if isinstance(when, Nth):
        yield msgspec.structs.replace(step, when=At(0.0))
        for n in _smaller(when.n, 1):
            yield msgspec.structs.replace(step, when=Nth(when.event, n))
    else:
        yield from (msgspec.structs.replace(step, when=At(s)) for s in _rounder(when.s))


def _smaller(n: int, least: int) -> Iterator[int]:
    """Yield numbers from ``least`` up to one below ``n``, in ever smaller strides."""
    gap = n - least
    while gap > 0:
        yield n - gap
        gap //= 2


def _rounder(s: float) -> Iterator[float]:
    """Yield times that are simpler to read: 0, whole tens, whole seconds."""
    if s > 0:
        yield 0.0
    for stride in (10.0, 1.0):
        if (found := s - s % stride) < s:
            yield found


STEPS: tuple[Pass, ...] = (fewer_steps, simpler_steps, fewer_deviations)
"""The passes that need to know nothing of the system."""
