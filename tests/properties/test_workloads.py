"""Planted bugs of ReplicaSets, Deployments and DaemonSets."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference, ready
from kchaos.models.api.tree import put
from kchaos.models.controllers import deployment as deployments
from kchaos.models.controllers import replicaset as replicasets
from kchaos.models.controllers.expectations import Expectations
from kchaos.scenario import At, Step
from tests.properties.objects import condition, deleted, deployment, node, obj, pod, replica_set
from tests.properties.planted import Case, Cases, Found, History, Obj
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
RECREATE = APP.replace("{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}", "{type: Recreate}")
BY = "deployment-controller"


def _about(found: Found, *idents: str) -> Found:
    """Leave only some properties: what a rollout with a planted bug costs the users is not the point here."""
    return [(prop, violation) for prop, violation in found if prop.id in idents]


def _rollout(text: str, *idents: str) -> Found:
    return _about(one(system_of(text), step("rollout", "Deployment/default/web")).violations, *idents)


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
    return History(obj("v1", "ReplicationController", "web", {"replicas": 1}, refused)).end()


@CASES.bug("KC017", "replicas")
def a_controller_that_never_replaces(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it waits for ever for deletions that it never sees."""
    if bad:
        patch.setattr(Expectations, "satisfied", lambda self, key: False)
    return _about(one(system_of(APP), step("pod-kill", "Deployment/default/web")).violations, "KC017")


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
    return _about(one(system_of(APP), step("probe-flap", web, for_s=60.0), later).violations, "KC020")


# -- Deployments -------------------------------------------------------------------------------------------------------

ROLLING = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}


def _sets(old: int, new: int, new_up: int) -> tuple[History, Obj, Obj]:
    """Return a history in the middle of a rollout of three pods, and its old and new set."""
    web = deployment(replicas=3, spec=ROLLING, status={"replicas": old + new, "updatedReplicas": new, "observedGeneration": 1})
    sets = [
        replica_set("web-1", old, web),
        replica_set("web-2", new, web, status={"replicas": new, "availableReplicas": new_up, "observedGeneration": 1}),
    ]
    return History(web, *sets), sets[0], sets[1]


def _resize(history: History, one: Obj, to: int) -> Obj:
    return history.put(put(put(one, to, "spec", "replicas"), one["metadata"]["generation"] + 1, "metadata", "generation"), by=BY)


