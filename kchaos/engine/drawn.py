"""Drawn scenarios: up to a dozen faults and operations at drawn times and events, for the questions that nobody thought of.

Hypothesis draws (kchaos/nemesis/strategies.py). *Swarm omission*: each scenario draws first which few kinds it is made of, for many kinds at once
hide each other's effects (Groce et al., "Swarm testing", ISSTA 2012). About half of the faults fire at an event of those that
the scenario's kinds brought about when each was alone (triggers.py). Kinds that never bit are drawn more often, and a scenario that showed something new is varied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from kchaos.engine.triggers import Word, faults_at
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.strategies import draw
from kchaos.scenario import At, Scenario, Step

MOST_STEPS = 12
MOST_KINDS = 5
SPAN_S = 120.0
"""Steps at drawn times begin within this span."""
LASTING_S = (2.0, 10.0, 45.0, 120.0, 400.0)
"""For how long a fault lasts, if not to the end: less than a lease, a grace period, a toleration …"""
NOISE = (0.01, 0.05)
RARE, NEVER = 2, 5
"""How much more often kinds are drawn that bit less than three times, or never."""


class Variant(NamedTuple):
    """What a scenario runs on: the seed of the boot, and how many masters."""

    seed: int
    masters: int


class Drawn(NamedTuple):
    """One drawn scenario: steps, noise and seed without inputs; on how many masters."""

    scenario: Scenario
    masters: int


class Space(NamedTuple):
    """What is drawn from. ``targets``: those of each fault that are relevant here; ``words``: the events that each fault alone brings about."""

    targets: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[Word]]
    variants: Sequence[Variant]
    operations: Sequence[str]
    """Which of the faults are operations of users."""
    arguments: Mapping[str, Sequence[Argument]] = {}
    """What each fault takes beside its target."""


class _Sharp(NamedTuple):
    """A fault that can matter at an event."""

    word: Word
    name: str
    args: dict[str, Any]
    for_s: float | None


def draw_scenarios(space: Space, count: int, seed: str, *, bit: Mapping[str, int] | None = None, pool: Sequence[Drawn] = ()) -> list[Drawn]:
    """Return ``count`` scenarios. ``bit``: how often each kind has bitten so far; ``pool``: scenarios worth varying."""
    usable = [name for name, targets in space.targets.items() if targets]
    if not usable:
        return []
    weighted = [name for name in usable for _ in range(_weight((bit or {}).get(name, 0)))]
    fresh = _scenarios(space, st.lists(st.sampled_from(weighted), min_size=1, max_size=MOST_KINDS, unique=True))
    strategy = st.one_of(fresh, _varied(space, pool, usable)) if pool else fresh
    return list(draw(strategy, count, seed))


def _weight(times: int) -> int:
    return NEVER if times == 0 else RARE if times < 3 else 1


def _words(space: Space, kinds: Sequence[str]) -> list[Word]:
    """Return the events that these kinds alone brought about, each as often as it came at most."""
    found: dict[tuple[tuple[str, str], ...], Word] = {}
    for word in (word for kind in kinds for word in space.words.get(kind, ())):
        key = tuple(word.event.items())
        if key not in found or found[key].times < word.times:
            found[key] = word
    return list(found.values())


def _steps(space: Space, kinds: Sequence[str]) -> st.SearchStrategy[Step]:
    """Return a strategy for one step of some kinds: at a time, at any event that they bring about, or at one where it can matter most."""
    words = _words(space, kinds)
    times = st.integers(0, int(SPAN_S * 10)).map(lambda tenths: At(tenths / 10))
    lasting = st.one_of(st.none(), st.sampled_from(LASTING_S))
    events = st.sampled_from(words).flatmap(lambda word: st.integers(1, word.times).map(word.nth)) if words else times

    def of(name: str) -> st.SearchStrategy[Step]:
        args = st.builds(lambda target, more: {"target": target, **more}, st.sampled_from(list(space.targets[name])), _more(space, name))
        return st.builds(
            Step, do=st.just(name), args=args, when=times if name in space.operations else st.one_of(times, events),
            for_s=st.none() if name in space.operations else lasting,
        )  # fmt: skip

    usual = st.sampled_from(list(kinds)).flatmap(of)
    sharp = [_Sharp(word, *one) for word in words for one in faults_at(word) if one[0] in kinds]
    return st.one_of(usual, st.sampled_from(sharp).flatmap(_at_event)) if sharp else usual


def _more(space: Space, name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for arguments beside the target: the defaults half of the time, else some other values."""
    known = {one.name: _value(one) for one in space.arguments.get(name, ()) if not one.target}
    return st.one_of(st.just({}), st.fixed_dictionaries({}, optional=known)) if known else st.just({})


