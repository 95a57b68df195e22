"""What is too narrow to be seen by itself is drawn as one, so that a picture is bounded by its width and not by the run's length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kchaos.reports.etcd.facts import Stretch
from kchaos.reports.etcd.words import count

WORST = ("down", "paused", "running", "leads", "silent", "bit", "inert")
"""What a merged stretch is drawn as if it holds several: who was away for a moment was away."""


class Merged(NamedTuple):
    """One or more stretches as one. ``times``: of what it is made; ``lasted`` seconds of them in all."""

    start: float
    end: float
    times: Counter[str]
    lasted: float

    @property
    def what(self) -> str:
        """Return the worst of what it is made of."""
        return min(self.times, key=lambda one: WORST.index(one) if one in WORST else len(WORST))

    @property
    def words(self) -> str:
        """Return ``down``; ``down 14 times, paused once, 0.21 s in all`` if it is more than one."""
        if self.times.total() == 1:
            return self.what
        parts = [f"{what} {times(number)}" for what, number in sorted(self.times.items(), key=lambda one: (-one[1], one[0]))]
        return f"{', '.join(parts)}, {self.lasted:.2f} s in all"


def times(number: int) -> str:
    """Return ``once``, ``1,204 times``."""
    return "once" if number == 1 else count(number, "time")


def columns(stretches: Iterable[Stretch], grain_s: float) -> list[Merged]:
    """Return stretches, given in order and apart from each other, with those as one that lie in one column of that many seconds.

    What is longer than a column stays as it is, so there are never more than two for each column.
    """
    out: list[Merged] = []
    for one in stretches:
        if out and one.end - out[-1].start <= grain_s:
            out[-1] = _joined(out[-1], one)
        else:
            out.append(Merged(one.start, one.end, Counter([one.what]), one.end - one.start))
    return out


def spans(stretches: Iterable[Stretch], grain_s: float) -> list[Merged]:
    """Return stretches that may overlap, with those as one that overlap or have less than a column between them: one for a column at most."""
    out: list[Merged] = []
    for one in sorted(stretches):
        if out and one.start - out[-1].end < grain_s:
            out[-1] = _joined(out[-1], one)
        else:
            out.append(Merged(one.start, one.end, Counter([one.what]), one.end - one.start))
    return out


def between(drawn: Sequence[Merged], start_s: float, end_s: float) -> list[Stretch]:
    """Return what is left of a time without the stretches: when a member ran."""
    edges = [start_s, *(edge for one in drawn for edge in (one.start, one.end)), end_s]
    return [Stretch(start, end, "running") for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


def _joined(first: Merged, one: Stretch) -> Merged:
    first.times[one.what] += 1
    return first._replace(end=max(first.end, one.end), lasted=first.lasted + one.end - one.start)
