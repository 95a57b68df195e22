"""Planted bugs in what the API itself promises."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import drop, put
from tests.properties.objects import deleted, deployment, obj, pod, replica_set
from tests.properties.planted import Case, Cases, Found, History

CASES = Cases()


@CASES.bug("KC004", "versions")
def a_version_used_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Versions count over all kinds: two objects of different kinds may not share one."""
    history = History()
    history.put(obj("v1", "ConfigMap", "one"))
    if bad:
        history.rv -= 1
    history.put(obj("v1", "Secret", "other"))
    return history.end()


@CASES.bug("KC004", "no-op configmaps")
def a_write_of_nothing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    made = history.put({**obj("v1", "ConfigMap", "one"), "data": {"a": "1"}})
    history.put(made if bad else put(made, "2", "data", "a"))
    return history.end()


@CASES.bug("KC005", "generation")
def a_status_write_counts_as_a_new_spec(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=0)
    history = History(web)
    after = put(web, 1, "status", "collisionCount")
    history.put(put(after, 2, "metadata", "generation") if bad else after, by="deployment-controller")
    return history.end()


@CASES.bug("KC005", "generation")
def a_new_spec_does_not_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=0)
    history = History(web)
    after = put(web, True, "spec", "paused")
    history.put(after if bad else put(after, 2, "metadata", "generation"))
    return history.end()


@CASES.bug("KC005", "generation")
def annotations_of_a_deployment_do_not_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Deployments are the one kind whose annotations count (deployment/strategy.go)."""
    web = deployment(replicas=0)
    history = History(web)
    after = put(web, {"note": "new"}, "metadata", "annotations")
    history.put(after if bad else put(after, 2, "metadata", "generation"))
    return history.end()


@CASES.bug("KC005", "generation")
def annotations_written_by_a_user_do_not_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """The deployment controller notes the revision in a write of the status, and that counts nothing."""
    web = deployment(replicas=0)
    history = History(web)
    history.put(put(web, {"note": "new"}, "metadata", "annotations"), by="user" if bad else "deployment-controller")
    return history.end()


@CASES.bug("KC005", "generation")
def annotations_count_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=0)
    history = History(web)
    history.put(put(put(web, {"note": "new"}, "metadata", "annotations"), 3 if bad else 2, "metadata", "generation"))
    return history.end()


@CASES.bug("KC005", "generation")
def annotations_of_another_kind_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = replica_set(replicas=0)
    history = History(web)
    history.put(put(put(web, {"note": "new"}, "metadata", "annotations"), 2 if bad else 1, "metadata", "generation"))
    return history.end()


@CASES.bug("KC005", "generation")
def a_deletion_does_not_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = replica_set(replicas=0, finalizers=["example.com/hold"])
    history = History(web)
    gone = deleted(web, history.t, 0)
    gone = history.put(put(gone, 1, "metadata", "generation") if bad else gone)
    history.put(put(gone, 7, "status", "observedGeneration"), by="replicaset-controller")
    return history.end()


@CASES.bug("KC005", "spec and status")
def one_write_changes_spec_and_status(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    web = deployment(replicas=0)
    history = History(web)
    after = put(put(web, True, "spec", "paused"), 2, "metadata", "generation")
    history.put(put(after, 7, "status", "collisionCount") if bad else after)
    return history.end()


@CASES.bug("KC006", "finalizers")
def removed_before_its_finalizer(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    held = obj("v1", "ConfigMap", "one", finalizers=["example.com/hold"])
    history = History(held)
    gone = history.put(deleted(held, history.t, 0))
    history.wait(1.0)
    history.remove(gone if bad else drop(gone, "metadata", "finalizers"))
    return history.end()


@CASES.bug("KC006", "finalizers")
def a_namespace_removed_before_it_is_empty(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Namespaces keep their finalizer in spec; the namespace controller takes it out when all is gone."""
    shop = deleted(obj("v1", "Namespace", "shop", {"finalizers": ["kubernetes"]}, {"phase": "Terminating"}, space=""), 90, 0)
    history = History(shop)
    history.remove(shop if bad else put(shop, [], "spec", "finalizers"), by="namespace-controller")
    return history.end()


@CASES.bug("KC006", "undeleted")
def a_deletion_taken_back(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod(node="node-1", ready=True))
    dying = history.put(deleted(history.view.get("pods", "shop/web-0"), history.t))
    meta = {**dying["metadata"], "labels": {"changed": "yes"}}
    if bad:
        del meta["deletionTimestamp"]
    history.put({**dying, "metadata": meta})
    return history.end()


@CASES.bug("KC006", "grace")
def a_grace_period_lengthened(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod(node="node-1", ready=True))
    dying = history.put(deleted(history.view.get("pods", "shop/web-0"), history.t, 30))
    history.put(deleted(dying, history.t, 60 if bad else 10))
    return history.end()


@CASES.bug("KC011", "uid")
def a_uid_used_again(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """The name may come back, its uid may not."""
    first = obj("v1", "ConfigMap", "one")
    history = History(first)
    history.remove(first)
    history.put(first if bad else put(first, "another", "metadata", "uid"))
    return history.end()


@CASES.bug("KC008", "immutable")
def immutable_settings_change(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Labels of such an object may change."""
    constant = {**obj("v1", "ConfigMap", "constant"), "immutable": True, "data": {"colour": "blue"}}
    history = History(constant)
    history.put({**constant, "data": {"colour": "red"}} if bad else put(constant, {"app": "web"}, "metadata", "labels"))
    return history.end()


@CASES.bug("KC008", "immutable")
def an_immutable_secret_becomes_mutable(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    secret = {**obj("v1", "Secret", "key"), "immutable": bad, "data": {}}
    history = History(secret)
    history.put({**secret, "immutable": False, "type": "Opaque"})
    return history.end()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
