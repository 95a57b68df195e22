"""Recovery times as quantiles, and no quantile that so few examples can't tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kchaos.engine.recovery import Recovery, together
from kchaos.engine.result import Result
from kchaos.reports.columns import COLUMNS, seconds

QUANTILES = (0.5, 0.9, 0.99)
FEW = 10
"""With fewer times all of them are shown."""


class Row(NamedTuple):
    """One workload under one sort of fault. ``quantiles``: p50, p90, p99 in words; ``values``: all times, if they are few; ``rest``: what has no time."""

    workload: str
    sort: str
    n: int
    quantiles: list[str]
    most: str
    values: str
    rest: str


def quantile(times: Sequence[tuple[float, int]], share: float) -> float | None:
    """Return the quantile of counted times by nearest rank (the least that so large a share of them does not exceed).

    None if too few: of n, one must be expected beyond it, so n is at least 1 / (1 - share); and a median takes five.
    """
    n = sum(count for _, count in times)
    if n < max(5, round(1 / (1 - share))):
        return None
    rank, seen = math.ceil(share * n), 0
    for value, count in sorted(times):
        seen += count
        if seen >= rank:
            return value
    raise AssertionError("the counts add up to n")


def rows(result: Result) -> list[Row]:
    """Return the rows, those that took longest first: pods that never came back, then those that did only after the fault was undone."""
    found: list[tuple[tuple[int, int, float], Row]] = []
    for workload in result.workloads:
        sorts: dict[str, list[Recovery]] = {}
        for fault, recovery in workload.recovery.items():
            sorts.setdefault(next((sort for sort, faults in COLUMNS if fault in faults), fault), []).append(recovery)
        for sort, parts in sorts.items():
            one = together(parts)
            most = max((value for value, _ in one.times), default=0.0)
            found.append(((-one.never, -one.healed, -most), _row(workload.workload, sort, one)))
    return [row for _, row in sorted(found, key=lambda pair: (pair[0], pair[1].workload, pair[1].sort))]


def _row(workload: str, sort: str, one: Recovery) -> Row:
    told = [seconds(found) if (found := quantile(one.times, share)) is not None else "-" for share in QUANTILES]
    few = one.n - one.healed - one.never < FEW
    counts: dict[str, int] = {}
    for value, count in one.times:
        counts[seconds(value)] = counts.get(seconds(value), 0) + count
    values = ", ".join(f"{count} × {words}" if count > 1 else words for words, count in counts.items()) if few else ""
    rest = [f"{one.never} not even after it"] if one.never else []
    rest = [f"{one.healed} only after the fault was undone", *rest] if one.healed else rest
    most = seconds(max(value for value, _ in one.times)) if one.times else "-"
    return Row(workload, sort, one.n, told, most, values, "; ".join(rest))
