"""What is advised follows from the objects: nobody is told to add what is there."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context
from kchaos.history.view import View
from kchaos.properties.advice import (
    of_drain,
    of_lost_requests,
    of_no_recovery,
    of_outage,
    of_placement,
    of_quorum,
    of_rollout,
    of_single,
    of_two,
    placement,
)  # fmt: skip

ROLLOUT = [{"name": "rollout", "args": {}}]
NODE = [{"name": "node-power-loss", "args": {}}]
SLOW = [{"name": "slow-start", "args": {}}]
PROBE = {"readinessProbe": {"httpGet": {"port": 80}}}
HOOK = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}


def deployment(strategy: dict[str, Any] | None = None, container: dict[str, Any] | None = None, claim: str = "") -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    spec = {"containers": [{"name": "c", **(container or {})}], "volumes": volumes}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "strategy": strategy or {}, "template": {"spec": spec}},
    }


def context(obj: dict[str, Any]) -> Context:
    return Context(View({"deployments": {"shop/web": obj}}), {}, {})


@pytest.mark.parametrize(
    ("strategy", "container", "words"),
    [
        ({"type": "Recreate"}, PROBE, "use RollingUpdate"),
        ({"rollingUpdate": {"maxUnavailable": "100%"}}, PROBE, "maxUnavailable: 100% lets a rollout take all 3"),
        ({"rollingUpdate": {"maxUnavailable": 3}}, {}, "maxUnavailable: 3 lets a rollout take all 3"),
        ({"rollingUpdate": {"maxUnavailable": 1}}, {}, "add a readinessProbe"),
        ({"rollingUpdate": {"maxUnavailable": 1}}, PROBE, "maxUnavailable: 0, and minReadySeconds"),
    ],
)
def test_a_rollout_that_takes_all(strategy: dict[str, Any], container: dict[str, Any], words: str) -> None:
    assert words in of_outage(context(deployment(strategy, container)), "Deployment/shop/web", ROLLOUT)


@pytest.mark.parametrize(
    ("modes", "words"), [(["ReadWriteOnce"], "share the ReadWriteOnce claim data"), (["ReadWriteMany"], "spread the pods over nodes")]
)
def test_a_shared_claim_can_not_be_spread(modes: list[str], words: str) -> None:
    claim = {"spec": {"accessModes": modes}}
    found = Context(View({"deployments": {"shop/web": deployment(claim="data")}, "persistentvolumeclaims": {"shop/data": claim}}), {}, {})
    assert words in of_outage(found, "Deployment/shop/web", NODE)


@pytest.mark.parametrize(
    ("container", "wanted", "unwanted"),
    [
        ({}, "preStop hook `sleep: {seconds: 5}` and a readinessProbe", "longer"),
        (PROBE, "preStop", "readinessProbe"),
        (HOOK, "readinessProbe", "preStop"),
        ({**PROBE, **HOOK}, "longer preStop", "readinessProbe"),
    ],
)
def test_only_what_is_missing_is_asked_for(container: dict[str, Any], wanted: str, unwanted: str) -> None:
    advice = of_lost_requests(context(deployment({"rollingUpdate": {"maxUnavailable": 0}}, container)), ["Deployment/shop/web"])
    assert wanted in advice and unwanted not in advice


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.", "hostPort"),
        ("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.", "anti-affinity preferred"),
        ("0/3 nodes are available: 3 Insufficient cpu.", "lower its requests"),
        ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "StorageClass that exists"),
        ("0/6 nodes are available: 6 Insufficient nvidia.com/gpu.", "no node has nvidia.com/gpu to give"),
        ("something else", ""),
    ],
)
def test_placement(message: str, words: str) -> None:
    advice = of_placement(message)
    assert words in advice if words else advice == ""


@pytest.mark.parametrize(
    ("spec", "status", "ready", "words"),
    [
        ({"minAvailable": 3}, {"desiredHealthy": 3, "expectedPods": 3}, {"web": 3}, "minAvailable: 3) allows no disruption of 3 pods"),
        ({"maxUnavailable": 1}, {"desiredHealthy": 2, "expectedPods": 3}, {"web": 2}, "mend what keeps 1"),
        ({"maxUnavailable": 1}, {"desiredHealthy": 2, "expectedPods": 3}, {"web": 3}, "drain one node at a time"),
        ({"maxUnavailable": 1}, {"desiredHealthy": 5, "expectedPods": 6}, {"web": 2, "api": 3, "db": 9}, "mend what keeps 1"),
        ({"minAvailable": 1}, {"desiredHealthy": 1, "expectedPods": 1}, {"web": 1}, "two or more replicas"),
        ({"minAvailable": 50}, {"desiredHealthy": 50, "expectedPods": 2}, {"web": 2}, "asks for 50 pods and there are 2"),
    ],
)
def test_a_budget_that_blocks(spec: dict[str, Any], status: dict[str, Any], ready: dict[str, int], words: str) -> None:
    """All workloads under the budget count, and no others."""

    def pod(name: str, app: str) -> dict[str, Any]:
        owner = {"kind": "StatefulSet", "name": name, "controller": True, "uid": name}
        meta = {"name": f"{name}-1", "namespace": "shop", "labels": {"app": app}, "ownerReferences": [owner]}
        return {"kind": "Pod", "metadata": meta}

    meta = {"name": "b", "namespace": "shop"}
    budget = {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status}
    other = {"metadata": {**meta, "name": "a"}, "spec": {"selector": {"matchLabels": {"app": "db"}}, "minAvailable": 1}, "status": {}}
    pods = {f"shop/{name}-1": pod(name, "db" if name == "db" else "web") for name in ("web", "api", "db")}
    facts = {"ready_before": {f"StatefulSet/shop/{name}": count for name, count in ready.items()}}
    found = Context(View({"poddisruptionbudgets": {"shop/a": other, "shop/b": budget}, "pods": pods}), {}, facts)
    assert words in of_drain(found, pods["shop/web-1"])


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ('pods "web" is forbidden: exceeded quota: q', "raise the ResourceQuota"),
        ("Multi-Attach error for volume", "strategy: {type: Recreate}"),
        ("3 node(s) didn't have free ports", "let one pod go first"),
        ("", "what the new pods wait for"),
    ],
)
def test_a_stuck_rollout(cause: str, words: str) -> None:
    assert words in of_rollout(cause, deployment())


def test_a_bare_pod_is_not_made_again() -> None:
    assert "bare Pod" in of_no_recovery("Pod/shop/web")
    assert of_no_recovery("Deployment/shop/web") == ""


@pytest.mark.parametrize(
    ("strategy", "container", "claim", "faults", "held", "words", "weakness"),
    [
        ({"type": "Recreate"}, PROBE, "", ROLLOUT, False, "use RollingUpdate", "a rollout takes all pods"),
        (
            {"rollingUpdate": {"maxUnavailable": 1}},
            PROBE,
            "",
            ROLLOUT,
            False,
            "lets a rollout take its only pod before",
            "a rollout takes all pods",
        ),
        ({"type": "Recreate"}, PROBE, "data", ROLLOUT, False, "two or more replicas", ""),
        ({"type": "Recreate"}, PROBE, "", NODE, True, "two or more replicas", ""),
        ({}, {"livenessProbe": {}}, "", SLOW, True, "add a startupProbe", "killed while it starts"),
        ({}, {"livenessProbe": {}}, "", SLOW, False, "add a readinessProbe", "ready too early"),
        ({}, PROBE, "", SLOW, False, "two or more replicas", ""),
        ({}, {}, "data", SLOW, False, "two or more replicas", ""),
        ({}, PROBE, "data", NODE, True, "share the ReadWriteOnce claim data run on one node", ""),
    ],
)
def test_a_single_replica(
    strategy: dict[str, Any], container: dict[str, Any], claim: str, faults: list[dict[str, Any]], held: bool, words: str, weakness: str
) -> None:
    """The strategy is to blame only where a rollout could have kept the pod: not where its volume can't be on two nodes."""
    one = deployment(strategy, container, claim)
    one["spec"]["replicas"] = 1
    claims = {"shop/data": {"spec": {"accessModes": ["ReadWriteOnce"]}}}
    found = Context(View({"deployments": {"shop/web": one}, "persistentvolumeclaims": claims}), {}, {})
    advice, root = of_single(found, "Deployment/shop/web", faults, held)
    assert words in advice and root == weakness


