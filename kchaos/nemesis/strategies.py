"""Draws values from Hypothesis strategies in bulk and reproducibly: for campaigns, where each example is run elsewhere and later.

Generation only (DESIGN: Hypothesis would shrink for up to 300 s, and a shrunk seed is an unrelated run). The choices come from a provider of
ours (https://hypothesis.readthedocs.io/en/latest/extensions.html#alternative-backends): Hypothesis' own one mixes in constants that it
finds in the modules of whoever runs it, so that the same seed would draw other scenarios in another project. No file is read or written,
and no profile (``CI=1`` sets one) has a say.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider
from hypothesis.internal.intervalsets import IntervalSet
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
BACKEND = "kchaos"
_STREAM: ContextVar[random.Random] = ContextVar("stream")


class Streamed(PrimitiveProvider):
    """Draws every choice uniformly from the stream of the current :func:`draw`."""

    lifetime = "test_function"

    def __init__(self, conjecturedata: Any, /) -> None:
        super().__init__(conjecturedata)
        self._random = _STREAM.get()

    def draw_boolean(self, p: float = 0.5) -> bool:
        """Return true with probability ``p``."""
        return self._random.random() < p

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: dict[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        """Return an integer: uniform where both bounds are given, else within 2**32 of the one, or of ``shrink_towards``."""
        low = min_value if min_value is not None else (max_value if max_value is not None else shrink_towards) - 2**32
        high = max_value if max_value is not None else (min_value if min_value is not None else shrink_towards) + 2**32
        if weights is not None:
            drawn = self._random.random()
            for value, weight in weights.items():
                drawn -= weight
                if drawn < 0:
                    return value
        return self._random.randint(low, high)

    def draw_float(
        self, *, min_value: float = -math.inf, max_value: float = math.inf, allow_nan: bool = True, smallest_nonzero_magnitude: float
    ) -> float:
        """Return a float between the bounds (infinite ones count as 1e9); never NaN."""
        return self._random.uniform(max(min_value, -1e9), min(max_value, 1e9))

    def draw_string(self, intervals: IntervalSet, *, min_size: int = 0, max_size: int = 2**16) -> str:
        """Return text of the allowed characters, at most 16 longer than it must be."""
        size = self._random.randint(min_size, min(max_size, min_size + 16))
        return "".join(chr(intervals[self._random.randrange(len(intervals))]) for _ in range(size)) if len(intervals) else ""

    def draw_bytes(self, min_size: int = 0, max_size: int = 2**16) -> bytes:
        """Return bytes, at most 16 more than there must be."""
        return self._random.randbytes(self._random.randint(min_size, min(max_size, min_size + 16)))


def draw(strategy: SearchStrategy[T], count: int, seed: str) -> Sequence[T]:
    """Return ``count`` values of a strategy (fewer if it has no more); the same for the same ``seed``, everywhere."""
    found: list[T] = []
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.{Streamed.__name__}"

    @settings(
        max_examples=count, phases=(Phase.generate,), database=None, deadline=None, derandomize=False, backend=BACKEND,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def keep(value: T) -> None:
        if len(found) < count:
            found.append(value)

    token = _STREAM.set(random.Random(seed))
    try:
        keep()
    finally:
        _STREAM.reset(token)
    return found
