"""Planted bugs of ReplicaSets."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference, ready
from kchaos.models.controllers import replicaset as replicasets
from kchaos.models.controllers.expectations import Expectations
from kchaos.scenario import At, Step
from tests.properties.objects import deleted, node, obj, pod, replica_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import one, step, system_of

CASES = Cases()
APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: app, image: "registry.example/app:1", readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 2}}
"""


# -- ReplicaSets -------------------------------------------------------------------------------------------------------


@CASES.bug("KC017", "replicas")
def one_pod_too_few(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = replica_set(replicas=2)
    return History(owner, *(pod(f"web-{i}", "node-1", True, owner) for i in range(1 if bad else 2))).end()


@CASES.bug("KC017", "replicas")
def one_pod_too_many(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Those that have ended or are going don't count."""
    owner = replica_set(replicas=1)
    going = [deleted(pod("web-1", "node-1", True, owner), 90.0), pod("web-2", "node-1", owner=owner, status={"phase": "Failed"})]
    more = [pod("web-3", "node-1", True, owner)] if bad else []
    return History(owner, pod("web-0", "node-1", True, owner), *going, *more).end()


@CASES.bug("KC017", "replicas")
def a_replication_controller_without_pods(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that was refused its pods says so in its status, and is not held against it."""
    refused = {"conditions": [] if bad else [{"type": "ReplicaFailure", "status": "True"}]}
    return about(History(obj("v1", "ReplicationController", "web", {"replicas": 1}, refused)).end(), "KC017")


@CASES.bug("KC017", "replicas")
def a_controller_that_never_replaces(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it waits for ever for deletions that it never sees."""
    if bad:
        patch.setattr(Expectations, "satisfied", lambda self, key: False)
    return about(one(system_of(APP), step("pod-kill", "Deployment/default/web")).violations, "KC017")


@CASES.bug("KC018", "two controllers")
def two_controllers_of_one_pod(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A second owner is no harm as long as it does not control."""
    owner, other = replica_set("web-1", 1), replica_set("web-2", 0)
    history = History(owner, other)
    second = {**owner_reference(other), "controller": bad}
    history.put(pod("web-0", "node-1", True, ownerReferences=[owner_reference(owner), second]))
    return history.end()


def _scaled_down(kept_since_s: float, victims: tuple[str, ...], unready: str = "web-1") -> Found:
    """Tell of a set of three that shrinks: web-1 is not ready since a while; pods go one by one."""
    owner = replica_set(replicas=3 - len(victims))
    pods = {name: pod(name, "node-1", name != unready, owner) for name in ("web-0", "web-1", "web-2")}
    history = History(owner, *(one for one in pods.values() if one["metadata"]["name"] != unready))
    history.t = 100.0 - kept_since_s
    history.put(pods[unready], by="kubelet")
    history.t = 100.0
    for name in victims:
        history.put(deleted(history.view.get("pods", f"shop/{name}"), history.t), by="replicaset-controller")
        history.wait(0.01)
    history.wait(60.0)
    history.put(node())
    return history.end("KC206")


@CASES.bug("KC020", "victims")
def a_ready_pod_goes_before_one_that_is_not(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _scaled_down(30.0, ("web-0" if bad else "web-1",))


@CASES.bug("KC020", "victims")
def a_ready_pod_goes_though_another_is_known_to_be_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that fell ill just now is not yet known to the controller."""
    return _scaled_down(30.0 if bad else 0.5, ("web-0",))


@CASES.bug("KC020", "victims")
def two_ready_pods_go_first(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Victims of one decision may go in any order."""
    return _scaled_down(30.0, ("web-0", "web-2" if bad else "web-1"))


@CASES.bug("KC020", "victims")
def the_ranking_is_upside_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: one pod's probes fail while the workload is scaled down."""

    def wrong(pods: list[Obj], related: list[Obj], now_s: float) -> list[Obj]:
        return sorted(pods, key=ready, reverse=True)

    if bad:
        patch.setattr(replicasets, "rank", wrong)
    web = "Deployment/default/web"
    later = Step(do="scale-down", args={"target": web}, when=At(40.0))
    return about(one(system_of(APP), step("probe-flap", web, for_s=60.0), later).violations, "KC020")


@CASES.bug("KC117", "surplus")
def a_pod_is_made_that_is_not_missing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that is lacking may be made; and of a set that has just been made smaller the controller may not know."""
    owner = replica_set(replicas=2)
    history = History(owner, *(pod(f"web-{i}", "node-1", True, owner) for i in range(2 if bad else 1)))
    history.put(pod("web-3", owner=owner), by="replicaset-controller")
    return about(history.end(), "KC117")


@CASES.bug("KC117", "surplus")
def a_pod_is_made_long_after_its_set_shrank(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = replica_set(replicas=3)
    history = History(owner, *(pod(f"web-{i}", "node-1", True, owner) for i in range(2)))
    history.put(replica_set(replicas=2))
    history.wait(10.0 if bad else 1.0)
    history.put(pod("web-3", owner=owner), by="replicaset-controller")
    return about(history.end(), "KC117")


@CASES.bug("KC117", "surplus")
def expectations_are_forgotten_while_events_are_held(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: what was asked for is not seen for a while."""
    if bad:
        patch.setattr(Expectations, "satisfied", lambda self, key: True)
    held = Step(do="events-held", args={"target": "pods"}, when=At(0.0), for_s=20.0)
    grows = Step(do="scale-up", args={"target": "Deployment/default/web"}, when=At(1.0))
    return about(one(system_of(APP), held, grows).violations, "KC117")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
