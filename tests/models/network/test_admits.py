"""Whom policies let in, asked of labels; and remembered for pods that run."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.network.admits import Gate, Port, admits, blocks, looks_up
from kchaos.models.network.policy import Subject

Obj = dict[str, Any]
WEB, DB = Subject("shop", {"app": "web"}, 0), Subject("shop", {"app": "db"}, 0)
SQL = [Port("TCP", 5433, "sql")]


def _policy(spec: Obj, space: str = "shop") -> Obj:
    return {"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": space}, "spec": {"podSelector": {}, **spec}}


def test_policies_add_up_to_a_list_of_peers() -> None:
    web, ops = {"podSelector": {"matchLabels": {"app": "web"}}}, {"namespaceSelector": {}}
    first = _policy({"ingress": [{"from": [web], "ports": [{"port": "sql"}]}]})
    second = _policy({"ingress": [{"from": [ops], "ports": [{"port": 9187}]}]})
    assert admits([], DB, SQL) is None
    assert admits([first, second], DB, SQL) == [web]
    assert admits([first, _policy({"ingress": [{}]})], DB, SQL) is None
    assert admits([second], DB, SQL) == []
    assert admits([_policy({}, "other")], DB, SQL) is None
    assert admits([_policy({"policyTypes": ["Egress"]})], DB, SQL) is None


@pytest.mark.parametrize(
    ("labels", "blocked"), [({"team": "a"}, False), ({"team": "b"}, True), (None, False)], ids=["fits", "does not", "nobody knows"]
)
def test_a_namespace_that_nobody_has_seen_may_have_any_labels(labels: dict[str, str] | None, blocked: bool) -> None:
    policy = _policy({"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]})
    client = Subject("front", {"app": "web"}, 0)
    assert bool(blocks([policy], client, DB, SQL, {"front": labels} if labels is not None else {})) is blocked


def test_the_same_port_must_be_let_in_and_out() -> None:
    ports = [Port("TCP", 1), Port("TCP", 2)]
    enter = _policy({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": 1}]}]})
    leave = _policy({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 2}]}]})
    assert blocks([enter], WEB, DB, ports, {}) == []
    assert blocks([leave], WEB, DB, ports, {}) == []
    assert blocks([enter, leave], WEB, DB, ports, {}) == [leave]


def test_dns_in_a_node_cache_or_elsewhere_is_no_alarm() -> None:
    def out(*rules: Obj) -> list[Obj]:
        return looks_up([_policy({"policyTypes": ["Egress"], "egress": list(rules)})], WEB)

    udp = {"port": 53, "protocol": "UDP"}
    assert out({"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": [udp]}) == []
    assert out({"ports": [{"port": "dns", "protocol": "UDP"}]}) == []
    assert out({"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}) == []
    assert len(out({"to": [{"podSelector": {}}], "ports": [udp]})) == 1
    assert len(out()) == 1


def test_a_gate_follows_labels_and_policies() -> None:
    policies: dict[str, Obj] = {}
    spec = {"containers": [{"ports": [{"name": "sql", "containerPort": 5433}]}]}
    pods = {"shop/db-0": {"metadata": {"namespace": "shop", "name": "db-0", "labels": {"app": "db"}}, "spec": spec}}
    gate = Gate(policies, pods)
    ports = (("tcp", 5433),)
    assert not gate.closed("shop/db-0", ports)
    policies["shop/p"] = _policy({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"ports": [{"port": 5432}]}]})
    assert gate.closed("shop/db-0", ports)
    assert not gate.closed("shop/db-0", (("tcp", 5433), ("tcp", 5432))), "another port of the Service is open"
    pods["shop/db-0"] = {"metadata": {"namespace": "shop", "name": "db-0", "labels": {"app": "other"}}, "spec": spec}
    assert not gate.closed("shop/db-0", ports)
    policies["shop/p"] = _policy({})
    gate.changed()
    assert gate.closed("shop/db-0", ports)
    assert not gate.closed("shop/gone", ports)
    pods["shop/db-0"] = {"metadata": {"namespace": "shop", "name": "db-0"}, "spec": {**spec, "hostNetwork": True}}
    assert not gate.closed("shop/db-0", ports)
