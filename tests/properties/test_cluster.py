"""Planted bugs of the scheduler, budgets, nodes, garbage, namespaces, quotas, volumes and endpoints."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import drop, put
from kchaos.models.apiserver import admission, registry
from kchaos.models.apiserver.store import Store
from kchaos.models.controllers import garbagecollector
from kchaos.models.scheduler import nodetable
from kchaos.properties.catalog import CATALOG
from tests.properties.objects import condition, deleted, deployment, node, obj, pod, replica_set
from tests.properties.planted import Case, Cases, Found, History, Obj
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
BUDGET = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
QUOTA = (SITUATIONS / "quota-blocks-surge.yaml").read_text(encoding="utf-8")

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


def _about(found: Found, ident: str) -> Found:
    """Leave one property: what the planted bug costs the users is not the point here."""
    assert ident in CATALOG
    return [(prop, violation) for prop, violation in found if prop.id == ident]


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
    return _about(history.end(), "KC037")


@CASES.bug("KC037", "budget")
def an_eviction_without_a_charge(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(disrupted=() if bad else ("web-0",)))


@CASES.bug("KC037", "budget")
def an_eviction_against_a_budget_that_selects_it(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(), app="web" if bad else "other")


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
    return _about(history.end(), "KC037")


@CASES.bug("KC037", "budget")
def evictions_ignore_budgets(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: a drain of nodes whose pods may not be disrupted."""
    if bad:
        patch.setattr(registry, "charge_budget", lambda store, pod, now_s: None)
    return _about(one(system_of(BUDGET), *(step("drain", f"node-{index}") for index in range(1, 7))).violations, "KC037")


# -- the scheduler -----------------------------------------------------------------------------------------------------


def _bound(spec: Obj, *others: Obj, on: Obj) -> Found:
    history = History(on, *others)
    history.put(pod("web-0", "node-1", spec=spec), by="kube-scheduler")
    return _about(history.end("KC206"), "KC038")


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
def room_that_is_not_free_yet(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(node(), pod("big", "node-1", spec=_asks("2")))
    if not bad:
        history.remove(pod("big", "node-1", spec=_asks("2")), by="kubelet")
    history.put(pod("web-0", "node-1", spec=_asks("2")), by="kube-scheduler")
    return _about(history.end("KC206"), "KC038")


TAINT = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}


@CASES.bug("KC038", "taint")
def bound_against_a_taint(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    tolerated = {"tolerations": [{"key": "example.com/gpu", "value": "no" if bad else "yes"}]}
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
    return _about(one(system, step("drain", "node-1")).violations, "KC038")


# -- nodes, garbage, namespaces, quota ---------------------------------------------------------------------------------


@CASES.bug("KC040", "node recovery")
def a_node_stays_unknown(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=None if bad else True)).end()


@CASES.bug("KC040", "node recovery")
def a_node_stays_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=not bad)).end()


def _collected(dependent: Obj, *owners: Obj) -> Found:
    history = History(dependent, *owners)
    history.put(deleted(dependent, history.t), by="generic-garbage-collector")
    return _about(history.end(), "KC042")


