"""The garbage collector in a whole cluster: absent and misplaced owners, and what many dependents cost."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.request import USER, Request
from kchaos.models.cluster import Cluster
from kchaos.models.controllers.ownergraph import MISPLACED, OwnerGraph, place_of_owner
from kchaos.models.topology import spread_over_zones


def _map(called: str, space: str = "default", owner: dict[str, Any] | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": called, "namespace": space}
    if owner is not None:
        meta["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        ]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {}}


def _delete(cluster: Cluster, called: str, policy: str) -> None:
    options = {"propagation_policy": policy}
    cluster.execute(Request("delete", "configmaps", "default", called, options=options, identity=USER))


def test_dependents_go_wait_or_stay_as_asked() -> None:
    cluster = Cluster(spread_over_zones(1, 1), elect=False)
    cluster.run_for(5.0)
    for policy in ("Background", "Foreground", "Orphan"):
        owner = cluster.control.create(_map(f"owner-{policy.lower()}"))
        cluster.control.create(_map(f"child-{policy.lower()}", owner=owner))
    for policy in ("Background", "Foreground", "Orphan"):
        _delete(cluster, f"owner-{policy.lower()}", policy)
    cluster.run_for(5.0)
    left = [key for key in cluster.control.store.table("configmaps") if key.startswith("default/") and "root-ca" not in key]
    assert left == ["default/child-orphan"]
    assert "ownerReferences" not in cluster.control.store.table("configmaps")["default/child-orphan"]["metadata"]
    cluster.close()


def test_an_owner_in_another_namespace_counts_as_absent() -> None:
    cluster = Cluster(spread_over_zones(1, 1), elect=False)
    cluster.run_for(5.0)
    owner = cluster.control.create(_map("owner", "kube-system"))
    cluster.control.create(_map("child", "default", owner))
    cluster.run_for(5.0)
    assert cluster.control.store.get("configmaps", "default/child") is None
    assert cluster.control.store.get("configmaps", "kube-system/owner") is not None
    cluster.close()


def test_graph_asks_only_for_owners_that_it_does_not_know() -> None:
    graph = OwnerGraph()
    owner = {**_map("owner"), "metadata": {"name": "owner", "namespace": "default", "uid": "u0"}}
    child = _map("child", owner=owner)
    child["metadata"]["uid"] = "u1"
    assert graph.changed("configmaps", None, child).attempt == ["u1"]
    assert graph.changed("configmaps", None, owner).attempt == []
    other = {**child, "metadata": {**child["metadata"], "name": "other", "uid": "u2"}}
    assert graph.changed("configmaps", None, other).attempt == []
    assert graph.changed("configmaps", owner, None).attempt == ["u1", "u2"]
    assert place_of_owner({"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}, "") == MISPLACED
    assert place_of_owner({"apiVersion": "example.com/v1", "kind": "Thing", "name": "x"}, "") is None
