"""Informers: a local copy of one kind, kept by list and watch, with indices and handlers (client-go's shared informer).

Reflector rules: list at resourceVersion 0 (may be stale), then watch from there; a watch that ends is resumed from the last version
seen, one that ends with 410 starts over with a list (tools/cache/reflector.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Key, key_of
from kchaos.models.apiserver.watchcache import Change
from kchaos.models.client.client import Client
from kchaos.runtime import Runtime

Handler = Callable[[Obj | None, Obj | None], None]
"""Called with (old, new): (None, new) added, (old, new) changed, (old, None) deleted; ``old`` may be older than the last state."""

BACKOFF_S = (0.8, 30.0)
"""First and longest wait of a reflector whose list or watch fails (reflector.go)."""


class Informer:
    """One kind, optionally restricted by namespace or selectors."""

    def __init__(
        self, rt: Runtime, client: Client, resource: str, identity: Identity, namespace: str = "", labels: str = "", fields: str = ""
    ) -> None:
        self._rt = rt
        self._client = client
        self._identity = identity
        self.resource = resource
        self._scope = (namespace, labels, fields)
        self.items: dict[Key, Obj] = {}
        self._indices: dict[str, tuple[Callable[[Obj], Iterable[str]], dict[str, dict[Key, Obj]]]] = {}
        self._handlers: list[Handler] = []
        self._rv = 0
        self._backoff_s = BACKOFF_S[0]
        self._close: Callable[[], None] | None = None
        self._stopped = False
        self.synced = False
        self.on_synced: list[Callable[[], None]] = []

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Obj | None:
        """Return the object as last seen, or None."""
        return self.items.get(key)

    def values(self) -> list[Obj]:
        """Return all objects as last seen, in the order first seen."""
        return list(self.items.values())

    def by(self, index: str, value: str) -> list[Obj]:
        """Return the objects that the index lists under ``value``."""
        return list(self._indices[index][1].get(value, {}).values())

    # -- set-up ------------------------------------------------------------------------------------------------------

    def add_index(self, name: str, values: Callable[[Obj], Iterable[str]]) -> None:
        """Keep an index from now on; a second call with the same name has no effect."""
        if name in self._indices:
            return
        table: dict[str, dict[Key, Obj]] = {}
        self._indices[name] = (values, table)
        for key, obj in self.items.items():
            for value in values(obj):
                table.setdefault(value, {})[key] = obj

    def add_handler(self, handler: Handler) -> None:
        """Call ``handler`` at each change from now on, and at once for what is there."""
        self._handlers.append(handler)
        for obj in self.values():
            handler(None, obj)

    def start(self) -> None:
        """Begin to list and watch."""
        self._list()

    def stop(self) -> None:
        """Stop following; the copy stays as it is."""
        self._stopped = True
        if self._close is not None:
            self._close()

    # -- the reflector -------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        if self._stopped:
            return
        namespace, labels, fields = self._scope
        options: dict[str, Any] = {"resource_version": "0", "label_selector": labels, "field_selector": fields}
        self._client.call(Request("list", self.resource, namespace, options=options, identity=self._identity), self._listed)

    def _listed(self, answer: Obj | None, error: ApiError | None) -> None:
        if self._stopped:
            return
        if answer is None:
            self._later(self._list)
            return
        rv = int(answer["metadata"]["resourceVersion"])
        if rv < self._rv:  # a staler server than the one before: a reflector never goes back in time
            self._later(self._list)
            return
        self._rv = rv
        fresh = {key_of(obj): obj for obj in answer["items"]}
        for key in [key for key in self.items if key not in fresh]:
            self._set(key, None)
        for key, obj in fresh.items():
            old = self.items.get(key)
            if old is not None and old["metadata"]["uid"] != obj["metadata"]["uid"]:
                self._set(key, None)
            if old is None or old["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._set(key, obj)
        if not self.synced:
            self.synced = True
            for callback in self.on_synced:
                callback()
        self._watch()

    def _watch(self) -> None:
        if self._stopped:
            return
        namespace, labels, fields = self._scope
        self._close = self._client.watch(self.resource, self._rv, self._changed, self._ended, namespace, labels, fields, self._identity)

    def _changed(self, batch: list[Change]) -> None:
        self._backoff_s = BACKOFF_S[0]
        for kind, obj in batch:
            self._rv = max(self._rv, int(obj["metadata"]["resourceVersion"]))
            if kind == "BOOKMARK":
                continue
            self._set(key_of(obj), None if kind == "DELETED" else obj, obj)

    def _ended(self, status: Obj | None) -> None:
        self._close = None
        if self._stopped:
            return
        if status is not None and status.get("code") == 410:
            self._rt.call_soon(self._list)
        else:
            self._later(self._watch)

    def _later(self, action: Callable[[], None]) -> None:
        wait_s = self._backoff_s * (1 + self._rt.random("reflector").random())
        self._backoff_s = min(BACKOFF_S[1], self._backoff_s * 2)
        self._rt.call_later(wait_s, action)

    def _set(self, key: Key, new: Obj | None, last: Obj | None = None) -> None:
        old = self.items.get(key)
        if new is None:
            if old is None:
                return
            del self.items[key]
        else:
            self.items[key] = new
        for values, table in self._indices.values():
            if old is not None:
                for value in values(old):
                    group = table.get(value)
                    if group is not None:
                        group.pop(key, None)
                        if not group:
                            del table[value]
            if new is not None:
                for value in values(new):
                    table.setdefault(value, {})[key] = new
        if new is None and last is not None:
            old = last
        for handler in self._handlers:
            handler(old, new)


class Informers:
    """The informers of one process, one a kind (client-go's SharedInformerFactory)."""

    def __init__(self, rt: Runtime, client: Client, identity: Identity) -> None:
        self._rt = rt
        self._client = client
        self._identity = identity
        self._by_resource: dict[str, Informer] = {}

    def of(self, resource: str) -> Informer:
        """Return the informer of a kind, made at the first call; call before :meth:`start`."""
        found = self._by_resource.get(resource)
        if found is None:
            found = self._by_resource[resource] = Informer(self._rt, self._client, resource, self._identity)
        return found

    def start(self, ready: Callable[[], None]) -> None:
        """Start all; call ``ready`` once when every one has listed."""
        missing = {name: None for name, informer in self._by_resource.items() if not informer.synced}

        def one(name: str) -> Callable[[], None]:
            def synced() -> None:
                missing.pop(name, None)
                if not missing:
                    ready()

            return synced

        for name in list(missing):
            self._by_resource[name].on_synced.append(one(name))
            self._by_resource[name].start()
