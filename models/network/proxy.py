"""kube-proxy: which rules a node has for each Service, and how late they follow Services and endpoints.

pkg/proxy: BoundedFrequencyRunner (changes are bundled for --iptables-min-sync-period, 1 s); the rules are those of compiler.py. The real proxy
spares the first change after a quiet second that wait; here every change waits, as on a cluster where something always changes. In
iptables mode a backend is chosen at random and never retried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from kchaos.models.api.pods import labels
from kchaos.models.api.request import component
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.client import Client
from kchaos.models.client.informer import Informer
from kchaos.models.network.addresses import net, number
from kchaos.models.network.compiler import Options, assemble, fragment, in_use
from kchaos.models.network.netfilter import Hook, through
from kchaos.models.network.rules import Table
from kchaos.models.network.services import SERVICE, Categories, Endpoint, ServicePort, endpoints_of
from kchaos.models.network.tables import NodeTables, Packet
from kchaos.runtime import Runtime

SYNC_S = 0.02
"""How long writing the rules takes."""
ANY = Options("")
NOBODY = Packet("tcp", number("10.244.255.254"), 40000, 0, 0)
"""A pod that is no endpoint of anything."""
ANY_NODE = NodeTables("", 0, 0, 0, "", net("10.244.0.0/24"))


class Backend(NamedTuple):
    """One destination in a rule table: the pod and the node that the endpoint named, and its address."""

    pod: str
    node: str
    address: str = ""
    ports: tuple[tuple[str, int], ...] = ()
    """(protocol, number) of all the Service's ports there."""


class Entry(NamedTuple):
    """The rules of one Service on one node, and what they do to a request of a pod there."""

    use: tuple[tuple[ServicePort, Categories], ...]
    """What the rules are compiled from."""
    spread: tuple[tuple[float, Backend], ...]
    """Endpoints with their probabilities."""
    reason: str
    """Why a request gets to none: ``no endpoints`` (rejected) or ``dropped``."""
    serving: tuple[str, ...] = ()
    """Of UDP: addresses of all endpoints that serve, terminating ones too; to others conntrack keeps no flow."""


@lru_cache(maxsize=8192)
def ways(port: ServicePort, categories: Categories, options: Options) -> tuple[tuple[tuple[float, str], ...], str]:
    """Walk a pod's request for a Service port through its own rules: addresses with probabilities, or why there are none."""
    part = fragment(port, categories, options)
    tables = assemble([part], options)
    hook = Hook(ANY_NODE, NOBODY._replace(proto=port.protocol, dst=number(port.cluster_ip), dport=port.port), "NEW")
    found: dict[str, float] = {}
    for way in through(tables, "nat", "PREROUTING", hook, 0):
        if way.action == "DNAT":
            address = way.option.rpartition(":")[0]
            found[address] = found.get(address, 0.0) + way.probability
    if found:
        return tuple((weight, address) for address, weight in found.items()), ""
    stopped = through(tables, "filter", "FORWARD", hook, 0)
    return (), "dropped" if any(way.action == "DROP" for way in stopped) else "no endpoints"


def _backend(endpoint: Endpoint, use: tuple[tuple[ServicePort, Categories], ...]) -> Backend:
    ports = [(port.protocol, one.port) for port, found in use for one in found.reachable if one.address == endpoint.address]
    return Backend(endpoint.pod, endpoint.node, endpoint.address, tuple(ports))


def _serving(port: ServicePort, slices: Iterable[Obj]) -> tuple[str, ...]:
    return tuple(one.address for one in endpoints_of(slices, port.port_name, port.protocol) if one.serving)


class Proxy:
    """The rules of one node by Service (namespace/name), as of the last sync. ``stopped``: it writes none until told to go on."""

    def __init__(
        self,
        rt: Runtime,
        servers: tuple[str, ...],
        first_server: int,
        constants: Constants,
        changed: Callable[[], None],
        node: str,
        zone: str = "",
    ) -> None:
        self._rt = rt
        self._constants = constants
        self._changed = changed
        self._options = Options(node, zone=zone)
        self.rules: dict[str, Entry] = {}
        self.stopped = False
        self.missed: dict[str, None] = {}
        """Services whose change was not written, because the proxy is stopped."""
        identity = component("kube-proxy")
        client = Client(rt, servers, first_server)
        self._slices = Informer(rt, client, "endpointslices", identity)
        self._slices.add_index("service", lambda one: (f"{one['metadata']['namespace']}/{labels(one).get(SERVICE, '')}",))
        self._services = Informer(rt, client, "services", identity)
        self._due = False
        self._dirty: dict[str, None] = {}

    def start(self) -> None:
        """Follow Services and their endpoint slices; the first rules are written when they are listed."""
        self._services.add_handler(self._service_changed)
        self._slices.add_handler(self._slice_changed)
        self._services.start()
        self._slices.start()

    def resume(self) -> None:
        """Write what was missed."""
        self.stopped = False
        missed, self.missed = self.missed, {}
        for service in missed:
            self._sync_due(service)

    def tables(self) -> dict[str, Table]:
        """Return the node's whole tables."""
        return assemble((fragment(*one, ANY) for entry in self.rules.values() for one in entry.use), self._options)

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        one = new if new is not None else old
        assert one is not None
        if old is None or new is None or old["spec"] != new["spec"] or old.get("status") != new.get("status"):
            self._sync_due(key_of(one))

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        one = new if new is not None else old
        assert one is not None
        if old is None or new is None or old.get("endpoints") != new.get("endpoints") or old.get("ports") != new.get("ports"):
            self._sync_due(f"{one['metadata']['namespace']}/{labels(one).get(SERVICE, '')}")

    def _sync_due(self, service: str) -> None:
        self._dirty[service] = None
        if not self._due:
            self._due = True
            self._rt.call_later(self._constants.proxy_min_sync_s + SYNC_S, self._sync)

    def _sync(self) -> None:
        self._due = False
        dirty, self._dirty = self._dirty, {}
        if self.stopped:
            self.missed.update(dirty)
            return
        for key in dirty:
            service = self._services.get(key)
            slices = self._slices.by("service", key)
            use = tuple(in_use(service, slices, self._options)) if service is not None else ()
            if not use:
                self.rules.pop(key, None)
                continue
            known = self.rules.get(key)
            serving = _serving(use[0][0], slices) if use[0][0].protocol == "udp" else ()
            if known is None or known.use != use or known.serving != serving:
                found, why = ways(*use[0], ANY)
                behind = {one.address: _backend(one, use) for one in use[0][1].reachable}
                self.rules[key] = Entry(use, tuple((weight, behind[address]) for weight, address in found), why, serving)
        self._changed()
