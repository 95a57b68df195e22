"""A run over time as one picture: faults, members, throughput and latency share one axis, so that what goes together stands together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from kchaos.engine.etcd.result import EtcdResult, FaultLine
from kchaos.reports.diagram import HEAD, LEFT, LETTER, RIGHT, WIDTH, Label, Line, Rect, cut, step_of
from kchaos.reports.etcd.facts import Facts, Lane, Stretch
from kchaos.reports.etcd.merging import Merged, between, columns, spans, times
from kchaos.reports.etcd.words import count

BAND = 17
MOST_BANDS = 400
"""Faults that are drawn each by itself; more are drawn in a row for each name."""
MOST_NAMES = 24
"""Such rows: there are fewer faults than that, but a file may say anything."""
GRAIN = 2.0
"""Pixels: what is narrower is drawn together."""
MOST_LABELLED = 10
"""Rows of faults with their names beside them; if there would be more, names are in the table alone."""
MOST_ROWS = 8
BAR = 9
HEIGHTS = {"down": 3, "paused": 5}
"""Of bars that are not told by their colours alone."""
BRIEF = 4.0
"""Pixels: an absence that is narrower is drawn as a stroke over the whole height."""
APPLIED = 34
LANE = BAR + APPLIED + 14
PLOT = 74
LOST = 44
FLOOR_S = 0.0001
"""The least time on the axis of latency."""
BRIEF_S = 0.25
"""How long a fault that ended at once is drawn."""


class Path(NamedTuple):
    """A curve, or the area below it; ``kind`` is its class."""

    d: str
    kind: str


class Overtime(NamedTuple):
    """What is drawn, the first first; ``words`` says the same to those who can't see it, ``caption`` what is left out."""

    height: float
    rects: list[Rect]
    lines: list[Line]
    paths: list[Path]
    marks: list[Rect]
    labels: list[Label]
    words: str
    caption: str


Points = Sequence[tuple[float, float | None]]


