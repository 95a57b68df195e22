"""What proves a finding, as a picture in real time and as rows of a table: who asked what when, and what the answers say of the order.

A call takes effect at some instant between its begin and its answer. So a call that was answered before another began came first, and
what the answers say (revisions, what was read) must agree with that. Where it does not, the picture says so in red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import hypot
from typing import NamedTuple

from kchaos.engine.etcd.result import EtcdFinding
from kchaos.history.operations import OP, Operation, Outcome, operation_of
from kchaos.history.record import Mark
from kchaos.reports.diagram import Label, Line, Rect, cut
from kchaos.reports.etcd import words
from kchaos.reports.etcd.facts import Facts

WIDTH = 960
LEFT = 150
RIGHT = WIDTH - 30
LANE = 52
HEAD = 14
STEP = 13
"""Below each other stand what was done to processes, so that long names don't meet."""
LETTER = 6.7
LEAST = 70.0
"""Units between two instants, however close they are: what counts is their order."""
MOST = 8
"""Of a witness that is drawn; two to four are usual."""
EVENTS = 3
"""What was done to processes in between, the last of it."""
BREAKS = ("killed", "paused", "exited", "restarted")


class Shown(NamedTuple):
    """One witness that is an operation, by its place among all; ``accused``: it is the last, and what it was told contradicts the others."""

    number: int
    operation: Operation
    accused: bool

    @property
    def who(self) -> str:
        """Return the client."""
        return f"process {self.operation.process}"

    @property
    def asked(self) -> str:
        """Return what it asked for."""
        return words.asked(self.operation)

    @property
    def answered(self) -> str:
        """Return what it was told."""
        return words.answered(self.operation)

    @property
    def unknown(self) -> bool:
        """Tell whether it may still take effect after its client gave up."""
        return self.operation.outcome == Outcome.UNKNOWN


class Clash(NamedTuple):
    """Two witnesses that can't both be, by their numbers, and why."""

    first: int
    then: int
    says: str


class Witness(NamedTuple):
    """The picture: as of :class:`kchaos.reports.diagram.Picture`; ``arrows`` are paths."""

    height: float
    rects: list[Rect]
    lines: list[Line]
    arrows: list[tuple[str, str]]
    labels: list[Label]
    words: str


def witnesses(finding: EtcdFinding) -> list[Shown]:
    """Return the operations that prove a finding, in the order in which they began; their numbers are their places among all witnesses."""
    proof = finding.proof[:MOST]
    found = [
        Shown(number, operation_of(Mark(0.0, OP, one["operation"])), number == len(proof) > 1)
        for number, one in enumerate(proof, start=1) if "operation" in one
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.operation.call_s, one.number))


def clashes(shown: Sequence[Shown]) -> list[Clash]:
    """Return the pairs whose answers do not agree with real time, or with each other.

    Only what is plain: a revision that two writes took; revisions that fall while time goes on (etcd's header.revision never does for
    requests that are linearizable); a read that does not see, or sees an older state than, a write that was acknowledged before it began;
    a serializable read of a revision that nobody had asked for yet.
    """
    out = []
    done = [(one.number, one.operation) for one in shown if one.operation.outcome == Outcome.OK]
    for at, (number, one) in enumerate(done):
        for other_number, other in done[at + 1 :]:
            if _wrote(one) and _wrote(other) and one.revision == other.revision:
                out.append(Clash(number, other_number, f"both took revision {one.revision}"))
            elif one.return_s < other.call_s and not other.serializable:
                says = _early(one, other) if one.serializable else _missed(one, other) or _backwards(one, other)
                if says:
                    out.append(Clash(number, other_number, says))
    return out


def _wrote(one: Operation) -> bool:
    """Tell whether it certainly took a revision of its own: deletes of absent keys don't."""
    return one.succeeded and (any(value is not None for _, value in one.writes) or one.deleted > 0)


