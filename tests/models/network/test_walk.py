"""The walk through the tables and a second opinion from the objects agree; an error planted in the tables shows."""

from __future__ import annotations

import pytest

from kchaos.models.network.addresses import number
from kchaos.models.network.tables import Fabric
from kchaos.models.network.walk import Client, path_of, probe
from tests.models.network.drawn import Cluster, client_of, draw, expected, fabric_of, questions


def disagreements(cluster: Cluster, fabric: Fabric, seed: int, count: int) -> list[str]:
    out = []
    for ask in questions(cluster, seed, count):
        found = probe(fabric, client_of(cluster, ask), "tcp", f"{ask.to}:{ask.port}")
        got = {(one.verdict, one.by, one.source) for one in found}
        if got != expected(cluster, ask):
            out.append(f"{ask}: walk {sorted(got)}, expected {sorted(expected(cluster, ask))}, because {[one.reason for one in found]}")
    return out


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_three_hundred_cases_agree(first: int) -> None:
    """300 random (topology, rules, packet) cases, ten packets each."""
    for seed in range(first, first + 50):
        cluster = draw(seed)
        assert disagreements(cluster, fabric_of(cluster), seed, 10) == [], seed


def _found(break_it: str) -> int:
    """Return in how many of 40 clusters an error planted in one node's tables is noticed."""
    noticed = 0
    for seed in range(40):
        cluster = draw(seed)
        fabric = fabric_of(cluster)
        name = cluster.nodes[0]
        node = fabric.nodes[name]
        if break_it == "stale fdb":
            node = node._replace(fdb={mac: number("192.168.0.200") for mac in node.fdb})
        elif break_it == "missing route":
            node = node._replace(routes=tuple(one for one in node.routes if one.device != "flannel.1"))
        elif break_it == "missing arp":
            node = node._replace(neighbours={})
        elif break_it == "half-synced rules":
            nat = node.rules["nat"]
            lost = next((chain for chain in nat.chains if chain.startswith("KUBE-SEP-")), "")
            rules = {chain: () if chain == lost else found for chain, found in nat.chains.items()}
            node = node._replace(rules={**node.rules, "nat": nat._replace(chains=rules)})
        elif break_it == "old rules":
            node = node._replace(
                rules=fabric_of(cluster._replace(slices=[{**one, "endpoints": []} for one in cluster.slices])).nodes[name].rules
            )
        broken = fabric._replace(nodes={**fabric.nodes, name: node})
        noticed += bool(disagreements(cluster, broken, seed, 25))
    return noticed


@pytest.mark.parametrize("error", ["stale fdb", "missing route", "missing arp", "half-synced rules", "old rules"])
def test_a_planted_error_is_noticed(error: str) -> None:
    assert _found(error) >= 10


def test_the_way_back_counts() -> None:
    """Only n1's entry for n0 is wrong: what n0 asks of n1 gets there, the answer does not."""
    cluster = draw(3)
    fabric = fabric_of(cluster)
    lonely = fabric.nodes["n1"]._replace(neighbours={})
    broken = fabric._replace(nodes={**fabric.nodes, "n1": lonely}, listens=None)
    for home, there in (("n0", "n1"), ("n1", "n0")):
        source, target = (fabric.nodes[name].subnet.value + 99 for name in (home, there))
        nodes = {
            name: one._replace(ports={**one.ports, one.subnet.value + 99: _port(name)}, policies={}) for name, one in broken.nodes.items()
        }
        found = probe(broken._replace(nodes=nodes), Client("pod", f"x-{home}", home, source), "tcp", f"10.244.{there[1]}.99:80")
        assert target and found[0].verdict == "timeout"
        assert found[0].reason.startswith("the answer:") == (home == "n0")


def _port(node: str):  # type: ignore[no-untyped-def]
    from kchaos.models.network.tables import Port

    return Port(f"x-{node}")


def test_five_paths() -> None:
    cluster = draw(0)
    fabric = fabric_of(cluster)
    pod = cluster.pods[0]
    me = client_of(cluster, questions(cluster, 0, 1)[0]._replace(kind="pod", client=pod["metadata"]["name"]))
    other = next(one for one in cluster.nodes if one != me.node)
    far = fabric.nodes[other].bridge
    assert path_of(fabric, me, me.address) == "same pod"
    assert path_of(fabric, me, fabric.nodes[me.node].bridge) == "same node"
    assert path_of(fabric, me, far) == "other node"
    assert path_of(fabric, me, number("10.96.0.10")) == "Service"
    assert path_of(fabric, me, number("192.168.9.9")) == "outside"
    assert path_of(fabric, Client("outside", "user"), me.address) == "outside"
    assert probe(fabric, me, "tcp", "127.0.0.1:8080")[0].verdict == "answered"
    assert probe(fabric, me, "tcp", "127.0.0.1:1")[0].verdict == "refused"
