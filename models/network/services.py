"""What a node must do for a Service port: the Service's fields that matter, and which endpoints are used for which traffic.

pkg/proxy/serviceport.go (BaseServicePortInfo), endpoint.go, topology.go (CategorizeEndpoints), Kubernetes 1.34. Terminating endpoints that
still serve are the fallback when none is ready (KEP-1669); topology hints of node and zone (KEP-2433, KEP-3015).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kchaos.models.api.tree import Obj, get

SERVICE = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
AFFINITY_S = 10800


class Endpoint(NamedTuple):
    """One address of a Service port."""

    address: str
    port: int
    node: str
    ready: bool
    serving: bool
    terminating: bool
    pod: str = ""
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return ``ip:port``."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class ServicePort(NamedTuple):
    """One port of one Service, for one IP family."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    internal_local: bool = False
    external_local: bool = False
    affinity_s: int = 0
    health_port: int = 0

    @property
    def label(self) -> str:
        """Return ``namespace/name[:port]``, as rules' comments have it."""
        return f"{self.namespace}/{self.name}" + (f":{self.port_name}" if self.port_name else "")

    @property
    def external(self) -> bool:
        """Tell whether anything outside the cluster can reach it (ExternallyAccessible)."""
        return bool(self.node_port or self.external_ips or self.balancer_ips)

    @property
    def uses_cluster(self) -> bool:
        """Tell whether endpoints of all nodes are used: for external traffic of pods and of the node itself even where it is Local."""
        return not self.internal_local or self.external

    @property
    def uses_local(self) -> bool:
        """Tell whether endpoints of this node matter on their own."""
        return self.internal_local or (self.external_local and self.external)


