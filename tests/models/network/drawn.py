"""Random clusters, and a second opinion: what becomes of a connection, told from the objects alone.

Nothing here looks at a table, a chain or a route: `expected` says what the documentation promises for (who asks, what is asked). The tables'
walk must come to the same set of results.
"""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from kchaos.models.network.addresses import number, text_of
from kchaos.models.network.base import with_masquerade
from kchaos.models.network.compiler import Options, compile_rules
from kchaos.models.network.overlay import NETWORK, base_tables, new_lease, peers_of, with_peers
from kchaos.models.network.policy import compile_policies
from kchaos.models.network.tables import Fabric, Outside, Port
from kchaos.models.network.walk import Client

Obj = dict[str, Any]
USER = "192.168.9.9"


class Cluster(NamedTuple):
    nodes: list[str]
    pods: list[Obj]
    services: list[Obj]
    slices: list[Obj]
    policies: list[Obj]
    spaces: list[Obj]


class Ask(NamedTuple):
    kind: str
    """Of the client: pod, node or outside."""
    client: str
    to: str
    port: int


def draw(seed: int) -> Cluster:
    rng = random.Random(f"{seed}/network")
    nodes = [f"n{i}" for i in range(rng.randint(2, 4))]
    spaces = [{"metadata": {"name": name, "labels": {"team": name[0]}}} for name in ("shop", "test")]
    pods: list[Obj] = []
    for i in range(rng.randint(3, 8)):
        home = rng.randrange(len(nodes))
        pods.append({
            "metadata": {"name": f"p{i}", "namespace": rng.choice(["shop", "shop", "test"]), "labels": {"app": rng.choice("ab")}},
            "spec": {"nodeName": nodes[home], "containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
            "status": {"podIP": f"10.244.{home}.{10 + i}"},
        })  # fmt: skip
    services, slices = [], []
    for i in range(rng.randint(1, 3)):
        kind = rng.choice(["ClusterIP", "NodePort", "NodePort"])
        port = {"port": 80, "protocol": "TCP", "targetPort": 8080}
        if kind == "NodePort":
            port["nodePort"] = 30000 + i
        services.append({
            "kind": "Service", "metadata": {"name": f"s{i}", "namespace": "shop"},
            "spec": {
                "type": kind, "clusterIP": f"10.96.0.{10 + i}", "clusterIPs": [f"10.96.0.{10 + i}"], "ports": [port],
                "internalTrafficPolicy": rng.choice(["Cluster", "Cluster", "Local"]),
                "externalTrafficPolicy": rng.choice(["Cluster", "Local"]),
            },
        })  # fmt: skip
        endpoints = []
        for pod in rng.sample(pods, rng.randint(0, min(4, len(pods)))):
            state = rng.choice(["ready", "ready", "ready", "leaving", "not"])
            endpoints.append({
                "addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"],
                "conditions": {"ready": state == "ready", "serving": state != "not", "terminating": state == "leaving"},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"]},
            })  # fmt: skip
        slices.append({
            "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "", "protocol": "TCP", "port": 8080}],
            "metadata": {"name": f"s{i}-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": f"s{i}"}},
        })  # fmt: skip
    return Cluster(nodes, pods, services, slices, [_policy(rng, i) for i in range(rng.choice([0, 0, 1, 2]))], spaces)


def _policy(rng: random.Random, index: int) -> Obj:
    peers: list[Obj] = [
        {"podSelector": {"matchLabels": {"app": rng.choice("ab")}}},
        {"namespaceSelector": {"matchLabels": {"team": rng.choice("st")}}},
        {"ipBlock": {"cidr": "10.244.0.0/16", "except": [f"10.244.{rng.randrange(3)}.0/24"]}},
        {"ipBlock": {"cidr": "192.168.0.0/16"}},
    ]
    ports: list[Obj] = [{"port": 8080}, {"port": "web"}, {"port": 8000, "endPort": 8079}, {"protocol": "UDP", "port": 8080}, {}]
    direction = rng.choice(["Ingress", "Ingress", "Egress"])
    rules = []
    for _ in range(rng.randint(0, 2)):
        rule: Obj = {"from" if direction == "Ingress" else "to": rng.sample(peers, rng.randint(1, 2))}
        if rng.random() < 0.6:
            rule["ports"] = [rng.choice(ports)]
        rules.append(rule)
    spec = {"podSelector": rng.choice([{}, {"matchLabels": {"app": "a"}}]), "policyTypes": [direction], direction.lower(): rules}
    return {"metadata": {"name": f"np{index}", "namespace": "shop"}, "spec": spec}


