"""A campaign: what failed before, the sweep's level 1, then pairs and drawn scenarios in turn; on one process or several, gathered in order.

What is found depends on the seed and on how many examples ran, never on how many processes ran them nor on how fast they were: scenarios are
drawn in rounds, and each round knows what all rounds before it have exercised.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

from kchaos.canonical import digest
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.cases import Case, Example, Sort, Variants, example
from kchaos.engine.coverage import Coverage, Summary
from kchaos.engine.drawn import Drawn, Space, draw_scenarios
from kchaos.engine.shard import Shard
from kchaos.engine.signals import Terminated
from kchaos.engine.sweep import Sweep
from kchaos.engine.triggers import Word
from kchaos.engine.triggers import scenarios as trigger_sweep
from kchaos.engine.workers import Workers
from kchaos.errors import InvalidScenario
from kchaos.scenario import Scenario, Step

DEFAULT_PAIRS = 40
DEFAULT_DRAWN = 20
DEFAULT_TRIGGERED = 400
ROUND = 20
"""Pairs or drawn scenarios that are run before the others have their turn."""
ENDLESS = 10**9
POOL = 12
"""Scenarios that showed something new and are varied; the newest stay."""


class BudgetOption(NamedTuple):
    """How many examples (None: level 1 and some pairs), and for how many seconds of real time at most.

    ``level1``: all of level 1 runs, however few examples are asked for.
    """

    examples: int | None = None
    seconds: float | None = None
    level1: bool = False

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


class Done(NamedTuple):
    """A finished or interrupted campaign."""

    examples: tuple[Example, ...]
    level1: tuple[int, int]
    pairs: tuple[int, int]
    interrupted: bool
    terminated: bool = False
    """Interrupted by SIGTERM rather than Ctrl-C."""
    coverage: Summary = Summary((0, 0), (0, 0), 0, {}, ())
    triggers: tuple[int, int] = (0, 0)
    """Of the trigger sweep: how many ran, and how many there are."""

    @property
    def complete(self) -> bool:
        """Tell whether all of level 1 ran, or of a shard's part of it."""
        return self.level1[0] == self.level1[1]

    def count(self, sort: Sort) -> int:
        """Return how many examples of a sort ran."""
        return sum(one.case.sort is sort for one in self.examples)

    def digest(self) -> str:
        """Return the digest over all examples' digests, in order; what failed before is left out: it depends on a folder."""
        return digest([one.digest for one in self.examples if one.case.sort is not Sort.CORPUS])


