"""Planted bugs in what must come to an end: placing pods, drains, rollouts, recovery."""

from __future__ import annotations

import pytest

from kchaos.check.property import Severity
from kchaos.models.api.tree import put
from kchaos.models.node.runtime import ContainerRuntime
from kchaos.models.scheduler.shell import Scheduler
from tests.properties.objects import condition, deleted, deployment, node, obj, pod, replica_set, stateful_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import one, step, system_of

CASES = Cases()
WEB = "Deployment/shop/web"
APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "registry.example/app:1"}]}
"""


def _faults(history: History, *faults: str, planned: bool = False) -> None:
    """Begin chaos and inject faults."""
    history.mark("phase", name="chaos")
    for index, name in enumerate(faults):
        history.mark("fault", step=index, name=name, action="injected", args={"target": f"node-{index + 1}"}, planned=planned)


# -- places for pods ---------------------------------------------------------------------------------------------------


def _waiting(placed: bool, replicas: int = 1, faults: tuple[str, ...] = (), message: str = "", healed: bool = True) -> Found:
    web = deployment(replicas=replicas)
    owner = replica_set("web-1", replicas, web)
    lost = pod("web-1-a", "node-2" if placed else "", ready=placed or None, owner=owner)
    if not placed:
        lost = put(lost, [condition("PodScheduled", False, message=message)], "status", "conditions")
    rest = [pod(f"web-1-{index}", "node-3", True, owner) for index in range(1, replicas)]
    history = History(web, owner, *rest, lost, node("node-2"), facts={"ready_before": {WEB: replicas}})
    _faults(history, *faults)
    history.mark("phase", name="heal")
    if healed and not placed and faults:
        history.put(pod("web-1-a", "node-2", ready=True, owner=owner), by="kube-scheduler")
    return history.end()


@CASES.bug("KC201", f"placement {WEB}")
def a_pod_that_finds_no_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _waiting(placed=not bad, message="0/3 nodes are available: 3 Insufficient cpu.")


@CASES.bug("KC201", "zonal volume", Severity.WARNING)
def a_replacement_that_its_volume_keeps_away(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    why = "0/3 nodes are available: 3 node(s) had volume node affinity conflict."
    return _waiting(placed=not bad, faults=("zone-power-loss",), message=why)


@CASES.bug("KC201", f"no place {WEB}", Severity.INFO)
def a_replacement_that_a_rule_keeps_away(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Two faults at once are more than is claimed."""
    faults = ("node-power-loss",) if bad else ("node-power-loss", "node-pause")
    return _waiting(placed=False, replicas=2, faults=faults, message="3 node(s) didn't match pod topology spread constraints.")