@CASES.bug("KC021", "floor")
def an_available_pod_too_many_taken(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Two of three must stay: with one new pod up, one old pod is enough."""
    history, old, _ = _sets(old=2, new=2, new_up=0 if bad else 1)
    _resize(history, old, 1)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def available_pods_taken_with_those_that_were_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Old pods that are down may go at any time."""
    history, old, _ = _sets(old=3, new=1, new_up=0)
    ill = history.put(put(old, 2, "status", "availableReplicas"), by="replicaset-controller")
    history.wait(60.0)
    _resize(history, ill, 1 if bad else 2)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def taken_though_another_is_known_to_be_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A new pod that fell ill just now still counts: the controller does not know yet."""
    history, old, new = _sets(old=2, new=1, new_up=1)
    history.put(put(new, 0, "status", "availableReplicas"), by="replicaset-controller")
    history.wait(60.0 if bad else 0.5)
    _resize(history, old, 1)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def more_than_the_surge(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history, _, new = _sets(old=3, new=0, new_up=0)
    _resize(history, new, 2 if bad else 1)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def a_new_set_is_made_too_large(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history, _, _ = _sets(old=3, new=0, new_up=0)
    web = history.view.get("deployments", "shop/web")
    history.put(replica_set("web-3", 3 if bad else 1, web, status={"replicas": 0}), by=BY)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def both_bounds_are_zero(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Then one may be unavailable (ResolveFenceposts), and none is extra."""
    none = {"strategy": {"rollingUpdate": {"maxSurge": "10%" if not bad else 0, "maxUnavailable": "10%"}}}
    web = deployment(replicas=3, spec=none)
    new = replica_set("web-2", 0, web)
    history = History(web, replica_set("web-1", 3, web), new)
    _resize(history, new, 1)
    return _about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def the_rollout_counts_no_floor(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the controller believes that all may be unavailable."""
    if bad:
        patch.setattr(deployments.rolling, "bounds", lambda owner: (1, 4))
    return _rollout(APP, "KC021")


@CASES.bug("KC022", "recreate")
def a_new_pod_while_an_old_one_is_going(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that is still terminating exists; one that has ended does not count."""
    web = deployment(replicas=1, spec={"strategy": {"type": "Recreate"}})
    old, new = replica_set("web-1", 0, web), replica_set("web-2", 1, web)
    last = deleted(pod("web-1-a", "node-1", False, old), 95.0)
    history = History(web, old, new, last if bad else put(last, "Succeeded", "status", "phase"))
    history.put(pod("web-2-a", owner=new), by="replicaset-controller")
    return _about(history.end(), "KC022")


@CASES.bug("KC022", "recreate")
def recreate_does_not_wait(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the controller overlooks the pods that still run."""
    if bad:
        patch.setattr(deployments, "phase", lambda pod: "Succeeded")
    return _rollout(RECREATE, "KC022")


@CASES.bug("KC023", "history")
def one_old_set_too_many(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=0, spec={"revisionHistoryLimit": 2})
    return History(web, *(_revision(web, n) for n in range(4 if bad else 3))).end()


@CASES.bug("KC023", "history")
def old_sets_kept_after_a_rollout(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """While a rollout is under way, nothing is cleaned up."""
    web = deployment(replicas=1, spec={"revisionHistoryLimit": 0})
    if not bad:
        web = put(web, 0, "status", "availableReplicas")
    new = put(put(_revision(web, 2), 1, "spec", "replicas"), 1, "status", "replicas")
    return History(web, _revision(web, 1), new, pod("web-0", "node-1", True, new)).end()


def _revision(web: Obj, number: int) -> Obj:
    note = {"deployment.kubernetes.io/revision": str(number)}
    return replica_set(f"web-{number}", 0, web, status={"replicas": 0, "observedGeneration": 1}, annotations=note)


@CASES.bug("KC023", "history")
def nobody_cleans_up(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine."""
    if bad:
        patch.setattr(deployments.rolling, "stale_history", lambda owner, olds: [])
    return _rollout(APP.replace("replicas: 4", "replicas: 4\n  revisionHistoryLimit: 0"), "KC023")


def _stuck(progressing: Obj, t: float) -> Found:
    web = deployment(
        replicas=1, spec={"progressDeadlineSeconds": 600},
        status={"updatedReplicas": 1, "availableReplicas": 0, "conditions": [progressing]},
    )  # fmt: skip
    history = History(web)
    history.t = t
    return history.end()


@CASES.bug("KC024", "deadline")
def a_stuck_rollout_is_called_progress(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stuck(condition("Progressing", bad, lastUpdateTime="2026-01-01T00:00:00Z", reason="ReplicaSetUpdated"), 700.0)


@CASES.bug("KC024", "deadline")
def no_progress_past_the_deadline(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stuck(
        condition("Progressing", True, lastUpdateTime="2026-01-01T00:00:00Z", reason="ReplicaSetUpdated"), 700.0 if bad else 600.0
    )


# -- DaemonSets --------------------------------------------------------------------------------------------------------


def _agents(*nodes: str, want: int = 2, told: int = 2) -> Found:
    status = {"desiredNumberScheduled": want, "currentNumberScheduled": told, "numberAvailable": told}
    agent = obj("apps/v1", "DaemonSet", "agent", {}, status)
    return History(agent, *(pod(f"agent-{i}", where, True, agent) for i, where in enumerate(nodes))).end()


@CASES.bug("KC031", "eligible nodes")
def a_node_without_its_daemon(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", *([] if bad else ["node-2"]), told=1 if bad else 2)


@CASES.bug("KC031", "eligible nodes")
def a_daemon_that_only_the_status_knows(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", *([] if bad else ["node-2"]))


@CASES.bug("KC031", "two per node")
def two_daemons_on_one_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", "node-2", "node-2" if bad else "node-3", want=2 if bad else 3, told=2 if bad else 3)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
