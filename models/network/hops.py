"""How a packet gets from one place to the next: in at a node, through its hooks, its routes, and out on the bridge, the overlay or the wire.

The order is the kernel's (netfilter hooks: PREROUTING, routing, INPUT or FORWARD, POSTROUTING; OUTPUT for what a node sends itself). A frame
between two ports of one bridge passes the same hooks while bridge-nf-call-iptables is 1. conntrack is the list of what was translated where;
an answer is translated back by it and passes no nat chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kchaos.models.network.addresses import is_loopback, number, text_of
from kchaos.models.network.netfilter import Hook, through
from kchaos.models.network.policy import lets_in, lets_out
from kchaos.models.network.tables import BRIDGE, UNDERLAY, Fabric, NodeTables, Packet

MAX_HOPS = 8
Hits = set[tuple[str, str]]


class Entry(NamedTuple):
    """One conntrack entry: the connection as it came in at a node, and as it left."""

    node: str
    before: Packet
    after: Packet


class Arrival(NamedTuple):
    """Where a packet ended, with what probability. ``kind``: pod, host, outside, reject, drop, unreachable."""

    weight: float
    kind: str
    machine: str
    packet: Packet
    track: tuple[Entry, ...]
    reason: str = ""


class Trip(NamedTuple):
    """A packet under way. ``answer``: it belongs to the way back. ``port``: address of the pod whose bridge port it came in by, else 0."""

    fabric: Fabric
    packet: Packet
    track: tuple[Entry, ...] = ()
    weight: float = 1.0
    answer: bool = False
    port: int = 0
    hops: int = 0
    now_s: float = 0.0
    hits: Hits | None = None

    def end(self, kind: str, machine: str, reason: str = "") -> Arrival:
        """Return where it ended."""
        return Arrival(self.weight, kind, machine, self.packet, self.track, reason)


def _classify(trip: Trip, node: str) -> tuple[str, Packet]:
    """Return the connection state and the packet after conntrack's translation back."""
    for entry in reversed(trip.track):
        if entry.node == node and entry.after.back() == trip.packet:
            return "ESTABLISHED", entry.before.back()
    if trip.answer and trip.packet.proto == "tcp":
        return "INVALID", trip.packet  # an answer to a connection that conntrack has never seen
    return "NEW", trip.packet


def _destination(option: str) -> tuple[int, int]:
    address, _, port = option.rpartition(":")
    return number(address), int(port)


def _hook(trip: Trip, node: NodeTables, state: str, interface: str = "") -> Hook:
    return Hook(node, trip.packet, state, interface, trip.now_s, trip.hits)


def _translated(trip: Trip, node: NodeTables, chain: str, state: str, interface: str) -> Iterator[tuple[Trip, int]]:
    """Yield the outcomes of nat PREROUTING or OUTPUT: the packet with its new destination, and the mark."""
    if state != "NEW":
        yield trip, 0
        return
    for way in through(node.rules, "nat", chain, _hook(trip, node, state, interface), 0):
        packet = trip.packet
        if way.action == "DNAT":
            address, port = _destination(way.option)
            packet = packet._replace(dst=address, dport=port)
        yield trip._replace(packet=packet, weight=trip.weight * way.probability), way.mark


def _filtered(trip: Trip, node: NodeTables, chain: str, state: str, mark: int, interface: str = "") -> Arrival | None:
    """Return the end of a packet that the filter table stops."""
    for way in through(node.rules, "filter", chain, _hook(trip, node, state, interface), mark):
        if way.action == "DROP":
            return trip.end("drop", node.name, f"dropped by {way.chain} on {node.name}")
        if way.action == "REJECT":
            return trip.end("reject", node.name, f"rejected by {way.chain} on {node.name}")
    return None


def _left(trip: Trip, node: NodeTables, before: Packet, state: str, mark: int, device: str) -> Trip:
    """Pass nat POSTROUTING, which may masquerade, and remember the connection."""
    if state != "NEW":
        return trip
    packet = trip.packet
    for way in through(node.rules, "nat", "POSTROUTING", _hook(trip, node, state), mark):
        if way.action == "MASQUERADE":
            packet = packet._replace(src=node.device_address(device))
    return trip._replace(packet=packet, track=(*trip.track, Entry(node.name, before, packet)))


def arrive(trip: Trip, name: str, interface: str) -> Iterator[Arrival]:
    """Follow a packet that comes in at a node."""
    node = trip.fabric.nodes[name]
    if trip.hops > MAX_HOPS:
        yield trip.end("drop", name, "routed in a circle")
        return
    trip = trip._replace(hops=trip.hops + 1)
    bridged = bool(trip.port) and node.subnet.has(trip.packet.dst) and not node.is_local(trip.packet.dst)
    if bridged and not node.bridge_netfilter:
        yield from _to_port(trip, node)
        return
    before = trip.packet
    state, packet = _classify(trip, name)
    for one, mark in _translated(trip._replace(packet=packet), node, "PREROUTING", state, interface):
        changed = state + ",DNAT" if one.packet.dst != packet.dst else state
        local = node.is_local(one.packet.dst)
        if local:
            stopped = _filtered(one, node, "INPUT", changed, mark, interface)
            entered = one._replace(track=(*one.track, Entry(name, before, one.packet))) if state == "NEW" else one
            yield stopped._replace(track=entered.track) if stopped is not None else entered.end("host", name)
            continue
        route = node.route(one.packet.dst)
        if not bridged and not node.forwarding:
            yield one.end("drop", name, f"{name} does not forward")
        elif route is None:
            yield one.end("unreachable", name, f"no route to {text_of(one.packet.dst)} on {name}")
        else:
            stopped = _filtered(one, node, "FORWARD", changed, mark, interface)
            if stopped is not None:
                yield stopped._replace(track=(*one.track, Entry(name, before, one.packet))) if state == "NEW" else stopped
            elif state == "NEW" and trip.port and trip.port != one.packet.dst and not _may_leave(trip, one, node):
                yield one.end("drop", name, "forbidden by a NetworkPolicy (egress)")
            else:
                device = BRIDGE if bridged else route.device
                yield from _send(_left(one, node, before, state, mark, device), node, device, route.via)