@pytest.mark.parametrize(("value", "words"), [("100%", "maxUnavailable: 100% lets a rollout take all 6"), (1, "readinessProbe")])
def test_a_daemon_set_that_lets_all_go(value: Any, words: str) -> None:
    """It has no maxUnavailable of 0 without a surge."""
    spec = {"updateStrategy": {"rollingUpdate": {"maxUnavailable": value}}, "template": {"spec": {"containers": [{"name": "c"}]}}}
    daemon = {"kind": "DaemonSet", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": {"desiredNumberScheduled": 6}}
    found = Context(View({"daemonsets": {"shop/web": daemon}}), {}, {})
    advice = of_outage(found, "DaemonSet/shop/web", ROLLOUT)
    assert words in advice and "maxUnavailable: 0" not in advice


def test_two_faults_at_once() -> None:
    """A budget is of use between two drains only, and only where there are two pods."""
    drains = [{"name": "drain", "args": {}}] * 2
    assert "PodDisruptionBudget" in of_two(drains, 3) and "PodDisruptionBudget" in of_quorum(drains)
    assert "Budget" not in of_two(drains, 1) + of_two([*ROLLOUT, *NODE], 3) + of_quorum([*ROLLOUT, *NODE])
    assert "topology.kubernetes.io/zone" in of_quorum([{"name": "zone-power-loss", "args": {}}])


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("0/6 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
         "0/6 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        ("0/6 nodes are available: 6 Insufficient cpu. no new claims to deallocate, preemption: 0/6 nodes are available: 2 No preemption"
         " victims found for incoming pod, 4 Preemption is not helpful for scheduling. more", "0/6 nodes are available: 6 Insufficient cpu. more"),
        ("0/3 nodes are available: 3 Insufficient cpu.", "0/3 nodes are available: 3 Insufficient cpu."),
    ],
)  # fmt: skip
def test_only_why_no_node_fits_is_told(message: str, left: str) -> None:
    assert placement(message) == left


def test_two_budgets_for_one_pod() -> None:
    """The API server evicts nothing then, however much each allows."""
    spec = {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1}
    budgets = {f"shop/{name}": {"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": {}} for name in ("a", "b")}
    pod = {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}}
    assert "budgets a and b select the same pod" in of_drain(Context(View({"poddisruptionbudgets": budgets}), {}, {}), pod)


def test_a_bare_pod_is_let_be_made() -> None:
    assert "let a Deployment or StatefulSet make it" in of_single(Context(View(), {}, {}), "Pod/shop/x", NODE, True)[0]
