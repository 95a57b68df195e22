"""One API server's view of the store: a cache that trails behind, and the watches that it feeds.

Every watcher from one resourceVersion sees the same events in revision order; an object that leaves a selector is DELETED on that
watch, one that enters is ADDED (staging/src/k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kchaos.models.api.selectors import parse_fields, parse_labels
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Event, Key, Store

Change = tuple[str, Obj]
"""Watch event type and object."""


class Watcher:
    """One open watch."""

    __slots__ = ("address", "bookmarks", "key", "labels", "namespace", "node", "other", "pending", "resource", "sent_rv")

    def __init__(self, address: str, key: int, resource: str, namespace: str, labels: str, fields: str, bookmarks: bool) -> None:
        self.address = address
        self.key = key
        self.resource = resource
        self.namespace = namespace + "/" if namespace else ""
        self.labels: Callable[[Obj], bool] | None = parse_labels(labels) if labels else None
        prefix, _, node = fields.partition("spec.nodeName=")
        indexed = bool(node) and not prefix and "," not in node and not node.startswith("=")
        self.node = node if indexed and resource == "pods" else ""
        self.other: Callable[[Obj], bool] | None = parse_fields(fields) if fields and not self.node else None
        self.bookmarks = bookmarks
        self.pending: list[Change] = []
        self.sent_rv = 0

    def selects(self, key: Key, obj: Obj | None) -> bool:
        """Tell whether ``obj`` belongs to this watch."""
        if obj is None or (self.namespace and not key.startswith(self.namespace)):
            return False
        if self.node and obj["spec"].get("nodeName", "") != self.node:
            return False
        if self.labels is not None and not self.labels(obj["metadata"].get("labels") or {}):
            return False
        return self.other is None or self.other(obj)

    def change(self, event: Event) -> Change | None:
        """Return what this watch sees of ``event``."""
        if self.labels is None and self.other is None and not self.node:
            if self.namespace and not event.key.startswith(self.namespace):
                return None
            return event.type, event.obj
        before = self.selects(event.key, event.prev)
        after = event.type != "DELETED" and self.selects(event.key, event.obj)
        if after:
            return ("MODIFIED" if before else "ADDED"), event.obj
        if before:
            return "DELETED", event.obj if event.type == "DELETED" else _last(event)
        return None


def _last(event: Event) -> Obj:
    """Return the object as the selector last saw it, at the revision at which it left (cacher.go, getEventObject)."""
    assert event.prev is not None
    meta = {**event.prev["metadata"], "resourceVersion": str(event.rv)}
    return {**event.prev, "metadata": meta}


class WatchCache:
    """State as of ``applied`` and the watches of one API server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.applied = store.revision
        self._tables: dict[str, dict[Key, Obj]] = {}
        self._watchers: dict[tuple[str, int], Watcher] = {}
        self._by_resource: dict[str, dict[tuple[str, int], Watcher]] = {}
        self._by_node: dict[str, dict[tuple[str, int], Watcher]] = {}

    def table(self, resource: str) -> dict[Key, Obj]:
        """Return this cache's objects of a kind."""
        found = self._tables.get(resource)
        if found is None:  # filled at first use: from then on kept by apply()
            found = dict(self._store.table(resource))
            for event in reversed(self._store.since(self.applied)):
                if event.resource == resource:
                    if event.prev is None:
                        found.pop(event.key, None)
                    else:
                        found[event.key] = event.prev
            self._tables[resource] = found
        return found

    def open(self, watcher: Watcher, since_rv: int) -> list[Change]:
        """Start a watch and return what it sees at once. Raises LookupError if ``since_rv`` is compacted (410)."""
        if since_rv == 0:
            items = self.table(watcher.resource).items()
            first: list[Change] = [("ADDED", obj) for key, obj in items if watcher.selects(key, obj)]
        else:
            first = [
                change
                for event in self._store.since(since_rv)
                if event.rv <= self.applied and event.resource == watcher.resource
                for change in (watcher.change(event),)
                if change is not None
            ]
        # a watch from the future (a fresher server named it) must not see what is older than it asked for
        watcher.sent_rv = max(self.applied, since_rv)
        ident = (watcher.address, watcher.key)
        self._watchers[ident] = watcher
        group = self._by_node.setdefault(watcher.node, {}) if watcher.node else None
        if group is None:
            group = self._by_resource.setdefault(watcher.resource, {})
        group[ident] = watcher
        return first

    def close(self, address: str, key: int) -> None:
        """End one watch."""
        watcher = self._watchers.pop((address, key), None)
        if watcher is not None:
            group = self._by_node.get(watcher.node, {}) if watcher.node else self._by_resource[watcher.resource]
            group.pop((address, key), None)

    def close_all(self, host: str) -> None:
        """End the watches of all processes on ``host`` (its connection is gone)."""
        for address, key in list(self._watchers):
            if address.partition("/")[0] == host:
                self.close(address, key)

    def watchers(self) -> Iterable[Watcher]:
        """Return the open watches in the order they were opened."""
        return list(self._watchers.values())

    def apply(self) -> list[Watcher]:
        """Take over all commits since the last call; return the watchers that have something pending, in a fixed order."""
        touched: dict[Watcher, None] = {}
        for event in self._store.since(self.applied):
            self.applied = event.rv
            resource = event.resource
            table = self._tables.get(resource)
            if table is not None:
                if event.type == "DELETED":
                    table.pop(event.key, None)
                else:
                    table[event.key] = event.obj
            group = self._by_resource.get(resource)
            if group:
                for watcher in group.values():
                    self._feed(watcher, event, touched)
            if resource == "pods" and self._by_node:
                node = event.obj["spec"].get("nodeName", "")
                before = event.prev["spec"].get("nodeName", "") if event.prev is not None else node
                for name in (node,) if node == before else (before, node):
                    for watcher in self._by_node.get(name, {}).values() if name else ():
                        self._feed(watcher, event, touched)
        return list(touched)

    @staticmethod
    def _feed(watcher: Watcher, event: Event, touched: dict[Watcher, None]) -> None:
        if event.rv <= watcher.sent_rv:
            return
        change = watcher.change(event)
        if change is not None:
            watcher.pending.append(change)
            watcher.sent_rv = event.rv
            touched[watcher] = None
