"""Which volume a claim gets, who uses a claim, and whether a volume is attached: the pure part of the storage controllers.

pkg/controller/volume/persistentvolume/index.go, k8s.io/component-helpers/storage/volume/{pv_helpers.go,helpers.go}.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from kchaos.models.api.pods import labels, name, namespace, notes_of, owner_reference, terminating, uid
from kchaos.models.api.quantity import compare
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.client.informer import Informer

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_SHARED = ("nfs", "efs", "azurefile", "file.csi", "filestore", "cephfs", "glusterfs", "smb")
_LOCAL = ("local-path", "localpv", "openebs.io/local", "topolvm", "hostpath")


def class_of(obj: Obj) -> str:
    """Return the storage class of a claim or volume; the beta annotation wins (GetPersistentVolumeClaimClass)."""
    return str(notes_of(obj).get(BETA_CLASS) or obj["spec"].get("storageClassName") or "")


def claims_of(pod: Obj) -> list[str]:
    """Return the keys of the claims that a pod mounts; those of ephemeral volumes are named after pod and volume."""
    space = namespace(pod)
    out = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            out.append(f"{space}/{volume['persistentVolumeClaim']['claimName']}")
        elif "ephemeral" in volume:
            out.append(f"{space}/{name(pod)}-{volume['name']}")
    return out


def claim_key(volume: Obj) -> str:
    """Return the key of the claim that a volume is reserved for, empty if none."""
    ref = volume["spec"].get("claimRef")
    return f"{ref.get('namespace', '')}/{ref['name']}" if ref else ""


def reserved_for(volume: Obj, claim: Obj) -> bool:
    """Tell whether a volume's claimRef names this claim (IsVolumeBoundToClaim): by uid, if it says one."""
    ref = volume["spec"].get("claimRef")
    if not ref or ref["name"] != name(claim) or ref.get("namespace", "") != namespace(claim):
        return False
    return not ref.get("uid") or ref["uid"] == uid(claim)


def size_of(volume: Obj) -> str:
    """Return a volume's capacity."""
    return str(get(volume, "spec", "capacity", "storage", default="0"))


def asked(claim: Obj) -> str:
    """Return the size that a claim asks for."""
    return str(get(claim, "spec", "resources", "requests", "storage", default="0"))


def _mode(obj: Obj) -> str:
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def best_match(claim: Obj, volumes: Iterable[Obj], delayed: bool) -> Obj | None:
    """Return the volume to bind ``claim`` to: one reserved for it, else the smallest that fits among those with the fewest access modes.

    ``delayed``: the claim waits for a pod, only a reserved volume will do.
    """
    wanted = set(claim["spec"].get("accessModes") or ())
    size, kind = asked(claim), class_of(claim)
    selector = claim["spec"].get("selector")
    fits = compile_selector(selector) if selector else None
    best: Obj | None = None
    for volume in volumes:
        if terminating(volume) or _mode(volume) != _mode(claim):
            continue
        if (volume["spec"].get("volumeAttributesClassName") or "") != (claim["spec"].get("volumeAttributesClassName") or ""):
            continue
        modes = volume["spec"].get("accessModes") or ()
        if reserved_for(volume, claim):
            if compare(size_of(volume), size) >= 0:
                return volume
            continue
        if delayed or volume["spec"].get("claimRef") or get(volume, "status", "phase") != "Available":
            continue
        if class_of(volume) != kind or not wanted.issubset(modes) or compare(size_of(volume), size) < 0:
            continue
        if fits is not None and not fits(labels(volume)):
            continue
        if best is None or _smaller(volume, best):
            best = volume
    return best