class Categories(NamedTuple):
    """The endpoints of one Service port, as one node uses them."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    reachable: tuple[Endpoint, ...]
    any: bool


def _of_family(addresses: Iterable[str], family: int) -> tuple[str, ...]:
    return tuple(one for one in addresses if (":" in one) == (family == 6))


def service_ports(service: Obj, family: int = 4) -> list[ServicePort]:
    """Return the ports of a Service; none if it is headless, ExternalName or another proxy's (ShouldSkipService)."""
    spec, meta = service["spec"], service["metadata"]
    labels = meta.get("labels") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None") or PROXY_NAME in labels:
        return []
    own = _of_family(spec.get("clusterIPs") or [spec["clusterIP"]], family)
    if not own:
        return []
    balanced = [
        one["ip"]
        for one in get(service, "status", "loadBalancer", "ingress", default=()) or ()
        if one.get("ip") and one.get("ipMode", "VIP") == "VIP"
    ]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        affinity = int(get(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds", default=AFFINITY_S))
    balancer = spec.get("type") == "LoadBalancer"
    return [
        ServicePort(
            meta["namespace"], meta["name"], port.get("name", ""), port.get("protocol", "TCP").lower(), own[0], port["port"],
            port.get("nodePort", 0) if spec.get("type") in ("NodePort", "LoadBalancer") else 0,
            _of_family(spec.get("externalIPs") or (), family),
            _of_family(balanced, family) if balancer else (),
            tuple(one for one in (text.strip() for text in spec.get("loadBalancerSourceRanges") or ()) if (":" in one) == (family == 6)),
            spec.get("internalTrafficPolicy") == "Local", spec.get("externalTrafficPolicy") == "Local", affinity,
            int(spec.get("healthCheckNodePort") or 0),
        )
        for port in spec.get("ports") or ()
    ]  # fmt: skip


def headless_port(service: Obj) -> ServicePort | None:
    """Return the first port of a headless Service; None if it has none, or is not headless."""
    spec = service.get("spec") or {}
    if spec.get("clusterIP") != "None" or not spec.get("ports"):
        return None
    port, meta = spec["ports"][0], service["metadata"]
    return ServicePort(meta["namespace"], meta["name"], port.get("name", ""), port.get("protocol", "TCP").lower(), "", port["port"])


def endpoints_of(slices: Iterable[Obj], port_name: str, protocol: str, family: int = 4, node: str = "") -> tuple[Endpoint, ...]:
    """Return the endpoints behind a port name, in byte order of ``ip:port``.

    An address in several slices counts as the first, by the slices' names, says; on its own node as the last (endpointslicecache.go).
    """
    wanted = "IPv6" if family == 6 else "IPv4"
    found: dict[str, Endpoint] = {}
    for one in sorted(slices, key=lambda one: one["metadata"]["name"]):
        if one.get("addressType") != wanted or HEADLESS in (one["metadata"].get("labels") or {}):
            continue
        numbers = [
            port["port"]
            for port in one.get("ports") or ()
            if (port.get("name") or "") == port_name and port.get("protocol", "TCP").lower() == protocol and port.get("port")
        ]
        for endpoint in one.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            hints = endpoint.get("hints") or {}
            target = endpoint.get("targetRef") or {}
            for number in numbers:
                made = Endpoint(
                    endpoint["addresses"][0], number, endpoint.get("nodeName") or "", conditions.get("ready") is not False,
                    conditions.get("serving") is not False, bool(conditions.get("terminating")),
                    f"{one['metadata']['namespace']}/{target['name']}" if target.get("kind", "Pod") == "Pod" and "name" in target else "",
                    tuple(hint["name"] for hint in hints.get("forZones") or ()), tuple(hint["name"] for hint in hints.get("forNodes") or ()),
                )  # fmt: skip
                if made.key not in found or (node and made.node == node):
                    found[made.key] = made
    return tuple(found[key] for key in sorted(found))


def _topology(endpoints: Iterable[Endpoint], node: str, zone: str) -> str:
    """Return ``node``, ``zone`` or nothing (topologyModeFromHints): hints count only if every ready endpoint has them and one fits."""
    ready = [one for one in endpoints if one.ready]
    if all(one.nodes for one in ready) and any(node in one.nodes for one in ready):
        return "node"
    if all(one.zones for one in ready) and any(zone in one.zones for one in ready):
        return "zone"
    return ""


def categorize(port: ServicePort, endpoints: tuple[Endpoint, ...], node: str, zone: str = "") -> Categories:
    """Return which endpoints a node uses for cluster-wide and for node-local traffic."""
    cluster: tuple[Endpoint, ...] = ()
    if port.uses_cluster:
        mode = _topology(endpoints, node, zone) if zone or any(one.nodes for one in endpoints) else ""
        cluster = tuple(
            one for one in endpoints
            if one.ready and (mode != "node" or node in one.nodes) and (mode != "zone" or zone in one.zones)
        ) or tuple(one for one in endpoints if one.serving and one.terminating)  # fmt: skip
    if not port.uses_local:
        return Categories(cluster, (), cluster, bool(cluster))
    near = [one for one in endpoints if one.node == node and node]
    local = tuple(one for one in near if one.ready) or tuple(one for one in near if one.serving and one.terminating)
    exists = bool(cluster or local) or any(one.ready or (one.serving and one.terminating) for one in endpoints)
    if not port.uses_cluster:
        return Categories((), local, local, exists)
    merged = {one.key: one for one in (*cluster, *local)}
    return Categories(cluster, local, tuple(merged[key] for key in sorted(merged)), exists)


class Health(NamedTuple):
    """What a node answers on a Service's healthCheckNodePort: a load balancer takes 200 for a node with pods."""

    service: str
    port: int
    status: int
    endpoints: int


def health_checks(service: Obj, slices: Iterable[Obj], node: str) -> list[Health]:
    """Return the answer of a node for a Service; none if it has no such port (pkg/proxy/healthcheck/service_health.go).

    An address counts once, however many ports it serves; what is terminating does not count, so that balancers turn away early.
    """
    ports = service_ports(service)
    if not ports or not ports[0].health_port:
        return []
    own = list(slices)
    near = {
        one.address: None
        for port in ports
        for one in endpoints_of(own, port.port_name, port.protocol, node=node)
        if one.node == node and one.ready
    }
    return [Health(f"{ports[0].namespace}/{ports[0].name}", ports[0].health_port, 200 if near else 503, len(near))]
