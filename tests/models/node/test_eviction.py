"""Node-pressure eviction: who goes first, what is reported, what a node under pressure refuses, and when it takes pods again."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.story import story
from kchaos.history.record import Write
from kchaos.models.api.pods import condition
from kchaos.models.api.tree import Obj
from kchaos.models.node.eviction import WRITTEN, critical, message, ranked
from kchaos.scenario import At, Scenario, Step
from tests.support import system_of

APPS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: web, resources: {requests: {cpu: 100m}}}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: agent}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: proxy, namespace: kube-system}
spec:
  selector: {matchLabels: {app: proxy}}
  template:
    metadata: {labels: {app: proxy}}
    spec: {priorityClassName: system-node-critical, containers: [{name: c, image: proxy}]}
"""


@functools.cache
def booted() -> tuple[System, Boot]:
    system = system_of(APPS, nodes=2, zones=1)
    return system, boot(system)


def outcome(*more: Step, for_s: float = 100.0, **args: Any) -> Outcome:
    system, image = booted()
    step = Step(do="disk-full", args={"target": "node-1", **args}, for_s=for_s)
    return run(system, image, Scenario(steps=(step, *more)))


def chaos_s(found: Outcome) -> float:
    return next(m.t for m in found.run.marks("phase") if m.data["name"] == "chaos")


def turned(found: Outcome, kind: str = "DiskPressure") -> list[tuple[str, float]]:
    """Return when node-1's condition turned to what, in seconds since chaos began."""
    out: list[tuple[str, float]] = []
    for entry in found.run.entries:
        if isinstance(entry, Write) and entry.resource == "nodes" and entry.key == "node-1":
            now = condition(entry.obj, kind)
            assert now is not None
            if not out or out[-1][0] != now["status"]:
                out.append((now["status"], round(entry.t - chaos_s(found), 1)))
    return out


def evicted(found: Outcome) -> list[Obj]:
    """Return pods as they were when they became Failed with reason Evicted."""
    return [
        e.obj for e in found.run.entries
        if isinstance(e, Write) and e.resource == "pods" and (e.obj.get("status") or {}).get("reason") == "Evicted"
        and e.prev is not None and (e.prev.get("status") or {}).get("reason") != "Evicted"
    ]  # fmt: skip


def test_the_order_of_eviction() -> None:
    """Beyond the request first, then lower priority, then the larger use; critical pods never."""

    def pod(name: str, priority: int = 0, request: str = "") -> Obj:
        resources: Obj = {"resources": {"requests": {"ephemeral-storage": request}}} if request else {}
        return {"metadata": {"name": name, "uid": name, "namespace": "x"}, "spec": {"priority": priority, "containers": [resources]}}

    mirror = pod("mirror")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    pods = [
        pod("within", request="1Gi"),
        pod("high", 1000),
        pod("low"),
        pod("big"),
        pod("critical", 2_000_001_000),
        pod("filler", 5000, "1Gi"),
        mirror,
    ]
    written = {"big": 2 * WRITTEN, "filler": 5 << 30}
    assert [one["metadata"]["name"] for one in ranked(pods, written)] == ["big", "low", "high", "filler", "within"]
    assert critical(mirror)


def test_what_an_evicted_pod_is_told() -> None:
    assert message(0.02, 100 << 30) == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418240, available: 2097152Ki. "
    )
    assert "Threshold quantity: 16106127360" in message(0.12, 100 << 30)


def test_pods_go_one_by_one_and_none_comes() -> None:
    """DiskPressure and its taint at once, a pod every ten seconds, and five minutes after there is room again none of it is left."""
    found = outcome()
    assert turned(found)[1:] == [("True", 0.0), ("False", 400.0)]  # it was last seen full at 100 s, just before its healing
    gone = [pod for pod in evicted(found) if not pod["status"]["message"].startswith("Pod was rejected")]
    assert {pod["metadata"]["labels"]["app"] for pod in gone} == {"web", "agent"}
    for pod in gone:
        assert pod["status"]["phase"] == "Failed"
        why = condition(pod, "DisruptionTarget")
        assert why is not None and why["reason"] == "TerminationByKubelet"
    node = next(e.obj for e in reversed(found.run.entries) if isinstance(e, Write) and e.key == "node-1" and e.resource == "nodes")
    assert not node["spec"].get("taints")
    assert found.steps[0]["evidence"]["pods_evicted"] == len(gone) == 3
    assert not [prop.id for prop, _ in found.violations if not prop.id.startswith("KC2")]


def test_daemon_pods_are_refused_until_then() -> None:
    """They tolerate the taint, so they are made again and again, with a back-off; the kubelet refuses each."""
    found = outcome()
    refused = [pod for pod in evicted(found) if pod["status"]["message"].startswith("Pod was rejected")]
    assert len(refused) > 2 and {pod["metadata"]["labels"]["app"] for pod in refused} == {"agent"}
    assert all("containerStatuses" not in pod["status"] for pod in refused)
    assert 0 < found.steps[0]["evidence"]["pods_refused"] <= len(refused)  # those after healing are not the fault's


def test_what_one_pod_has_written_goes_with_it() -> None:
    """Only that pod is evicted, and the disk has room again."""
    found = outcome(filler="pod")
    gone = [pod["metadata"]["name"] for pod in evicted(found) if not pod["status"]["message"].startswith("Pod was rejected")]
    assert len(gone) == 1 and gone[0].startswith("agent-")
    times = turned(found)
    assert times[1][0] == "True" and times[2][0] == "False" and 300.0 <= times[2][1] <= 320.0


@pytest.mark.parametrize(("free", "bites"), [(0.14, True), (0.16, False)])
def test_the_threshold_is_fifteen_per_cent(free: float, bites: bool) -> None:
    found = outcome(free=free)
    assert (found.steps[0]["status"] == "bit") == bites


def test_a_node_that_comes_back_sees_its_full_disk() -> None:
    """The kubelet that starts after a power loss looks at its disk at once."""
    found = outcome(Step(do="node-power-loss", args={"target": "node-1"}, when=At(0.0), for_s=30.0), for_s=300.0)
    pressed = [t for status, t in turned(found) if status == "True"]
    assert pressed and found.steps[0]["status"] == "bit"


def test_the_story_tells_it() -> None:
    told = "\n".join(story(outcome().run))
    assert "disk-full of node-1" in told and "DiskPressure" in told and "evicts" in told
