"""Pod subnets leased in the store, and what each node's overlay agent makes of them: routes, ARP and FDB entries.

flannel with its Kubernetes subnet manager: the lease is spec.podCIDR of the Node, its data are annotations (public IP, the VTEP's MAC). For
every other lease an agent keeps a permanent ARP entry (the lease's network address -> MAC), an FDB entry (MAC -> public IP) and an onlink route
(Documentation/backends.md; recorded scenes show the kernel working with exactly these).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.network.addresses import net, number, text_of
from kchaos.models.network.tables import BRIDGE, UNDERLAY, NodeTables, Route, ordered

PREFIX = "flannel.alpha.coreos.com/"
PUBLIC_IP, BACKEND, BACKEND_DATA, MANAGED = (
    PREFIX + "public-ip",
    PREFIX + "backend-type",
    PREFIX + "backend-data",
    PREFIX + "kube-subnet-manager",
)
OVERLAY = "flannel.1"
FIRST = 244
NETWORK = "10.244.0.0/16"


class Lease(NamedTuple):
    """One node's pod subnet, and how to get there."""

    node: str
    subnet: str
    public_ip: str
    mac: str


def subnet_of(index: int) -> str:
    """Return the first three numbers of the n-th node's subnet: ``10.244.7``."""
    return f"10.{FIRST + index // 250}.{index % 250}"


def new_lease(node: str, index: int) -> Lease:
    """Return the lease of the n-th node of a simulated cluster."""
    return Lease(
        node,
        f"{subnet_of(index)}.0/24",
        f"192.168.{index // 250}.{index % 250 + 1}",
        f"02:00:00:{index >> 16:02x}:{index >> 8 & 255:02x}:{index & 255:02x}",
    )


def leased(node: Obj, lease: Lease) -> Obj:
    """Return a Node that holds a lease."""
    notes = {
        **(node["metadata"].get("annotations") or {}), PUBLIC_IP: lease.public_ip, BACKEND: "vxlan",
        BACKEND_DATA: json.dumps({"VNI": 1, "VtepMAC": lease.mac}), MANAGED: "true",
    }  # fmt: skip
    spec = {**node["spec"], "podCIDR": lease.subnet, "podCIDRs": [lease.subnet]}
    return {**node, "metadata": {**node["metadata"], "annotations": notes}, "spec": spec}


def lease_of(node: Obj) -> Lease | None:
    """Return the lease that a Node holds."""
    notes = node["metadata"].get("annotations") or {}
    subnet = node["spec"].get("podCIDR")
    if not subnet or notes.get(MANAGED) != "true" or PUBLIC_IP not in notes or BACKEND_DATA not in notes:
        return None
    try:
        mac = json.loads(notes[BACKEND_DATA])["VtepMAC"]
    except (ValueError, KeyError, TypeError):
        return None
    return Lease(node["metadata"]["name"], subnet, notes[PUBLIC_IP], str(mac))


class Backend(NamedTuple):
    """How an agent carries packets to other nodes: ``vxlan`` or ``host-gw``.

    ``direct``: pairs of nodes on one link, which VXLAN with DirectRouting does not use the tunnel for.
    """

    kind: str = "vxlan"
    vni: int = 1
    direct: frozenset[tuple[str, str]] = frozenset()

    @property
    def device(self) -> str:
        """Return the name of the overlay's device."""
        return f"flannel.{self.vni}"

    def tunnels(self, node: str, peer: str) -> bool:
        """Tell whether packets between two nodes go through the tunnel."""
        return self.kind == "vxlan" and (node, peer) not in self.direct and (peer, node) not in self.direct

    def mtu(self, underlay: int) -> int:
        """Return the MTU of pods: the tunnel takes 50 bytes of each packet (IP 20, UDP 8, VXLAN 8, Ethernet 14)."""
        return underlay - 50 if self.kind == "vxlan" else underlay


VXLAN = Backend()


class Peers(NamedTuple):
    """What one node's agent has written: the entries for the other leases."""

    routes: Mapping[str, Route]
    """By the lease's subnet."""
    neighbours: Mapping[int, str]
    fdb: Mapping[str, int]


def peers_of(leases: Iterable[Lease], node: str, backend: Backend = VXLAN) -> Peers:
    """Return the entries that a node must have: without a tunnel, only a route by way of the peer's own address."""
    routes: dict[str, Route] = {}
    neighbours: dict[int, str] = {}
    fdb: dict[str, int] = {}
    for one in leases:
        if one.node == node:
            continue
        there = net(one.subnet)
        if not backend.tunnels(node, one.node):
            routes[one.subnet] = Route(there, UNDERLAY, number(one.public_ip))
            continue
        routes[one.subnet] = Route(there, backend.device, there.value)
        neighbours[there.value] = one.mac
        fdb[one.mac] = number(one.public_ip)
    return Peers(routes, neighbours, fdb)


def wrong(have: Peers, want: Peers, leases: Iterable[Lease]) -> list[str]:
    """Return the nodes whose entries differ from what they should be, those for leases that are gone as ``gone``."""
    out: dict[str, None] = {}
    for one in leases:
        at = net(one.subnet).value
        if one.subnet in want.routes and (
            have.routes.get(one.subnet) != want.routes[one.subnet]
            or have.neighbours.get(at) != want.neighbours[at]
            or have.fdb.get(one.mac) != want.fdb[one.mac]
        ):
            out[one.node] = None
    if set(have.routes) - set(want.routes) or set(have.neighbours) - set(want.neighbours) or set(have.fdb) - set(want.fdb):
        out["gone"] = None
    return list(out)


def base_tables(lease: Lease) -> NodeTables:
    """Return a node's tables before it knows any other."""
    subnet = net(lease.subnet)
    bridge = subnet.value + 1
    routes = [
        Route(subnet, BRIDGE, 0, bridge),
        Route(net("192.168.0.0/16"), UNDERLAY, 0, number(lease.public_ip)),
        Route(net("0.0.0.0/0"), UNDERLAY, number("192.168.255.254")),
    ]
    return NodeTables(lease.node, number(lease.public_ip), bridge, subnet.value, lease.mac, subnet, ordered(routes))


def with_peers(tables: NodeTables, peers: Peers) -> NodeTables:
    """Put an agent's entries into a node's tables."""
    own = [one for one in tables.routes if one.device != OVERLAY]
    return tables._replace(routes=ordered([*own, *peers.routes.values()]), neighbours=peers.neighbours, fdb=peers.fdb)


def describe(peers: Peers) -> list[str]:
    """Return the entries as `ip route`, `ip neigh` and `bridge fdb` print them."""
    return [
        *(
            f"{one.to.text} via {text_of(one.via)} dev {one.device}{' onlink' if one.device != UNDERLAY else ''}"
            for one in peers.routes.values()
        ),
        *(f"{text_of(address)} lladdr {mac} PERMANENT" for address, mac in peers.neighbours.items()),
        *(f"{mac} dst {text_of(address)} self permanent" for mac, address in peers.fdb.items()),
    ]
