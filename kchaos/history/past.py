"""The past of a store: what each key was as of any revision, by a log, or, as far as acknowledged changes tell, without one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kchaos.history.anomaly import is_write
from kchaos.history.events import Event, Log
from kchaos.history.operations import Operation, Outcome


class Past:
    """Events by key. ``whole``: nothing is missing, so that what is not there did not happen."""

    def __init__(self, operations: Sequence[Operation], log: Log | None) -> None:
        self.whole = log is not None
        self.first = log.first if log is not None else 1
        self.last = log.last if log is not None else 0
        self._revisions: dict[str, list[int]] = {}
        self._events: dict[str, list[Event]] = {}
        events = [event for found in log.revisions.values() for event in found] if log is not None else _acknowledged(operations)
        for event in sorted(events, key=_revision):
            self._revisions.setdefault(event.key, []).append(event.mod_revision)
            self._events.setdefault(event.key, []).append(event)

    def at(self, key: str, revision: int) -> Event | None:
        """Return the last known change of a key up to a revision, None if there is none."""
        revisions = self._revisions.get(key, ())
        found = bisect_right(revisions, revision)
        return self._events[key][found - 1] if found else None


def _acknowledged(operations: Sequence[Operation]) -> list[Event]:
    """Return the events of the acknowledged changes; which of several keys a change deleted is not known, so such deletes are left out."""
    out = []
    for one in operations:
        if one.outcome == Outcome.OK and is_write(one):
            gone = sum(value is None for _, value in one.writes)
            out += [Event(key, value, one.revision) for key, value in one.writes if value is not None or one.deleted == gone]
    return out


def _revision(event: Event) -> int:
    return event.mod_revision
