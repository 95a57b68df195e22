"""Planted bugs of garbage collection, namespaces, quotas, volumes and endpoints."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import drop, put
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


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
