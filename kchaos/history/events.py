"""What etcd's watches tell: events by revision, and the whole log of a store, which a watch from its first revision gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec


class Event(NamedTuple):
    """One change of one key (etcd's Event message); ``value`` None: it was deleted, and version and create_revision are 0."""

    key: str
    value: str | None
    mod_revision: int
    create_revision: int = 0
    version: int = 0

    def words(self) -> str:
        """Return it in words."""
        if self.value is None:
            return f"{self.key} deleted at revision {self.mod_revision}"
        return f"{self.key}={self.value} at revision {self.mod_revision} (version {self.version}, create_revision {self.create_revision})"


class Log(NamedTuple):
    """All changes of a store of the revisions ``first`` to ``last``, as one member told them."""

    member: str
    first: int
    last: int
    revisions: Mapping[int, tuple[Event, ...]]
    """The events of each revision, in order of key: the order within one revision means nothing."""
    misplaced: tuple[str, Event, Event] | None = None
    """The first event that was told out of order ("order"), or once more ("twice"), behind which other one."""

    def covers(self, revision: int) -> bool:
        """Tell whether it says what happened at a revision."""
        return self.first <= revision <= self.last


def events_of(rows: Sequence[Sequence[Any]]) -> list[Event]:
    """Return the events of a ``watched`` or ``log`` mark. Raises msgspec.ValidationError for what are none."""
    return msgspec.convert(rows, list[Event])


def log_of(member: str, events: Iterable[Event], first: int, last: int) -> Log:
    """Return the log that a member's events, in the order in which they were told, make."""
    by_revision: dict[int, list[Event]] = {}
    misplaced = newest = None
    for event in events:
        there = by_revision.setdefault(event.mod_revision, [])
        if there and misplaced is None:
            again = next((one for one in there if one.key == event.key), None)
            misplaced = ("twice", again, event) if again is not None else None
        there.append(event)
        if newest is None or event.mod_revision >= newest.mod_revision:
            newest = event
        elif misplaced is None:
            misplaced = ("order", newest, event)
    return Log(member, first, last, {revision: tuple(sorted(found, key=_key)) for revision, found in by_revision.items()}, misplaced)


def _key(event: Event) -> str:
    return event.key
