"""A look over the whole network at one moment: one packet along each path, one question for each Service; what properties 49 to 54 judge.

Recorded as marks: ``packet`` (who asked whom, and what became of it) and ``dns`` (name, addresses). Bounded, so that a large cluster's run
stays small: a ring over the nodes, every node port, and a few pods on either side of a NetworkPolicy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Store
from kchaos.models.network.addresses import number, text_of
from kchaos.models.network.base import with_masquerade
from kchaos.models.network.dns import Server, ask
from kchaos.models.network.overlay import NETWORK
from kchaos.models.network.policy import compile_policies
from kchaos.models.network.records import zone_of
from kchaos.models.network.rules import Table
from kchaos.models.network.services import service_ports
from kchaos.models.network.state import NodeNetwork
from kchaos.models.network.tables import Fabric, Outside, Port
from kchaos.models.network.walk import Client, probe

USER = Outside("user", number("192.168.255.1"))
PODS = 6
Marks = Iterator[tuple[str, dict[str, Any]]]


def audit(network: NodeNetwork, store: Store, tables: Mapping[str, Mapping[str, Table]]) -> Marks:
    """Yield the marks of one look."""
    fabric = _whole(network, store, tables)
    yield from _ring(network, fabric)
    yield from _node_ports(store, fabric)
    yield from _policies(store, fabric)
    yield from _names(store)


def _whole(network: NodeNetwork, store: Store, tables: Mapping[str, Mapping[str, Table]]) -> Fabric:
    """Return the network with Service rules, and with those pods that are there."""
    base = network.fabric()
    pods = [pod for pod in store.table("pods").values() if (pod.get("status") or {}).get("podIP") and not pod["spec"].get("hostNetwork")]
    bound = compile_policies(store.table("networkpolicies").values(), pods, store.table("namespaces").values())
    nodes = {}
    for name, node in base.nodes.items():
        ports = {number(pod["status"]["podIP"]): Port(_key(pod)) for pod in pods if pod["spec"].get("nodeName") == name}
        rules = with_masquerade(dict(tables[name]), NETWORK, node.subnet.text) if name in tables else node.rules
        nodes[name] = node._replace(ports=ports, rules=rules, policies={at: bound[at] for at in ports if at in bound})
    return Fabric(nodes, {USER.name: USER})


def _key(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _ring(network: NodeNetwork, fabric: Fabric) -> Marks:
    """From one pod of each node to one of the next, and to the user: properties 50 and 51."""
    names = [name for name in fabric.nodes if fabric.nodes[name].ports]
    for index, name in enumerate(names):
        address = next(iter(fabric.nodes[name].ports))
        client = Client("pod", fabric.nodes[name].ports[address].pod, name, address)
        target = fabric.nodes[names[(index + 1) % len(names)]]
        peer = next(iter(target.ports))
        bare = fabric._replace(nodes={key: one._replace(policies={}) for key, one in fabric.nodes.items()})
        found = probe(bare, client, "tcp", f"{text_of(peer)}:1")[0]
        yield "packet", {
            "path": "pod", "client": client.name, "address": text_of(address), "node": name, "to": text_of(peer), "target": target.name,
            "verdict": found.verdict, "source": found.source, "reason": found.reason,
        }  # fmt: skip


def _node_ports(store: Store, fabric: Fabric) -> Marks:
    """From the user to each node port of each node, policies left out: property 49."""
    homes = {port.pod: name for name, node in fabric.nodes.items() for port in node.ports.values()}
    bare = fabric._replace(nodes={key: one._replace(policies={}) for key, one in fabric.nodes.items()})
    for key, service in sorted(store.table("services").items()):
        for port in service_ports(service):
            if not port.node_port:
                continue
            for name, node in bare.nodes.items():
                found = probe(bare, Client("outside", USER.name), port.protocol, f"{text_of(node.address)}:{port.node_port}")
                by = sorted({one.by for one in found if one.verdict == "answered"})
                yield "packet", {
                    "path": "node port", "service": key, "node": name, "local": port.external_local, "by": by,
                    "nodes": sorted({homes.get(one, "") for one in by}), "sources": sorted({one.source for one in found if one.source}),
                    "address": text_of(USER.address),
                }  # fmt: skip


def _policies(store: Store, fabric: Fabric) -> Marks:
    """To a few pods that a NetworkPolicy selects, from a few others: property 54."""
    where = [(name, at, port.pod) for name, node in fabric.nodes.items() for at, port in node.ports.items()]
    chosen = [(name, at, pod) for name, at, pod in where if at in fabric.nodes[name].policies][:PODS]
    for _, at, pod in chosen:
        target = store.get("pods", pod)
        ports = [one for c in (target or {}).get("spec", {}).get("containers", ()) for one in c.get("ports") or ()][:2]
        for home, source, client in where[:PODS]:
            if client == pod:
                continue
            for port in ports or [{"containerPort": 1}]:
                proto = port.get("protocol", "TCP")
                found = probe(fabric, Client("pod", client, home, source), proto, f"{text_of(at)}:{port['containerPort']}")[0]
                yield "packet", {
                    "path": "policy", "client": client, "to": pod, "protocol": proto, "port": int(port["containerPort"]),
                    "forbidden": "NetworkPolicy" in found.reason, "verdict": found.verdict,
                }  # fmt: skip


def _names(store: Store) -> Marks:
    """The A records of each Service: property 52."""
    objects = [one for plural in ("services", "endpointslices") for one in store.table(plural).values()]
    zone = zone_of(objects, store.table("namespaces"))
    for key in sorted(store.table("services")):
        space, _, name = key.partition("/")
        found = ask(Server(), zone, f"{name}.{space}.svc.cluster.local.", "A")
        addresses = sorted(one.data for one in found.answer if one.type == "A")
        yield "dns", {"service": key, "type": "A", "rcode": found.rcode, "addresses": addresses}
