"""The store behind all API servers: objects by kind and key, one revision per write, and the log that watches read.

This is etcd as the API server sees it: linearizable, versioned, compacted. Rules: https://etcd.io/docs/v3.6/learning/api_guarantees/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kchaos.models.api.tree import Obj

Key = str
"""``namespace/name``, or ``name`` for cluster-scoped kinds."""


def key_of(obj: Obj) -> Key:
    """Return the key of an object within its kind."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


class Event(NamedTuple):
    """One committed write. ``prev`` is the object before (None if it did not exist), ``actor`` who asked for it."""

    rv: int
    type: str
    resource: str
    key: Key
    obj: Obj
    prev: Obj | None
    actor: str


class Store:
    """Objects, revision and log. ``subscribe`` is called synchronously at each commit, in commit order."""

    def __init__(self, retain: int = 50_000) -> None:
        self.revision = 1
        self._tables: dict[str, dict[Key, Obj]] = {}
        self.log: list[Event] = []
        self.log_start = 2
        self.retain = retain
        self._subscribers: list[Callable[[Event], None]] = []

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Call ``callback`` at each commit from now on."""
        self._subscribers.append(callback)

    def table(self, resource: str) -> dict[Key, Obj]:
        """Return the live objects of a kind by key; for reading only."""
        found = self._tables.get(resource)
        if found is None:
            found = self._tables[resource] = {}
        return found

    def get(self, resource: str, key: Key) -> Obj | None:
        """Return the object, or None."""
        return self.table(resource).get(key)

    def put(self, resource: str, key: Key, obj: Obj, actor: str) -> Obj:
        """Write ``obj`` as it is but for a new resourceVersion; return what was stored."""
        table = self.table(resource)
        prev = table.get(key)
        self.revision += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        table[key] = stored
        self._commit(Event(self.revision, "ADDED" if prev is None else "MODIFIED", resource, key, stored, prev, actor))
        return stored

    def remove(self, resource: str, key: Key, actor: str, last: Obj | None = None) -> Obj:
        """Remove an object; the event carries its last state (``last`` if given) at the new revision."""
        prev = self.table(resource).pop(key)
        self.revision += 1
        final = last if last is not None else prev
        gone = {**final, "metadata": {**final["metadata"], "resourceVersion": str(self.revision)}}
        self._commit(Event(self.revision, "DELETED", resource, key, gone, prev, actor))
        return gone

    def _commit(self, event: Event) -> None:
        self.log.append(event)
        for callback in self._subscribers:
            callback(event)
        if len(self.log) > 2 * self.retain:
            self.compact(self.revision - self.retain)

    def compact(self, revision: int) -> None:
        """Forget the log up to and including ``revision``."""
        cut = max(0, revision + 1 - self.log_start)
        if cut:
            del self.log[:cut]
            self.log_start += cut

    def since(self, revision: int) -> list[Event]:
        """Return the events after ``revision``. Raises LookupError if they are compacted."""
        if revision + 1 < self.log_start:
            raise LookupError(revision)
        return self.log[revision + 1 - self.log_start :]

    # -- boot images ---------------------------------------------------------------------------------------------------

    def image(self) -> StoreImage:
        """Return the content at this revision; objects are shared, tables are copies."""
        return StoreImage(self.revision, {name: dict(table) for name, table in self._tables.items() if table})

    @classmethod
    def from_image(cls, image: StoreImage) -> Store:
        """Return a store that starts where ``image`` was taken, with an empty log."""
        store = cls()
        store.revision = image.revision
        store.log_start = image.revision + 1
        store._tables = {name: dict(table) for name, table in image.tables.items()}
        return store


class StoreImage(NamedTuple):
    """A store's content at one revision."""

    revision: int
    tables: Mapping[str, Mapping[Key, Obj]]
