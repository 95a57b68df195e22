"""Planted bugs of disruption budgets, the scheduler and nodes."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import put
from kchaos.models.apiserver import registry
from kchaos.models.scheduler import nodetable
from tests.properties.objects import condition, deleted, node, obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
BUDGET = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")

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


# -- disruption budgets ------------------------------------------------------------------------------------------------


def _budget(allowed: int = 0, healthy: int = 2, desired: int = 2, disrupted: tuple[str, ...] = (), policy: str = "") -> Obj:
    status = {
        "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired,
        "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:01:40Z"),
    }  # fmt: skip
    spec = {"selector": {"matchLabels": {"app": "web"}}, **({"unhealthyPodEvictionPolicy": policy} if policy else {})}
    return obj("policy/v1", "PodDisruptionBudget", "web", spec, status)


def _evicted(budget: Obj, ready: bool = True, app: str = "web", reason: str = "EvictionByEvictionAPI") -> Found:
    web = pod("web-0", "node-1", ready, labels={"app": app})
    history = History(budget, web)
    why = condition("DisruptionTarget", True, reason=reason)
    history.put(put(web, [*web["status"]["conditions"], why], "status", "conditions"))
    return about(history.end(), "KC037")


@CASES.bug("KC037", "budget")
def an_eviction_without_a_charge(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(disrupted=() if bad else ("web-0",)))


@CASES.bug("KC037", "budget")
def an_eviction_against_a_budget_that_selects_it(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(), app="web" if bad else "other")


@CASES.bug("KC037", "budget")
def an_eviction_against_a_budget_of_its_namespace(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget() if bad else put(_budget(), "elsewhere", "metadata", "namespace"))


@CASES.bug("KC037", "budget")
def an_eviction_of_a_pod_that_runs(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What has not started yet may always be evicted."""
    web = pod("web-0", "node-1", True if bad else None, labels={"app": "web"})
    history = History(_budget(healthy=0), web)
    target = [condition("DisruptionTarget", True, reason="EvictionByEvictionAPI")]
    told = [*web["status"].get("conditions", []), *target]
    evicted = history.put(put(web, told, "status", "conditions"))
    history.put(deleted(evicted, history.t))  # it is judged once, when it is granted
    found = about(history.end(), "KC037")
    assert len(found) == bad
    return found


@CASES.bug("KC037", "budget")
def an_eviction_is_taken_for_another_disruption(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Budgets bind evictions, not preemption."""
    return _evicted(_budget(), reason="EvictionByEvictionAPI" if bad else "PreemptionByScheduler")


@CASES.bug("KC037", "budget")
def an_unhealthy_pod_evicted_while_too_few_are_healthy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(healthy=1 if bad else 2), ready=False)


@CASES.bug("KC037", "budget")
def an_unhealthy_pod_evicted_against_the_policy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(healthy=1, policy="IfHealthyBudget" if bad else "AlwaysAllow"), ready=False)


@CASES.bug("KC037", "budget")
def a_charge_to_an_empty_budget(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    before = _budget(allowed=0 if bad else 1)
    history = History(before)
    history.put(_budget(allowed=-1 if bad else 0, disrupted=("web-0",)))
    return about(history.end(), "KC037")


def _counts(budget: Obj, *pods: Obj) -> Found:
    """Let the controller write a status over these pods."""
    history = History(_budget(allowed=7, healthy=7), *pods)
    history.put({**budget, "status": {**budget["status"], "expectedPods": 2}}, by="disruption-controller")
    return about(history.end(), "KC037")


def _web(index: int, going: bool = False) -> Obj:
    made = pod(f"web-{index}", "node-1", True, labels={"app": "web"})
    return deleted(made, 0.0) if going else made


@CASES.bug("KC037", "granted")
def a_granted_eviction_counts_as_healthy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Two pods, one of them about to go: one is healthy."""
    return _counts(_budget(healthy=2 if bad else 1, disrupted=("web-0",)), _web(0), _web(1))


@CASES.bug("KC037", "granted")
def a_third_pod_is_there_to_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that is going makes nobody healthy."""
    return _counts(_budget(healthy=2, disrupted=("web-0",)), _web(0), _web(1), _web(2, going=bad))


@CASES.bug("KC037", "allowed")
def more_allowed_than_is_healthy_beyond_need(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _counts(_budget(allowed=2 if bad else 1, healthy=3, desired=2), _web(0))


@CASES.bug("KC037", "budget")
def evictions_ignore_budgets(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: a drain of nodes whose pods may not be disrupted."""
    if bad:
        patch.setattr(registry, "charge_budget", lambda store, pod, now_s: None)
    return about(one(system_of(BUDGET), *(step("drain", f"node-{index}") for index in range(1, 7))).violations, "KC037")


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


# -- nodes -------------------------------------------------------------------------------------------------------------


@CASES.bug("KC040", "node recovery")
def a_node_stays_unknown(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=None if bad else True)).end()


@CASES.bug("KC040", "node recovery")
def a_node_stays_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=not bad)).end()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
