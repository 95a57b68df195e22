"""Planted bugs of Deployments: the bounds of a rollout, its order, its history, its deadline."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.times import stamp
from kchaos.models.api.tree import put
from kchaos.models.controllers import deployment as deployments
from tests.properties.objects import condition, deleted, deployment, pod, replica_set
from tests.properties.planted import EPOCH_S, Case, Cases, Found, History, Obj, about
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


def _rollout(text: str, *idents: str) -> Found:
    return about(one(system_of(text), step("rollout", "Deployment/default/web")).violations, *idents)


ROLLING = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}


def _sets(old: int, new: int, new_up: int, **facts: Any) -> tuple[History, Obj, Obj]:
    """Return a history in the middle of a rollout of three pods, and its old and new set."""
    web = deployment(replicas=3, spec=ROLLING, status={"replicas": old + new, "updatedReplicas": new, "observedGeneration": 1})
    sets = [
        replica_set("web-1", old, web),
        replica_set("web-2", new, web, status={"replicas": new, "availableReplicas": new_up, "observedGeneration": 1}),
    ]
    return History(web, *sets, facts=facts), sets[0], sets[1]


def _resize(history: History, one: Obj, to: int) -> Obj:
    return history.put(put(put(one, to, "spec", "replicas"), one["metadata"]["generation"] + 1, "metadata", "generation"), by=BY)


@CASES.bug("KC021", "floor")
def an_available_pod_too_many_taken(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Two of three must stay: with one new pod up, one old pod is enough."""
    history, old, _ = _sets(old=2, new=2, new_up=0 if bad else 1)
    _resize(history, old, 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def available_pods_taken_with_those_that_were_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Old pods that are down may go at any time."""
    history, old, _ = _sets(old=3, new=1, new_up=0)
    ill = history.put(put(old, 2, "status", "availableReplicas"), by="replicaset-controller")
    history.wait(60.0)
    _resize(history, ill, 1 if bad else 2)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def a_pod_that_just_fell_ill_is_the_one_to_go(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that was killed as a rollout begins is taken away at once, and the available one stays."""
    history, old, _ = _sets(old=2, new=0, new_up=0)
    if not bad:
        old = history.put(put(old, 1, "status", "availableReplicas"), by="replicaset-controller")
        history.wait(0.5)
    _resize(history, old, 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def taken_though_another_is_known_to_be_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A new pod that fell ill just now still counts: the controller does not know yet."""
    history, old, new = _sets(old=2, new=1, new_up=1)
    history.put(put(new, 0, "status", "availableReplicas"), by="replicaset-controller")
    history.wait(60.0 if bad else 0.5)
    _resize(history, old, 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def a_pod_of_a_set_that_was_just_emptied_still_counts(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Its status is what the controller adds up, whatever was asked of the set: for a moment it says one pod too many, as the real one's."""
    history, old, new = _sets(old=2, new=1, new_up=1)
    _resize(history, new, 0)
    history.put(put(put(new, 0, "spec", "replicas"), 0, "status", "availableReplicas"), by="replicaset-controller")
    history.wait(60.0 if bad else 0.5)
    _resize(history, old, 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def more_than_the_surge(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history, _, new = _sets(old=3, new=0, new_up=0)
    _resize(history, new, 2 if bad else 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def more_than_the_surge_while_messages_are_late(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """With schedule noise the controller may not see for some seconds what it asked for itself."""
    history, old, new = _sets(old=3, new=0, new_up=0, noise=True)
    _resize(history, old, 4)
    history.wait(60.0 if bad else 0.5)
    _resize(history, new, 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def more_than_the_surge_by_the_controller(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What a user does to a ReplicaSet by hand is the user's own affair."""
    history, _, new = _sets(old=3, new=0, new_up=0)
    grown = put(put(new, 2, "spec", "replicas"), 2, "metadata", "generation")
    history.put(grown, by=BY if bad else "user")
    return about(history.end(), "KC021")


@CASES.bug("KC021", "floor")
def pods_taken_though_nobody_scaled(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A set last sized for another number of replicas is being scaled, in proportion."""
    history, old, _ = _sets(old=3, new=0, new_up=0)
    note = {"deployment.kubernetes.io/desired-replicas": "3" if bad else "4"}
    _resize(history, history.put(put(old, note, "metadata", "annotations"), by=BY), 1)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def a_new_set_is_made_too_large(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history, _, _ = _sets(old=3, new=0, new_up=0)
    web = history.view.get("deployments", "shop/web")
    history.put(replica_set("web-3", 3 if bad else 1, web, status={"replicas": 0}), by=BY)
    return about(history.end(), "KC021")


@CASES.bug("KC021", "ceiling")
def both_bounds_are_zero(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Then one may be unavailable (ResolveFenceposts), and none is extra."""
    none = {"strategy": {"rollingUpdate": {"maxSurge": "10%" if not bad else 0, "maxUnavailable": "10%"}}}
    web = deployment(replicas=3, spec=none)
    new = replica_set("web-2", 0, web)
    history = History(web, replica_set("web-1", 3, web), new)
    _resize(history, new, 1)
    return about(history.end(), "KC021")


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
    return about(history.end(), "KC022")


@CASES.bug("KC022", "recreate")
def an_old_pod_that_is_made_after_the_decision(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Its ReplicaSet was seen late: when the new one was made, there was nothing to wait for."""
    web = deployment(replicas=1, spec={"strategy": {"type": "Recreate"}})
    old = replica_set("web-1", 1, web)
    history = History(web, old)
    late = pod("web-1-a", "node-1", True, old)
    if bad:
        history.put(late, by="replicaset-controller")
    new = history.put(replica_set("web-2", 1, web), by=BY)
    if not bad:
        history.put(late, by="replicaset-controller")
    history.put(pod("web-2-a", owner=new), by="replicaset-controller")
    return about(history.end(), "KC022")


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
    return about(history.end(), "KC024")


@CASES.bug("KC024", "deadline")
def a_stuck_rollout_is_called_progress(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stuck(condition("Progressing", bad, lastUpdateTime="2026-01-01T00:00:00Z", reason="ReplicaSetUpdated"), 700.0)


@CASES.bug("KC024", "deadline")
def no_progress_past_the_deadline(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stuck(
        condition("Progressing", True, lastUpdateTime="2026-01-01T00:00:00Z", reason="ReplicaSetUpdated"), 700.0 if bad else 600.0
    )


@CASES.bug("KC024", "deadline")
def no_progress_past_the_deadline_until_it_is_undone(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What is judged is how things stood until somebody changed them."""
    late = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "lastUpdateTime": stamp(EPOCH_S + (0.0 if bad else 90.0)),
    }
    web = deployment(spec={"progressDeadlineSeconds": 60}, status={"replicas": 3, "updatedReplicas": 1, "conditions": [late]})
    history = History(web)
    history.put({**web, "status": {**web["status"], "updatedReplicas": 3, "availableReplicas": 3}}, by=BY)
    return about(history.end(), "KC024")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
