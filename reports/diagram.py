"""A timeline as shapes with places: what the template draws as SVG. Widths and heights are those of the picture's own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kchaos.engine.pictures import ANSWERING, LOST
from kchaos.engine.timeline import CONTROL, UNPLACED, Band, Curve, Lane, Timeline

WIDTH = 960
LEFT = 132
"""Where time begins; lanes have their names before it."""
RIGHT = WIDTH - 18
ROW = 23
"""A pod: its name, its bar below it."""
BAR = 8
THIN = 5
"""A pod that is not ready: not told by its colour alone."""
BAND = 20
CURVE = 66
HEAD = 24
"""For the moment of the violation, in words."""
LETTER = 6.7
"""About the width of a letter, to see what fits."""


_NOTES = {ANSWERING: "pods answering", LOST: "requests lost/s"}
"""What stands below a curve's name, short."""


class Rect(NamedTuple):
    """A rectangle; ``kind`` is its class, ``title`` its words."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""


class Label(NamedTuple):
    """A text at a place; ``anchor``: start, middle or end; ``at``: the x of the time that it stands at, if not ``x``; ``full``: what was cut."""

    x: float
    y: float
    text: str
    kind: str = ""
    anchor: str = "start"
    at: float | None = None
    full: str = ""


class Line(NamedTuple):
    """A line."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str


class Picture(NamedTuple):
    """What is drawn, the first first; ``words`` says the same to those who can't see it; ``caption`` what is left out."""

    height: float
    rects: list[Rect]
    lines: list[Line]
    marks: list[Rect]
    labels: list[Label]
    curves: list[tuple[str, str]]
    """Paths of the line, and of the area below it."""
    words: str
    caption: str
    states: list[str]


class _Drawing:
    def __init__(self, timeline: Timeline) -> None:
        self._of = timeline
        self._scale = (RIGHT - LEFT) / max(0.001, timeline.end_s - timeline.start_s)
        self._y = float(HEAD)
        self._rects: list[Rect] = []
        self._shades: list[Rect] = []
        self._lines: list[Line] = []
        self._marks: list[Rect] = []
        self._labels: list[Label] = []
        self._curves: list[tuple[str, str]] = []
        self._states: dict[str, None] = {}
        self._tops: dict[str, tuple[float, float]] = {}

    def x(self, t: float) -> float:
        """Return where a time is."""
        return round(LEFT + (min(max(t, self._of.start_s), self._of.end_s) - self._of.start_s) * self._scale, 1)

    def picture(self) -> Picture:
        top = self._y
        for band in self._of.bands:
            self._band(band)
        self._control()
        for lane in self._of.lanes:
            self._lane(lane)
        self._shade()
        for curve in self._of.curves:
            self._draw_curve(curve)
        self._axis(top)
        self._violation()
        caption = f"Put together or left out: {'; '.join(self._of.left_out)}." if self._of.left_out else "Nothing is left out."
        return Picture(
            self._y + 22, [*self._shades, *self._rects], self._lines, self._marks, self._labels, self._curves, words(self._of),
            caption, list(self._states),
        )  # fmt: skip

    def _name(self, text: str, middle: float, note: str = "") -> None:
        self._labels.append(Label(LEFT - 8, middle + 4, cut(text, 18), "name", "end"))
        if note:
            self._labels.append(Label(LEFT - 8, middle + 17, cut(note, 18), "note", "end"))

    def _band(self, band: Band) -> None:
        x, end = self.x(band.start), self.x(band.end)
        width = max(3.0, end - x)
        lasts = f"{band.start:.1f} s to {band.end:.1f} s"
        self._rects.append(Rect(x, self._y + 2, width, BAND - 4, "band", f"{band.label}, {lasts}"))
        room = RIGHT - x - 6
        if room >= len(band.label) * LETTER or room > 240:
            self._labels.append(Label(x + 5, self._y + 14.5, cut(band.label, int(room / LETTER)), "on", at=x))
        else:
            self._labels.append(Label(x - 5, self._y + 14.5, cut(band.label, int((x - LEFT) / LETTER)), "on", "end", x))
        if band is self._of.bands[0]:
            self._name("faults", self._y + BAND / 2)
        self._y += BAND

    def _control(self) -> None:
        if self._of.bands:
            self._y += 6
        height = 24
        self._rule(self._y)
        self._name(CONTROL, self._y + height / 2)
        for tick in self._of.ticks:
            kind = "tick refused" if tick.refused else "tick"
            self._marks.append(Rect(self.x(tick.t) - 1.5, self._y + 5, 3, height - 10, kind, f"{tick.t:.1f} s: {tick.text}"))
            later = [self.x(other.t) for other in self._of.ticks if other.t > tick.t]
            room = int((min(later, default=float(RIGHT)) - self.x(tick.t) - 10) / LETTER)
            if tick.refused and room >= 16:
                self._labels.append(
                    Label(self.x(tick.t) + 6, self._y + height / 2 + 4, cut(tick.text, room), "said", at=self.x(tick.t), full=tick.text)
                )
        self._y += height

    def _lane(self, lane: Lane) -> None:
        rows = _rows(lane)
        height = max(36, len(rows) * ROW + 6)
        self._rule(self._y)
        middle = self._y + height / 2 - (6 if lane.zone or lane.more else 0)
        self._name("on no node" if lane.name == UNPLACED else lane.name, middle, f"+{lane.more} pods" if lane.more else lane.zone)
        for number, row in enumerate(rows):
            y = self._y + 2 + number * ROW
            for index in row:
                bar = lane.bars[index]
                begin = self.x(bar.parts[0].start)
                for part in bar.parts:
                    width = max(1.2, self.x(part.end) - self.x(part.start))
                    title = f"{part.state}, {part.start:.1f} s to {part.end:.1f} s"
                    self._rects.append(Rect(self.x(part.start), y + 13, width, BAR if part.state == "ready" else THIN, part.state, title))
                    self._states[part.state] = None
                later = [self.x(lane.bars[other].parts[0].start) for other in row if lane.bars[other].parts[0].start >= bar.parts[-1].end]
                room = int((min(later, default=float(RIGHT)) - begin - 4) / LETTER)
                if room >= 6:
                    self._labels.append(Label(begin, y + 10, tail(bar.pod, room), "pod", full=bar.pod))
        self._tops[lane.name] = (self._y, height)
        self._y += height

    def _shade(self) -> None:
        """Show on the lanes that were hit how long a fault lasts."""
        for band in self._of.bands:
            for name in dict.fromkeys(band.lanes):
                if name in self._tops:
                    y, height = self._tops[name]
                    self._shades.append(Rect(self.x(band.start), y, max(3.0, self.x(band.end) - self.x(band.start)), height, "shade"))

    def _draw_curve(self, curve: Curve) -> None:
        self._rule(self._y)
        top, bottom = self._y + 10, self._y + CURVE - 8
        most = max(1.0, *(value for _, value in curve.points)) if len(curve.points) > 1 else max(1.0, curve.points[0][1])
        self._name(curve.of.rpartition("/")[2], self._y + CURVE / 2 - 6, _NOTES.get(curve.label, curve.label))
        for value in (0.0, most):
            y = bottom - (bottom - top) * value / most
            self._lines.append(Line(LEFT, y, RIGHT, y, "grid"))
            self._labels.append(Label(LEFT + 2, y - 2, f"{value:.3g}", "note", at=LEFT))

        def height(value: float) -> float:
            return round(bottom - (bottom - top) * value / most, 1)

        path = f"M{self.x(curve.points[0][0])} {height(curve.points[0][1])}"
        for t, value in curve.points[1:]:
            path += f"H{self.x(t)}V{height(value)}"
        line = path + f"H{RIGHT}"
        self._curves.append((line, line + f"V{bottom}H{self.x(curve.points[0][0])}Z"))
        self._y += CURVE

    def _rule(self, y: float) -> None:
        self._lines.append(Line(0, y, RIGHT, y, "rule"))

    def _axis(self, top: float) -> None:
        self._rule(self._y)
        gap = step_of(self._of.end_s - self._of.start_s)
        t = 0.0
        while t <= self._of.end_s:
            self._lines.append(Line(self.x(t), top, self.x(t), self._y + 4, "grid"))
            self._labels.append(Label(self.x(t), self._y + 17, f"{t:g} s", "note", "middle"))
            t += gap

    def _violation(self) -> None:
        x = self.x(self._of.violated_s)
        self._lines.append(Line(x, HEAD - 6, x, self._y, "violation"))
        right = x > WIDTH * 0.7
        self._labels.append(
            Label(
                x + (-4 if right else 4),
                HEAD - 9,
                f"✗ violated from {self._of.violated_s:.1f} s",
                "violation",
                "end" if right else "start",
                x,
            )
        )


