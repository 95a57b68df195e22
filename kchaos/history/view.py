"""The state of all objects as of the last entry seen: what a monitor may look at besides the entry itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kchaos.history.record import Entry, Write

Objects = dict[str, dict[str, Any]]


class View:
    """Live objects by resource and key; feed it each entry once, in order."""

    def __init__(self, initial: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._tables: Objects = {name: dict(table) for name, table in (initial or {}).items()}
        self.phase = "boot"

    def table(self, resource: str) -> dict[str, Any]:
        """Return the live objects of one resource by key."""
        found = self._tables.get(resource)
        if found is None:
            found = self._tables[resource] = {}
        return found

    def get(self, resource: str, key: str) -> Any:
        """Return the live object, or None."""
        return self.table(resource).get(key)

    def apply(self, entry: Entry) -> None:
        """Take one entry over."""
        if isinstance(entry, Write):
            if entry.type == "DELETED":
                self.table(entry.resource).pop(entry.key, None)
            else:
                self.table(entry.resource)[entry.key] = entry.obj
        elif entry.what == "phase":
            self.phase = entry.data["name"]
