"""Rules of Deployments, StatefulSets, disruption budgets and aggregated roles that came from the upstream source."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.deployment_rolling import plan_olds
from kchaos.models.controllers.disruption import expected, healthy, unmanaged_text
from kchaos.models.controllers.statefulset_decide import Create, Delete, Retain, decide
from kchaos.models.security.bootstrap import aggregated


def _replicas(name: str, size: int, available: int, minute: int) -> dict[str, Any]:
    meta = {"name": name, "uid": name, "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z"}
    return {"metadata": meta, "spec": {"replicas": size}, "status": {"availableReplicas": available}}


def test_unhealthy_then_spare() -> None:
    """Unhealthy pods of an old set go in one request, those that can be spared in a second."""
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 2}}
    deployment = {"metadata": {"name": "d"}, "spec": {"replicas": 6, "strategy": rolling}}
    new, old = _replicas("new", 1, 1, 2), _replicas("old", 6, 5, 1)
    plan = plan_olds(deployment, new, [old])
    assert [(rs["metadata"]["name"], size) for rs, size in plan] == [("old", 5), ("old", 3)]


def test_a_status_that_lags_stops_the_shrinking() -> None:
    """An old set that was just sized still counts its former pods as available: nothing more is taken for it."""
    deployment = {"metadata": {"name": "d"}, "spec": {"replicas": 3, "strategy": {"type": "RollingUpdate"}}}
    new, old = _replicas("new", 2, 2, 2), _replicas("old", 2, 3, 1)
    assert plan_olds(deployment, new, [old]) == []


def _stateful(policy: str, replicas: int, **spec: Any) -> dict[str, Any]:
    meta = {"name": "db", "namespace": "a", "uid": "u", "generation": 1}
    return {"metadata": meta, "spec": {"replicas": replicas, "podManagementPolicy": policy, **spec}, "status": {}}


def _pod(ordinal: int, phase: str = "Running", revision: str = "r1") -> dict[str, Any]:
    meta = {"name": f"db-{ordinal}", "namespace": "a", "uid": f"p{ordinal}", "labels": {"controller-revision-hash": revision}}
    ready = "True" if phase == "Running" else "False"
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}


def _names(actions: list[Any], kind: type) -> list[str]:
    return [one.pod["metadata"]["name"] for one in actions if isinstance(one, kind)]


def test_parallel_goes_on() -> None:
    """A failed pod of a Parallel set holds up neither the scale-down nor the update of the others."""
    pods = [_pod(0, "Failed"), _pod(1), _pod(2), _pod(3)]
    actions = decide(_stateful("Parallel", 3), pods, "r1", "r2", 0, 0.0).actions
    assert _names(actions, Delete) == ["db-0", "db-3", "db-2"]
    ordered = decide(_stateful("OrderedReady", 3), pods, "r1", "r2", 0, 0.0).actions
    assert _names(ordered, Delete) == ["db-0"]


def test_claims_before_deletion() -> None:
    """The claims of all pods beyond the replicas are put right before the first of them goes, and only when nothing else is to be done."""
    owner = _stateful("OrderedReady", 1, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}])
    actions = decide(owner, [_pod(0), _pod(1), _pod(2)], "r1", "r1", 0, 0.0).actions
    kinds = [type(one).__name__ for one in actions]
    assert kinds == ["Repair", "Retain", "Retain", "Delete"]
    assert _names(actions, Retain) == ["db-2", "db-1"]
    blocked = decide(owner, [_pod(1), _pod(2)], "r1", "r1", 0, 0.0).actions
    assert [type(one) for one in blocked] == [Create]


def _owned(name: str, owner: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "ownerReferences": [{"uid": owner, "kind": "ReplicaSet", "controller": True}]}}


def test_deployment_counted_once() -> None:
    """In a rollout the pods of both sets lead to one Deployment, whose size counts once."""
    pods = [_owned("a", "old"), _owned("b", "new")]
    assert expected({"spec": {"maxUnavailable": "25%"}}, pods, lambda pod: ("deployment", 4)) == (4, 3, [])
    assert expected({"spec": {"minAvailable": 1}}, pods, lambda pod: ("deployment", 4)) == (2, 1, [])


def test_unmanaged() -> None:
    """Pods without a controller are passed over and told of; what can't be scaled fails the sync."""

    def scale(pod: dict[str, Any]) -> tuple[str, int]:
        raise ValueError("jobs.batch does not implement the scale subresource")

    assert expected({"spec": {"maxUnavailable": 1}}, [{"metadata": {"name": "p"}}], scale) == (0, 0, ["p"])
    with pytest.raises(ValueError, match=r"jobs\.batch"):
        expected({"spec": {"maxUnavailable": 1}}, [_owned("a", "job")], scale)
    text = unmanaged_text({"spec": {"selector": {"matchLabels": {"app": "p"}}}})
    assert "&LabelSelector{MatchLabels:map[string]string{app: p,},MatchExpressions:[]LabelSelectorRequirement{},}" in text


def test_aggregated() -> None:
    """Rules come by name, each once, never a role's own."""
    pods, nodes = {"resources": ["pods"]}, {"resources": ["nodes"]}
    marked = {"agg": "x"}
    role = {
        "metadata": {"name": "agg", "labels": marked},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": marked}]},
        "rules": [nodes],
    }
    others = [{"metadata": {"name": n, "labels": marked}, "rules": rules} for n, rules in (("b", [nodes, pods]), ("a", [pods]))]
    assert aggregated(role, [role, *others, {"metadata": {"name": "c"}, "rules": [{"resources": ["x"]}]}]) == [pods, nodes]


def test_healthy_pods_of_a_budget() -> None:
    """Ready, not going, and not among those whose eviction was granted less than two minutes ago."""

    def pod(name: str, ready: bool = True, **meta: str) -> dict[str, Any]:
        return {"metadata": {"name": name, **meta}, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}

    pods = [pod("a"), pod("b", False), pod("c", deletionTimestamp="2026-01-01T00:00:00Z"), pod("d")]
    granted = {"d": "1970-01-01T00:00:00Z"}
    assert healthy(pods, {}, 0.0) == 2
    assert healthy(pods, granted, 119.0) == 1
    assert healthy(pods, granted, 121.0) == 2
