"""When which fault comes: drawn from the seed alone, so that the same seed asks for the same faults, whatever the cluster makes of them.

Kinds are dealt like cards: each comes once before any comes again, so that a short run meets as many sorts as it can. Sometimes a second
fault comes while the first lasts. After each the cluster has time to heal, without which every later fault would meet a cluster without a
quorum, and few writes would be acknowledged: there would be little to judge.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.etcd.target import SYMBOLS, Target
from kchaos.nemesis.fault import Kind
from kchaos.scenario import At, Step

FIRST_S = 1.0
"""Without faults at the begin: so that there is something to lose."""
LASTS_S = (1.0, 4.0)
"""An election takes 1 to 2 s (etcd's default timeout is 1 s): shorter and longer than that."""
CALM_S = (0.5, 2.5)
TWO_AT_ONCE = 0.25
"""How often a second fault comes beside one; never two of links, since Toxiproxy 2.12 can hang or crash when toxics overlap on a connection."""
LONG = ("rolling-restart", "kill-loop")
"""They last as long as they take: nothing undoes them, and nothing is laid beside them."""
RESTART_S = 0.5
"""How long a restart takes at a guess, an election now and then included; only the next fault's time hangs on it."""
NEEDS = {"partition-ring": 5, "partition-bridge": 3}
"""Members that a shape needs to be one."""


def fitting(kinds: Sequence[Kind[Target]], members: int) -> tuple[Kind[Target], ...]:
    """Return the kinds that mean something with that many members: one alone has no peers."""
    return tuple(
        kind for kind in kinds if members >= NEEDS.get(kind.name, 1) and (members > 1 or kind.klass != "network") and (members > 1 or kind.name != "kill-all")
    )  # fmt: skip


def draw(seed: int, kinds: Sequence[Kind[Target]], members: Sequence[str], chaos_s: float) -> tuple[Step, ...]:
    """Return the steps of a run's chaos, by time. ``chaos_s``: none is begun later than that less the time that it lasts."""
    rng = random.Random(f"{seed}/etcd-faults")
    deck: list[Kind[Target]] = []
    steps: list[Step] = []
    at_s = FIRST_S
    while kinds:
        if not deck:
            deck = list(kinds)
            rng.shuffle(deck)
        kind = deck.pop()
        lasts_s = round(rng.uniform(*LASTS_S), 2)
        step = _fitted(_step(rng, kind, members, at_s, lasts_s), members, chaos_s - at_s)
        lasts_s = guess_s(step, members) if kind.name in LONG else lasts_s
        if at_s + lasts_s > chaos_s:
            if deck and at_s + LASTS_S[0] < chaos_s:
                continue  # another kind may still fit
            break
        steps.append(step)
        beside = [one for one in deck if one.name not in LONG and one.name != kind.name and "process" in (kind.klass, one.klass)]
        if beside and kind.name not in LONG and rng.random() < TWO_AT_ONCE:
            other = rng.choice(beside)
            deck.remove(other)
            later_s = round(at_s + rng.uniform(0.0, lasts_s / 2), 2)
            steps.append(_step(rng, other, members, later_s, lasts_s))
            lasts_s += later_s - at_s
        at_s = round(at_s + lasts_s + rng.uniform(*CALM_S), 2)
    return tuple(steps)


def _step(rng: random.Random, kind: Kind[Target], members: Sequence[str], at_s: float, lasts_s: float) -> Step:
    who = "cluster" if kind.target == "cluster" else rng.choice([*SYMBOLS, *members] if len(members) > 1 else [*members])
    args: dict[str, Any] = {"target": who, **{one.name: _value(rng, one) for one in kind.arguments}}
    return Step(do=kind.name, args=args, when=At(at_s), for_s=None if kind.name in LONG else lasts_s)


def _fitted(step: Step, members: Sequence[str], room_s: float) -> Step:
    """Return a loop with as many turns as there is room for, one at least; any other step as it is."""
    if "times" not in step.args or guess_s(step, members) <= room_s:
        return step
    turn_s = guess_s(step, members) / step.args["times"]
    return msgspec.structs.replace(step, args={**step.args, "times": max(1, int(room_s / turn_s))})


def guess_s(step: Step, members: Sequence[str]) -> float:
    """Return how long a fault that lasts as long as it takes will last."""
    if step.do == "rolling-restart":
        return RESTART_S * len(members)
    return round(float(step.args["times"]) * (RESTART_S + float(step.args["serving_ms"]) / 1000), 2)


def _value(rng: random.Random, one: Argument) -> float | int | str:
    if one.choices:
        return rng.choice(one.choices)
    low, high = one.drawn
    return rng.randint(int(low), int(high)) if one.whole else round(rng.uniform(low, high), 2)
