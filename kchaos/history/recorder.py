"""The recorder of one run under way: takes entries, and hands each to whoever judges as it happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from kchaos.history.record import Entry, Header, Mark, Run, Write, digest_of


class Recorder:
    """Appends entries; ``listeners`` are called with each at once."""

    def __init__(self, header: Header, now: Callable[[], float]) -> None:
        self._header = header
        self._now = now
        self.entries: list[Entry] = []
        self.listeners: list[Callable[[Entry], None]] = []

    def now(self) -> float:
        """Return the time by the run's clock, seconds."""
        return self._now()

    def write(self, type_: str, resource: str, key: str, rv: int, actor: str, obj: Any, prev: Any) -> None:
        """Record one committed change."""
        self._add(Write(self._now(), type_, resource, key, rv, actor, obj, prev))

    def mark(self, what: str, /, **data: Any) -> None:
        """Record anything else."""
        self._add(Mark(self._now(), what, data))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        for listener in self.listeners:
            listener(entry)

    def describe(self, scenario: dict[str, Any]) -> None:
        """Say what the entries are a history of, if that was not known when they began."""
        self._header = msgspec.structs.replace(self._header, scenario=scenario)

    def so_far(self) -> Run:
        """Return the run up to now, without a digest."""
        return Run(self._header, list(self.entries), "")

    def finish(self) -> Run:
        """Return the finished run with its digest."""
        return Run(self._header, self.entries, digest_of(self._header, self.entries))