def _early(read: Operation, write: Operation) -> str:
    """Return what is wrong if a serializable read, which may be old, is of the future."""
    early = _wrote(write) and write.revision <= read.revision
    return f"revision {read.revision} was answered before revision {write.revision} was asked for" if early else ""


def _backwards(one: Operation, other: Operation) -> str:
    wrong = other.revision < one.revision or (_wrote(other) and other.revision == one.revision)
    return f"later, yet at revision {other.revision}, not after {one.revision}" if wrong else ""


def _missed(write: Operation, read: Operation) -> str:
    for key, value in write.writes if _wrote(write) else ():
        for seen in read.seen:
            if seen.key == key and value is not None and seen.mod_revision < write.revision:
                state = f"revision {seen.mod_revision}" if seen.value is not None else "no such key"
                return f"sees {state}, though {write.revision} was acknowledged before"
    return ""


def happened(shown: Sequence[Shown], facts: Facts) -> list[tuple[float, str]]:
    """Return what was done to processes between the first and the last witness: a write that is lost was lost there.

    If no operation contradicts the others, members' histories do, which were read in the end.
    """
    start = min((one.operation.call_s for one in shown), default=facts.end_s)
    end = max(one.operation.call_s for one in shown) if any(one.accused for one in shown) else facts.end_s
    return [(t, f"{member} {event}") for t, member, event in facts.events if start <= t <= end and event in BREAKS]


def between(shown: Sequence[Shown], facts: Facts) -> str:
    """Return the same in numbers: ``m2 killed 12 times``."""
    counts = Counter(says for _, says in happened(shown, facts))
    return ", ".join(f"{says}{f' {number} times' if number > 1 else ''}" for says, number in counts.items())


def _places(times: Sequence[float]) -> Mapping[float, float]:
    """Return where each instant is: in order, not to scale, for a call takes milliseconds and a fault seconds."""
    gaps = [after - before for before, after in pairwise(times)]
    room = RIGHT - 60 - LEFT - 30
    least = min(LEAST, room / max(1, len(gaps)))
    weights = [(gap / max(gaps)) ** 0.5 for gap in gaps]
    spare = (room - least * len(gaps)) / (sum(weights) or 1.0)
    x, places = LEFT + 30.0, {}
    for index, t in enumerate(times):
        places[t] = round(x, 1)
        if index < len(gaps):
            x += least + spare * weights[index]
    return places


