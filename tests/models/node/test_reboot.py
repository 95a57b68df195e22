"""What the kubelet reports after its node lost power: restart counts go on, no phase goes back, the restart policy holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kchaos.engine.settings import Settings
from kchaos.models.api.request import USER, Request
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Event
from kchaos.models.cluster import AssumptionTable, Cluster
from kchaos.models.node.assumptions import Assumptions
from kchaos.models.topology import spread_over_zones
from tests.support import one, step, system_of

PROBE = {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 5, "periodSeconds": 5, "failureThreshold": 2}
RANK = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}


class Node:
    """One node with one pod ``p``, and all that was stored of it."""

    def __init__(self, spec: Obj, **assumed: Any) -> None:
        self.cluster = Cluster(spread_over_zones(1, 1), assumptions=AssumptionTable(default=Assumptions(**assumed)))
        self.stored: list[Obj] = []
        self.cluster.control.store.subscribe(self._seen)
        self.cluster.run_for(5.0)
        container = {"name": "c", "image": "app"}
        containers = [{**container, **one} for one in spec.pop("containers", [{}])]
        body = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
            "spec": {"nodeName": "node-1", **spec, "containers": containers},
        }  # fmt: skip
        self.cluster.execute(Request("create", "pods", "default", body=body, identity=USER))

    def _seen(self, event: Event) -> None:
        if event.resource == "pods" and event.type != "DELETED":
            self.stored.append(event.obj)

    def run(self, seconds: float) -> Obj:
        """Go on; return the pod's status."""
        self.cluster.run_for(seconds)
        return self.status

    @property
    def status(self) -> Obj:
        """Return the status as last stored."""
        found: Obj = self.stored[-1]["status"]
        return found

    def reboot(self, off_s: float = 20.0, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Take the node's power for a while; forget what was stored before."""
        self.cluster.world.power_off("node-1")
        meanwhile()
        self.cluster.run_for(off_s)
        del self.stored[:-1]
        self.cluster.world.power_on("node-1")

    def never_went_back(self) -> bool:
        """Tell whether phases and restart counts of what was stored only grew."""
        phases = [RANK[pod["status"]["phase"]] for pod in self.stored]
        counts = [c["restartCount"] for pod in self.stored for c in pod["status"].get("containerStatuses", ())]
        return phases == sorted(phases) and counts == sorted(counts)


def test_a_running_container_is_found_dead_and_restarted_once() -> None:
    """First it is reported as ended, not ready and no oftener restarted; then as running, restarted once."""
    node = Node({})
    assert node.run(10.0)["containerStatuses"][0]["restartCount"] == 0
    begun = node.status["startTime"]
    node.reboot()
    status = node.run(30.0)
    found = node.stored[1]["status"]
    assert found["phase"] == "Running" and found["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 255
    assert found["containerStatuses"][0]["restartCount"] == 0
    assert {c["type"]: c["status"] for c in found["conditions"]}["Ready"] == "False"
    now = status["containerStatuses"][0]
    assert now["restartCount"] == 1 and now["lastState"]["terminated"]["reason"] == "Unknown" and "running" in now["state"]
    assert status["startTime"] == begun, "a pod starts once"
    assert node.never_went_back()


@pytest.mark.parametrize("at_s", [8.0, 13.0, 40.0, 55.0, 200.0, 700.0])
def test_restart_counts_go_on_from_what_was_reported(at_s: float) -> None:
    """Whether it ran, was just killed or waited in CrashLoopBackOff."""
    node = Node({"containers": [{"livenessProbe": PROBE}]}, start_s=90.0)
    before = node.run(at_s)["containerStatuses"][0]["restartCount"]
    node.reboot()
    status = node.run(5.0)
    assert status["phase"] == "Running" and status["containerStatuses"][0]["restartCount"] == before + 1
    node.run(300.0)
    assert node.never_went_back()


def test_a_container_that_never_ran_is_not_restarted() -> None:
    node = Node({}, image_pull_s=60.0)
    node.run(30.0)
    node.reboot()
    status = node.run(90.0)
    assert status["containerStatuses"][0]["restartCount"] == 0 and status["phase"] == "Running"


def test_init_containers_run_again_and_the_phase_stays() -> None:
    """The application waits for them, is reported as ended meanwhile, and starts afterwards."""
    node = Node({"initContainers": [{"name": "i", "image": "init"}]}, run_s=50.0)
    node.run(30.0)
    node.reboot()
    status = node.run(5.0)
    assert "running" in status["initContainerStatuses"][0]["state"] and "terminated" in status["containerStatuses"][0]["state"]
    status = node.run(30.0)
    assert status["initContainerStatuses"][0]["restartCount"] == status["containerStatuses"][0]["restartCount"] == 1
    assert node.never_went_back()


def test_a_terminating_pod_reports_how_its_containers_ended() -> None:
    """It was deleted while its node was off: it fails, keeps its restart count, and goes."""
    node = Node({"containers": [{"livenessProbe": PROBE}]}, start_s=90.0)
    before = node.run(200.0)["containerStatuses"][0]["restartCount"]
    node.reboot(meanwhile=lambda: node.cluster.execute(Request("delete", "pods", "default", "p", identity=USER)))
    status = node.run(30.0)
    assert status["phase"] == "Failed" and status["containerStatuses"][0]["restartCount"] == before > 0
    assert node.never_went_back() and node.cluster.control.store.get("pods", "default/p") is None


@pytest.mark.parametrize(("policy", "phase", "restarts"), [("Never", "Failed", 0), ("OnFailure", "Succeeded", 1)])
def test_the_restart_policy_holds(policy: str, phase: str, restarts: int) -> None:
    """A pod that never restarts fails with its node; one that restarts after failures runs again, and succeeds."""
    node = Node({"restartPolicy": policy}, run_s=30.0)
    node.run(15.0)
    node.reboot()
    status = node.run(60.0)
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == (phase, restarts)
    assert node.never_went_back()


def test_what_succeeded_is_not_run_again() -> None:
    node = Node({"restartPolicy": "OnFailure"}, run_s=10.0)
    node.run(30.0)
    assert node.status["phase"] == "Succeeded"
    node.reboot()
    assert node.run(30.0)["containerStatuses"][0]["restartCount"] == 0


def test_pulling_an_image_and_crashing_back_off_apart() -> None:
    """A pod whose image could not be pulled for long, then crashes: its first restart comes at once, and it does not count as Pending."""
    node = Node({"containers": [{"livenessProbe": PROBE}]}, start_s=90.0)
    runtime = node.cluster.kubelets["node-1"].runtime
    runtime.bad_images.append(lambda pod: True)
    node.run(400.0)
    assert node.status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ImagePullBackOff"}}
    runtime.bad_images.clear()
    status = node.run(335.0)
    assert status["containerStatuses"][0]["restartCount"] > 0
    assert node.never_went_back()


SLOW = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, livenessProbe: {httpGet: {port: 80}, initialDelaySeconds: 5, periodSeconds: 5, failureThreshold: 2}}
"""


def test_containers_that_never_start_up_are_all_that_is_found() -> None:
    """Slow containers under a hasty liveness probe: power loss shows nothing about phases and restart counts."""
    system = system_of(SLOW, settings=Settings(defaults={"start_s": 90}))
    for number in range(1, 4):
        outcome = one(system, step("node-power-loss", f"node-{number}"))
        assert {prop.id for prop, _ in outcome.violations} <= {"KC206", "KC069"}
