"""PodTopologySpread and InterPodAffinity."""

from __future__ import annotations

from typing import Any

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
WEB = {"app": "web"}
SKEWED = "node(s) didn't match pod topology spread constraints"


def _zones(lab: Any, *zones: str, **more: Any) -> None:
    for i, zone in enumerate(zones):
        lab.node(f"n{i + 1}", labels={ZONE: zone}, **more)


def _hard(**more: Any) -> list[dict[str, Any]]:
    return [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": WEB}, **more}]


def _anti(topology: str = HOST, side: str = "podAntiAffinity", **more: Any) -> dict[str, Any]:
    term = {"topologyKey": topology, "labelSelector": {"matchLabels": WEB}, **more}
    return {side: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_hard_spread_over_zones(lab: Any) -> None:
    _zones(lab, "a", "a", "b")
    lab.node("n4")
    lab.place(lab.pod(labels=WEB), "n1")
    pod = lab.pod(labels=WEB, topologySpreadConstraints=_hard())
    assert lab.run(pod) == "n3"
    tight = lab.pod(labels=WEB, topologySpreadConstraints=_hard(), nodeSelector={ZONE: "b"})
    assert lab.decide(tight).node == "n3"
    lab.engine.set_pod({**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "x"}, "spec": {**pod["spec"], "nodeName": "n3"}})
    refused = lab.pod(labels=WEB, topologySpreadConstraints=_hard(), cpu="9")
    assert lab.why(refused).endswith("4 Insufficient cpu."), "only what passes the earlier filters is asked"
    refused = lab.pod(labels=WEB, topologySpreadConstraints=_hard(nodeAffinityPolicy="Ignore"), nodeSelector={ZONE: "a"})
    assert lab.why(refused) == f"0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 {SKEWED}."


def test_node_without_the_label_and_too_few_domains(lab: Any) -> None:
    _zones(lab, "a", "b")
    lab.node("n3")
    for node in ("n1", "n2"):
        lab.place(lab.pod(labels=WEB), node)
    assert lab.decide(lab.pod(labels=WEB, topologySpreadConstraints=_hard())).node in ("n1", "n2")
    message = lab.why(lab.pod(labels=WEB, topologySpreadConstraints=_hard(minDomains=3)))
    assert message == f"0/3 nodes are available: 1 {SKEWED} (missing required label), 2 {SKEWED}."


def test_taints_policy_and_match_label_keys(lab: Any) -> None:
    lab.node("n1", labels={ZONE: "a"})
    lab.node("n2", labels={ZONE: "b"}, taints=[{"key": "k", "effect": "NoSchedule"}])
    lab.place(lab.pod(labels={**WEB, "v": "1"}), "n1")
    assert lab.decide(lab.pod(labels=WEB, topologySpreadConstraints=_hard())).node is None
    assert lab.decide(lab.pod(labels=WEB, topologySpreadConstraints=_hard(nodeTaintsPolicy="Honor"))).node == "n1"
    keyed = lab.pod(labels={**WEB, "v": "2"}, topologySpreadConstraints=_hard(matchLabelKeys=["v"]))
    assert lab.decide(keyed).node == "n1", "pods of another revision do not count"


def test_default_constraints_spread_what_a_controller_or_service_selects(lab: Any) -> None:
    _zones(lab, "a", "a", "b")
    lab.node("n2", cpu="32", memory="64Gi", labels={ZONE: "a"})
    lab.place(lab.pod(labels=WEB), "n1")
    assert lab.decide(lab.pod(labels=WEB)).node == "n2", "nothing selects it: the emptiest node"
    selector = {"selector": {"matchLabels": WEB}}
    lab.put("replicasets", {"metadata": {"name": "web", "namespace": "d"}, "spec": selector})
    owner = {"kind": "ReplicaSet", "name": "web", "uid": "x", "controller": True, "apiVersion": "apps/v1"}
    assert lab.decide(lab.pod(labels=WEB, meta={"ownerReferences": [owner]})).node == "n3"
    service = lab.put("services", {"metadata": {"name": "web", "namespace": "d"}, "spec": {"selector": WEB}})
    lab.engine.changed("services", None, service)
    assert lab.decide(lab.pod(labels=WEB)).node == "n3"


def test_anti_affinity_of_the_pod_and_of_those_there(lab: Any) -> None:
    _zones(lab, "a", "b")
    lab.place(lab.pod(labels=WEB, affinity=_anti()), "n1")
    assert lab.decide(lab.pod(labels=WEB, affinity=_anti())).node == "n2"
    assert lab.decide(lab.pod(labels={"app": "db"}, cpu="1", nodeSelector={ZONE: "a"})).node == "n1"
    lab.place(lab.pod(labels=WEB), "n2")
    assert lab.why(lab.pod(labels=WEB, affinity=_anti())) == "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    lab.place(lab.pod(labels={}, affinity=_anti(ZONE)), "n2")
    assert lab.why(lab.pod(labels=WEB)) == "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."


def test_affinity_first_pod_followers_and_namespaces(lab: Any) -> None:
    _zones(lab, "a", "b", "b")
    near = _anti(ZONE, "podAffinity")
    assert lab.why(lab.pod(affinity=near)) == "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."
    first = lab.pod(labels=WEB, affinity=near, nodeSelector={HOST: "n2"})
    assert lab.run(first) == "n2", "the first of its own kind may go anywhere"
    assert lab.decide(lab.pod(affinity=near)).node == "n3"
    assert lab.decide(lab.pod(affinity=near, space="other")).node is None
    lab.put("namespaces", {"metadata": {"name": "d", "labels": {"team": "x"}}})
    lab.lists.of("namespaces").handler(None, {"metadata": {"name": "d", "labels": {"team": "x"}}})
    for selector, found in (({}, "n3"), ({"matchLabels": {"team": "x"}}, "n3"), ({"matchLabels": {"team": "y"}}, None)):
        wide = _anti(ZONE, "podAffinity", namespaceSelector=selector)
        assert lab.decide(lab.pod(affinity=wide, space="other")).node == found


def test_preferences_pull_and_push(lab: Any) -> None:
    _zones(lab, "a", "b")
    lab.place(lab.pod(labels=WEB, cpu="2"), "n1")
    term = {"weight": 10, "podAffinityTerm": {"topologyKey": ZONE, "labelSelector": {"matchLabels": WEB}}}
    assert lab.decide(lab.pod()).node == "n2"
    assert lab.decide(lab.pod(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}})).node == "n1"
    node = {"weight": 10, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]}}
    assert lab.decide(lab.pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [node]}})).node == "n1"


def test_soft_taints_push(lab: Any) -> None:
    lab.node("n1", cpu="32", memory="64Gi", taints=[{"key": "k", "effect": "PreferNoSchedule"}])
    lab.node("n2")
    assert lab.decide(lab.pod()).node == "n2"
    assert lab.decide(lab.pod(tolerations=[{"key": "k", "operator": "Exists"}])).node == "n1"
