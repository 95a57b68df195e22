"""What no pod comes of though it was taken: paused Deployments, zero replicas, and what was deleted while the cluster came up."""

from __future__ import annotations

from collections.abc import Iterator

from kchaos.engine.booting import Boot
from kchaos.models.api.resources import by_kind
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Loaded, Manifest
from kchaos.models.manifests.notes import Note

MAKERS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
RULE = "KC323"


def idle(loaded: Loaded, booted: Boot) -> Iterator[Note]:
    """Yield a remark on each object that should make pods, was not refused, and makes none by itself."""
    refused = {_key(one.obj) for one in booted.refused}
    tables = booted.image.store.tables
    for one in loaded.manifests:
        kind, meta = one.obj["kind"], one.obj["metadata"]
        if kind not in MAKERS or _key(one.obj) in refused or not meta.get("name"):
            continue
        resource = by_kind(one.obj["apiVersion"], kind)
        stored = tables.get(resource.plural, {}).get(f"{meta.get('namespace', '')}/{meta['name']}") if resource is not None else None
        what = f"{kind} {meta['name']}"
        if stored is None:
            yield _gone(one, what, loaded, booted)
        elif kind == "Deployment" and stored["spec"].get("paused"):
            yield Note(RULE, "info", one.file, one.at("spec.paused"), f"{what} is paused: no pod comes of it", "", one.id)
        elif kind not in ("DaemonSet", "Pod") and stored["spec"].get("replicas") == 0:
            yield Note(RULE, "info", one.file, one.at("spec.replicas"), f"{what} asks for 0 replicas: no pod comes of it", "", one.id)


def _key(obj: Obj) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return obj["kind"], str(meta.get("namespace") or ""), str(meta.get("name") or "")


def _gone(one: Manifest, what: str, loaded: Loaded, booted: Boot) -> Note:
    """Say why an object is not there any more."""
    owners = get(one.obj, "metadata", "ownerReferences", default=())
    node = get(one.obj, "spec", "nodeName")
    if owners:
        first = f"{owners[0].get('kind')} {owners[0].get('name')}"
        made = first != what and any(f"{m.obj['kind']} {m.obj['metadata'].get('name')}" == first for m in loaded.manifests)
        text = f"{what} names an owner by its uid, {first}, which is not in the cluster: the garbage collector deletes it"
        if made:
            return Note(RULE, "info", one.file, one.at("metadata.ownerReferences"), f"{text}; {first} makes its own", "", one.id)
        hint = "remove metadata.ownerReferences: it is of the cluster that the object was exported from"
        return Note(RULE, "warning", one.file, one.at("metadata.ownerReferences"), text, hint, one.id)
    if node and node not in booted.image.store.tables.get("nodes", {}):
        text = f"{what} is bound to node {node}, which is not in the cluster: it is deleted with it"
        hint = "remove spec.nodeName, or give your nodes: --topology with the output of `kubectl get nodes -o yaml`"
        return Note(RULE, "warning", one.file, one.at("spec.nodeName"), text, hint, one.id)
    return Note(RULE, "warning", one.file, one.line, f"{what} was deleted while the cluster came up", "", one.id)
