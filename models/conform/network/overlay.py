"""Recorded scenes of an overlay: the entries that each node makes of the leases, and which pings get through, with an entry removed or wrong.

Time to live is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.conform.judge import Fact
from kchaos.models.network.addresses import net, number
from kchaos.models.network.overlay import Backend, Lease, describe, peers_of
from kchaos.models.network.tables import BRIDGE, UNDERLAY, Fabric, NodeTables, Port, Route, ordered
from kchaos.models.network.walk import Client, probe

PING = "icmp"
HEADERS = 28
"""Bytes of an echo request besides its payload (IP 20, ICMP 8)."""


class _Scene(NamedTuple):
    """A scene's nodes and how they are joined."""

    leases: list[Lease]
    backend: Backend
    fabric: Fabric
    underlay_mtu: int


def _scene(story: Obj) -> _Scene:
    leases = [Lease(node, one["subnet"], one["publicIP"], one["vtepMAC"]) for node, one in story["leases"].items()]
    backend = Backend(story["backend"], story["vni"], frozenset((a, b) for a, b in story["directRouting"]))
    pods = {text.split()[1]: text.split()[3] for text in (one["from"] for one in story["pings"]) if text.startswith("pod ")}
    nodes = {one.node: _node(one, leases, backend, pods) for one in leases}
    return _Scene(leases, backend, Fabric(nodes), story["underlayMtu"])


def _node(lease: Lease, leases: list[Lease], backend: Backend, pods: dict[str, str]) -> NodeTables:
    subnet, address = net(lease.subnet), number(lease.public_ip)
    peers = peers_of(leases, lease.node, backend)
    routes = [
        Route(subnet, BRIDGE, 0, subnet.value + 1), Route(net(f"{lease.public_ip}/24"), UNDERLAY, 0, address), *peers.routes.values(),
    ]  # fmt: skip
    ports = {number(ip): Port(f"pod {ip}") for ip, node in pods.items() if node == lease.node}
    return NodeTables(
        lease.node, address, subnet.value + 1, subnet.value, lease.mac, subnet, ordered(routes), peers.neighbours, peers.fdb, ports
    )


def judge_overlay(story: Obj) -> Iterator[Fact]:
    """Judge each node's entries and each ping of a scene."""
    scene = _scene(story)
    for node, state in story["state"].items():
        recorded = sorted(line for key in ("routes", "neigh", "fdb") for line in state.get(key) or () if " via " in line or key != "routes")
        ours = sorted(describe(peers_of(scene.leases, node, scene.backend)))
        lost, more = [one for one in recorded if one not in ours], [one for one in ours if one not in recorded]
        yield Fact(
            "entries", f"{node} has {len(recorded)} entries for its peers", not lost and not more, f"missed {lost[:2]}, besides {more[:2]}"
        )
    fabric = scene.fabric
    for ping in story["pings"]:
        note, command = ping.get("note", ""), ping.get("command", "")
        if command or (note and not note.endswith("the other direction")):
            fabric = _changed(scene, command or f"ip route del {_subnet(scene, ping['to'])}")
        elif not note:
            fabric = scene.fabric
        yield _ping(scene, fabric, ping)


def _subnet(scene: _Scene, address: str) -> str:
    return next(one.subnet for one in scene.leases if net(one.subnet).has(number(address)))


def _changed(scene: _Scene, commands: str) -> Fabric:
    """Return the scene after commands on its first node."""
    name = scene.leases[0].node
    node = scene.fabric.nodes[name]
    for command in commands.split("; "):
        node = _after(node, command.split())
    return scene.fabric._replace(nodes={**scene.fabric.nodes, name: node})


def _after(node: NodeTables, words: list[str]) -> NodeTables:
    """Return a node's tables after one command of ip(8) or bridge(8)."""
    what, subject = words[:3], words[3]
    after = dict(pairwise(words))
    if what == ["bridge", "fdb", "del"]:
        return node._replace(fdb={mac: at for mac, at in node.fdb.items() if mac != subject})
    if what == ["bridge", "fdb", "replace"]:
        return node._replace(fdb={**node.fdb, subject: number(after["dst"])})
    if what == ["ip", "neigh", "del"]:
        return node._replace(neighbours={at: mac for at, mac in node.neighbours.items() if at != number(subject)})
    if what == ["ip", "neigh", "replace"]:
        return node._replace(neighbours={**node.neighbours, number(subject): after["lladdr"]})
    if what == ["ip", "route", "del"]:
        return node._replace(routes=tuple(one for one in node.routes if one.to.text != subject))
    assert what == ["ip", "link", "set"], words
    return node._replace(down=node.down | {subject})


def _ping(scene: _Scene, fabric: Fabric, ping: Obj) -> Fact:
    words = ping["from"].split()
    client = Client("pod", f"pod {words[1]}", words[3], number(words[1])) if words[0] == "pod" else Client("node", words[1])
    mtu = scene.backend.mtu(scene.underlay_mtu)
    size = int(ping.get("bytes", 0)) + HEADERS
    if ping.get("dontFragment") and size > mtu:
        got = "fragmentation needed"
    else:
        verdict = probe(fabric, client, PING, f"{ping['to']}:0")[0].verdict
        got = {"answered": "ok", "timeout": "no answer", "unreachable": "Destination Net Unreachable"}.get(verdict, verdict)
    result = ping["result"]
    want = "ok" if result["ok"] else result["error"]
    more = "".join(f", {ping[key]}" for key in ("note",) if key in ping) + (f", {ping['bytes']} bytes" if "bytes" in ping else "")
    holds = got == want and result.get("mtu", mtu) == mtu
    return Fact("ping", f"{ping['from']} to {ping['to']}{more}: {want}", holds, f"got {got}")
