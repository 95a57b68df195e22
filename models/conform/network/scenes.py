"""A recorded scene (machines, addresses, routes, objects) as the tables that a packet is walked through; and the scene with one thing broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.conform.network.rules import zone_of_node
from kchaos.models.network.addresses import net, number
from kchaos.models.network.base import with_masquerade
from kchaos.models.network.compiler import Options, compile_rules
from kchaos.models.network.rules import Table
from kchaos.models.network.tables import Fabric, Listeners, NodeTables, Outside, Port, Route, ordered


class Scene(NamedTuple):
    """Machines and their tables; ``objects``: what kube-proxy last followed."""

    story: Obj
    fabric: Fabric
    objects: list[Obj]


def _listeners(text: str) -> Listeners:
    """Read ``TCP and UDP 8080, 8081``."""
    kinds = [kind for kind in ("tcp", "udp") if kind.upper() in text]
    return frozenset((kind, int(port)) for port in re.findall(r"\d+", text) for kind in kinds)


def _route(line: str) -> Route:
    """Read a line of `ip route`."""
    words = line.split()
    after = dict(pairwise(words))
    to = net("0.0.0.0/0" if words[0] == "default" else words[0])
    return Route(to, after["dev"], number(after["via"]) if "via" in after else 0, number(after["src"]) if "src" in after else 0)


def mac_of(name: str) -> str:
    """Return a stand-in for the MAC of a node's overlay device, which a scene does not tell."""
    return f"vtep of {name}"


def _peers(name: str, topology: Obj) -> tuple[dict[int, str], dict[str, int]]:
    """Return the ARP and FDB entries of a node: one for each other node's overlay device."""
    others = {other: one for other, one in topology["nodes"].items() if other != name and "flannel.1" in one}
    return (
        {number(one["flannel.1"].partition("/")[0]): mac_of(other) for other, one in others.items()},
        {mac_of(other): number(one["eth0"].partition("/")[0]) for other, one in others.items()},
    )


def _node(name: str, topology: Obj) -> NodeTables:
    mine = topology["nodes"][name]
    address, bridge, vtep = (number(mine.get(key, "0.0.0.0/0").partition("/")[0]) for key in ("eth0", "cni0", "flannel.1"))
    neighbours, fdb = _peers(name, topology)
    ports = {number(one["ip"]): Port(pod, topology["hairpinMode"]) for pod, one in topology["pods"].items() if one["node"] == name}
    return NodeTables(
        name, address, bridge, vtep, mac_of(name), net(mine["podCIDR"]), ordered([_route(line) for line in topology["routes"][name]]),
        neighbours, fdb, ports, listens=_listeners(topology["listeners"]["nodes"]),
        bridge_netfilter=bool(topology["bridgeNfCallIptables"]),
    )  # fmt: skip


def options_of(story: Obj, node: str) -> Options:
    """Return the flags of a node's kube-proxy."""
    topology = story["topology"]
    mine = topology["nodes"][node]
    return Options(
        node, (mine["eth0"].partition("/")[0],), zone_of_node(mine), topology["clusterCIDR"],
        masquerade_all="--masquerade-all" in story.get("flags", ()), mode=story["mode"],
    )  # fmt: skip


def rules_of(story: Obj, node: str, objects: Iterable[Obj]) -> dict[str, Table]:
    """Compile a node's rules."""
    known = list(objects)
    services, slices = ([one for one in known if one["kind"] == kind] for kind in ("Service", "EndpointSlice"))
    made = compile_rules(services, slices, options_of(story, node))
    topology = story["topology"]
    return with_masquerade(made, topology["clusterCIDR"], topology["nodes"][node]["podCIDR"]) if topology["masqueradeToOutside"] else made


def scene_of(story: Obj) -> Scene:
    """Return a scene as it was built."""
    topology, objects = story["topology"], story["objects"]
    nodes = {name: _node(name, topology)._replace(rules=rules_of(story, name, objects)) for name in topology["nodes"]}
    heard = topology["listeners"]
    outside = {name: Outside(name, number(one["ip"]), _listeners(heard["outside"])) for name, one in topology["outside"].items()}
    return Scene(story, Fabric(nodes, outside, dict.fromkeys(topology["pods"], _listeners(heard["pods"]))), objects)


