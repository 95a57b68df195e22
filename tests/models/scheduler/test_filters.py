"""Each filter: one pod that fits and one that does not, in the words of the real scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.scheduler.podinfo import requests_of

HOST = "kubernetes.io/hostname"
NO = "0/1 nodes are available: 1 "
TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


def _affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def _expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def _field(node: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}


UNAFFINE = "node(s) didn't match Pod's node affinity/selector."


@pytest.mark.parametrize(
    ("node", "good", "bad", "reason"),
    [
        (
            {"unschedulable": True},
            {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
            {},
            "node(s) were unschedulable.",
        ),
        ({"taints": [TAINT]}, {"tolerations": [{"operator": "Exists"}]}, {}, "node(s) had untolerated taint(s)."),
        ({"taints": [TAINT]}, {"tolerations": [{"key": "k", "value": "v"}]}, {"tolerations": [{"key": "k", "value": "w"}]},
         "node(s) had untolerated taint(s)."),
        ({"labels": {"d": "7"}}, {"nodeSelector": {"d": "7"}}, {"nodeSelector": {"d": "8"}}, UNAFFINE),
        ({"labels": {"d": "7"}}, {"affinity": _affinity(_expression("d", "Gt", "6"))}, {"affinity": _affinity(_expression("d", "Lt", "7"))},
         UNAFFINE),
        ({"labels": {"d": "7"}}, {"affinity": _affinity(_expression("x", "Exists"), _expression("d", "In", "7"))},
         {"affinity": _affinity(_expression("d", "NotIn", "7"))}, UNAFFINE),
        ({}, {"affinity": _affinity(_field("n1"))}, {"affinity": _affinity(_field("gone"))},
         "node(s) didn't satisfy plugin(s) [NodeAffinity]."),
        ({}, {}, {"cpu": "5"}, "Insufficient cpu."),
        ({"allocatable": {"e/x": "2"}}, {}, {"cpu": "5", "memory": "9Gi"}, "Insufficient cpu, 1 Insufficient memory."),
        ({"pods": "0"}, None, {}, "Too many pods."),
    ],
)  # fmt: skip
def test_filter(lab: Any, node: dict[str, Any], good: dict[str, Any] | None, bad: dict[str, Any], reason: str) -> None:
    lab.node("n1", **node)
    if good is not None:
        assert lab.decide(lab.pod(**good)).node == "n1"
    assert lab.why(lab.pod(**bad)) == NO + reason


def test_host_ports_conflict_by_address_and_protocol(lab: Any) -> None:
    lab.node("n1")

    def pod(ip: str, protocol: str) -> Any:
        return lab.pod(ports=[{"containerPort": 80, "hostPort": 80, "hostIP": ip, "protocol": protocol}])

    lab.place(pod("10.0.0.1", "TCP"), "n1")
    assert lab.decide(pod("10.0.0.2", "TCP")).node == "n1"
    assert lab.decide(pod("0.0.0.0", "UDP")).node == "n1"
    assert lab.why(pod("0.0.0.0", "TCP")) == NO + "node(s) didn't have free ports for the requested pod ports."


def test_requests_of_init_containers_sidecars_overhead_and_pod_level() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec: dict[str, Any] = {"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always"), container("3")]}
    assert requests_of(spec, {}) == {"cpu": 5000}, "the plain init container runs beside the sidecar"
    assert requests_of({**spec, "overhead": {"cpu": "1", "memory": "1Ki"}}, {}) == {"cpu": 6000, "memory": 1024}
    assert requests_of({**spec, "resources": {"requests": {"cpu": "7"}}}, {}) == {"cpu": 7000}


def test_several_reasons_are_sorted_as_text(lab: Any) -> None:
    lab.node("n1", cpu="1")
    lab.node("n2", unschedulable=True)
    lab.node("n3", taints=[TAINT])
    lab.node("n4", pods="0")
    message = lab.decide(lab.pod(cpu="2")).message
    assert message == (
        "0/4 nodes are available: 1 Insufficient cpu, 1 Too many pods, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. "
        "no new claims to deallocate, preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, "
        "3 Preemption is not helpful for scheduling."
    )


def test_without_nodes(lab: Any) -> None:
    assert lab.decide(lab.pod()).message == "no nodes available to schedule pods"


def test_a_node_that_changes_is_looked_at_again(lab: Any) -> None:
    lab.node("n1", unschedulable=True)
    pod = lab.pod()
    assert lab.decide(pod).node is None
    lab.node("n1")
    assert lab.decide(pod).node == "n1"
    old = lab.lists.of("nodes").items["n1"]
    assert not lab.engine.changed("nodes", old, {**old, "status": {**old["status"], "conditions": []}}), "a heartbeat helps nobody"
    lab.engine.changed("nodes", old, None)
    assert lab.decide(pod).message == "no nodes available to schedule pods"


def test_a_removed_pod_leaves_room(lab: Any) -> None:
    lab.node("n1")
    bound = lab.place(lab.pod(cpu="4"), "n1")
    pod = lab.pod()
    assert lab.decide(pod).node is None
    lab.engine.remove_pod(bound)
    assert lab.decide(pod).node == "n1"