def questions(cluster: Cluster, seed: int, count: int) -> list[Ask]:
    rng = random.Random(f"{seed}/ask")
    out = []
    for _ in range(count):
        kind = rng.choice(["pod", "pod", "node", "outside"])
        client = rng.choice(cluster.pods)["metadata"]["name"] if kind == "pod" else rng.choice(cluster.nodes) if kind == "node" else "user"
        service = rng.choice(cluster.services)
        targets = [(rng.choice(cluster.pods)["status"]["podIP"], rng.choice([8080, 8080, 9]))]
        if kind != "outside":
            targets.append((service["spec"]["clusterIP"], 80))
        if "nodePort" in service["spec"]["ports"][0]:
            targets.append((address_of(cluster, rng.choice(cluster.nodes)), service["spec"]["ports"][0]["nodePort"]))
        out.append(Ask(kind, client, *rng.choice(targets)))
    return out


def address_of(cluster: Cluster, node: str) -> str:
    return new_lease(node, cluster.nodes.index(node)).public_ip


# -- the tables --------------------------------------------------------------------------------------------------------


def fabric_of(cluster: Cluster) -> Fabric:
    leases = [new_lease(name, index) for index, name in enumerate(cluster.nodes)]
    policies = compile_policies(cluster.policies, cluster.pods, cluster.spaces)
    nodes = {}
    for lease in leases:
        rules = compile_rules(cluster.services, cluster.slices, Options(lease.node, (lease.public_ip,)))
        ports = {number(p["status"]["podIP"]): Port(p["metadata"]["name"]) for p in cluster.pods if p["spec"]["nodeName"] == lease.node}
        node = with_peers(base_tables(lease), peers_of(leases, lease.node))
        nodes[lease.node] = node._replace(ports=ports, rules=with_masquerade(rules, NETWORK, lease.subnet), policies=policies)
    listens = {pod["metadata"]["name"]: frozenset({("tcp", 8080)}) for pod in cluster.pods}
    return Fabric(nodes, {"user": Outside("user", number(USER))}, listens)


def client_of(cluster: Cluster, ask: Ask) -> Client:
    for pod in cluster.pods:
        if pod["metadata"]["name"] == ask.client:
            return Client("pod", ask.client, pod["spec"]["nodeName"], number(pod["status"]["podIP"]))
    return Client(ask.kind, ask.client)


# -- the second opinion ------------------------------------------------------------------------------------------------


def expected(cluster: Cluster, ask: Ask) -> set[tuple[str, str, str]]:
    """Return all possible (verdict, pod, source)."""
    pods = {pod["status"]["podIP"]: pod for pod in cluster.pods}
    me = next((pod for pod in cluster.pods if pod["metadata"]["name"] == ask.client), None)
    home = me["spec"]["nodeName"] if me else ask.client if ask.kind == "node" else ""
    for service, one in zip(cluster.services, cluster.slices, strict=True):
        spec, endpoints = service["spec"], one["endpoints"]
        if (ask.to, ask.port) == (spec["clusterIP"], 80):
            chosen = _usable(endpoints, home if spec["internalTrafficPolicy"] == "Local" else "")
            return _results(cluster, ask, me, home, chosen, endpoints, masked=ask.kind == "node")
        if ask.port == spec["ports"][0].get("nodePort"):
            at = next(node for node in cluster.nodes if address_of(cluster, node) == ask.to)
            if spec["externalTrafficPolicy"] == "Cluster":
                return _results(cluster, ask, me, at, _usable(endpoints, ""), endpoints, masked=True)
            if at == home:  # short cut: its own pods and the node itself reach all endpoints
                return _results(cluster, ask, me, at, _usable(endpoints, ""), endpoints, masked=ask.kind == "node")
            return _results(cluster, ask, me, at, _usable(endpoints, at), endpoints, masked=False)
    target = pods[ask.to]
    return {_at_pod(cluster, ask, me, home or target["spec"]["nodeName"], target, ask.port, masked=ask.kind == "node")}


