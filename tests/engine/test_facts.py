"""What is told of objects when they change: a few words, never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.engine.facts import TOLD, endpoints, facts, pod_status


def pod(phase: str, ready: bool = False, node: str = "node-1", **more: Any) -> dict[str, Any]:
    """Return a pod."""
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}], **more}
    return {"kind": "Pod", "metadata": {"name": "web-1"}, "spec": {"nodeName": node}, "status": status}


def waiting(reason: str) -> list[dict[str, Any]]:
    """Return the statuses of a container that waits."""
    return [{"name": "c", "state": {"waiting": {"reason": reason}}}]


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (pod("Running", True), "Running"),
        (pod("Running"), "Running, not ready"),
        (pod("Running", containerStatuses=waiting("CrashLoopBackOff")), "CrashLoopBackOff"),
        (pod("Pending", containerStatuses=waiting("ContainerCreating")), "starting on node-1"),
        (pod("Pending", containerStatuses=waiting("ImagePullBackOff")), "ImagePullBackOff"),
        (pod("Pending", node=""), "Pending, on no node"),
        (pod("Running", containerStatuses=[{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]), "OOMKilled"),
        (pod("Failed", reason="Evicted"), "Evicted"),
        (pod("Succeeded"), "Succeeded"),
        ({**pod("Running", True), "metadata": {"name": "w", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, "Terminating"),
    ],
)
def test_pods_as_kubectl_prints_them(obj: dict[str, Any], says: str) -> None:
    """The status column, and whether a running pod is ready."""
    assert pod_status(obj) == says == facts("pods", obj)[""]


def test_workloads() -> None:
    """Of how many, how many are ready; of a template only a digest, since it may hold what nobody should read."""
    obj = {"kind": "StatefulSet", "spec": {"replicas": 3, "template": {"spec": {"env": "hunter2"}}}, "status": {"readyReplicas": 2}}
    found = facts("statefulsets", obj)
    assert found["ready"] == "2/3" and "hunter2" not in "".join(found.values())
    assert facts("deployments", {"kind": "Deployment", "spec": {}})["ready"] == "0/1"


@pytest.mark.parametrize("resource", ["secrets", "configmaps"])
def test_values_are_not_told(resource: str) -> None:
    """That they changed is."""
    one, other = ({"data": {"password": value}} for value in ("hunter2", "hunter3"))
    assert facts(resource, one) != facts(resource, other)
    assert "hunter2" not in str(facts(resource, one))


def test_nodes() -> None:
    """Ready as the API tells it, cordoned, full, tainted by people (controllers' own taints say nothing new)."""
    taints = [{"key": "node.kubernetes.io/unreachable"}, {"key": "node-role.kubernetes.io/gpu"}]
    conditions = [{"type": "Ready", "status": "Unknown"}, {"type": "DiskPressure", "status": "True"}]
    found = facts("nodes", {"spec": {"unschedulable": True, "taints": taints}, "status": {"conditions": conditions}})
    assert found == {"": "Unknown", "scheduling": "off (cordoned)", "disk": "full (DiskPressure)", "taints": "gpu"}


def test_endpoints() -> None:
    """An endpoint without a condition is ready (discovery.k8s.io/v1)."""
    assert endpoints({"endpoints": [{}, {"conditions": {"ready": False}}, {"conditions": {"ready": True}}]}) == 2


@pytest.mark.parametrize("resource", [*TOLD, "leases", "events"])
def test_whatever_an_object_lacks(resource: str) -> None:
    """An object with nothing in it is no mistake."""
    assert isinstance(facts(resource, {"metadata": {"name": "x"}, "spec": {}}), dict)
