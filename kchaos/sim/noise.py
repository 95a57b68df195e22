"""Schedule noise as data: how message deliveries deviate from the quiet order.

The unit is a *delivery*: the n-th message on its way to a host. A deviation holds that delivery back by one of a few delays, so that
others overtake it. Search with :class:`Seeded`, then keep the picks that were made as :class:`Deviations` and shrink those.
"""

from __future__ import annotations

import random
from typing import Annotated, Protocol

import msgspec

HOLD_S = (0.0, 0.002, 0.02, 0.2, 2.0)
"""Delay of each pick, in seconds; pick 0 is the quiet order."""


class Quiet(msgspec.Struct, frozen=True, tag="quiet", forbid_unknown_fields=True):
    """No deviation."""


class Seeded(msgspec.Struct, frozen=True, tag="seeded", forbid_unknown_fields=True):
    """Each delivery deviates with probability ``p``, drawn from a stream keyed by ``seed`` and host."""

    seed: int
    p: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Deviation(msgspec.Struct, frozen=True, array_like=True):
    """The ``nth`` (from 1) delivery to ``node`` is held for ``HOLD_S[pick]`` seconds."""

    node: str
    nth: Annotated[int, msgspec.Meta(ge=1)]
    pick: Annotated[int, msgspec.Meta(ge=0, le=4)]


class Deviations(msgspec.Struct, frozen=True, tag="deviations", forbid_unknown_fields=True):
    """Exactly these deviations."""

    of: tuple[Deviation, ...] = ()


Noise = Quiet | Seeded | Deviations


class Picker(Protocol):
    """Decides the delay of each delivery."""

    def hold_s(self, node: str) -> float:
        """Return the seconds by which the next delivery to ``node`` is held back."""

    def made(self) -> Deviations:
        """Return the deviations made so far; the same run under them is the same run."""


class _Recorder:
    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._made: list[Deviation] = []

    def _next(self, node: str) -> int:
        nth = self._count[node] = self._count.get(node, 0) + 1
        return nth

    def made(self) -> Deviations:
        return Deviations(tuple(self._made))


class _SeededPicker(_Recorder):
    def __init__(self, noise: Seeded) -> None:
        super().__init__()
        self._noise = noise
        self._streams: dict[str, random.Random] = {}

    def hold_s(self, node: str) -> float:
        nth = self._next(node)
        stream = self._streams.get(node)
        if stream is None:
            stream = self._streams[node] = random.Random(f"{self._noise.seed}/{node}/noise")
        if stream.random() >= self._noise.p:
            return 0.0
        pick = stream.randrange(1, len(HOLD_S))
        self._made.append(Deviation(node, nth, pick))
        return HOLD_S[pick]


class _DeviationsPicker(_Recorder):
    def __init__(self, noise: Deviations) -> None:
        super().__init__()
        self._picks = {(one.node, one.nth): one for one in noise.of}

    def hold_s(self, node: str) -> float:
        nth = self._next(node)
        found = self._picks.get((node, nth))
        if found is None:
            return 0.0
        self._made.append(found)
        return HOLD_S[found.pick]


def picker(noise: Noise) -> Picker | None:
    """Return what decides deliveries under ``noise``; None for Quiet, which costs nothing."""
    if isinstance(noise, Seeded):
        return _SeededPicker(noise)
    if isinstance(noise, Deviations):
        return _DeviationsPicker(noise)
    return None
