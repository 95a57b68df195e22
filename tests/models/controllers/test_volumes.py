"""Disks of a whole cluster: provisioned in the chosen zone, attached, moved with their pod, freed."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.pods import name
from kchaos.models.api.request import USER, Request
from kchaos.models.api.tree import get
from kchaos.models.cluster import Cluster
from kchaos.models.controllers.pvbinder import default_storage_class
from kchaos.models.controllers.volumes import SELECTED_NODE
from kchaos.models.topology import spread_over_zones


def _claim(space: str = "default") -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": space}, "spec": spec}


def _pod(node: str, called: str = "db") -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "db:1"}], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": called, "namespace": "default"}, "spec": spec}


def _cluster() -> Cluster:
    cluster = Cluster(spread_over_zones(3, 3), elect=False)
    cluster.run_for(2.0)
    cluster.control.create(default_storage_class())
    cluster.control.create(_claim())
    cluster.run_for(5.0)
    return cluster


def _select(cluster: Cluster, node: str) -> None:
    body = {"metadata": {"annotations": {SELECTED_NODE: node}}}
    how = {"patch_type": "merge"}
    cluster.execute(Request("patch", "persistentvolumeclaims", "default", "data", body=body, options=how, identity=USER))


def _claim_of(cluster: Cluster) -> dict[str, Any]:
    found = cluster.control.store.get("persistentvolumeclaims", "default/data")
    assert found is not None
    return found


def test_disk_is_made_in_the_zone_of_the_chosen_node_and_attached() -> None:
    cluster = _cluster()
    assert _claim_of(cluster)["spec"]["storageClassName"] == "standard"
    assert _claim_of(cluster)["status"]["phase"] == "Pending"
    _select(cluster, "node-2")
    cluster.control.create(_pod("node-2"))
    cluster.run_for(60.0)
    claim = _claim_of(cluster)
    assert claim["status"]["phase"] == "Bound"
    volume = cluster.control.store.get("persistentvolumes", claim["spec"]["volumeName"])
    assert volume is not None and volume["status"]["phase"] == "Bound"
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert term["values"] == ["zone-b"]
    pod = cluster.control.store.get("pods", "default/db")
    assert get(pod, "status", "phase") == "Running"
    attachments = cluster.control.store.table("volumeattachments")
    assert [one["spec"]["nodeName"] for one in attachments.values()] == ["node-2"]
    cluster.close()


def test_disk_moves_only_after_the_first_node_let_go_and_goes_with_its_claim() -> None:
    cluster = _cluster()
    _select(cluster, "node-1")
    cluster.control.create(_pod("node-1"))
    cluster.run_for(30.0)
    cluster.control.create(_pod("node-2", "other"))
    cluster.run_for(30.0)
    assert get(cluster.control.store.get("pods", "default/other"), "status", "phase") == "Pending"
    cluster.execute(Request("delete", "pods", "default", "db", identity=USER))
    cluster.run_for(60.0)
    assert [one["spec"]["nodeName"] for one in cluster.control.store.table("volumeattachments").values()] == ["node-2"]
    assert get(cluster.control.store.get("pods", "default/other"), "status", "phase") == "Running"
    cluster.execute(Request("delete", "persistentvolumeclaims", "default", "data", identity=USER))
    cluster.run_for(20.0)
    assert cluster.control.store.get("persistentvolumeclaims", "default/data") is not None  # in use
    cluster.execute(Request("delete", "pods", "default", "other", identity=USER))
    cluster.run_for(60.0)
    assert not cluster.control.store.table("persistentvolumeclaims")
    assert not cluster.control.store.table("persistentvolumes")
    assert not cluster.control.store.table("volumeattachments")
    cluster.close()


def test_disk_of_a_lost_node_is_taken_after_six_minutes() -> None:
    cluster = _cluster()
    _select(cluster, "node-1")
    cluster.control.create(_pod("node-1"))
    cluster.run_for(30.0)
    cluster.world.power_off("node-1")
    cluster.run_for(90.0)
    force = {"grace_period_seconds": 0}
    cluster.execute(Request("delete", "pods", "default", "db", options=force, identity=USER))
    cluster.control.create(_pod("node-2", "other"))
    cluster.run_for(350.0)
    assert [one["spec"]["nodeName"] for one in cluster.control.store.table("volumeattachments").values()] == ["node-1"]
    cluster.run_for(30.0)
    assert [one["spec"]["nodeName"] for one in cluster.control.store.table("volumeattachments").values()] == ["node-2"]
    assert name(cluster.control.store.table("pods")["default/other"]) == "other"
    cluster.close()
