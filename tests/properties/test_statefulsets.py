"""Planted bugs of StatefulSets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.tree import put
from kchaos.models.controllers import podgc
from kchaos.models.controllers import statefulset as statefulsets
from kchaos.models.controllers.statefulset_decide import Create, Decision, Delete
from kchaos.scenario import At, Step
from tests.properties.objects import deleted, node, obj, pod, stateful_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
BY = "statefulset-controller"
STORE = (SITUATIONS / "stuck-after-bad-template.yaml").read_text(encoding="utf-8")
DISKLESS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec: {containers: [{name: app, image: "registry.example/app:1"}]}
"""
TARGET = "StatefulSet/default/store"


def _member(owner: Obj, index: int, ready: bool = True, revision: str = "new", since_s: float = 0.0) -> Obj:
    name = f"{owner['metadata']['name']}-{index}"
    return pod(name, f"node-{index}", ready, owner, since_s, labels={"controller-revision-hash": revision})


# -- identity ----------------------------------------------------------------------------------------------------------


def _moved(first: bool, stopped: bool, fault: tuple[str, str] = ("", ""), deleted_by: str = "", taint: bool = False) -> Found:
    """db-0 runs on node-1 (``first``: since before the history), something happens to it, and a new db-0 starts on node-2."""
    db = stateful_set(replicas=1)
    old = {**_member(db, 0), "spec": {"nodeName": "node-1", "containers": []}}
    taints = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}] if taint else []
    history = History(db, node("node-1", taints=taints), node("node-2"), *([old] if first else []))
    who = {"pod": "shop/db-0", "owner": "StatefulSet"}
    if not first:
        history.put(old, by="user")
        history.mark("pod", event="started", uid="Pod-db-0", node="node-1", **who)
    if fault[0]:
        history.mark("fault", step=0, name=fault[0], action="injected", args={"target": fault[1]}, planned=False)
    if stopped:
        history.mark("pod", event="stopped", uid="Pod-db-0", node="node-1", **who)
    if deleted_by:
        history.remove(old, by=deleted_by)
    history.mark("pod", event="started", uid="another", node="node-2", **who)
    return about(history.end(), "KC025")


