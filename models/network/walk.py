"""A packet's verdict, as a pure function of the tables: who answers, from where it seems to come, or why nobody does.

The five paths: same pod (its own loopback, no table), same node (the bridge), other node (route, ARP, FDB, VXLAN), Service (translated by the
client's node), outside (node ports, external addresses, masquerade). The way back is walked as well: a connection stands only if the answer
comes back to the client from the address that it asked.
"""

from __future__ import annotations

from typing import NamedTuple

from kchaos.models.network.addresses import is_loopback, number, text_of
from kchaos.models.network.hops import Arrival, Entry, Hits, Trip, arrive, output, wire
from kchaos.models.network.tables import UNDERLAY, Fabric, Packet

CLIENT_PORT = 40000
"""The client's port; the kernel takes any free one."""


class Client(NamedTuple):
    """Who asks: ``kind`` is pod, node or outside; a pod has its node and address."""

    kind: str
    name: str
    node: str = ""
    address: int = 0


class Verdict(NamedTuple):
    """One possible result and its probability. ``verdict``: answered, refused, timeout or unreachable."""

    probability: float
    verdict: str
    by: str = ""
    at: str = ""
    source: str = ""
    reason: str = ""

    @property
    def result(self) -> tuple[str, str, str, str]:
        """Return what a client and a server could tell of it."""
        return self.verdict, self.by, self.at, self.source


def source_of(fabric: Fabric, client: Client, destination: int) -> int:
    """Return the address that a client's packets bear."""
    if client.kind == "outside":
        return fabric.outside[client.name].address
    if client.kind == "pod":
        return client.address
    node = fabric.nodes[client.name]
    if is_loopback(destination) or node.is_local(destination):
        return destination
    route = node.route(destination)
    return (route.source or node.device_address(route.device)) if route is not None else node.address


def probe(
    fabric: Fabric, client: Client, proto: str, to: str, via: str = "", now_s: float = 0.0, hits: Hits | None = None, answers: bool = True
) -> tuple[Verdict, ...]:
    """Return all possible results of one connection to ``address:port``, most likely first.

    ``via``: the node by which a machine outside reaches that address. ``answers=False`` leaves the way back out.
    """
    address, _, port = to.rpartition(":")
    destination = number(address)
    packet = Packet(proto.lower(), source_of(fabric, client, destination), CLIENT_PORT, destination, int(port))
    trip = Trip(fabric, packet, now_s=now_s, hits=hits)
    if client.kind == "pod" and (client.address == destination or is_loopback(destination)):
        return (_same_pod(fabric, client, packet),)
    found: dict[tuple[str, ...], float] = {}
    for arrival in _first(trip, client, via):
        verdict = _judge(fabric, client, packet, arrival, via, now_s, hits, answers)
        key = (*verdict.result, verdict.reason)
        found[key] = found.get(key, 0.0) + verdict.probability
    out = [Verdict(round(weight, 9), *key) for key, weight in found.items()]
    return tuple(sorted(out, key=lambda one: (-one.probability, one.result)))


def _same_pod(fabric: Fabric, client: Client, packet: Packet) -> Verdict:
    at = f"{text_of(packet.dst)}:{packet.dport}"
    if fabric.listens is None or (packet.proto, packet.dport) in fabric.listens.get(client.name, frozenset()):
        return Verdict(1.0, "answered", client.name, at, text_of(packet.src), "same pod")
    return Verdict(1.0, "refused", reason=f"{client.name} does not listen")


def _first(trip: Trip, client: Client, via: str) -> list[Arrival]:
    """Send a client's packet on its way."""
    if client.kind == "pod":
        return list(arrive(trip._replace(port=client.address), client.node, f"veth{client.address:x}"))
    if client.kind == "node":
        return list(output(trip, client.name))
    return list(_from_outside(trip, client.name, via))


