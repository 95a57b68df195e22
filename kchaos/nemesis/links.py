"""Faults of links between hosts of a simulated world: one-way cuts, delay with jitter, loss, duplicates, reordering."""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.nemesis.fault import Evidence
from kchaos.sim.world import World


class CutLinks:
    """No message passes from ``source`` to ``target`` on the given directions until healing."""

    def __init__(self, world: World, directions: Iterable[tuple[str, str]]) -> None:
        self._network = world.network
        self._directions = tuple(directions)
        self._before = self._held()
        for source, target in self._directions:
            self._network.cut(source, target)

    def _held(self) -> int:
        return sum(self._network.link(a, b).held_total for a, b in self._directions)

    def undo(self) -> None:
        """Let what was held arrive."""
        for source, target in self._directions:
            self._network.heal(source, target)

    def evidence(self) -> Evidence:
        """Return how many messages were held."""
        return {"messages_held": self._held() - self._before}


class PoorLinks:
    """Messages on the given directions are late, lost (and sent again), doubled or out of order until healing.

    ``delay_s``, ``jitter_s``: seconds; ``loss``, ``duplicate``, ``reorder``: probabilities.
    """

    def __init__(
        self, world: World, directions: Iterable[tuple[str, str]], *, delay_s: float = 0.0, jitter_s: float = 0.0, loss: float = 0.0,
        duplicate: float = 0.0, reorder: float = 0.0,
    ) -> None:  # fmt: skip
        self._world = world
        self._links = [world.network.link(a, b) for a, b in directions]
        self._delay = (delay_s, jitter_s)
        self._rates = (loss, duplicate, reorder)
        self._sent = world.network.sent
        self._before = self._counts()
        self._passed = 0
        self._apply(1.0)

    def _apply(self, sign: float) -> None:
        for link in self._links:
            link.delay_s = max(0.0, link.delay_s + sign * self._delay[0])
            link.jitter_s = max(0.0, link.jitter_s + sign * self._delay[1])
            link.loss = max(0.0, link.loss + sign * self._rates[0])
            link.duplicate = max(0.0, link.duplicate + sign * self._rates[1])
            link.reorder = max(0.0, link.reorder + sign * self._rates[2])

    def _counts(self) -> tuple[int, int, int]:
        return sum(x.lost for x in self._links), sum(x.duplicated for x in self._links), sum(x.reordered for x in self._links)

    def undo(self) -> None:
        """Make the links good again."""
        self._passed = self._world.network.sent - self._sent
        self._apply(-1.0)

    def evidence(self) -> Evidence:
        """Return how many messages were lost, doubled, reordered; and how many passed while links were slow."""
        now = self._counts()
        lost, doubled, reordered = (b - a for a, b in zip(self._before, now, strict=True))
        slow = self._passed if any(self._delay) else 0
        return {"lost": lost, "duplicated": doubled, "reordered": reordered, "while_slow": slow}