@CASES.bug("KC025", "two of one ordinal")
def a_member_starts_before_the_old_one_stopped(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _moved(first=False, stopped=not bad)


@CASES.bug("KC025", "two of one ordinal")
def a_member_that_ran_from_the_start_is_doubled(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Examples begin with pods that run: no mark tells of their start."""
    return _moved(first=True, stopped=not bad)


@CASES.bug("KC025", "two of one ordinal")
def a_member_doubled_while_its_node_is_frozen(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A node without power runs nothing; one that is frozen will go on."""
    return _moved(first=True, stopped=False, fault=("node-pause" if bad else "node-power-loss", "node-1"))


@CASES.bug("KC025", "two of one ordinal")
def a_member_doubled_while_another_zone_is_lost(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _moved(first=False, stopped=False, fault=("zone-power-loss", "zone-b" if bad else "zone-a"))


@CASES.bug("KC025", "two of one ordinal")
def a_controller_force_deletes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Only people may say that a process is gone that nobody can ask."""
    return _moved(first=True, stopped=False, deleted_by=BY if bad else "user")


@CASES.bug("KC025", "two of one ordinal")
def pods_collected_from_a_node_that_is_in_service(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _moved(first=True, stopped=False, deleted_by="pod-garbage-collector", taint=not bad)


@CASES.bug("KC025", "two of one ordinal")
def a_node_that_does_not_answer_is_taken_for_dead(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: pods are collected from a node that is merely cut off."""
    if bad:
        patch.setattr(podgc, "OUT_OF_SERVICE", "node.kubernetes.io/unreachable")
    system = system_of(DISKLESS, nodes=2, zones=1)
    found = [one(system, step("network-partition", node)).violations for node in ("node-1", "node-2")]
    return about([*found[0], *found[1]], "KC025")


@pytest.mark.parametrize("grace", [0, 30])
def test_who_is_to_blame_for_two_of_one_ordinal(grace: int) -> None:
    """The finding is of the StatefulSet, which stands in a file; a grace of 0 deletes without asking the node."""
    db = stateful_set(replicas=1, spec={"template": {"spec": {"terminationGracePeriodSeconds": grace}}})
    history = History(db, node("node-1"), node("node-2"), {**_member(db, 0), "spec": {"nodeName": "node-1", "containers": []}})
    history.mark("pod", pod="shop/db-0", owner="StatefulSet", event="started", uid="another", node="node-2")
    found = about(history.end(), "KC025")
    assert [(one.object, "terminationGracePeriodSeconds: 30" in one.advice) for _, one in found] == [("StatefulSet/shop/db", grace == 0)]


# -- order -------------------------------------------------------------------------------------------------------------


@CASES.bug("KC026", "create order")
def a_member_made_before_those_below_are_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=2)
    history = History(db, _member(db, 0, ready=not bad))
    history.put(pod("db-1", owner=db), by=BY)
    return about(history.end(), "KC026")


@CASES.bug("KC026", "create order")
def a_member_made_before_those_below_exist(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """With podManagementPolicy Parallel, none waits for another."""
    db = stateful_set(replicas=2, spec={} if bad else {"podManagementPolicy": "Parallel"})
    history = History(db)
    history.put(pod("db-1", owner=db), by=BY)
    return about(history.end(), "KC026")


@CASES.bug("KC026", "create order")
def a_member_made_while_one_below_is_going(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Ordinals begin where spec.ordinals.start says."""
    db = stateful_set(replicas=2, spec={"ordinals": {"start": 0 if bad else 1}})
    history = History(db, deleted(_member(db, 0), 95.0), _member(db, 1))
    history.put(pod("db-2", owner=db), by=BY)
    return about(history.end(), "KC026")


@CASES.bug("KC026", "delete order")
def scaled_down_from_below(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=1)
    history = History(db, *(_member(db, index) for index in range(3)))
    history.put(deleted(history.view.get("pods", "shop/db-1" if bad else "shop/db-2"), history.t), by=BY)
    return about(history.end(), "KC026")


@CASES.bug("KC026", "delete order")
def scaled_down_two_at_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """The one above must be gone, not just going; a stranger's pod of such a name does not count."""
    db = stateful_set(replicas=1)
    above = deleted(_member(db, 2), 95.0)
    history = History(db, _member(db, 0), _member(db, 1), above if bad else put(above, [], "metadata", "ownerReferences"))
    history.put(deleted(history.view.get("pods", "shop/db-1"), history.t), by=BY)
    return about(history.end(), "KC026")


def _decided(patch: pytest.MonkeyPatch, change: Callable[[Decision, list[Obj]], Decision]) -> None:
    """Let the controller do something else than it decides."""
    real = statefulsets.decide
    patch.setattr(statefulsets, "decide", lambda owner, pods, *args: change(real(owner, pods, *args), pods))


@CASES.bug("KC026", "create order")
def all_members_are_made_at_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the last member is made without waiting for the one before."""

    def eager(decision: Decision, pods: list[Obj]) -> Decision:
        made = {one["metadata"]["name"] for one in pods}
        creates = [Create(index, True) for index in range(3) if f"store-{index}" not in made]
        return Decision(creates or decision.actions, decision.status)

    if bad:
        _decided(patch, eager)
    power = [step("node-power-loss", f"node-{index}") for index in range(1, 7)]
    return about(one(system_of(STORE), *power, Step(do="rollout", args={"target": TARGET}, when=At(1.0))).violations, "KC026")


@CASES.bug("KC027", "extra ordinals")
def a_member_left_above(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=1)
    return about(History(db, _member(db, 0), *([_member(db, 40)] if bad else [])).end(), "KC027")


@CASES.bug("KC027", "extra ordinals")
def a_member_left_below_the_first_ordinal(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=2, spec={"ordinals": {"start": 1}})
    below = [_member(db, 0)] if bad else [pod("db-0", "node-1", True)]
    return about(History(db, *below, _member(db, 1), _member(db, 2)).end(), "KC027")


# -- updates -----------------------------------------------------------------------------------------------------------


def _update(*pods: Obj, db: Obj, take: int) -> Found:
    history = History(db, *pods)
    history.put(deleted(history.view.get("pods", f"shop/db-{take}"), history.t), by=BY)
    return about(history.end(), "KC028")


@CASES.bug("KC028", "update order")
def updated_from_below(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set()
    pods = [_member(db, 0, revision="old"), _member(db, 1, revision="old"), _member(db, 2, revision="old" if bad else "new")]
    return _update(*pods, db=db, take=1)


@CASES.bug("KC028", "update order")
def updated_while_the_one_above_is_away(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set()
    return _update(_member(db, 0, revision="old"), _member(db, 1, revision="old"), *([] if bad else [_member(db, 2)]), db=db, take=1)


@CASES.bug("KC028", "update order")
def updated_while_the_one_above_is_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that fell ill just now is not yet known to the controller."""
    db = stateful_set()
    above = _member(db, 2, ready=False, since_s=50.0 if bad else 99.0)
    return _update(_member(db, 0, revision="old"), _member(db, 1, revision="old"), above, db=db, take=1)


@CASES.bug("KC028", "update order")
def two_updated_at_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set()
    above = _member(db, 2)
    above = deleted(above, 95.0) if bad else above
    return _update(_member(db, 0, revision="old"), _member(db, 1, revision="old"), above, db=db, take=1)


@CASES.bug("KC028", "update order")
def updated_before_the_one_above(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """The first pod goes before the status names the new revision: the newest ControllerRevision tells it."""
    db = stateful_set(status={"updateRevision": "old"})
    made = [
        {**obj("apps/v1", "ControllerRevision", name, ownerReferences=[owner_reference(db)]), "revision": number}
        for name, number in (("old", 1), ("new", 2 if bad else 0))
    ]
    return _update(_member(db, 0, revision="new"), _member(db, 1, revision="new"), _member(db, 2, revision="old"), *made, db=db, take=1)


@CASES.bug("KC028", "partition")
def updated_below_the_partition(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(spec={"updateStrategy": {"rollingUpdate": {"partition": 2 if bad else 1}}})
    return _update(_member(db, 0, revision="old"), _member(db, 1, revision="old"), _member(db, 2), db=db, take=1)


@CASES.bug("KC028", "update order")
def all_members_taken_down_at_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: an update that waits for none."""

    def hasty(decision: Decision, pods: list[Obj]) -> Decision:
        gone = any(isinstance(action, Delete) for action in decision.actions)
        return Decision([Delete(one) for one in pods] if gone else decision.actions, decision.status)

    if bad:
        _decided(patch, hasty)
    return about(one(system_of(STORE), step("rollout", TARGET)).violations, "KC028")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