def _usable(endpoints: list[Obj], node: str) -> list[str]:
    near = [one for one in endpoints if not node or one["nodeName"] == node]
    ready = [one for one in near if one["conditions"]["ready"]]
    leaving = [one for one in near if one["conditions"]["terminating"] and one["conditions"]["serving"]]
    return [one["addresses"][0] for one in ready or leaving]


def _results(
    cluster: Cluster, ask: Ask, me: Obj | None, at: str, chosen: list[str], endpoints: list[Obj], masked: bool
) -> set[tuple[str, str, str]]:
    if not chosen:
        if me is not None and at != me["spec"]["nodeName"] and not _allowed(cluster, me, "Egress", ask.to, ask.port, me):
            return {("timeout", "", "")}  # its own node lets it ask no other node
        return {("timeout", "", "")} if _usable(endpoints, "") else {("refused", "", "")}
    pods = {pod["status"]["podIP"]: pod for pod in cluster.pods}
    return {_at_pod(cluster, ask, me, at, pods[one], 8080, masked) for one in chosen}


def _at_pod(cluster: Cluster, ask: Ask, me: Obj | None, at: str, target: Obj, port: int, masked: bool) -> tuple[str, str, str]:
    """One endpoint is asked by way of node ``at``: under which address, and do policies allow it?"""
    index, there = cluster.nodes.index(at), target["spec"]["nodeName"]
    address, mine = target["status"]["podIP"], me["status"]["podIP"] if me else USER
    through = bool(me) and ask.to != address and at != me["spec"]["nodeName"]
    source = mine
    if masked or (me is target and ask.to != address):
        source = f"10.244.{index}.{1 if there == at else 0}"
    elif through:
        source = address_of(cluster, me["spec"]["nodeName"])
    elif ask.kind == "node" and at != ask.client:
        source = address_of(cluster, ask.client)
    if me is target and ask.to == address:
        return ("answered", ask.client, mine) if port == 8080 else ("refused", "", "")
    entry = f"10.244.{cluster.nodes.index(there)}.1"
    leaves_to = (address, port) if not through else (ask.to, ask.port)
    if me is not None and (me is not target or through) and not _allowed(cluster, me, "Egress", *leaves_to, target):
        return ("timeout", "", "")
    if source not in (entry, address_of(cluster, there)) and not _allowed(cluster, target, "Ingress", source, port, target):
        return ("timeout", "", "")
    return ("answered", target["metadata"]["name"], source) if port == 8080 else ("refused", "", "")


def _allowed(cluster: Cluster, pod: Obj, direction: str, peer: str, port: int, target: Obj) -> bool:
    bound = [
        one["spec"] for one in cluster.policies
        if pod["metadata"]["namespace"] == "shop" and one["spec"]["policyTypes"] == [direction]
        and one["spec"]["podSelector"].get("matchLabels", {}).items() <= pod["metadata"]["labels"].items()
    ]  # fmt: skip
    if not bound:
        return True
    rules = [rule for spec in bound for rule in spec[direction.lower()]]
    side = "from" if direction == "Ingress" else "to"
    return any(
        any(_is(cluster, one, peer) for one in rule[side]) and _port(rule, port, peer if side == "to" else "", cluster) for rule in rules
    )


def _is(cluster: Cluster, wanted: Obj, peer: str) -> bool:
    if "ipBlock" in wanted:
        inside = ip_address(peer) in ip_network(wanted["ipBlock"]["cidr"])
        return inside and not any(ip_address(peer) in ip_network(one) for one in wanted["ipBlock"].get("except", []))
    for pod in cluster.pods:
        if pod["status"]["podIP"] == peer:
            if "namespaceSelector" in wanted:
                return pod["metadata"]["namespace"][0] == wanted["namespaceSelector"]["matchLabels"]["team"]
            return pod["metadata"]["namespace"] == "shop" and pod["metadata"]["labels"] == wanted["podSelector"]["matchLabels"]
    return False


def _port(rule: Obj, port: int, peer: str, cluster: Cluster) -> bool:
    for one in rule.get("ports", [{}]):
        if one.get("protocol", "TCP") != "TCP":
            continue
        wanted = one.get("port")
        if wanted == "web":
            is_pod = not peer or any(pod["status"]["podIP"] == peer for pod in cluster.pods)
            if port == 8080 and is_pod:
                return True
        elif wanted is None or wanted <= port <= one.get("endPort", wanted):
            return True
    return False


__all__ = ["Ask", "Cluster", "client_of", "draw", "expected", "fabric_of", "questions", "text_of"]