class _Drawing:
    def __init__(self, result: EtcdResult, facts: Facts, grain: float) -> None:
        self._result = result
        self._facts = facts
        self._end = max(0.001, facts.end_s)
        self._scale = (RIGHT - LEFT) / self._end
        self._grain_s = grain / self._scale
        self._y = float(HEAD)
        self._rects: list[Rect] = []
        self._shades: list[Rect] = []
        self._lines: list[Line] = []
        self._paths: list[Path] = []
        self._marks: list[Rect] = []
        self._labels: list[Label] = []
        self._notes: list[str] = []
        self._faults = [one for one in result.faults if not one.why]

    def x(self, t: float) -> float:
        """Return where a time is."""
        return round(LEFT + min(max(t, 0.0), self._end) * self._scale, 1)

    def picture(self) -> Overtime:
        top = self._y
        self._phases()
        self._bands()
        self._terms()
        lanes = self._y
        highest = max((value for lane in self._facts.lanes for piece in lane.applied for _, value in piece), default=1)
        for lane in self._facts.lanes:
            self._lane(lane, highest)
        self._elections(lanes)
        plots = self._y
        self._throughput()
        self._lost()
        self._latency()
        self._shade(plots)
        self._axis(top)
        self._violations()
        caption = " ".join(self._notes)
        return Overtime(
            self._y + 22, [*self._shades, *self._rects], self._lines, self._paths, self._marks, self._labels, words(self._result, self._facts), caption,
        )  # fmt: skip

    def _name(self, text: str, middle: float, *notes: str) -> None:
        self._labels.append(Label(LEFT - 8, middle + 4, cut(text, 18), "name", "end"))
        for number, note in enumerate(notes, start=1):
            self._labels.append(Label(LEFT - 8, middle + 4 + 13 * number, cut(note, 18), "note", "end"))

    def _rule(self) -> None:
        self._lines.append(Line(0, self._y, RIGHT, self._y, "rule"))

    def _phases(self) -> None:
        if not self._facts.phases:
            return
        self._name("phase", self._y + 6)
        for one in self._facts.phases:
            x, end = self.x(one.start), self.x(one.end)
            self._rects.append(Rect(x, self._y, max(1.0, end - x - 1), 13, "phase", f"{one.what}, {one.start:.1f} s to {one.end:.1f} s"))
            room = int((end - x - 6) / LETTER)
            if room >= len(one.what):
                self._labels.append(Label(x + 4, self._y + 10.5, one.what, "small", at=x))
        self._y += 20

    def _bands(self) -> None:
        """Draw each fault in the first row that has room for it and its name."""
        if not self._faults:
            return
        if len(self._faults) > MOST_BANDS:
            self._sorts()
            return
        labelled = [_text(one) for one in self._faults]
        rows = self._packed([self._extent(one, text) for one, text in zip(self._faults, labelled, strict=True)])
        named = max(rows, default=0) < MOST_LABELLED
        if not named:
            rows = [row % MOST_ROWS for row in self._packed([self._extent(one, "") for one in self._faults])]
        for one, text, row in zip(self._faults, labelled, rows, strict=True):
            x, y = self.x(one.at_s), self._y + row * BAND
            until = f" to {one.until_s:.1f} s" if one.until_s is not None else ""
            kind = "band" if one.bit else "band inert"
            title = f"{text}, {one.at_s:.1f} s{until}: {'it bit' if one.bit else 'without effect'}"
            self._rects.append(Rect(x, y + 2, max(3.0, self.x(_until(one)) - x), BAND - 4, kind, title))
            if named:
                self._labels.append(self._label(x, y + 12.5, text))
        self._name("faults", self._y + 7, "" if named else "names: below")
        self._y += (max(rows) + 1) * BAND + 6

    def _sorts(self) -> None:
        """Draw a row for each sort of fault, the most frequent first: there are too many to tell each."""
        by_name: dict[str, list[Stretch]] = {}
        for one in self._faults:
            by_name.setdefault(one.name, []).append(Stretch(one.at_s, _until(one), "bit" if one.bit else "inert"))
        names = sorted(by_name, key=lambda name: (-len(by_name[name]), name))
        for name in names[:MOST_NAMES]:
            self._name(name, self._y + 7)
            for span in spans(by_name[name], self._grain_s):
                title = f"{name} {times(span.times.total())}, {span.times['bit']:,} bit, {span.start:.1f} s to {span.end:.1f} s"
                x = self.x(span.start)
                kind = "band" if span.what == "bit" else "band inert"
                self._rects.append(Rect(x, self._y + 2, max(3.0, self.x(span.end) - x), BAND - 4, kind, title))
            self._y += BAND
        self._y += 6
        self._notes.append(f"{len(self._faults):,} faults: those of one name are in one row, as one where they follow each other at once.")
        if len(names) > MOST_NAMES:
            self._notes.append(f"Left out: {count(len(names) - MOST_NAMES, 'sort')} of them.")

    def _label(self, x: float, y: float, text: str) -> Label:
        """Write beside a fault's begin; left of it if there is no room at the right."""
        if _room(x) >= _wide(text):
            return Label(x + 4, y, cut(text, 30), "on", at=x)
        return Label(x - 4, y, cut(text, 30), "on", "end", x)

    def _extent(self, one: FaultLine, text: str) -> tuple[float, float]:
        """Return from where to where a fault and its name take room."""
        x = self.x(one.at_s)
        end = max(self.x(_until(one)), x + 3)
        return (x, max(end, x + _wide(text) + 4 if text else 0.0)) if _room(x) >= _wide(text) else (x - _wide(text) - 4, end)

    @staticmethod
    def _packed(extents: Iterable[tuple[float, float]]) -> list[int]:
        ends: list[float] = []
        out = []
        for start, end in extents:
            row = next((number for number, over in enumerate(ends) if over + 3 <= start), len(ends))
            ends[row : row + 1] = [end]
            out.append(row)
        return out

    def _lane(self, lane: Lane, highest: int) -> None:
        self._rule()
        self._name(lane.name, self._y + 13, "applied index")
        y = self._y + 5
        away = columns((one for one in lane.states if one.what != "running"), self._grain_s)
        ran = [Merged(one.start, one.end, Counter([one.what]), one.end - one.start) for one in between(away, 0.0, self._facts.end_s)]
        for drawn in (*ran, *columns(lane.leads, self._grain_s), *away):  # away last: over what it is merged with
            height = HEIGHTS.get(drawn.what, BAR)
            bar = self._bar(drawn.start, drawn.end, y + (BAR - height) / 2, height, drawn.what, f"{lane.name} {_says(drawn)}")
            if height < BAR and bar.width < BRIEF:  # a restart takes a moment: a thin bar of a pixel would not be seen
                bar = bar._replace(y=y - 1, width=max(bar.width, BRIEF / 2), height=BAR + 2)
            self._rects.append(bar)
        for drawn in columns(lane.silent, self._grain_s):
            self._rects.append(self._bar(drawn.start, drawn.end, y + BAR + 1, 3, "silent", f"{lane.name} {_says(drawn)}"))
        bottom = self._y + LANE - 5
        for piece in lane.applied:
            self._curve([*((t, float(value)) for t, value in piece)], lambda value: bottom - APPLIED * value / max(1, highest), bottom, "applied")
        hit = [one for one in self._faults if one.bit and (lane.name in one.targets or "cluster" in one.targets)]
        self._shades += self._shaded(hit, self._y, LANE)
        self._y += LANE

    def _shaded(self, faults: Iterable[FaultLine], y: float, height: float) -> list[Rect]:
        """Shade when any of them lasted."""
        found = spans((Stretch(one.at_s, _until(one), "bit") for one in faults), self._grain_s)
        return [self._bar(one.start, one.end, y, height, "shade", "") for one in found]

    def _bar(self, start: float, end: float, y: float, height: float, kind: str, title: str) -> Rect:
        lasts = f", {start:.2f} s to {end:.2f} s" if title else ""
        return Rect(self.x(start), y, max(1.0, self.x(end) - self.x(start)), height, kind, f"{title}{lasts}" if title else "")

    def _curve(self, points: Points, height: Callable[[float], float], bottom: float, kind: str, until: float | None = None) -> None:
        """Draw steps: a value holds until the next; None: nothing is known there."""
        line, area, start = "", "", ""
        for index, (t, value) in enumerate(points):
            end = points[index + 1][0] if index + 1 < len(points) else (until if until is not None else t)
            if value is None:
                area += f"V{bottom}H{start}Z" if start else ""
                start = ""
                continue
            y = round(height(value), 1)
            step = f"V{y}H{self.x(end)}" if start else f"M{self.x(t)} {y}H{self.x(end)}"
            start = start or str(self.x(t))
            line += step
            area += step
        if start:
            area += f"V{bottom}H{start}Z"
        if line:
            self._paths += [Path(area, f"area {kind}"), Path(line, f"curve {kind}")]

    def _terms(self) -> None:
        """Name each term and its leader, as far as there is room: the members' lanes say more."""
        if not self._facts.terms:
            return
        self._name("term: leader", self._y + 7)
        before = 0.0
        for one in self._facts.terms:
            text = f"{one.term}: {cut(one.leader or 'nobody', 12)}"
            x = self.x(one.t)
            if x >= before and x + len(text) * LETTER < WIDTH:
                self._labels.append(Label(x + 3, self._y + 11, text, "small term", at=x))
                before = x + (len(text) + 1) * LETTER
        self._y += 20

    def _elections(self, top: float) -> None:
        """Mark each new term over the lanes; the first is no news."""
        begun = self._facts.terms[1:]
        for at in columns((Stretch(one.t, one.t, "term") for one in begun), self._grain_s):
            here, begun = begun[: at.times.total()], begun[at.times.total() :]
            title = f"{at.start:.1f} s: term {here[0].term}, led by {here[0].leader or 'nobody yet'}"
            if len(here) > 1:
                title = f"{at.start:.1f} s to {at.end:.1f} s: {len(here)} new terms, the last is {here[-1].term}, led by {here[-1].leader or 'nobody yet'}"
            self._marks.append(Rect(self.x(at.start) - 0.6, top - 4, 1.2, self._y - top + 4, "tick term", title))

    def _throughput(self) -> None:
        points: Points = [(one.t, one.ok / self._facts.width_s) for one in self._facts.load]
        self._plot("ok", points, PLOT, "ok", "operations/s")

    def _lost(self) -> None:
        width = self._facts.width_s
        unknown: Points = [(one.t, one.unknown / width) for one in self._facts.load]
        failed: Points = [(one.t, one.failed / width) for one in self._facts.load]
        most = max([1.0, *(value or 0.0 for _, value in (*unknown, *failed))])
        bottom = self._frame("unknown, failed", LOST, ("operations/s",), ((0.0, "0"), (most, f"{most:.4g}")), lambda v: v / most)
        for points, kind in ((unknown, "lost"), (failed, "failed")):
            self._curve(points, lambda value: bottom - (LOST - 16) * value / most, bottom, kind, self._facts.end_s)

    def _plot(self, name: str, points: Points, height: int, kind: str, note: str) -> None:
        most = max([1.0, *(value or 0.0 for _, value in points)])
        bottom = self._frame(name, height, (note,), ((0.0, "0"), (most, f"{most:,.0f}")), lambda v: v / most)
        self._curve(points, lambda value: bottom - (height - 16) * value / most, bottom, kind, self._facts.end_s)

    def _frame(self, name: str, height: int, notes: Sequence[str], grid: Iterable[tuple[float, str]], share: Callable[[float], float]) -> float:
        """Draw a plot's names and grid; return where its bottom is."""
        self._rule()
        self._name(name, self._y + height / 2 - 8, *notes)
        bottom = self._y + height - 6
        for value, text in grid:
            y = round(bottom - (height - 16) * share(value), 1)
            self._lines.append(Line(LEFT, y, RIGHT, y, "grid"))
            self._labels.append(Label(LEFT + 2, y - 2, text, "note", at=LEFT))
        self._y += height
        return bottom

    def _latency(self) -> None:
        """Draw by powers of ten: what a fault does to the slowest is a thousand times what it does to the median."""
        found = [value for one in self._facts.load for value in (one.p50, one.p99) if value is not None]
        low = floor(log10(max(FLOOR_S, min(found, default=0.001))))
        high = max(low + 1, ceil(log10(max(FLOOR_S, *found)))) if found else low + 1

        def share(value: float) -> float:
            return (min(max(log10(max(value, FLOOR_S)), low), high) - low) / (high - low)

        height = max(PLOT, 16 + 15 * (high - low))
        bottom = self._frame("latency", height, ("p99, p50",), [(10.0**n, duration(10.0**n)) for n in range(low, high + 1)], share)
        for points, kind in (([(one.t, one.p99) for one in self._facts.load], "p99"), ([(one.t, one.p50) for one in self._facts.load], "p50")):
            self._curve(points, lambda value: bottom - (height - 16) * share(value), bottom, kind, self._facts.end_s)

    def _shade(self, top: float) -> None:
        self._shades += self._shaded((one for one in self._faults if one.bit), top, self._y - top)

    def _axis(self, top: float) -> None:
        self._rule()
        gap = step_of(self._end)
        for number in range(int(self._end / gap) + 1):
            t = number * gap
            self._lines.append(Line(self.x(t), top, self.x(t), self._y + 4, "grid"))
            self._labels.append(Label(self.x(t), self._y + 17, f"{t:g} s", "note", "middle"))

    def _violations(self) -> None:
        before, line = -1000.0, -1000.0
        for one in sorted(self._result.findings, key=lambda one: one.t):
            x = self.x(one.t)
            if x - line < 1.0:  # one line for all of one moment
                continue
            line = x
            self._lines.append(Line(x, HEAD - 6, x, self._y, "violation"))
            text = f"✗ {one.id} at {one.t:.1f} s"
            if x - before >= len(text) * LETTER:
                right = x > WIDTH * 0.7
                self._labels.append(Label(x + (-4 if right else 4), HEAD - 9, cut(text, 40), "violation", "end" if right else "start", x))
                before = x


