"""Replay of the revision order: what a store that does one change after the other would have answered, against what was answered.

The store is etcd's: a change takes the next revision; a key has its value, the revision of its last change (mod_revision), of its making
(create_revision), and how often it was written since (version): https://etcd.io/docs/v3.6/learning/data_model/#logical-view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kchaos.history.events import Log
from kchaos.history.operations import Operation
from kchaos.history.placement import FIRST_REVISION, Placed

Key = tuple[str, str | None, int, int, int]
"""What a store holds of a key, as :class:`kchaos.history.operations.Seen` has it: key, value, mod_revision, version, create_revision."""

NOTHING = (None, 0, 0, 0)


class Failure(NamedTuple):
    """The answer that replay contradicts: ``at``: its place in the order; ``have``: the keys concerned, as of replay."""

    at: int
    number: int
    what: str
    """answer, compare, deleted, revision or log."""
    have: Mapping[str, Key | None]


class Stop(NamedTuple):
    """Why replay stopped at place ``at``: at a ``gap`` (the revision that nobody acknowledged), at a failure, or (neither) at the end."""

    at: int
    gap: int = 0
    failure: Failure | None = None


class Replay:
    """A store that is driven along the order; ``rewind`` takes changes back, so that a search can try another way."""

    def __init__(self, operations: Sequence[Operation], placed: Placed, log: Log | None = None, undoable: bool = False) -> None:
        self._operations = operations
        self._placed = placed
        self._log = log
        self.state: dict[str, Key] = {}
        self.revision = FIRST_REVISION
        self.steps = 0
        """Operations replayed so far: the cost of a search."""
        self._undo: list[tuple[str, Key | None]] | None = [] if undoable else None

    def run(self, at: int) -> Stop:
        """Replay from a place in the order on, until something stops it; a change that is at fault is made all the same."""
        operations, position, order, state, undo = self._operations, self._placed.position, self._placed.order, self.state, self._undo
        revision, log = self.revision, self._log
        get = state.get
        for place in range(at, len(order)):
            index = order[place]
            target = position[index]
            _, _, _, _, _, _, compares, writes, reads, _, succeeded, seen, deleted, _ = operations[index]
            failure: Failure | None = None
            if target & 1:
                if target >> 1 != revision:
                    if target >> 1 > revision:
                        self.revision, self.steps = revision, self.steps + place - at
                        return Stop(place, gap=revision + 1)
                    failure = Failure(place, index, "revision", {})
            elif target >> 1 != revision + 1:
                if target >> 1 > revision + 1:
                    self.revision, self.steps = revision, self.steps + place - at
                    return Stop(place, gap=revision + 1)
                failure = Failure(place, index, "revision", {})
            if reads or seen:
                if len(reads) != len(seen):
                    failure = Failure(place, index, "answer", {})
                for key, one in zip(reads, seen, strict=False):
                    have = get(key)
                    if have != one and (have is not None or one[0] != key or one[1:] != NOTHING):
                        failure = Failure(place, index, "answer", {key: have})
                        break
            if compares or not succeeded:
                held = all((have[2] if (have := get(key)) is not None else 0) == mod for key, mod in compares)
                if held != succeeded:
                    failure = Failure(place, index, "compare", {key: get(key) for key, _ in compares})
            if target & 1:
                if deleted or (writes and succeeded and any(key in state for key, _ in writes)):
                    failure = Failure(place, index, "deleted", {key: get(key) for key, _ in writes})
            else:
                revision = max(revision, target >> 1)
                gone = 0
                before = {key: get(key) for key, _ in writes} if log is not None else {}
                for key, value in writes:
                    have = get(key)
                    if undo is not None:
                        undo.append((key, have))
                    if value is None:
                        if have is not None:
                            gone += 1
                            del state[key]
                    elif have is None:
                        state[key] = (key, value, revision, 1, revision)
                    else:
                        state[key] = (key, value, revision, have[3] + 1, have[4])
                if gone != deleted:
                    failure = Failure(place, index, "deleted", {key: get(key) for key, value in writes if value is None})
                if log is not None and not self._told(log, revision, before):
                    failure = Failure(place, index, "log", {key: get(key) for key, _ in writes})
            if failure is not None:
                self.revision, self.steps = revision, self.steps + place + 1 - at
                return Stop(place, failure=failure)
        self.revision, self.steps = revision, self.steps + len(order) - at
        return Stop(len(order))

    def mark(self) -> tuple[int, int]:
        """Return the present as a point that :meth:`rewind` can return to."""
        assert self._undo is not None, "only an undoable replay goes back"
        return len(self._undo), self.revision

    def rewind(self, mark: tuple[int, int]) -> None:
        """Return to a point in the past."""
        assert self._undo is not None, "only an undoable replay goes back"
        length, self.revision = mark
        while len(self._undo) > length:
            key, have = self._undo.pop()
            if have is None:
                self.state.pop(key, None)
            else:
                self.state[key] = have

    def fill(self, operation: Operation) -> bool:
        """Let an unknown write take the next revision, and tell whether that agrees with the log."""
        assert self._undo is not None, "what may have happened must be undoable"
        self.revision += 1
        before = {key: self.state.get(key) for key, _ in operation.writes}
        for key, value in operation.writes:
            have = before[key]
            self._undo.append((key, have))
            if value is None:
                self.state.pop(key, None)
            elif have is None:
                self.state[key] = (key, value, self.revision, 1, self.revision)
            else:
                self.state[key] = (key, value, self.revision, have[3] + 1, have[4])
        return self._log is None or self._told(self._log, self.revision, before)

    def _told(self, log: Log, revision: int, before: Mapping[str, Key | None]) -> bool:
        """Tell whether the log holds, at a revision that it covers, the change that was just made of the keys in ``before``."""
        if not log.covers(revision):
            return True
        events = {event.key: event for event in log.revisions.get(revision, ())}
        for key, was in before.items():
            now = self.state.get(key)
            event = events.pop(key, None)
            if now is None:
                if (event is not None) != (was is not None) or (event is not None and event.value is not None):
                    return False
            elif event is None or (event.value, event.version, event.create_revision) != (now[1], now[3], now[4]):
                return False
        return not events
