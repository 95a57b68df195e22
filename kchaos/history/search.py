"""Search: which unknown write took which gap in the revision order, so that every answer is what replay gives.

Exact: depth first in the order of revisions, with conflict-directed backjumping (Prosser, "Hybrid algorithms for the constraint
satisfaction problem", 1993): a contradiction about a key goes back to the last gap that may have touched this key. Three things mostly
spare it that: an answer that names a gap as mod_revision says what was written there; an answer that names an earlier revision forbids
the gaps between to touch the key; and the version that is seen next says how many writes lie between. Writes that differ by a value that
nobody saw are one class: which of them it was can't matter, and of one class the one with the lowest floor is taken first, since
whatever may take a gap may take every later one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kchaos.history.events import Log
from kchaos.history.operations import Operation
from kchaos.history.placement import Placed, Timed
from kchaos.history.replay import NOTHING, Failure, Key, Replay

ANY = ""
"""Of a write in a class: a value that nobody saw; as a demand: whatever value. Real values have a mark before them (:func:`_told`)."""


@dataclass(slots=True, eq=False)
class Class:
    """Unknown writes that nobody can tell apart, by floor."""

    compares: tuple[tuple[str, int], ...]
    effects: Mapping[str, str | None]
    """Key -> what is put there (:func:`_told`), None: it is deleted."""
    members: list[int] = field(default_factory=list)
    floors: list[int] = field(default_factory=list)
    users: list[int] = field(default_factory=list)
    """The nodes that have taken one, in order."""


@dataclass(slots=True)
class Node:
    """One gap under decision."""

    gap: int
    at: int
    mark: tuple[int, int]
    options: list[Class]
    touches: frozenset[str]
    """Keys that it may have changed, whatever was decided before."""
    conflicts: set[int]
    """Earlier nodes but for whose decision a refused option might have done."""
    chosen: Class | None = None


class Ahead(NamedTuple):
    """What the first answer behind a gap says of one key: so many ``puts`` of it are certain and so many other ``gaps`` lie between."""

    place: int
    seen: Key
    puts: int
    gaps: int
    mod_only: bool


class Found(NamedTuple):
    """How it ended: an assignment of gaps to unknown writes; or the ``failure`` that came last and no assignment avoids; or neither: given up."""

    assigned: Mapping[int, int]
    failure: Failure | None
    empty_gap: int
    """The gap that nothing can fill, if that is the failure."""
    exhausted: bool
    """Whether every possibility was looked at."""


class Search:
    """One search over one history. ``effort``: how many operations may be replayed or looked at beyond the first time."""

    def __init__(
        self, operations: Sequence[Operation], placed: Placed, timed: Timed, gaps: Sequence[int], log: Log | None, effort: int
    ) -> None:  # fmt: skip
        self._operations = operations
        self._placed = placed
        self._gaps = gaps
        self._last = gaps[-1] if gaps else 0
        self._log = log
        self._effort = effort + len(placed.order)
        self._replay = Replay(operations, placed, log, undoable=True)
        self._nodes: list[Node] = []
        self._touching: dict[str, list[int]] = {}
        self._about: dict[str, list[int]] = {key: [] for index in placed.unknown for key, _ in operations[index].writes}
        """Key that an unknown write touches -> the places in the order at which anything is said or done about it."""
        self._demands = self._demanded()
        self._certain: dict[str, list[int]] = {}
        """Key -> the gaps that must have put it."""
        for gap in sorted(self._demands):
            for key, told in self._demands[gap].items():
                if told is not None:
                    self._certain.setdefault(key, []).append(gap)
        self._by_key: dict[str, list[Class]] = {}
        self._classify(timed)
        self._looked: dict[int, dict[str, Ahead]] = {}
        self._steps = 0
        self._deepest: tuple[int, Failure | None, int] = (-1, None, 0)

    def run(self) -> Found:
        """Search until an assignment is found, none can be, or the effort is spent."""
        at = 0
        while True:
            if self._steps + self._replay.steps > self._effort:
                return self._result(exhausted=False)
            stop = self._replay.run(at)
            if stop.failure is not None:
                self._fail(stop.failure.at, stop.failure, 0)
                conflicts = self._deciding(stop.failure.have)
                if not conflicts:
                    return Found({}, stop.failure, 0, True)  # whatever was decided: no better proof could be shown
                going = self._back(conflicts)
            elif stop.gap or self._replay.revision < self._last:
                self._push(self._replay.revision + 1, stop.at)
                going = self._choose()
            else:
                return Found(self._assigned(), None, 0, True)
            if not going:
                return self._result(exhausted=True)
            at = self._nodes[-1].at

    def _assigned(self) -> dict[int, int]:
        out = {}
        for number, node in enumerate(self._nodes):
            assert node.chosen is not None, "a gap was passed without a decision"
            out[node.gap] = node.chosen.members[node.chosen.users.index(number)]
        return out

    def _result(self, exhausted: bool) -> Found:
        _, failure, gap = self._deepest
        return Found({}, failure, gap, exhausted)

    def _fail(self, at: int, failure: Failure | None, gap: int) -> None:
        if at > self._deepest[0]:
            self._deepest = (at, failure, gap)

    def _deciding(self, keys: Mapping[str, object] | frozenset[str]) -> set[int]:
        """Return the nodes on which the state of these keys depends."""
        return {node for key in keys for node in self._touching.get(key, ())}

    # -- decisions -----------------------------------------------------------------------------------------------------

    def _push(self, gap: int, at: int) -> None:
        options = list(self._options(gap, at))
        touches = frozenset(key for one in options for key in one.effects)
        number = len(self._nodes)
        self._nodes.append(Node(gap, at, self._replay.mark(), options, touches, set()))
        if gap not in self._demands:
            self._prune(self._nodes[-1])
        for key in touches:
            self._touching.setdefault(key, []).append(number)

    def _choose(self) -> bool:
        """Take the last node's next option, or go back; False: there is nothing left to go back to."""
        while True:
            node = self._nodes[-1]
            while node.options:
                one = node.options.pop(0)
                if self._take(node, one):
                    return True
            self._fail(node.at, None, node.gap)
            conflicts = node.conflicts
            self._pop()
            if not self._return_to(conflicts):
                return False

    def _take(self, node: Node, one: Class) -> bool:
        """Let a class fill the gap, unless there is a reason against it; the reason's nodes are noted."""
        number = len(self._nodes) - 1
        state = self._replay.state
        if len(one.users) >= bisect_left(one.floors, node.gap):
            node.conflicts.update(one.users)
            return False
        for key, mod in one.compares:
            have = state.get(key)
            if (have[2] if have is not None else 0) != mod:
                node.conflicts.update(self._before(number, key))
                return False
        if all(value is None and key not in state for key, value in one.effects.items()):
            for key in one.effects:
                node.conflicts.update(self._before(number, key))
            return False  # it would have changed nothing, and taken no revision
        member = one.members[len(one.users)]
        if not self._replay.fill(self._operations[member]):
            self._replay.rewind(node.mark)
            for key in one.effects:
                node.conflicts.update(self._before(number, key))
            return False
        one.users.append(number)
        node.chosen = one
        self._steps += 1
        return True

    def _before(self, number: int, key: str) -> Iterator[int]:
        return (node for node in self._touching.get(key, ()) if node < number)

    def _back(self, conflicts: set[int]) -> bool:
        """Return to the last decision that a contradiction depends on, and decide anew."""
        return self._return_to(conflicts) and self._choose()

    def _return_to(self, conflicts: set[int]) -> bool:
        if not conflicts:
            return False
        target = max(conflicts)
        while len(self._nodes) - 1 > target:
            self._pop()
        node = self._nodes[target]
        self._free(node)
        node.conflicts |= conflicts - {target}
        self._replay.rewind(node.mark)
        return True

    def _pop(self) -> None:
        node = self._nodes.pop()
        self._free(node)
        self._replay.rewind(node.mark)
        for key in node.touches:
            self._touching[key].pop()

    def _free(self, node: Node) -> None:
        if node.chosen is not None:
            node.chosen.users.pop()
            node.chosen = None

    # -- what is possible at all ---------------------------------------------------------------------------------------

    def _demanded(self) -> dict[int, dict[str, str | None]]:
        """Return what each gap must have done, by the log and by answers that name it; note where each key is spoken of."""
        gaps = set(self._gaps)
        demands: dict[int, dict[str, str | None]] = {}
        about = self._about
        for place, index in enumerate(self._placed.order):
            operation = self._operations[index]
            _, _, _, _, _, _, compares, writes, _, _, succeeded, seen, _, _ = operation
            for key, value, mod, _, create in seen:
                if key in about:
                    about[key].append(place)
                    if mod in gaps:
                        demands.setdefault(mod, {})[key] = _told(value)
                    if create in gaps:
                        demands.setdefault(create, {}).setdefault(key, ANY)
            if compares and succeeded:
                for key, mod in compares:
                    if key in about:
                        about[key].append(place)
                        if mod in gaps:
                            demands.setdefault(mod, {}).setdefault(key, ANY)
            for key, _ in writes:
                if key in about:
                    about[key].append(place)
        for gap in self._gaps if self._log is not None else ():
            assert self._log is not None
            if self._log.covers(gap):
                demands[gap] = {event.key: _told(event.value) for event in self._log.revisions.get(gap, ())}
        return demands

    def _classify(self, timed: Timed) -> None:
        wanted = {(key, value) for demand in self._demands.values() for key, value in demand.items()}
        classes: dict[object, Class] = {}
        for index in sorted(self._placed.unknown, key=lambda one: timed.floor[one]):
            operation = self._operations[index]
            effects: dict[str, str | None] = {}
            for key, value in operation.writes:
                told = _told(value)
                effects[key] = told if told is None or (key, told) in wanted else ANY
            ident = (operation.compares, frozenset(effects.items()))
            found = classes.get(ident)
            if found is None:
                found = classes[ident] = Class(operation.compares, effects)
                for key in effects:
                    self._by_key.setdefault(key, []).append(found)
            found.members.append(index)
            found.floors.append(timed.floor[index])
        self._putting: dict[tuple[str, str | None], list[Class]] = {}
        for one in classes.values():
            for key, told in one.effects.items():
                self._putting.setdefault((key, told), []).append(one)

    def _deletable(self, key: str) -> bool:
        """Tell whether any unknown write deletes a key."""
        return (key, None) in self._putting

    def _options(self, gap: int, at: int) -> Iterator[Class]:
        """Yield the classes that may fill a gap, whatever was decided before."""
        demand = self._demands.get(gap)
        if demand is None:
            ahead = self._look(gap, at)
            barred = {key for key, one in ahead.items() if one.seen[2] and one.seen[2] < gap}
            offered: set[int] = set()
            for key, classes in self._by_key.items():
                for one in classes if key not in barred else ():
                    if one.floors[0] < gap and id(one) not in offered and not barred.intersection(one.effects):
                        offered.add(id(one))
                        yield one
            return
        if not demand:
            return
        key = min(demand, key=lambda one: (demand[one] == ANY, demand[one] is None, one))
        exact = self._log is not None and self._log.covers(gap)
        for one in self._by_key.get(key, ()) if demand[key] == ANY else self._putting.get((key, demand[key]), ()):
            fits = all(k in one.effects and (one.effects[k] == told or (told == ANY and one.effects[k] is not None)) for k, told in demand.items())
            if fits and one.floors[0] < gap and not (exact and any(k not in demand for k, told in one.effects.items() if told is not None)):
                yield one

    # -- what the next answers say -------------------------------------------------------------------------------------

    def _look(self, gap: int, at: int) -> dict[str, Ahead]:
        """Return what the next answer about each key says, as far as no acknowledged delete lies between."""
        found = self._looked.get(gap)
        if found is not None:
            return found
        first = bisect_left(self._gaps, gap)
        out: dict[str, Ahead] = {}
        for key, places in self._about.items():
            if self._by_key[key][0].floors[0] < gap:
                ahead = self._next(key, places, bisect_left(places, at), first)
                if ahead is not None:
                    out[key] = ahead
        self._looked[gap] = out
        return out

    def _next(self, key: str, places: Sequence[int], start: int, first: int) -> Ahead | None:
        """Return the next answer about a key, from the ``start``-th place at which it is spoken of; ``first``: the number of the gap at hand."""
        puts = 0
        for number in range(start, len(places)):
            place = places[number]
            index = self._placed.order[place]
            position = self._placed.position[index]
            operation = self._operations[index]
            self._steps += 1
            as_of = (position >> 1) - (not position & 1)  # a change answers as of before it
            for seen in operation.seen:
                if seen[0] == key:
                    return self._ahead(place, tuple(seen), puts, first, as_of, False)  # type: ignore[arg-type]  # a NamedTuple of the same fields
            for one, mod in operation.compares if operation.succeeded else ():
                if one == key:
                    return self._ahead(place, (key, None, mod, 0, 0), puts, first, as_of, True)
            for one, value in operation.writes if operation.succeeded else ():
                if one == key:
                    if position & 1:  # it deleted nothing
                        return self._ahead(place, (key, *NOTHING), puts, first, as_of, True)
                    if value is None:
                        return None
                    puts += 1
        return None

    def _ahead(self, place: int, seen: Key, puts: int, first: int, as_of: int, mod_only: bool) -> Ahead:
        certain = self._certain.get(seen[0], ())
        known = bisect_right(certain, as_of) - bisect_left(certain, self._gaps[first]) if first < len(self._gaps) else 0
        return Ahead(place, seen, puts + known, bisect_right(self._gaps, as_of) - first - known, mod_only)

    def _prune(self, node: Node) -> None:
        """Leave the options that the next answers allow, those that they ask for first; what they depend on is noted."""
        state = self._replay.state
        barred: set[str] = set()
        absent: set[str] = set()
        """Keys that must stay so: to delete them is no change."""
        forced: set[str] = set()
        asked: dict[str, int] = {}
        """Key that must be put in some gap up to a place in the order -> that place."""
        for key, (place, seen, puts, gaps, mod_only) in self._look(node.gap, node.at).items():
            have = state.get(key)
            if key not in node.touches:
                continue
            if seen[2] == 0 or (not mod_only and seen[4] > node.gap):  # absent as of then, or made only later: what is there must be deleted before
                if have is None and not self._deletable(key):
                    absent.add(key)
                elif seen[2] == 0 and puts == 0 and gaps == 1:
                    (absent if have is None else forced).add(key)
            elif not mod_only and seen[4] < node.gap <= seen[2]:
                if have is None or have[4] != seen[4] or not 0 <= seen[3] - have[3] - puts <= gaps:
                    self._fail(place, Failure(place, self._placed.order[place], "answer", {key: have}), 0)
                    node.conflicts.update(self._before(len(self._nodes) - 1, key))
                    node.options = []
                    return
                needed = seen[3] - have[3] - puts
                if needed == 0:
                    barred.add(key)
                elif needed == gaps:
                    forced.add(key)
                else:
                    asked[key] = place
        left: list[Class] = []
        for one in node.options:
            put = any(one.effects.get(key) is not None for key in absent)
            if barred.isdisjoint(one.effects) and forced <= one.effects.keys() and not put:
                left.append(one)
        if len(left) < len(node.options):
            for key in barred | forced | absent:
                node.conflicts.update(self._before(len(self._nodes) - 1, key))
        never = len(self._placed.order)  # whose answer comes first is served first, which is the best for jobs of one gap each (Jackson's rule)
        left.sort(key=lambda one: (min(asked.get(key, never) for key in one.effects), sum(value != ANY for value in one.effects.values())))
        node.options = left


def _told(value: str | None) -> str | None:
    """Return a value so that none is :data:`ANY`."""
    return None if value is None else "=" + value