def _value(argument: Argument) -> st.SearchStrategy[Any]:
    if argument.choices:
        return st.sampled_from(argument.choices)
    low, high = argument.drawn
    return st.integers(int(low), int(high)) if argument.whole else st.floats(low, high).map(lambda value: round(value, 2))


def _at_event(sharp: _Sharp) -> st.SearchStrategy[Step]:
    return st.integers(1, sharp.word.times).map(lambda n: Step(do=sharp.name, args=sharp.args, when=sharp.word.nth(n), for_s=sharp.for_s))


def _noise() -> st.SearchStrategy[dict[str, Any]]:
    seeded = st.builds(lambda seed, p: {"type": "seeded", "seed": seed, "p": p}, st.integers(0, 2**16), st.sampled_from(NOISE))
    return st.one_of(st.just({"type": "quiet"}), seeded)


@st.composite
def _scenarios(pick: Callable[[st.SearchStrategy[Any]], Any], space: Space, swarm: st.SearchStrategy[list[str]]) -> Drawn:
    kinds = pick(swarm)
    operations = [name for name in space.operations if space.targets.get(name)]
    first: list[Step] = []
    if operations and pick(st.integers(0, 3)):  # without an operation, little happens that a fault could disturb
        operation = pick(st.sampled_from(operations))
        kinds = list(dict.fromkeys([operation, *kinds]))
        first = [pick(_steps(space._replace(words={}), [operation]))]
    steps = pick(st.lists(_steps(space, kinds), min_size=0 if first else 1, max_size=MOST_STEPS - len(first)))
    return _made(pick, space, [*first, *steps], pick(_noise()))


def _made(pick: Callable[[st.SearchStrategy[Any]], Any], space: Space, steps: Sequence[Step], noise: dict[str, Any]) -> Drawn:
    variant = pick(st.sampled_from(list(space.variants)))
    return Drawn(Scenario(seed=variant.seed, steps=tuple(steps), noise=noise), variant.masters)


@st.composite
def _varied(pick: Callable[[st.SearchStrategy[Any]], Any], space: Space, pool: Sequence[Drawn], kinds: Sequence[str]) -> Drawn:
    """Vary a scenario that showed something new: a step more, a step less, or one step at another moment."""
    drawn: Drawn = pick(st.sampled_from(list(pool)))
    steps = list(drawn.scenario.steps)
    place = pick(st.integers(0, len(steps) - 1))
    how = pick(st.sampled_from(("more", "less", "other moment")))
    if how == "less" and len(steps) > 1:
        del steps[place]
    elif how == "other moment" and (words := _words(space, [step.do for step in steps])):
        word: Word = pick(st.sampled_from(words))
        steps[place] = msgspec.structs.replace(steps[place], when=word.nth(pick(st.integers(1, word.times))))
    elif len(steps) < MOST_STEPS:
        steps.insert(place, pick(_steps(space, kinds)))
    noise = pick(st.one_of(st.just(drawn.scenario.noise), _noise()))
    return _made(pick, space, steps, noise)
