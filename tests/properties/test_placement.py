"""Planted bugs of the scheduler."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import put
from kchaos.models.scheduler import nodetable
from tests.properties.objects import deleted, node, obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import one, step, system_of

CASES = Cases()


WIDE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: wide}
spec:
  replicas: 4
  selector: {matchLabels: {app: wide}}
  template:
    metadata: {labels: {app: wide}}
    spec: {containers: [{name: app, image: "registry.example/app:1", resources: {requests: {cpu: 3}}}]}
"""


# -- the scheduler -----------------------------------------------------------------------------------------------------


def _bound(spec: Obj, *others: Obj, on: Obj) -> Found:
    history = History(on, *others)
    history.put(pod("web-0", "node-1", spec=spec), by="kube-scheduler")
    return about(history.end("KC206"), "KC038")


def _asks(cpu: str) -> Obj:
    return {"containers": [{"name": "app", "resources": {"requests": {"cpu": cpu}}}]}


@CASES.bug("KC038", "over-commit")
def more_cpu_than_there_is(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _bound(_asks("501m" if bad else "500m"), pod("big", "node-1", spec=_asks("1500m")), on=node())


@CASES.bug("KC038", "over-commit")
def more_pods_than_there_may_be(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that has ended takes no place."""
    first = pod("first", "node-1", status={"phase": "Running" if bad else "Succeeded"})
    return _bound(_asks("0"), first, on=node(allocatable={"cpu": "2", "pods": "1"}))


@CASES.bug("KC038", "over-commit")
def too_much_bound_by_the_scheduler(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Whoever names a node by hand is not asked whether there is room."""
    history = History(node(allocatable={"cpu": "2", "example.com/other": "1"}))
    history.put(pod("web-0", "node-1", spec=_asks("3")), by="kube-scheduler" if bad else "user")
    return about(history.end("KC206"), "KC038")


@CASES.bug("KC038", "over-commit")
def one_too_many_where_others_ask_for_nothing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A node that is too full already may still take what asks for nothing of it."""
    full = node(allocatable={"cpu": "1"})
    return _bound(_asks("1m" if bad else "0"), pod("big", "node-1", spec=_asks("2")), on=full)


@CASES.bug("KC038", "over-commit")
def a_pod_counted_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Later writes of a pod that is bound add nothing."""
    history = History(node(), pod("big", "node-1", spec=_asks("1")))
    history.put(pod("big", "node-1", ready=True, spec=_asks("1")), by="kubelet")
    history.put(pod("web-0", "node-1", spec=_asks("1001m" if bad else "1")), by="kube-scheduler")
    return about(history.end("KC206"), "KC038")


@CASES.bug("KC038", "over-commit")
def room_of_a_pod_that_has_ended(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(node(), pod("big", "node-1", spec=_asks("2")))
    history.put(pod("big", "node-1", spec=_asks("2"), status={"phase": "Running" if bad else "Failed"}), by="kubelet")
    history.put(pod("web-0", "node-1", spec=_asks("2")), by="kube-scheduler")
    return about(history.end("KC206"), "KC038")


@CASES.bug("KC038", "over-commit")
def room_that_is_not_free_yet(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(node(), pod("big", "node-1", spec=_asks("2")))
    if not bad:
        history.remove(pod("big", "node-1", spec=_asks("2")), by="kubelet")
    history.put(pod("web-0", "node-1", spec=_asks("2")), by="kube-scheduler")
    return about(history.end("KC206"), "KC038")


TAINT = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}


@CASES.bug("KC038", "taint")
def bound_against_a_taint(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    tolerated = {"tolerations": [{"key": "example.com/gpu", "value": "no" if bad else "yes"}, {"key": "example.com/other", "value": "yes"}]}
    return _bound({**_asks("1"), **tolerated}, on=node(taints=[TAINT]))


@CASES.bug("KC038", "taint")
def bound_against_a_hard_taint(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """PreferNoSchedule is a wish; and of what the node controller sets the scheduler may not know yet."""
    soft = [{**TAINT, "effect": "PreferNoSchedule"}, {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]
    return _bound(_asks("1"), on=node(taints=[*soft, TAINT] if bad else soft))


@CASES.bug("KC038", "taint")
def another_taint_is_tolerated(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    tolerated = {"tolerations": [{"operator": "Exists", "key": "example.com/other" if bad else "example.com/gpu"}]}
    return _bound({**_asks("1"), **tolerated}, on=node(taints=[TAINT]))


@CASES.bug("KC038", "taint")
def another_effect_is_tolerated(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    tolerated = {"tolerations": [{"operator": "Exists", "effect": "NoExecute" if bad else "NoSchedule"}]}
    return _bound({**_asks("1"), **tolerated}, on=node(taints=[TAINT]))


@CASES.bug("KC038", "over-commit")
def the_scheduler_does_not_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: what two nodes hold must go to one of them."""
    if bad:
        patch.setattr(nodetable, "refused_resources", lambda shape, node: None)
    system = system_of(WIDE, nodes=2, zones=1)
    return about(one(system, step("drain", "node-1")).violations, "KC038")


# -- what a pod asks of its node ---------------------------------------------------------------------------------------


def _settled(spec: Obj, *others: Obj, marks: Obj | None = None) -> Found:
    """Bind a pod to node-1 of two nodes, ten seconds after anything else happened."""
    fast = put(node("node-1"), {"topology.kubernetes.io/zone": "zone-a", "disk": "fast", **(marks or {})}, "metadata", "labels")
    slow = put(node("node-2"), {"topology.kubernetes.io/zone": "zone-b"}, "metadata", "labels")
    web = pod("web-0", spec={**_asks("1"), **spec}, labels={"app": "web"})
    history = History(fast, slow, web, *others)
    history.put(put(web, "node-1", "spec", "nodeName"), by="kube-scheduler")
    return about(history.end(), "KC138", "KC039")


@CASES.bug("KC138", "node affinity")
def bound_against_its_node_selector(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _settled({"nodeSelector": {"disk": "slow" if bad else "fast"}})


@CASES.bug("KC138", "host port")
def bound_where_its_port_is_taken(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    def on(port: int) -> Obj:
        return {"containers": [{"name": "app", "ports": [{"containerPort": 80, "hostPort": port}]}]}

    return _settled(on(80), pod("other", "node-1", spec=on(80 if bad else 81)))


@CASES.bug("KC138", "anti-affinity")
def bound_near_what_it_avoids(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    term = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"app": "web"}}}
    apart = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    return _settled(apart, pod("other", "node-1" if bad else "node-2", labels={"app": "web"}))


@CASES.bug("KC138", "spread")
def bound_where_most_are_already(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    spread = {
        "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule" if bad else "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }  # fmt: skip
    return _settled({"topologySpreadConstraints": [spread]}, pod("other", "node-1", labels={"app": "web"}))


@CASES.bug("KC138", "volume")
def bound_away_from_its_volume(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    term = {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["zone-b" if bad else "zone-a"]}]}
    disk = obj("v1", "PersistentVolume", "disk", {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}, space="")
    claim = obj("v1", "PersistentVolumeClaim", "data", {"volumeName": "disk"})
    return _settled({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}, disk, claim)


@CASES.bug("KC138", "cordon")
def bound_to_a_node_that_has_long_been_cordoned(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Of a cordon that is just set the scheduler may not know."""
    web = pod("web-0", spec=_asks("1"))
    history = History(node(), web)
    history.put(put(node(), True, "spec", "unschedulable"))
    history.wait(10.0 if bad else 1.0)
    history.put(put(web, "node-1", "spec", "nodeName"), by="kube-scheduler")
    return about(history.end(), "KC138")


# -- preemption and gates ----------------------------------------------------------------------------------------------


@CASES.bug("KC039", "preemption")
def an_equal_is_preempted(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    low = pod("low", "node-1", True, spec={"priority": 10})
    history = History(node(), low, pod("urgent", spec={"priority": 10 if bad else 11}))
    history.put(deleted(low, 100.0), by="kube-scheduler")
    return about(history.end(), "KC039")


@CASES.bug("KC039", "gates")
def bound_behind_a_closed_gate(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _settled({"schedulingGates": [{"name": "example.com/paid"}] if bad else []})


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
