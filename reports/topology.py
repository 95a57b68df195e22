"""The nodes at a moment as shapes with places: zones as columns, nodes as boxes, pods as marks that differ in shape, not in colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kchaos.engine.timeline import UNPLACED, Moment, Place
from kchaos.reports.diagram import Label, Rect, tail

WIDTH = 306
COLUMNS = 3
GAP = 6
NAME = 16
"""Height of a line of text."""
DOT = 5.0
STEP = 14.0
"""From one mark to the next."""
LETTER = 6.9
LONGEST = 63
"""Letters of a name in words."""
ORDER = ("ready", "starting", "unready", "terminating", "pending", "ended")
WORDS = {"unready": "no longer ready", "pending": "on no node"}
"""What is said of states whose names say too little."""


class Mark(NamedTuple):
    """A pod as a path."""

    kind: str
    d: str


class Picture(NamedTuple):
    """What is drawn, the first first; ``words`` says the same."""

    height: float
    rects: list[Rect]
    marks: list[Mark]
    labels: list[Label]
    words: str


def topologies(moments: Sequence[Moment]) -> list[Picture]:
    """Return a picture for each moment; nodes are at the same place in all of them."""
    said = any(place.says for one in moments for place in one.places)
    return [_picture(one, said) for one in moments]


def states(moments: Sequence[Moment]) -> list[tuple[str, str, str]]:
    """Return (state, path of its mark, words) of the states that occur."""
    found = {state for one in moments for place in one.places for state in place.pods}
    return [(state, shape(state, 7, 7), WORDS.get(state, state)) for state in ORDER if state in found]


def shape(state: str, x: float, y: float) -> str:
    """Return the path of a pod's mark around a point: a disc, a ring, a diamond, a cross, a small square."""
    r = DOT
    if state == "unready":
        return f"M{x:g} {y - r - 1:g}L{x + r + 1:g} {y:g}L{x:g} {y + r + 1:g}L{x - r - 1:g} {y:g}Z"
    if state == "terminating":
        return f"M{x - 4:g} {y - 4:g}l8 8M{x - 4:g} {y + 4:g}l8 -8"
    if state == "ended":
        return f"M{x - 3:g} {y - 3:g}h6v6h-6Z"
    return f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0"


def _picture(moment: Moment, said: bool) -> Picture:
    drawn = _Drawing(said)
    nodes = [place for place in moment.places if place.name != UNPLACED]
    zones: dict[str, list[Place]] = {}
    for place in nodes:
        zones.setdefault(place.zone, []).append(place)
    if len(zones) > 1:
        drawn.zones(list(zones.items()))
    else:
        drawn.zones([(f"{name} " if index else name, part) for name, part in zones.items() for index, part in enumerate(_dealt(part))])
    for place in moment.places:
        if place.name == UNPLACED:
            drawn.unplaced(place)
    if moment.elsewhere:
        drawn.note(f"and {moment.elsewhere} more nodes")
    return Picture(drawn.y, drawn.rects, drawn.marks, drawn.labels, words(moment))


def _dealt(places: Sequence[Place]) -> list[list[Place]]:
    """Return the nodes of the only zone in columns."""
    return [list(places[column::COLUMNS]) for column in range(min(COLUMNS, len(places)))]


class _Drawing:
    def __init__(self, said: bool) -> None:
        self.y = 0.0
        self.rects: list[Rect] = []
        self.marks: list[Mark] = []
        self.labels: list[Label] = []
        self._box = NAME + 2 * DOT + 8 + (NAME - 2 if said else 0)

    def zones(self, zones: Sequence[tuple[str, list[Place]]]) -> None:
        """Draw zones side by side, a few in each row."""
        for start in range(0, len(zones), COLUMNS):
            row = zones[start : start + COLUMNS]
            width = (WIDTH - GAP * (len(row) - 1)) / len(row)
            deepest = max(len(places) for _, places in row)
            for column, (name, places) in enumerate(row):
                x = column * (width + GAP)
                if name.strip():
                    self.labels.append(Label(x + 2, self.y + 11, _cut(name, width) if not name.endswith(" ") else "", "zone"))
                for number, place in enumerate(places):
                    self._node(place, x, self.y + NAME + number * (self._box + 4), width)
            self.y += NAME + deepest * (self._box + 4) + 4

    def _node(self, place: Place, x: float, y: float, width: float) -> None:
        self.rects.append(Rect(round(x + 1, 1), round(y, 1), round(width - 2, 1), self._box, f"node {place.state}".strip()))
        self.labels.append(Label(x + 6, y + 12, tail(place.name, int((width - 12) / LETTER)), "name"))
        self._pods(place, x + 12, y + NAME + DOT + 3, int((width - 12) / STEP))
        if place.says:
            self.labels.append(Label(x + 6, y + self._box - 5, _cut(place.says, width - 8), "says"))

    def _pods(self, place: Place, x: float, y: float, room: int) -> None:
        pods = [state for state in ORDER for _ in range(place.pods.get(state, 0))]
        shown = pods if len(pods) <= room else pods[: max(1, room - 2)]
        self.marks += [Mark(state, shape(state, round(x + number * STEP, 1), round(y, 1))) for number, state in enumerate(shown)]
        if len(pods) > len(shown):
            self.labels.append(Label(x + len(shown) * STEP - 4, y + 4, f"+{len(pods) - len(shown)}", "note"))

    def unplaced(self, place: Place) -> None:
        """Draw pods that are on no node."""
        self.labels.append(Label(2, self.y + 12, "on no node", "zone"))
        self._pods(place, 90, self.y + 8, int((WIDTH - 96) / STEP))
        self.y += NAME + 4

    def note(self, text: str) -> None:
        """Write a line below."""
        self.labels.append(Label(2, self.y + 12, text, "note"))
        self.y += NAME


def words(moment: Moment) -> str:
    """Return in words what the picture shows."""
    out = []
    for place in moment.places:
        pods = ", ".join(f"{place.pods[state]} {WORDS.get(state, state)}" for state in ORDER if place.pods.get(state))
        if place.name == UNPLACED:
            out.append(f"on no node: {sum(place.pods.values())}")
        elif pods or place.says:
            zone = f" ({place.zone[:LONGEST]})" if place.zone else ""
            out.append(f"{place.name[:LONGEST]}{zone}: {'; '.join(one for one in (place.says[:LONGEST], pods) if one)}")
    idle = sum(not (place.pods or place.says) for place in moment.places) + moment.elsewhere
    return ". ".join([*out, *([f"{idle} other node{'s' if idle > 1 else ''} without pods of it"] if idle else [])])


def _cut(text: str, width: float) -> str:
    room = int(width / LETTER)
    return text if len(text) <= room else f"{text[: max(1, room - 1)]}…"
