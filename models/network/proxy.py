"""kube-proxy: which backends a node sends a Service's requests to, and how late that follows the endpoints.

pkg/proxy: BoundedFrequencyRunner (changes are bundled for --iptables-min-sync-period, 1 s), CategorizeEndpoints (topology.go). The real proxy
spares the first change after a quiet second that wait; here every change waits, as on a cluster where something always changes. In
iptables mode a backend is chosen at random and never retried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kchaos.models.api.pods import labels
from kchaos.models.api.request import component
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.client.client import Client
from kchaos.models.client.informer import Informer
from kchaos.runtime import Runtime

SERVICE = "kubernetes.io/service-name"
SYNC_S = 0.02
"""How long writing the rules takes."""


class Backend(NamedTuple):
    """One destination in a rule table."""

    pod: str
    node: str


def backends(slices: list[Obj]) -> tuple[Backend, ...]:
    """Return a Service's backends: the ready endpoints, else those that still serve while terminating (KEP-1669)."""
    ready: dict[Backend, None] = {}
    fallback: dict[Backend, None] = {}
    for one in slices:
        space = one["metadata"]["namespace"]
        for endpoint in one.get("endpoints") or ():
            target = get(endpoint, "targetRef", "name")
            if target is None:
                continue
            backend = Backend(f"{space}/{target}", endpoint.get("nodeName", ""))
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False:
                ready[backend] = None
            elif conditions.get("serving") is not False and conditions.get("terminating"):
                fallback[backend] = None
    return tuple(ready) or tuple(fallback)


class Proxy:
    """The rules of one node: service key -> backends, as of the last sync."""

    def __init__(self, rt: Runtime, servers: tuple[str, ...], first_server: int, constants: Constants, changed: Callable[[], None]) -> None:
        self._rt = rt
        self._constants = constants
        self._changed = changed
        self.rules: dict[str, tuple[Backend, ...]] = {}
        identity = component("kube-proxy")
        self._slices = Informer(rt, Client(rt, servers, first_server), "endpointslices", identity)
        self._slices.add_index("service", lambda one: (f"{one['metadata']['namespace']}/{labels(one).get(SERVICE, '')}",))
        self._due = False
        self._dirty: dict[str, None] = {}

    def start(self) -> None:
        """Follow the endpoint slices; the first rules are written when they are listed."""
        self._slices.add_handler(self._slice_changed)
        self._slices.start()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        one = new if new is not None else old
        assert one is not None
        if old is not None and new is not None and old.get("endpoints") == new.get("endpoints"):
            return
        self._dirty[f"{one['metadata']['namespace']}/{labels(one).get(SERVICE, '')}"] = None
        if not self._due:
            self._due = True
            self._rt.call_later(self._constants.proxy_min_sync_s + SYNC_S, self._sync)

    def _sync(self) -> None:
        self._due = False
        dirty, self._dirty = self._dirty, {}
        for service in dirty:
            found = backends(self._slices.by("service", service))
            if found:
                self.rules[service] = found
            else:
                self.rules.pop(service, None)
        self._changed()