def _text(one: FaultLine) -> str:
    return f"{one.name} {', '.join(one.targets)}".strip()


def _wide(text: str) -> float:
    return min(len(text), 30) * LETTER


def _room(x: float) -> float:
    return RIGHT - x - 6


def _says(drawn: Merged) -> str:
    return drawn.words.replace("leads", "says that it leads").replace("silent", "gives no status")


def _until(one: FaultLine) -> float:
    return one.until_s if one.until_s is not None else one.at_s + BRIEF_S


def duration(value: float) -> str:
    """Return seconds as ``0.4 ms``, ``12 ms``, ``1.2 s``."""
    if value < 0.01:
        return f"{value * 1000:.2g} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"


def overtime(result: EtcdResult, facts: Facts, grain: float = GRAIN) -> Overtime:
    """Return the picture of a run; what is narrower than ``grain`` pixels is drawn together."""
    return _Drawing(result, facts, grain).picture()


def words(result: EtcdResult, facts: Facts) -> str:
    """Return in sentences what the picture shows."""
    out = [f"{facts.end_s:.0f} s, {count(len(result.faults), 'fault')}, {count(result.elections, 'election')}."]
    for lane in facts.lanes:
        away = [f"{one.what} from {one.start:.1f} s to {one.end:.1f} s" for one in lane.states if one.what != "running"]
        more = f" and {len(away) - 6} more times" if len(away) > 6 else ""
        out.append(f"{lane.name}: {', '.join(away[:6]) + more if away else 'ran all the time'}.")
    rates = [one.ok / facts.width_s for one in facts.load]
    if rates:
        out.append(f"Between {min(rates):.0f} and {max(rates):.0f} acknowledged operations/s.")
    return " ".join([*out, *(f"{one.id} violated at {one.t:.1f} s." for one in result.findings[:10])])