# -- one thing broken --------------------------------------------------------------------------------------------------


class Broken(NamedTuple):
    """A scene with a fault; ``lasting``: what the next cases begin with."""

    now: Scene
    lasting: Scene


def _with(scene: Scene, name: str, **changes: object) -> Scene:
    node = scene.fabric.nodes[name]._replace(**changes)  # type: ignore[arg-type]  # the fields are NodeTables'
    return scene._replace(fabric=scene.fabric._replace(nodes={**scene.fabric.nodes, name: node}))


def _with_chains(scene: Scene, name: str, table: str, change: Callable[[Table], Table]) -> Scene:
    rules = scene.fabric.nodes[name].rules
    return _with(scene, name, rules={**rules, table: change(rules[table])})


def _hairpin_off(scene: Scene, pod: str) -> Scene:
    home = scene.story["topology"]["pods"][pod]["node"]
    ports = {at: Port(one.pod, one.hairpin and one.pod != pod) for at, one in scene.fabric.nodes[home].ports.items()}
    return _with(scene, home, ports=ports)


def _without_masquerade(scene: Scene, name: str) -> Scene:
    return _with_chains(scene, name, "nat", lambda one: one._replace(chains={**one.chains, "FLANNEL-POSTRTG": ()}))


def _flushed(scene: Scene, chain: str, table: str, name: str) -> Scene:
    return _with_chains(scene, name, table, lambda one: one._replace(chains={**one.chains, chain: ()}))


def _stopped(scene: Scene, name: str, objects: list[Obj]) -> Scene:
    """Every kube-proxy but one follows the objects."""
    for node in scene.fabric.nodes:
        if node != name:
            scene = _with(scene, node, rules=rules_of(scene.story, node, objects))
    return scene._replace(objects=objects)


def _device_down(scene: Scene, device: str, name: str) -> Scene:
    """A device that is down loses its routes, and those that go through its peers' addresses."""
    return _with(scene, name, down=scene.fabric.nodes[name].down | {device})


FAULTS: Mapping[str, Callable[..., Scene]] = {
    r"none": lambda scene: scene,
    r"bridge-nf-call-iptables=0 on (\S+)": partial(_with, bridge_netfilter=False),
    r"hairpin off on the bridge port of (\S+)": _hairpin_off,
    r"ip_forward=0 on (\S+)": partial(_with, forwarding=False),
    r"filter FORWARD policy DROP on (\S+)": lambda scene, name: _with_chains(
        scene, name, "filter", lambda one: one._replace(policy={**one.policy, "FORWARD": "DROP"})
    ),
    r"(flannel\.\d+|cni0) down on (\S+)": _device_down,
    r"(eth0) of (\S+) down": _device_down,
    r"UDP 8472 dropped on (\S+)": partial(_with, drops_overlay=True),
    r"FLANNEL-POSTRTG rules absent on (\S+)": _without_masquerade,
}
"""What a case may break for its own probes, by what it says."""
LASTING: Mapping[str, Callable[..., Scene]] = {
    r"kube-proxy stopped on (\S+); .*": _stopped,
    r"kube-proxy on (\S+) started again": lambda scene, name, objects: _with(scene, name, rules=rules_of(scene.story, name, objects)),
    r"(\S+) of the (\S+) table flushed on (\S+) .*": lambda scene, chain, table, name, objects: _flushed(scene, chain, table, name),
    r"all chains of nat, filter and mangle removed on (\S+) .*": lambda scene, name, objects: _with(scene, name, rules={}),
}
"""What a case changes for those after it too; given the objects that the API then has."""


def broken(scene: Scene, case: Obj) -> Broken | None:
    """Return a scene as a case of a fault recording has it; None if the fault is not known."""
    for pattern, change in FAULTS.items():
        found = re.fullmatch(pattern, case["fault"])
        if found:
            return Broken(change(scene, *found.groups()), scene)
    for pattern, change in LASTING.items():
        found = re.fullmatch(pattern, case["fault"])
        if found:
            after = change(scene, *found.groups(), objects=case.get("objects", scene.objects))
            return Broken(after, after)
    return None
