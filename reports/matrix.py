"""The matrix of properties and classes of faults as cells: how many of how many examples held, and what that says at least."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from kchaos.engine.matrix import Judged, Matrix

Z = 1.6448536269514722
"""The normal quantile of 95 %, one-sided."""


class Held(NamedTuple):
    """``held`` of ``examples``; ``least``: the lower bound in percent."""

    held: int
    examples: int
    least: str


class Row(NamedTuple):
    """One property, or all that held everywhere; a cell for each class, None where no fault of it bit; what broke it first, if anything did."""

    id: str
    name: str
    cells: list[Held | None]
    first: str


class Table(NamedTuple):
    """``broken``: rows of properties that were violated, or that users declare; ``held``: one row for all others, whose names ``others`` has."""

    classes: list[str]
    broken: list[Row]
    held: Row
    others: list[Judged]


def wilson(held: int, examples: int) -> float:
    """Return the lower end of the one-sided 95 % Wilson score interval of a proportion (Wilson, JASA 1927)."""
    if examples == 0:
        return 0.0
    share, z2 = held / examples, Z * Z / examples
    spread = Z * math.sqrt(share * (1 - share) / examples + z2 / (4 * examples))
    return max(0.0, (share + z2 / 2 - spread) / (1 + z2))


def table(matrix: Matrix, own: Collection[str] = ()) -> Table:
    """Return the table: properties violated most often first, classes that were never exercised last. ``own``: ids that have a row anyway."""
    classes = sorted(matrix.classes, key=lambda name: not matrix.classes[name])

    def cells(one: Judged | None) -> list[Held | None]:
        out: list[Held | None] = []
        for name in classes:
            examples = matrix.classes[name] if one is None or one.judged is None else one.judged.get(name, 0)
            bad = one.violated.get(name) if one is not None else None
            held = examples - (bad.examples if bad else 0)
            out.append(Held(held, examples, f"{100 * wilson(held, examples):.0f}") if examples else None)
        return out

    broken = [one for one in matrix.properties if one.violated or one.id in own]
    broken.sort(key=lambda one: (-max((bad.examples for bad in one.violated.values()), default=0), one.id))
    others = [one for one in matrix.properties if not one.violated and one.id not in own]
    rows = [Row(one.id, one.name, cells(one), next((bad.first for bad in one.violated.values()), "")) for one in broken]
    return Table(classes, rows, Row("", f"{len(others)} other properties", cells(None), ""), others)