def _from_outside(trip: Trip, name: str, via: str) -> list[Arrival]:
    """Send from a machine outside: by ``via``, directly on its link, or to the node that has the pod's subnet."""
    fabric, destination = trip.fabric, trip.packet.dst
    if via:
        return list(wire(trip, name, fabric.nodes[via].address))
    if fabric.at_address(destination):
        return list(wire(trip, name, destination))
    for node in fabric.nodes.values():
        if node.subnet.has(destination):
            return list(wire(trip, name, node.address))
    return [trip.end("drop", name, f"nobody answers for {text_of(destination)}")]


def _judge(
    fabric: Fabric, client: Client, asked: Packet, arrival: Arrival, via: str, now_s: float, hits: Hits | None, answers: bool
) -> Verdict:
    kind, packet, weight = arrival.kind, arrival.packet, arrival.weight
    if kind == "drop":
        return Verdict(weight, "timeout", reason=arrival.reason)
    if kind == "refused here":
        return Verdict(weight, "refused", reason=arrival.reason)
    if kind == "unreachable":
        if client.kind == "pod" and arrival.machine != client.node:
            return Verdict(weight, "timeout", reason=arrival.reason)
        return Verdict(weight, "unreachable", reason=arrival.reason)
    refusal = arrival.reason if kind == "reject" else "" if _listens(fabric, arrival) else f"{arrival.machine} does not listen"
    if answers:
        why = _way_back(fabric, client, asked, arrival, now_s, hits)
        if why:
            return Verdict(weight, "timeout", reason=why)
    if refusal:
        return Verdict(weight, "refused", reason=refusal)
    return Verdict(weight, "answered", arrival.machine, f"{text_of(packet.dst)}:{packet.dport}", text_of(packet.src))


def _listens(fabric: Fabric, arrival: Arrival) -> bool:
    key = (arrival.packet.proto, arrival.packet.dport)
    if arrival.kind == "pod":
        return fabric.listens is None or key in fabric.listens.get(arrival.machine, frozenset())
    if arrival.kind == "host":
        return key in fabric.nodes[arrival.machine].listens
    return key in fabric.outside[arrival.machine].listens


def _home(fabric: Fabric, name: str, track: tuple[Entry, ...], address: int) -> str:
    """Return the node on whose bridge a pod's address is."""
    return next(
        (one.name for one in fabric.nodes.values() if one.subnet.has(address) and address in one.ports and one.ports[address].pod == name),
        "",
    )


def _way_back(fabric: Fabric, client: Client, asked: Packet, arrival: Arrival, now_s: float, hits: Hits | None) -> str:
    """Tell why the answer does not come back; nothing if it does."""
    answer = arrival.packet.back()
    trip = Trip(fabric, answer, arrival.track, answer=True, now_s=now_s, hits=hits)
    if arrival.kind == "pod":
        home = _home(fabric, arrival.machine, arrival.track, answer.src)
        ends = list(arrive(trip._replace(port=answer.src), home, f"veth{answer.src:x}"))
    elif arrival.kind == "outside":
        ends = _from_outside(trip, arrival.machine, "")
    else:
        ends = list(output(trip, arrival.machine))
    for end in ends:
        if end.kind not in ("pod", "host", "outside"):
            return f"the answer: {end.reason}"
        if end.machine != client.name:
            return f"the answer went to {end.machine}"
        if end.packet != asked.back() and arrival.kind != "reject":
            return f"the answer came from {text_of(end.packet.src)}, which was not asked"
    return ""


def path_of(fabric: Fabric, client: Client, destination: int) -> str:
    """Return which of the five paths a connection takes: same pod, same node, other node, Service or outside."""
    if client.kind == "outside":
        return "outside"
    if client.address == destination or is_loopback(destination):
        return "same pod" if client.kind == "pod" else "same node"
    home = client.node or client.name
    for node in fabric.nodes.values():
        if destination in node.ports or node.is_local(destination):
            return "same node" if node.name == home else "other node"
    return "outside" if fabric.at_address(destination) or fabric.nodes[home].route(destination) is None else "Service"


__all__ = ["CLIENT_PORT", "UNDERLAY", "Client", "Verdict", "path_of", "probe", "source_of"]
