"""Planted bugs of garbage collection, namespaces, quotas, volumes and endpoints."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import put
from kchaos.models.apiserver import admission
from kchaos.models.apiserver.store import Store
from kchaos.models.controllers import garbagecollector
from tests.properties.objects import deleted, deployment, obj, pod, replica_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
BUDGET = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")
QUOTA = (SITUATIONS / "quota-blocks-surge.yaml").read_text(encoding="utf-8")


def _collected(dependent: Obj, *owners: Obj) -> Found:
    history = History(dependent, *owners)
    history.put(deleted(dependent, history.t), by="generic-garbage-collector")
    return about(history.end(), "KC042")


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
    return about(history.end(), "KC042")


@CASES.bug("KC042", "living owner")
def the_collector_takes_owners_for_dead(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it asks nobody whether an owner is there."""

    async def nobody(self: object, key: str, wanted: object) -> None:
        return None

    if bad:
        patch.setattr(garbagecollector.GarbageCollector, "_owner", nobody)
    return about(one(system_of(BUDGET), step("rollout", "Deployment/default/web")).violations, "KC042")


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
    return about(one(system_of(QUOTA), step("rollout", "Deployment/default/shop")).violations, "KC044")


# -- endpoints ---------------------------------------------------------------------------------------------------------


def _service(endpoints: list[Obj], **spec: object) -> Found:
    service = obj("v1", "Service", "web", {"selector": {"app": "web"}, **spec})
    pods = [pod(name, "node-1", name != "web-2", labels={"app": "web"}) for name in ("web-0", "web-1", "web-2")]
    made = obj("discovery.k8s.io/v1", "EndpointSlice", "web-x", labels={"kubernetes.io/service-name": "web"})
    return about(History(service, *pods, {**made, "endpoints": endpoints}).end(), "KC047")


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


# -- endpoints as they are written -------------------------------------------------------------------------------------


def _slice_of(ready: bool | None, going: bool = False, since_s: float = 10.0) -> Found:
    """Write a slice that calls a pod ready, which (None: never) was ready until ``since_s`` seconds ago, or has been going."""
    web = pod("web-0", "node-1", True if ready is not None else None, labels={"app": "web"})
    history = History(obj("v1", "Service", "web", {"selector": {"app": "web"}, "clusterIP": "10.96.0.1"}), web)
    if going:
        history.put(deleted(web, history.t), by="user")
    elif ready is False:
        history.put(pod("web-0", "node-1", False, labels={"app": "web"}), by="kubelet")
    history.wait(since_s)
    endpoint = {
        "addresses": ["10.244.0.9"],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": "web-0", "uid": "Pod-web-0"},
    }
    made = obj("discovery.k8s.io/v1", "EndpointSlice", "web-1", labels={"kubernetes.io/service-name": "web"})
    history.put({**made, "addressType": "IPv4", "endpoints": [endpoint]}, by="endpointslice-controller")
    return about(history.end(), "KC147")


@CASES.bug("KC147", "endpoint conditions")
def a_pod_that_was_never_ready_is_called_so(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _slice_of(None if bad else True)


@CASES.bug("KC147", "endpoint conditions")
def a_pod_that_has_long_been_down_is_called_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _slice_of(False, since_s=10.0 if bad else 1.0)


@CASES.bug("KC147", "endpoint conditions")
def a_pod_that_has_long_been_going_is_called_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _slice_of(True, going=bad)


# -- what must go ------------------------------------------------------------------------------------------------------


@CASES.bug("KC142", "left over")
def a_pod_outlives_its_owner(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = replica_set(replicas=1)
    return about(History(*(() if bad else (owner,)), pod("web-0", "node-1", True, owner)).end(), "KC142")


@CASES.bug("KC142", "left over")
def nobody_ends_a_deletion_in_the_foreground(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What somebody else holds is theirs to let go."""
    held = replica_set(replicas=0, finalizers=["foregroundDeletion", *(() if bad else ("example.com/mine",))])
    return about(History(deleted(held, 90.0)).end(), "KC142")


@CASES.bug("KC143", "namespace stays")
def a_namespace_never_goes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    shop = obj("v1", "Namespace", "shop", {}, space="")
    return about(History(deleted(shop, 90.0) if bad else shop).end(), "KC143")


@CASES.bug("KC044", "quota")
def more_pods_than_the_quota_whatever_its_status(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Pods that have ended don't count."""
    limits = obj("v1", "ResourceQuota", "small", {"hard": {"pods": "1"}}, {"hard": {"pods": "1"}, "used": {"pods": "0"}})
    history = History(limits, pod("web-0", "node-1", status={"phase": "Running" if bad else "Succeeded"}))
    history.put(pod("web-1"))
    return about(history.end(), "KC044")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