class _Drawing:
    def __init__(self, shown: Sequence[Shown], facts: Facts) -> None:
        self._shown = shown
        events = happened(shown, facts)
        self._events = events[-EVENTS:] if any(one.accused for one in shown) else events[:EVENTS]
        calls = [t for one in shown for t in (one.operation.call_s, one.operation.return_s)]
        self._at = _places(sorted({*calls, *(t for t, _ in self._events)}))
        lanes = dict.fromkeys((one.operation.process, one.operation.member) for one in shown)
        self._top = float(HEAD + STEP * len(self._events))
        self._lanes = {lane: self._top + LANE * number for number, lane in enumerate(lanes)}
        self._bottom = self._top + LANE * len(lanes)
        self._rects: list[Rect] = []
        self._arrows: list[tuple[str, str]] = []
        self._labels: list[Label] = []
        self._lines = [Line(0, y, RIGHT, y, "rule") for y in (*self._lanes.values(), self._bottom)]

    def picture(self) -> Witness:
        for (process, member), y in self._lanes.items():
            self._labels.append(Label(LEFT - 10, y + 23, cut(f"process {process}", 20), "name", "end"))
            self._labels.append(Label(LEFT - 10, y + 38, cut(f"asks {member}", 20), "note", "end"))
        self._axis()
        for one in self._shown:
            self._call(one)
        found = clashes(self._shown)
        by_number = {one.number: one for one in self._shown}
        pairs = {(one.first, one.then) for one in found}
        for before, after in pairwise(self._shown):
            if before.operation.return_s < after.operation.call_s and not before.unknown and (before.number, after.number) not in pairs:
                self._arrow(before, after, "before")
        for number, clash in enumerate(found):
            self._arrow(by_number[clash.first], by_number[clash.then], "wrong")
            says = cut(f"✗ {clash.first} and {clash.then}: {clash.says}", 115)
            self._labels.append(Label(LEFT, self._bottom + 45 + 17 * number, says, "violation"))
        return Witness(self._bottom + 34 + 17 * len(found), self._rects, self._lines, self._arrows, self._labels, told(self._shown))

    def _axis(self) -> None:
        for number, (t, says) in enumerate(self._events):
            x, y = self._at[t], HEAD + STEP * number
            self._lines.append(Line(x, y + 2, x, self._bottom + 4, "broken"))
            self._labels.append(Label(x, y, f"✗ {cut(says, 24)} {t:.3f}", "broken", "middle"))
        calls = [t for t in self._at if t not in dict(self._events)]
        for number, t in enumerate(calls):
            x = self._at[t]
            self._lines.append(Line(x, self._top, x, self._bottom + 4, "grid"))
            self._labels.append(Label(x, self._bottom + (28 if number % 2 else 17), f"{t:.4f}", "note", "middle"))

    def _call(self, one: Shown) -> None:
        op = one.operation
        y, x, end = self._lanes[op.process, op.member], self._at[op.call_s], self._at[op.return_s]
        self._rects.append(Rect(x, y + 24, max(4.0, end - x), 14, "call wrong" if one.accused else "call", f"{one.asked}; {one.answered}"))
        if one.unknown:
            self._rects.append(Rect(end, y + 28, RIGHT - end, 6, "open", "it may take effect at any time from its call on, or never"))
        answer = "unknown" if one.unknown else "failed" if op.outcome == Outcome.FAILED else f"revision {op.revision}"
        sees = ", ".join(words.assigned(seen.key, seen.value) for seen in op.seen)
        text = f"{one.number} {cut(one.asked, 40)} → {cut(sees, 30) + ', ' if sees else ''}{answer}"
        if x + len(text) * LETTER <= WIDTH:
            self._labels.append(Label(x, y + 18, text, "small"))
        else:
            # Below the bar: arrows come from above left.
            self._labels.append(Label(max(min(end, WIDTH - 4.0), LEFT + len(text) * LETTER), y + 49, text, "small", "end"))

    def _arrow(self, first: Shown, then: Shown, kind: str) -> None:
        """Draw from the one's answer to the other's call: that is what real time says of their order."""
        one, other = first.operation, then.operation
        x1, y1 = self._at[one.return_s], self._lanes[one.process, one.member] + 31
        x2, y2 = self._at[other.call_s], self._lanes[other.process, other.member] + 31
        long = hypot(x2 - x1, y2 - y1) or 1.0
        ux, uy = (x2 - x1) / long * 8, (y2 - y1) / long * 8
        head = f"M{x2 - ux - uy / 2:.1f} {y2 - uy + ux / 2:.1f}L{x2} {y2}L{x2 - ux + uy / 2:.1f} {y2 - uy - ux / 2:.1f}"
        self._arrows += [(f"M{x1} {y1}L{x2} {y2}", kind), (head, kind)]


def drawn(shown: Sequence[Shown], facts: Facts) -> Witness | None:
    """Return the picture of a witness; None if there is no order to show: one operation, and nothing happened."""
    return _Drawing(shown, facts).picture() if len(shown) > 1 or (shown and happened(shown, facts)) else None


def told(shown: Sequence[Shown]) -> str:
    """Return in sentences what the picture shows."""
    rows = [
        f"{one.number}. {one.who} at {one.operation.member}, {one.operation.call_s:.6f} s to {one.operation.return_s:.6f} s: {one.asked}; {one.answered}."
        for one in shown
    ]
    return " ".join([*rows, *(f"{one.first} and {one.then}: {one.says}." for one in clashes(shown))])
