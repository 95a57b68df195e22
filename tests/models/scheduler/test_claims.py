"""VolumeBinding, VolumeZone and VolumeRestrictions."""

from __future__ import annotations

from typing import Any

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
SELECTED = "volume.kubernetes.io/selected-node"


def _class(lab: Any, called: str, provisioner: str, mode: str = "WaitForFirstConsumer", **more: Any) -> None:
    lab.put("storageclasses", {"metadata": {"name": called}, "provisioner": provisioner, "volumeBindingMode": mode, **more})


def _volume(lab: Any, called: str, size: str, node: str, kind: str = "loc", **more: Any) -> None:
    term = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}
    spec = {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": kind,
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }  # fmt: skip
    meta = {"name": called, "labels": more.pop("labels", {})}
    lab.put("persistentvolumes", {"metadata": meta, "spec": spec | more, "status": {"phase": "Available"}})


def _claim(lab: Any, called: str, kind: str = "loc", size: str = "1Gi", mode: str = "ReadWriteOnce", **more: Any) -> None:
    spec = {"accessModes": [mode], "storageClassName": kind, "resources": {"requests": {"storage": size}}}
    notes = {"pv.kubernetes.io/bind-completed": "yes"} if "volumeName" in more else {}
    lab.put("persistentvolumeclaims", {"metadata": {"name": called, "namespace": "d", "annotations": notes}, "spec": spec | more})


def _pod(lab: Any, claim: str) -> Any:
    return lab.pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": claim}}])


def test_missing_and_unbound_immediate_claims(lab: Any) -> None:
    lab.node("n1")
    _class(lab, "imm", "x", "Immediate")
    _claim(lab, "c", "imm")
    assert lab.decide(_pod(lab, "no")).message == '0/1 nodes are available: persistentvolumeclaim "no" not found. not found'
    assert lab.decide(_pod(lab, "c")).message == "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"


def test_smallest_volume_decides_the_node_and_is_not_given_twice(lab: Any) -> None:
    lab.node("n1", cpu="64")
    lab.node("n2")
    lab.node("n3")
    _class(lab, "loc", "kubernetes.io/no-provisioner")
    _volume(lab, "big", "9Gi", "n2")
    _volume(lab, "small", "2Gi", "n2")
    for called in ("c1", "c2", "c3"):
        _claim(lab, called)
    first = _pod(lab, "c1")
    decision = lab.decide(first)
    assert (decision.node, [(one.claim, one.resource) for one in decision.volumes]) == ("n2", [("d/c1", "persistentvolumes")])
    assert decision.volumes[0].body["metadata"]["name"] == "small"
    lab.engine.assume(first, "n2")
    second = _pod(lab, "c2")
    assert lab.decide(second).volumes[0].body["metadata"]["name"] == "big"
    lab.engine.assume(second, "n2")
    assert lab.why(_pod(lab, "c3")) == "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."
    lab.engine.forget(first)
    assert lab.decide(_pod(lab, "c3")).node == "n2"


def test_dynamic_provisioning_follows_allowed_topologies(lab: Any) -> None:
    lab.node("n1", cpu="64", labels={ZONE: "a"})
    lab.node("n2", labels={ZONE: "b"})
    terms = [{"matchLabelExpressions": [{"key": ZONE, "values": ["b"]}]}]
    _class(lab, "csi", "ebs.csi.aws.com", allowedTopologies=terms)
    _claim(lab, "c", "csi")
    decision = lab.decide(_pod(lab, "c"))
    (action,) = decision.volumes
    assert (decision.node, action.resource, action.body["metadata"]["annotations"][SELECTED]) == ("n2", "persistentvolumeclaims", "n2")


def test_bound_volumes_tie_to_node_and_zone(lab: Any) -> None:
    lab.node("n1", cpu="64", labels={ZONE: "a"})
    lab.node("n2", labels={ZONE: "b"})
    _volume(lab, "v", "1Gi", "n2")
    _claim(lab, "c", volumeName="v")
    assert lab.decide(_pod(lab, "c")).node == "n2"
    _volume(lab, "z", "1Gi", "n1", labels={ZONE: "c"})
    _claim(lab, "d", volumeName="z")
    assert lab.why(_pod(lab, "d")) == (
        "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) had no available volume zone."
    )


def test_read_write_once_pod(lab: Any) -> None:
    lab.node("n1")
    _volume(lab, "v", "1Gi", "n1")
    _claim(lab, "c", mode="ReadWriteOncePod", volumeName="v")
    assert lab.run(_pod(lab, "c")) == "n1"
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert lab.why(_pod(lab, "c")) == f"0/1 nodes are available: 1 {reason}."
