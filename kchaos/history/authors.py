"""Authors: who can have made a change, the call that was acknowledged with its revision or else one without an answer that would have done that.

Nobody can be told of a change before it was asked for. If it may be of several calls without an answer, the one that was called first is
taken: no earlier one can be, so that what was told even before that was told too early, whichever it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kchaos.history.anomaly import is_write
from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation, Outcome


class Authors:
    """Authors by revision and content; operations are told by their number."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self.acknowledged: dict[int, int] = {}
        self.unanswered: dict[tuple[str, str | None], int] = {}
        """By key and value (None: deleted), the write without an answer that was called first."""
        for number, one in enumerate(operations):
            if one.outcome == Outcome.OK:
                if is_write(one):
                    self.acknowledged[one.revision] = number
            elif one.outcome == Outcome.UNKNOWN:
                for change in one.writes:
                    first = self.unanswered.setdefault(change, number)
                    if one.call_s < operations[first].call_s:
                        self.unanswered[change] = number

    def of(self, key: str, value: str | None, revision: int) -> int | None:
        """Return who made a change, or, if it got no answer, the first who can have; None: nobody is known."""
        found = self.acknowledged.get(revision)
        return found if found is not None else self.unanswered.get((key, value))

    def of_log(self, log: Log) -> list[tuple[int, int]]:
        """Return (revision, author) of the revisions of a log that were not acknowledged: one call made all changes of each."""
        out = []
        for revision, events in log.revisions.items():
            if revision not in self.acknowledged:
                able = [number for number in self._able(events) if number is not None]
                if able:
                    out.append((revision, max(able, key=self.called_s)))
        return out

    def called_s(self, number: int) -> float:
        """Return when an operation was called."""
        return self._operations[number].call_s

    def _able(self, events: Iterable[Event]) -> Iterable[int | None]:
        return (self.unanswered.get((event.key, event.value)) for event in events)