@CASES.bug("KC042", "living owner")
def a_pod_of_a_living_set_is_collected(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod goes later, when its grace is over: it is the request that counts."""
    owner = replica_set("web-1", 1)
    return _collected(pod("web-0", "node-1", True, owner), *([owner] if bad else []))


@CASES.bug("KC042", "living owner")
def collected_though_the_second_owner_lives(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    first, second = replica_set("web-1", 1), replica_set("web-2", 1)
    shared = pod("web-0", "node-1", True, ownerReferences=[owner_reference(first), owner_reference(second)])
    return _collected(shared, deleted(first, 90.0), second if bad else deleted(second, 90.0))


@CASES.bug("KC042", "living owner")
def collected_though_its_owner_is_the_right_one(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """An owner made anew under the old name is another."""
    owner = replica_set("web-1", 1)
    return _collected(pod("web-0", "node-1", True, owner), owner if bad else put(owner, "another", "metadata", "uid"))


@CASES.bug("KC042", "living owner")
def removed_at_once_though_its_owner_lives(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A set that its user deletes in the foreground goes by the collector's hand, and its Deployment may well live."""
    web = deployment(replicas=0)
    owner = replica_set("web-1", 0, web)
    owner = owner if bad else deleted(owner, 95.0, 0)
    history = History(web, owner)
    history.remove(owner, by="generic-garbage-collector")
    return _about(history.end(), "KC042")


@CASES.bug("KC042", "living owner")
def the_collector_takes_owners_for_dead(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it asks nobody whether an owner is there."""

    async def nobody(self: object, key: str, wanted: object) -> None:
        return None

    if bad:
        patch.setattr(garbagecollector.GarbageCollector, "_owner", nobody)
    return _about(one(system_of(BUDGET), step("rollout", "Deployment/default/web")).violations, "KC042")


@CASES.bug("KC043", "terminating namespace")
def created_in_a_namespace_under_deletion(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    shop = obj("v1", "Namespace", "shop", {"finalizers": ["kubernetes"]}, {"phase": "Active"}, space="")
    history = History(deleted(shop, 90.0, 0) if bad else shop)
    history.put(obj("v1", "ConfigMap", "late"))
    return history.end()


def _quota(used: str, hard: str = "2") -> Obj:
    return obj("v1", "ResourceQuota", "all", {"hard": {"pods": hard}}, {"hard": {"pods": hard}, "used": {"pods": used}})


@CASES.bug("KC044", "quota")
def more_used_than_allowed(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_quota("1"))
    history.put(_quota("3" if bad else "2"), by="kube-apiserver")
    return history.end()


@CASES.bug("KC044", "quota")
def more_used_than_before_it_was_lowered(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Lowering a quota below what is used is allowed, and so is releasing some of it; using more is not."""
    history = History(_quota("3"))
    history.put(_quota("4" if bad else "2.5", "2"), by="kube-apiserver")
    return history.end()


@CASES.bug("KC044", "quota")
def admission_charges_without_refusing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: a rollout with surge takes one pod more than its quota."""

    def lenient(store: Store, request: Request, resource: Resource, made: Obj) -> None:
        if resource.plural == "pods":
            before = store.table("resourcequotas")["default/pods"]
            used = str(int(before["status"]["used"]["pods"]) + 1)
            store.put("resourcequotas", "default/pods", put(before, used, "status", "used", "pods"), "kube-apiserver")

    if bad:
        patch.setattr(admission, "check_quota", lenient)
    return _about(one(system_of(QUOTA), step("rollout", "Deployment/default/shop")).violations, "KC044")


# -- volumes and endpoints ---------------------------------------------------------------------------------------------


def _claim(name: str, volume: str) -> Obj:
    return obj("v1", "PersistentVolumeClaim", name, {"volumeName": volume} if volume else {}, {"phase": "Bound"})


@CASES.bug("KC045", "rebound")
def a_claim_changes_its_volume(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_claim("data", "pv-1" if bad else ""))
    history.put(_claim("data", "pv-2"), by="persistent-volume-binder")
    return history.end()


@CASES.bug("KC045", "shared volume")
def two_claims_share_a_volume(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_claim("data", "pv-1"))
    history.put(_claim("other", "pv-1" if bad else "pv-2"), by="persistent-volume-binder")
    return history.end()


@CASES.bug("KC045", "rebound")
def a_volume_changes_its_claim(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A volume whose claim is gone must be released by hand before another may have it."""
    volume = obj("v1", "PersistentVolume", "pv-1", {"claimRef": {"name": "data", "uid": "one"}}, {"phase": "Released"}, space="")
    history = History(volume)
    if not bad:
        volume = history.put(drop(volume, "spec", "claimRef"))
    history.put(put(volume, {"name": "data", "uid": "two"}, "spec", "claimRef"), by="persistent-volume-binder")
    return history.end()


def _service(endpoints: list[Obj], **spec: object) -> Found:
    service = obj("v1", "Service", "web", {"selector": {"app": "web"}, **spec})
    pods = [pod(name, "node-1", name != "web-2", labels={"app": "web"}) for name in ("web-0", "web-1", "web-2")]
    made = obj("discovery.k8s.io/v1", "EndpointSlice", "web-x", labels={"kubernetes.io/service-name": "web"})
    return _about(History(service, *pods, {**made, "endpoints": endpoints}).end(), "KC047")


def _endpoint(name: str, ready: bool) -> Obj:
    return {"targetRef": {"kind": "Pod", "name": name}, "conditions": {"ready": ready}}


@CASES.bug("KC047", "endpoints")
def a_ready_pod_is_not_an_endpoint(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _service([_endpoint("web-0", True), *([] if bad else [_endpoint("web-1", True)])])


@CASES.bug("KC047", "endpoints")
def a_pod_that_is_not_ready_is_an_endpoint(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _service([_endpoint("web-0", True), _endpoint("web-1", True), _endpoint("web-2", bad)])


@CASES.bug("KC047", "endpoints")
def an_endpoint_without_a_pod(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Who publishes addresses that are not ready decides what an endpoint is."""
    return _service([_endpoint("gone", True)], publishNotReadyAddresses=not bad)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