@CASES.bug("KC201", f"forgotten {WEB}")
def a_replacement_that_the_scheduler_has_forgotten(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """After healing it is neither bound nor said to find no place; that it finds none has been said of the other one."""
    web = deployment(replicas=1)
    owner = replica_set("web-1", 1, web)
    lost = pod("web-1-a", "", owner=owner)
    said = put(lost, [condition("PodScheduled", False, message="3 Insufficient cpu.")], "status", "conditions")
    forgotten = put(lost, [], "status", "conditions")
    history = History(web, owner, forgotten if bad else said, node("node-2"))
    _faults(history, "request-refused", "rollout")
    history.mark("phase", name="heal")
    return history.end()


@CASES.bug("KC201", "placement Deployment/default/web")
def the_scheduler_forgets_a_pod(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it binds the first pod that it decides upon, and no other."""
    real = Scheduler._bind
    first: list[str] = []

    def forgetful(self: Scheduler, waiting: Obj, where: str) -> None:
        first.append(waiting["metadata"]["name"])
        if first[-1] == first[0]:
            real(self, waiting, where)

    if bad:
        patch.setattr(Scheduler, "_bind", forgetful)
    return one(system_of(APP)).violations


@CASES.bug("KC206", f"comes up {WEB}")
def a_pod_that_is_never_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=1)
    owner = replica_set("web-1", 1, web)
    return History(web, owner, pod("web-1-a", "node-1", not bad, owner)).end()


@CASES.bug("KC206", f"comes up {WEB}")
def pods_that_are_refused(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Where there is no pod, none can be found that is not ready."""
    web = deployment(replicas=2)
    owner = replica_set("web-1", 2, web)
    made = [pod(f"web-1-{index}", "node-1", True, owner) for index in range(1 if bad else 2)]
    return about(History(web, owner, *made, node("node-1")).end(), "KC206")


def test_why_pods_are_refused() -> None:
    """What the owner's controller reports is told without its beginning, with what to do."""
    web = deployment(replicas=2)
    owner = replica_set("web-1", 2, web)
    history = History(web, owner)
    says = 'Error creating: pods "web-1-x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
    history.mark("event", type="Warning", reason="FailedCreate", kind="ReplicaSet", namespace="shop", name="web-1", message=says)
    found = [violation for _, violation in about(history.end(), "KC206")]
    assert [(one.object, one.summary.partition(": ")[2][:22]) for one in found] == [(WEB, "exceeded quota: q, req")]
    assert "raise the ResourceQuota" in found[0].advice


@CASES.bug("KC206", "comes up Pod/shop/once")
def a_pod_that_hangs(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that has done its work is not ready either, and all is well."""
    return History(pod("once", "node-1", status={"phase": "Pending" if bad else "Succeeded"})).end()


# -- drains ------------------------------------------------------------------------------------------------------------


def _drain(ending: str, *faults: str, stuck_s: float | None = None, blocked: bool = True) -> Found:
    web = deployment(replicas=1)
    owner = replica_set("web-1", 1, web)
    history = History(web, owner, pod("web-1-a", "node-1", True, owner))
    _faults(history, *faults, planned=True)
    history.mark("operation", what="drain", target="node-1", state="begun")
    if blocked:
        history.mark("operation", what="drain", target="node-1", state="blocked", pod="shop/web-1-a", owner=WEB, why="no disruption")
    if stuck_s is not None:
        old = pod("web-0-a", "node-1", True, owner)
        history.put(old, by="replicaset-controller")
        history.put(deleted(old, history.t + 100.0 - stuck_s))
    history.wait(100.0)
    history.mark("operation", what="drain", target="node-1", state=ending)
    return about(history.end(), "KC203")


@CASES.bug("KC203", f"drain {WEB}")
def a_drain_that_is_given_up(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _drain("given up" if bad else "done", "drain")


@CASES.bug("KC203", f"drain {WEB}", Severity.WARNING)
def a_second_drain_that_is_given_up(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _drain("given up" if bad else "done", "drain", "drain")


@CASES.bug("KC203", "more than one fault", Severity.INFO)
def a_drain_that_another_fault_blocks(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _drain("given up" if bad else "done", "drain", "node-pause")


@CASES.bug("KC203", f"drain {WEB}")
def a_drained_pod_that_never_goes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """No budget refused it, but it is there long after its grace; one whose grace is long may take its time."""
    return _drain("given up", "drain", stuck_s=90.0 if bad else 20.0, blocked=False)


# -- rollouts ----------------------------------------------------------------------------------------------------------


def _rolled(what: str, target: str, owner: Obj, before: int = 1, earlier: tuple[str, ...] = ()) -> Found:
    history = History(owner, facts={"ready_before": {target: before}})
    for each in (*earlier, what):
        history.mark("operation", what=each, target=target, state="begun")
    history.mark(
        "event", by="x", kind="ReplicaSet", namespace="shop", name="web-1", type="Warning", reason="FailedCreate", message="exceeded quota"
    )
    return about(history.end(), "KC204")


def _half(updated: int, up: int) -> Obj:
    return deployment(replicas=2, status={"updatedReplicas": updated, "availableReplicas": up})


@CASES.bug("KC204", f"rollout {WEB}")
def a_rollout_that_stops_half_way(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _rolled("rollout", WEB, _half(1 if bad else 2, 2), before=2)


@CASES.bug("KC204", f"rollout {WEB}")
def a_rollout_to_pods_that_are_not_available(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _rolled("rollout", WEB, _half(2, 1 if bad else 2), before=2)


@CASES.bug("KC204", f"rollback {WEB}")
def a_rollback_that_stops_half_way(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What was not up before is told as such, not as a rollout that never ends."""
    return _rolled("rollback", WEB, _half(1, 1), before=2 if bad else 1)


@CASES.bug("KC204", "rollout DaemonSet/shop/agent")
def a_daemon_that_is_not_updated(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    status = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1 if bad else 2, "numberAvailable": 2}
    return _rolled("rollout", "DaemonSet/shop/agent", obj("apps/v1", "DaemonSet", "agent", {}, status), before=2)


@CASES.bug("KC204", "stuck after a bad template", Severity.WARNING)
def a_member_stuck_after_a_bad_template(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=1, status={"updatedReplicas": 1, "availableReplicas": 0 if bad else 1})
    return _rolled("rollback", "StatefulSet/shop/db", db)


@CASES.bug("KC204", "stuck after a bad template", Severity.WARNING)
def a_restart_behind_a_bad_template(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Whatever is rolled out after it waits for the broken pod too: that is no other finding."""
    db = stateful_set(replicas=1, status={"updatedReplicas": 0 if bad else 1, "availableReplicas": 1})
    return _rolled("rollout", "StatefulSet/shop/db", db, earlier=("rollback",))


@CASES.bug("KC204", "rollout StatefulSet/shop/db")
def a_member_that_is_not_updated(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """With OnDelete, only those that people delete are."""
    spec = {"updateStrategy": {"type": "RollingUpdate" if bad else "OnDelete"}}
    db = stateful_set(replicas=1, spec=spec, status={"updatedReplicas": 0, "availableReplicas": 1})
    return _rolled("rollout", "StatefulSet/shop/db", db)


# -- recovery ----------------------------------------------------------------------------------------------------------


@CASES.bug("KC069", f"recovery {WEB}")
def a_pod_less_than_before(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that is going serves for a while, but is not what was."""
    web = deployment(replicas=2)
    owner = replica_set("web-1", 2, web)
    last = pod("web-1-b", "node-1", True, owner)
    history = History(web, owner, pod("web-1-a", "node-1", True, owner), facts={"ready_before": {WEB: 2}})
    _faults(history, "node-power-loss")
    history.put(deleted(last, history.t) if bad else last, by="kubelet")
    return about(history.end(), "KC069")


@CASES.bug("KC069", "recovery Job/shop/work")
def work_that_is_not_taken_up_again(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """The pods of a Job that is done have no reason to run."""
    job = obj("batch/v1", "Job", "work", {"completions": 1}, {"conditions": [condition("Complete", not bad)]})
    history = History(job, facts={"ready_before": {"Job/shop/work": 1}})
    _faults(history, "node-power-loss")
    return history.end()


@CASES.bug("KC069", "recovery Deployment/default/web")
def a_container_is_not_started_again(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the kubelet forgets what crashed."""
    if bad:
        patch.setattr(ContainerRuntime, "_restart", lambda self, machine, container, epoch: None)
    return about(one(system_of(APP), step("container-kill", "Deployment/default/web")).violations, "KC069")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
