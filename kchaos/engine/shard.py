"""One part of a campaign: which of its examples a process runs, when several machines share one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from kchaos.errors import InvalidScenario

T = TypeVar("T")
LARGEST = 1000


class Shard(NamedTuple):
    """Part ``number`` (from 1) of ``of``. Parts are disjoint, and all of them are the whole."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """Parse ``2/4``; None is the whole. Raises InvalidScenario."""
        if text is None:
            return cls()
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
        if found is not None:
            shard = cls(int(found[1]), int(found[2]))
            if 1 <= shard.number <= shard.of <= LARGEST:
                return shard
        raise InvalidScenario(f"not a shard: {text}", hint=f"write NUMBER/OF, such as 1/4 for the first of four (at most {LARGEST})")

    @property
    def whole(self) -> bool:
        """Tell whether it is all of the campaign."""
        return self.of == 1

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Return every ``of``-th item: neighbours, which are similar and take similarly long, go to different shards."""
        return items[self.number - 1 :: self.of]

    def stream(self, seed: int) -> str:
        """Return the name of what drawn scenarios are drawn from: every shard draws others."""
        return f"{seed}/drawn" if self.whole else f"{seed}/shard-{self}/drawn"

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