class _Plan:
    """Which cases come next: rounds, each planned when all before it have run."""

    def __init__(
        self, plan: Sweep, seed: int, masters: int, budget: BudgetOption, corpus: Sequence[Case], space: Space | None, shard: Shard,
    ) -> None:  # fmt: skip
        self._sweep = plan
        self._seed = seed
        self._masters = masters
        self._corpus = corpus
        self._space = space
        self._pool: list[Drawn] = []
        self._alone: list[tuple[tuple[Step, ...], Sequence[Word]]] = []
        """What single steps of level 1 brought about."""
        self.triggers = 0
        """How many scenarios the trigger sweep has, once level 1 has run."""
        self._budget = budget
        self._words: dict[str, dict[tuple[tuple[str, str], ...], int]] = {}
        self.coverage = Coverage(space.targets if space is not None else ())
        self._stream = shard.stream(seed)
        self._first = shard.number == 1
        self.level1, self.pairs, self.drawn = _planned(plan, budget, space, shard)

    def rounds(self) -> Iterator[list[Case]]:
        """Yield what to run, round by round; :meth:`learn` is told of each example in between."""
        if self._corpus:
            yield list(self._corpus)
        yield [self._case(Sort.LEVEL1, steps) for steps in self.level1]
        if self._sweep.triggers:
            yield from self._triggered()
        pairs = drawn = 0
        while pairs < len(self.pairs) or drawn < self.drawn:
            ahead = min(ROUND, len(self.pairs) - pairs)
            if ahead > 0:
                yield [self._case(Sort.PAIR, self._sweep.pair(i)) for i in self.pairs[pairs : pairs + ahead]]
                pairs += ahead
            ahead = min(ROUND, self.drawn - drawn)
            if ahead > 0:
                found = self._draw(ahead, drawn // ROUND)
                if not found:
                    self.drawn = drawn
                    continue
                yield [Case(Sort.DRAWN, one.scenario, one.masters) for one in found]
                drawn += ahead

    def _triggered(self) -> Iterator[list[Case]]:
        found = trigger_sweep(self._alone, self._sweep.at_events)
        self.triggers = len(found)
        left = DEFAULT_TRIGGERED if self._budget.seconds is None else len(found)
        if self._budget.examples is not None:
            left = max(0, self._budget.examples - len(self.level1))
        yield [self._case(Sort.TRIGGERED, steps) for steps in found[:left]]

    def _case(self, sort: Sort, steps: tuple[Step, ...]) -> Case:
        return Case(sort, Scenario(seed=self._seed, steps=steps), self._masters)

    def _draw(self, count: int, number: int) -> list[Drawn]:
        assert self._space is not None
        words = {name: [Word(dict(event), times) for event, times in known.items()] for name, known in self._words.items()}
        space = self._space._replace(words=words)
        skip = 0 if self._first else 1  # Hypothesis begins with the simplest of all, whatever the seed: the first shard has it
        return draw_scenarios(space, count + skip, f"{self._stream}/{number}", bit=self.coverage.bit, pool=self._pool)[skip:]

    def learn(self, one: Example) -> None:
        """Know what an example exercised."""
        new = self.coverage.add(one.report, one.transitions)
        if one.words and one.steps:
            self._alone.append((one.steps, one.words))
        for word in one.words if one.steps else ():
            known = self._words.setdefault(one.steps[0].do, {})
            key = tuple(word.event.items())
            known[key] = max(word.times, known.get(key, 0))
        if new and one.case.sort is Sort.DRAWN:
            self._pool = [*self._pool, one.case.drawn()][-POOL:]


def _shares(plan: Sweep, budget: BudgetOption, space: Space | None) -> tuple[int, int]:
    """Return how many pairs and how many drawn scenarios are planned."""
    if plan.triggers:
        return 0, 0
    pairs, draws = len(plan.pairs), space is not None and bool(space.targets)
    if budget.seconds is not None:
        return pairs, ENDLESS if draws else 0
    if budget.examples is None:
        return min(DEFAULT_PAIRS, pairs), DEFAULT_DRAWN if draws else 0
    left = max(0, budget.examples - len(plan.level1))
    first = min(pairs, left - left // 2 if draws else left)  # in turn, pairs first; what one has not, the other gets
    return first, left - first if draws else 0


def _planned(plan: Sweep, budget: BudgetOption, space: Space | None, shard: Shard) -> tuple[Sequence[tuple[Step, ...]], Sequence[int], int]:
    """Return a shard's part of what one process would run: of level 1, of the pairs (their numbers), and how many drawn scenarios."""
    level1 = plan.level1 if budget.examples is None or budget.level1 else plan.level1[: budget.examples]
    pairs, drawn = _shares(plan, budget, space)
    return shard.part(level1), shard.part(range(pairs)), len(shard.part(range(drawn)))


def planned(plan: Sweep, budget: BudgetOption, space: Space | None, shard: Shard = Shard()) -> int:  # noqa: B008  # immutable
    """Return how many examples are planned; with a budget of seconds level 1 only, as nobody knows the rest."""
    level1, pairs, drawn = _planned(plan, budget, space, shard)
    if budget.seconds is not None:
        return len(level1)
    if plan.triggers:
        return len(level1) + (DEFAULT_TRIGGERED if budget.examples is None else budget.examples - len(level1))
    return len(level1) + len(pairs) + drawn


def campaign(
    system: System, booted: Boot, plan: Sweep, *, seed: int = 0, budget: BudgetOption | None = None, jobs: int = 1,
    progress: Callable[[Example], None] | None = None, corpus: Sequence[Case] = (), space: Space | None = None,
    shard: Shard = Shard(),  # noqa: B008  # immutable
) -> Done:  # fmt: skip
    """Run what failed before, level 1, then pairs and (with a ``space``) drawn scenarios, within the budget.

    An interruption (Ctrl-C, SIGTERM) keeps what is known. ``corpus`` does not count in the budget.
    A ``shard`` runs its part of all that.
    """
    budget = budget or BudgetOption()
    until = time.monotonic() + budget.seconds if budget.seconds is not None else None
    planner = _Plan(plan, seed, system.topology.masters, budget, shard.part(corpus), space, shard)
    found: list[Example] = []
    interrupted = terminated = False
    runner = _Alone(system, booted, seed) if jobs <= 1 else _Together(system, seed, jobs)
    try:
        for one in _run(planner, runner):
            found.append(one)
            planner.learn(one)
            if progress is not None:
                progress(one)
            if until is not None and time.monotonic() >= until:
                break
    except KeyboardInterrupt as stop:
        interrupted, terminated = True, isinstance(stop, Terminated)
    finally:
        runner.close()
    ran = {sort: sum(one.case.sort is sort for one in found) for sort in Sort}
    level1, pairs = (ran[Sort.LEVEL1], len(shard.part(plan.level1))), (ran[Sort.PAIR], len(plan.pairs))
    triggers = (ran[Sort.TRIGGERED], planner.triggers)
    return Done(tuple(found), level1, pairs, interrupted, terminated, planner.coverage.summary(), triggers)


def _run(planner: _Plan, runner: _Alone | _Together) -> Iterator[Example]:
    number = 0
    for cases in planner.rounds():
        yield from runner.answers((number + i, case) for i, case in enumerate(cases))
        number += len(cases)


class _Alone:
    """Runs examples in this process."""

    def __init__(self, system: System, booted: Boot, seed: int) -> None:
        self._variants = Variants(system, booted, seed)

    def answers(self, work: Iterator[tuple[int, Case]]) -> Iterator[Example]:
        for number, case in work:
            yield example(self._variants, number, case)[0]

    def close(self) -> None:
        """Nothing to end."""


def _prepare(first: tuple[System, int]) -> Callable[[tuple[int, Case]], Example]:
    """Boot in a worker process; return what runs one example there."""
    system, seed = first
    alone = _Alone(system, boot(system, seed), seed)
    return lambda question: next(iter(alone.answers(iter([question]))))


class _Together:
    """Runs examples on ``jobs`` processes, and yields them in the order of the plan."""

    def __init__(self, system: System, seed: int, jobs: int) -> None:
        self._workers = Workers(jobs, _prepare, (system, seed))

    def answers(self, work: Iterator[tuple[int, Case]]) -> Generator[Example, None, None]:
        yield from self._workers.answers(work)

    def close(self) -> None:
        """End the processes."""
        self._workers.kill()
