"""What a DNS server has seen of the cluster, in the form that questions are answered from.

CoreDNS plugin/kubernetes/object: EndpointSlices count with their ready endpoints only; one without ports stands for port -1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.network.services import SERVICE

NamedPorts = tuple[tuple[str, str, int], ...]
NO_PORT: NamedPorts = (("", "", -1),)


class Address(NamedTuple):
    """One ready endpoint."""

    address: str
    ports: NamedPorts
    hostname: str = ""
    pod: str = ""


class Service(NamedTuple):
    """One Service with the endpoints behind it."""

    namespace: str
    name: str
    cluster_ips: tuple[str, ...]
    ports: NamedPorts
    addresses: tuple[Address, ...] = ()
    external_name: str = ""

    @property
    def headless(self) -> bool:
        """Tell whether it has no address of its own."""
        return not self.cluster_ips and not self.external_name


class Zone(NamedTuple):
    """Everything a server knows. Plain data: a later view is another value."""

    services: Mapping[str, Service]
    namespaces: frozenset[str]
    pods: frozenset[tuple[str, str]] = frozenset()
    """(namespace, address), for ``pods verified``."""
    name_servers: tuple[str, ...] = ()
    unclaimed: tuple[Service, ...] = ()
    """Endpoints whose Service does not exist: a reverse look-up finds their addresses all the same."""


def addresses_of(slices: Iterable[Obj]) -> tuple[Address, ...]:
    """Return the ready endpoints of some EndpointSlices."""
    addresses: list[Address] = []
    for one in slices:
        ports = tuple((port.get("name") or "", port.get("protocol", "TCP"), port.get("port") or -1) for port in one.get("ports") or ())
        for endpoint in one.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            target = endpoint.get("targetRef") or {}
            addresses.extend(
                Address(address, ports or NO_PORT, endpoint.get("hostname") or "", target.get("name", ""))
                for address in endpoint["addresses"]
            )
    return tuple(addresses)


def service_of(service: Obj, slices: Iterable[Obj]) -> Service:
    """Return one Service as DNS shows it."""
    spec, meta = service["spec"], service["metadata"]
    external = spec.get("externalName", "") if spec.get("type") == "ExternalName" else ""
    own = tuple(one for one in spec.get("clusterIPs") or [spec.get("clusterIP") or "None"] if one not in ("None", ""))
    ports = tuple((port.get("name") or "", port.get("protocol", "TCP"), port["port"]) for port in spec.get("ports") or ())
    return Service(meta["namespace"], meta["name"], () if external else own, ports or NO_PORT, addresses_of(slices), external)


def zone_of(objects: Iterable[Obj], namespaces: Iterable[str], name_servers: Iterable[str] = ()) -> Zone:
    """Return the view of a set of Services, EndpointSlices and Pods."""
    services: list[Obj] = []
    behind: dict[str, list[Obj]] = {}
    pods: set[tuple[str, str]] = set()
    for one in objects:
        if one["kind"] == "Service":
            services.append(one)
        elif one["kind"] == "EndpointSlice":
            name = (one["metadata"].get("labels") or {}).get(SERVICE, "")
            behind.setdefault(f"{one['metadata']['namespace']}/{name}", []).append(one)
        elif one["kind"] == "Pod" and (one.get("status") or {}).get("podIP") and one["status"].get("phase") not in ("Succeeded", "Failed"):
            pods.add((one["metadata"]["namespace"], one["status"]["podIP"]))
    table: dict[str, Service] = {}
    for service in services:
        key = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        table[key] = service_of(service, behind.pop(key, ()))
    unclaimed = tuple(
        Service(space, name, (), NO_PORT, addresses_of(slices))
        for (space, _, name), slices in ((key.partition("/"), slices) for key, slices in behind.items())
    )
    return Zone(table, frozenset(namespaces), frozenset(pods), tuple(name_servers), unclaimed)