def diagram(timeline: Timeline) -> Picture:
    """Return the picture of a timeline."""
    return _Drawing(timeline).picture()


def words(timeline: Timeline) -> str:
    """Return in sentences what the picture shows."""
    told = [f"{one.label} from {one.start:.1f} s to {one.end:.1f} s" for one in timeline.bands]
    out = [f"Faults: {'; '.join(told)}." if told else "No fault."]
    for lane in timeline.lanes:
        pods = [f"{bar.pod} {', '.join(f'{part.state} until {part.end:.0f} s' for part in bar.parts[:5])}" for bar in lane.bars[:4]]
        more = len(lane.bars) - 4 + lane.more
        where = "On no node" if lane.name == UNPLACED else f"On {lane.name}"
        out.append(f"{where}: {'; '.join(pods) or 'no pod'}{f'; and {more} more' if more > 0 else ''}.")
    for curve in timeline.curves:
        values = [value for _, value in curve.points]
        out.append(f"{curve.of}, {curve.label}: between {min(values):g} and {max(values):g}.")
    return " ".join([*out, f"Violated from {timeline.violated_s:.1f} s."])


def _rows(lane: Lane) -> list[list[int]]:
    """Return rows of bars that do not overlap."""
    rows: list[list[int]] = []
    ends: list[float] = []
    for index, bar in enumerate(lane.bars):
        start, end = bar.parts[0].start, bar.parts[-1].end
        free = next((number for number, over in enumerate(ends) if over <= start), None)
        if free is None:
            rows.append([index])
            ends.append(end)
        else:
            rows[free].append(index)
            ends[free] = end
    return rows


def step_of(span: float) -> float:
    """Return the time between two marks of the axis: a round number that gives six to twelve of them."""
    steps: Sequence[float] = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
    return next((one for one in steps if span / one <= 12), span / 8)


def cut(text: str, room: int) -> str:
    """Return a text's begin in so many letters."""
    return text if len(text) <= room else f"{text[: max(1, room - 1)]}…"


def tail(text: str, room: int) -> str:
    """Return a pod's name in so many letters: its end tells it from the others."""
    return text if len(text) <= room else f"…{text[-max(1, room - 1) :]}"