def unfit(volume: Obj, claim: Obj) -> str:
    """Return why a volume can't be that of a claim which names it, empty if it can (checkVolumeSatisfyClaim)."""
    if compare(size_of(volume), asked(claim)) < 0:
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not set(claim["spec"].get("accessModes") or ()).issubset(volume["spec"].get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def _smaller(one: Obj, other: Obj) -> bool:
    modes, others = len(one["spec"].get("accessModes") or ()), len(other["spec"].get("accessModes") or ())
    if modes != others:
        return modes < others
    return compare(size_of(one), size_of(other)) < 0


def bound_volume(volume: Obj, claim: Obj) -> Obj:
    """Return ``volume`` reserved for ``claim``; itself if it is already (GetBindVolumeToClaim)."""
    ref = volume["spec"].get("claimRef")
    if ref and ref.get("uid") == uid(claim) and reserved_for(volume, claim):
        return volume
    out = volume
    if not ref:
        out = put(out, {**notes_of(out), BOUND_BY_CONTROLLER: "yes"}, "metadata", "annotations")
    new = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(claim), "namespace": namespace(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"], "uid": uid(claim),
    }  # fmt: skip
    return put(out, new, "spec", "claimRef")


def bound_claim(claim: Obj, volume: Obj) -> Obj:
    """Return ``claim`` naming ``volume``; itself if it does already."""
    notes = dict(notes_of(claim))
    out = claim
    if claim["spec"].get("volumeName") != name(volume):
        out = put(out, name(volume), "spec", "volumeName")
        notes[BOUND_BY_CONTROLLER] = "yes"
    if BIND_COMPLETED not in notes:
        notes[BIND_COMPLETED] = "yes"
    return put(out, notes, "metadata", "annotations") if notes != notes_of(claim) else out


def bound_status(claim: Obj, volume: Obj) -> Obj:
    """Return the status of a claim bound to ``volume``."""
    status = {**(claim.get("status") or {}), "phase": "Bound", "accessModes": volume["spec"].get("accessModes") or []}
    status["capacity"] = dict(get(volume, "spec", "capacity", default={}))
    return status


# -- provisioning --------------------------------------------------------------------------------------------------------


def is_shared(provisioner: str, claim: Obj) -> bool:
    """Tell whether a volume of this provisioner and claim can be reached from everywhere: network file systems."""
    modes = claim["spec"].get("accessModes") or ()
    return any(word in provisioner for word in _SHARED) or "ReadWriteMany" in modes or "ReadOnlyMany" in modes


def allowed_zones(storage_class: Obj) -> list[str] | None:
    """Return the zones of the class's allowedTopologies, None if it does not restrict them."""
    terms = storage_class.get("allowedTopologies")
    if not terms:
        return None
    zones: dict[str, None] = {}
    for term in terms:
        for one in term.get("matchLabelExpressions") or ():
            if one["key"] == ZONE or one["key"].endswith("/zone"):
                zones.update(dict.fromkeys(one.get("values") or ()))
    return list(zones) or None


def choose_zone(claim_name: str, zones: list[str]) -> str:
    """Return a zone for a claim whose pod is not known: claims of a StatefulSet go round the zones (ChooseZoneForVolume)."""
    stem, _, ordinal = claim_name.rpartition("-")
    ordered = sorted(zones)
    if stem and ordinal.isdecimal():
        return ordered[(zlib.crc32(stem.encode()) + int(ordinal)) % len(ordered)]
    return ordered[zlib.crc32(claim_name.encode()) % len(ordered)]


def topology_of(claim: Obj, storage_class: Obj, node: Obj | None, zones: list[str]) -> tuple[str, str] | bool | None:
    """Return (label, value) that nodes must have to reach the new volume, None if any can, False if the node may not be served.

    ``node`` is the one that the scheduler chose, None if the class binds at once; ``zones`` those of the cluster.
    """
    provisioner = str(storage_class["provisioner"])
    if is_shared(provisioner, claim):
        return None
    if any(word in provisioner for word in _LOCAL):
        return (HOSTNAME, labels(node).get(HOSTNAME, name(node))) if node is not None else None
    allowed = allowed_zones(storage_class)
    if node is not None:
        zone = labels(node).get(ZONE)
        if allowed is not None and zone not in allowed:
            return False
        return (ZONE, zone) if zone else None
    choice = allowed if allowed is not None else zones
    return (ZONE, choose_zone(name(claim), choice)) if choice else None


def provisioned(claim: Obj, storage_class: Obj, topology: tuple[str, str] | None) -> Obj:
    """Return the volume that a provisioner makes for ``claim``."""
    volume = f"pvc-{uid(claim)}"
    provisioner = storage_class["provisioner"]
    ref = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(claim), "namespace": namespace(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"], "uid": uid(claim),
    }  # fmt: skip
    spec: Obj = {
        "capacity": {"storage": asked(claim)}, "accessModes": list(claim["spec"].get("accessModes") or ()), "claimRef": ref,
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"), "storageClassName": name(storage_class),
        "volumeMode": _mode(claim), "csi": {"driver": provisioner, "volumeHandle": volume},
    }  # fmt: skip
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = storage_class["mountOptions"]
    if topology is not None:
        term = {"matchExpressions": [{"key": topology[0], "operator": "In", "values": [topology[1]]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": volume, "annotations": {PROVISIONED_BY: provisioner}}, "spec": spec,
    }  # fmt: skip


def ephemeral_claim(pod: Obj, volume: Obj) -> Obj:
    """Return the claim of a generic ephemeral volume, owned by its pod (KEP-1698)."""
    template = volume["ephemeral"]["volumeClaimTemplate"]
    meta = template.get("metadata") or {}
    out: Obj = {
        "name": f"{name(pod)}-{volume['name']}", "namespace": namespace(pod),
        "ownerReferences": [owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})],
    }  # fmt: skip
    for key in ("labels", "annotations"):
        if meta.get(key):
            out[key] = meta[key]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": out, "spec": template["spec"]}


# -- attachment ----------------------------------------------------------------------------------------------------------


_IN_TREE = {
    "awsElasticBlockStore": "ebs.csi.aws.com", "gcePersistentDisk": "pd.csi.storage.gke.io", "azureDisk": "disk.csi.azure.com",
    "cinder": "cinder.csi.openstack.org", "vsphereVolume": "csi.vsphere.vmware.com",
}  # fmt: skip
"""In-tree disks, which CSI drivers serve since their migration."""


def driver_of(volume: Obj) -> str:
    """Return the CSI driver that serves a volume, empty if none does."""
    driver = get(volume, "spec", "csi", "driver")
    return str(driver) if driver else next((one for kind, one in _IN_TREE.items() if volume["spec"].get(kind)), "")


def needs_attachment(volume: Obj) -> bool:
    """Tell whether a volume is a disk that must be attached to a node: of a CSI driver, and not a network file system."""
    driver = driver_of(volume)
    if not driver or any(word in driver for word in (*_SHARED, *_LOCAL)):
        return False
    return "ReadWriteMany" not in (volume["spec"].get("accessModes") or ())


def exclusive(volume: Obj) -> bool:
    """Tell whether a volume may be attached to one node only (isMultiAttachForbidden)."""
    modes = volume["spec"].get("accessModes") or ()
    return bool(modes) and not any(mode in ("ReadWriteMany", "ReadOnlyMany") for mode in modes)


def attachment_name(volume: str, node: str) -> str:
    """Return the name of the VolumeAttachment of a volume on a node."""
    text = f"{volume} {node}".encode()
    return f"csi-{zlib.crc32(text):08x}{zlib.adler32(text):08x}"


def attached(attachments: Informer, volume: Obj, node: str) -> bool:
    """Tell whether a pod on ``node`` may mount ``volume``: it is attached there, or needs no attachment."""
    if not needs_attachment(volume):
        return True
    found = attachments.get(attachment_name(name(volume), node))
    return found is not None and bool(get(found, "status", "attached")) and not terminating(found)
