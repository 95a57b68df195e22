"""What a client of the workload asks next: drawn from a stream of its own, so that the same seed asks the same things in the same order.

Only the revisions that are compared with come from answers; how often the stream is asked does not depend on them, so that one client's
requests stay the same whatever the cluster, the machine's speed or the other clients do.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

PREFIX = "r/"
"""All keys of the workload begin so."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What is asked how often: weights of the kinds (any positive numbers), and over how many registers."""

    put: int = 30
    get: int = 22
    serializable_get: int = 8
    cas: int = 20
    delete: int = 4
    txn: int = 16
    keys: int = 16
    """Few, so that clients meet on the same key."""

    def kinds(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the kinds as an operation names them, and their weights."""
        names = ("put", "get", "serializable-get", "cas", "delete", "txn")
        return names, (self.put, self.get, self.serializable_get, self.cas, self.delete, self.txn)

    def names(self) -> tuple[str, ...]:
        """Return the registers' keys."""
        return tuple(f"{PREFIX}{number:02d}" for number in range(self.keys))


class Asked(NamedTuple):
    """One request before it is made: as :class:`kchaos.history.operations.Operation`, without what only the call brings."""

    kind: str
    reads: tuple[str, ...] = ()
    puts: tuple[str, ...] = ()
    """Keys that get a new value."""
    deletes: tuple[str, ...] = ()
    compares: tuple[str, ...] = ()
    """Keys whose mod_revision must be the one last seen by this client."""


class Drawer:
    """The requests of one client, one after the other."""

    def __init__(self, rng: random.Random, mix: Mix) -> None:
        """Take the client's own stream, and what to draw from it."""
        self._rng = rng
        self._kinds, self._weights = mix.kinds()
        self._keys = mix.names()

    def next(self, retry: str = "") -> Asked:
        """Draw the next request; ``retry``: a key on which a comparison has just failed, so that its newest revision is known.

        Every second such key is compared again at once: with many clients on few keys a revision is soon stale, and without this hardly
        any comparison would hold.
        """
        rng = self._rng
        kind = rng.choices(self._kinds, self._weights)[0]
        keys = rng.sample(self._keys, min(len(self._keys), 3))
        dice = rng.random()
        parts = tuple(rng.random() for _ in keys)
        again = rng.random() < 0.5
        if retry and again:
            return Asked("cas", reads=(retry,), puts=(retry,), compares=(retry,))
        key = keys[0]
        if kind == "put":
            return Asked(kind, reads=(key,) if dice < 0.25 else (), puts=(key,))
        if kind == "delete":
            return Asked(kind, reads=(key,) if dice < 0.5 else (), deletes=(key,))
        if kind == "cas":
            return Asked(kind, reads=(key,), puts=(key,), compares=(key,))
        if kind != "txn":
            return Asked(kind, reads=(key,))
        return _transaction(keys if dice < 0.5 else keys[:2], parts, compared=int(dice * 100) % 2 == 0)


def _transaction(keys: list[str], parts: tuple[float, ...], *, compared: bool) -> Asked:
    """Return a transaction over two or three keys: each is read, written, both, or deleted; some compare the first of them.

    One in about five of those without a write is a snapshot of all its keys.
    """
    if parts[0] < 0.15:
        return Asked("txn", reads=tuple(keys))
    reads, puts, deletes = [], [], []
    for key, part in zip(keys, parts, strict=False):
        if part < 0.65:
            reads.append(key)
        if part >= 0.95:
            deletes.append(key)
        elif part >= 0.35:
            puts.append(key)
    return Asked("txn", tuple(reads), tuple(puts), tuple(deletes), (keys[0],) if compared else ())