def _may_leave(trip: Trip, one: Trip, node: NodeTables) -> bool:
    """Tell whether the policies of the pod that a packet comes from let it go where it really goes."""
    return lets_out(node.policies.get(trip.port), one.packet.proto, one.packet.dst, one.packet.dport)


def output(trip: Trip, name: str) -> Iterator[Arrival]:
    """Follow a packet that a node sends itself."""
    node = trip.fabric.nodes[name]
    trip = trip._replace(hops=trip.hops + 1)
    before = trip.packet
    state, packet = _classify(trip, name)
    if not node.is_local(packet.dst) and node.route(packet.dst) is None:
        yield trip.end("unreachable", name, f"no route to {text_of(packet.dst)} on {name}")
        return
    for one, mark in _translated(trip._replace(packet=packet), node, "OUTPUT", state, ""):
        changed = state + ",DNAT" if one.packet.dst != packet.dst else state
        stopped = _filtered(one, node, "OUTPUT", changed, mark)
        if stopped is not None:
            yield stopped._replace(kind="refused here") if stopped.kind == "reject" else stopped
            continue
        route = node.route(one.packet.dst)
        if node.is_local(one.packet.dst):
            kept = _left(one, node, before, state, mark, UNDERLAY)
            stopped = _filtered(kept, node, "INPUT", changed, 0)
            yield stopped if stopped is not None else kept.end("host", name)
        elif route is None:
            yield one.end("unreachable", name, f"no route to {text_of(one.packet.dst)} on {name}")
        else:
            yield from _send(_left(one, node, before, state, mark, route.device), node, route.device, route.via)


def _to_port(trip: Trip, node: NodeTables) -> Iterator[Arrival]:
    """Hand a frame to the bridge port of the pod that has the address."""
    packet = trip.packet
    found = node.ports.get(packet.dst)
    if found is None:
        yield trip.end("drop", node.name, f"no pod has {text_of(packet.dst)} on {node.name}")
    elif trip.port == packet.dst and not found.hairpin:
        yield trip.end("drop", node.name, "hairpin mode is off on the bridge port")
    elif not trip.answer and not node.is_local(packet.src) and not lets_in(
        node.policies.get(packet.dst), packet.proto, packet.src, packet.dst, packet.dport
    ):  # fmt: skip
        yield trip.end("drop", node.name, "forbidden by a NetworkPolicy (ingress)")
    else:
        yield trip.end("pod", found.pod)


def _send(trip: Trip, node: NodeTables, device: str, via: int) -> Iterator[Arrival]:
    if device == BRIDGE:
        yield from _to_port(trip, node)
    elif device == UNDERLAY:
        yield from wire(trip, node.name, via or trip.packet.dst)
    else:
        yield from _tunnel(trip, node, device, via or trip.packet.dst)


def _broken(trip: Trip, source: str, target: str) -> str:
    """Tell why nothing gets from one machine to another."""
    fabric = trip.fabric
    if target in fabric.dead or source in fabric.dead:
        return f"{target if target in fabric.dead else source} does not answer"
    if (source, target) in fabric.cut:
        return f"the link from {source} to {target} is cut"
    for name in (source, target):
        node = fabric.nodes.get(name)
        if node is not None and UNDERLAY in node.down:
            return f"{UNDERLAY} of {name} is down"
    return ""


def _tunnel(trip: Trip, node: NodeTables, device: str, hop: int) -> Iterator[Arrival]:
    """VXLAN: ARP gives the peer's MAC, the FDB the node that has it; a frame for another MAC is dropped there."""
    mac = node.neighbours.get(hop)
    outer = node.fdb.get(mac) if mac is not None else None
    if mac is None or outer is None:
        what = "ARP entry for " + text_of(hop) if mac is None else f"FDB entry for {mac}"
        yield trip.end("drop", node.name, f"no {what} on {node.name}")
        return
    target = trip.fabric.at_address(outer)
    peer = trip.fabric.nodes.get(target)
    why = _broken(trip, node.name, target)
    if peer is None:
        why = f"the FDB of {node.name} points to {text_of(outer)}, which is no node"
    elif not why and peer.drops_overlay:
        why = f"overlay packets are lost at {target}"
    elif not why and (peer.mac != mac or device in peer.down):
        why = f"the FDB of {node.name} sends to {target}, which is not the owner" if peer.mac != mac else f"{device} of {target} is down"
    if why:
        yield trip.end("drop", node.name, why)
    else:
        yield from arrive(trip._replace(port=0), target, device)


def wire(trip: Trip, source: str, hop: int) -> Iterator[Arrival]:
    """Send to a machine on the nodes' own network."""
    fabric = trip.fabric
    target = fabric.at_address(hop)
    why = _broken(trip, source, target) if target else f"nobody answers for {text_of(hop)}"
    if not target and hop != trip.packet.dst:
        why = f"{source} has no route to them but by its gateway {text_of(hop)}, which drops it"
    if why:
        yield trip.end("drop", source, why)
    elif target in fabric.nodes:
        if is_loopback(trip.packet.dst):
            yield trip.end("drop", target, "a loopback address from outside")
        else:
            yield from arrive(trip._replace(port=0), target, UNDERLAY)
    elif fabric.outside[target].address == trip.packet.dst:
        yield trip.end("outside", target)
    else:
        yield trip.end("drop", target, f"{target} does not forward")
