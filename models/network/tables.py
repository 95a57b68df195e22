"""What decides a packet's fate, as plain data: the tables of each node, the machines outside, and what is broken between them.

Devices are ``cni0`` (the bridge to which each pod's veth is a port), ``flannel.<VNI>`` (the overlay) and ``eth0``. Nothing here is mutable:
a change makes new tables, so a verdict can be kept as long as the tables are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kchaos.models.network.addresses import Net, is_loopback
from kchaos.models.network.policy import PodPolicy
from kchaos.models.network.rules import Table

BRIDGE, UNDERLAY = "cni0", "eth0"
Listeners = frozenset[tuple[str, int]]


class Packet(NamedTuple):
    """The first packet of a connection, or of its answer."""

    proto: str
    src: int
    sport: int
    dst: int
    dport: int

    def back(self) -> Packet:
        """Return the answer to it."""
        return Packet(self.proto, self.dst, self.dport, self.src, self.sport)


class Route(NamedTuple):
    """One route: a network, through a device, to a next hop unless it is directly attached."""

    to: Net
    device: str
    via: int = 0
    source: int = 0


class Port(NamedTuple):
    """One bridge port: the veth of a pod, and whether frames may go back where they came from (hairpin)."""

    pod: str
    hairpin: bool = True


class NodeTables(NamedTuple):
    """All tables of one node."""

    name: str
    address: int
    bridge: int
    vtep: int
    mac: str
    subnet: Net
    routes: tuple[Route, ...] = ()
    """Longest prefix first."""
    neighbours: Mapping[int, str] = {}
    """ARP on the overlay device: address -> MAC."""
    fdb: Mapping[str, int] = {}
    """Forwarding data base of the overlay device: MAC -> address of a node."""
    ports: Mapping[int, Port] = {}
    rules: Mapping[str, Table] = {}
    policies: Mapping[int, PodPolicy] = {}
    """NetworkPolicies as they bind this node's pods, by address."""
    listens: Listeners = frozenset()
    """(protocol, port) that the node itself serves."""
    forwarding: bool = True
    bridge_netfilter: bool = True
    down: frozenset[str] = frozenset()
    """Devices that are down."""
    drops_overlay: bool = False
    recent: Mapping[str, Mapping[int, float]] = {}
    """Session affinity: chain -> client -> when it was last sent there."""

    def is_local(self, address: int) -> bool:
        """Tell whether an address is one of the node's own."""
        return address in (self.address, self.bridge, self.vtep) or is_loopback(address)

    def route(self, address: int) -> Route | None:
        """Return the route to an address: the longest prefix whose device is up."""
        for one in self.routes:
            if one.to.has(address) and one.device not in self.down:
                return one
        return None

    def device_address(self, device: str) -> int:
        """Return the address that MASQUERADE takes on a device."""
        if device == BRIDGE:
            return self.bridge
        return self.address if device == UNDERLAY else self.vtep


class Outside(NamedTuple):
    """A machine outside the cluster, on the nodes' own network."""

    name: str
    address: int
    listens: Listeners = frozenset()


class Fabric(NamedTuple):
    """The whole network at one moment."""

    nodes: Mapping[str, NodeTables]
    outside: Mapping[str, Outside] = {}
    listens: Mapping[str, Listeners] | None = None
    """What pods serve, by name; None: every pod answers on every port."""
    cut: frozenset[tuple[str, str]] = frozenset()
    """Directed pairs of machines between which nothing gets through."""
    dead: frozenset[str] = frozenset()
    """Machines without power, or frozen."""
    link: tuple[Net, ...] = ()
    """Networks that machines outside take to be directly attached."""

    def at_address(self, address: int) -> str:
        """Return the machine with that address on the underlay."""
        for node in self.nodes.values():
            if node.address == address:
                return node.name
        return next((one.name for one in self.outside.values() if one.address == address), "")


def ordered(routes: list[Route]) -> tuple[Route, ...]:
    """Return routes as a lookup goes through them: longest prefix first."""
    return tuple(sorted(routes, key=lambda one: (-one.to.mask, one.to.value, one.device)))
