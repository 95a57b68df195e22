"""What of an object's final state is compared: without times, versions, random names and what a recorder had to add."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kchaos.models.api.tree import Obj, get
from kchaos.models.conform.facets import NUMBERS, conditions
from kchaos.models.conform.names import Names

_TIMES = re.compile(r"(Time|Timestamp|time)$")
_LABELS = (
    "zqrun", "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
    "batch.kubernetes.io/controller-uid", "controller-uid",
)  # fmt: skip
_NOTES = (
    "batch.kubernetes.io/cronjob-scheduled-timestamp", "endpoints.kubernetes.io/last-change-trigger-time", "node.alpha.kubernetes.io/ttl",
    "volumes.kubernetes.io/controller-managed-attach-detach",
)  # fmt: skip
_STATUS = ("capacity", "accessModes", "observedGeneration", "lastPhaseTransitionTime", "currentMetrics", "collisionCount")
_TEMPLATED = ("ReplicaSet", "Deployment", "StatefulSet", "ReplicationController", "DaemonSet")


def _plain(value: Any, names: Names) -> Any:
    if isinstance(value, dict):
        return {
            key: "<time>" if _TIMES.search(key) and isinstance(below, str) else _plain(below, names)
            for key, below in value.items()
            if below is not None and key not in ("uid", "resourceVersion")
        }
    if isinstance(value, list):
        return [_plain(below, names) for below in value]
    return names.text(value) if isinstance(value, str) else value


def project(obj: Obj, names: Names) -> Obj:
    """Return what is compared of an object."""
    kind, meta = obj["kind"], obj["metadata"]
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    out: Obj = {}
    if meta.get("deletionTimestamp"):
        out["deleting"] = True
    out["labels"] = _plain({k: v for k, v in (meta.get("labels") or {}).items() if k not in _LABELS}, names)
    out["annotations"] = _plain(
        {
            k: v
            for k, v in (meta.get("annotations") or {}).items()
            if k not in _NOTES and not k.startswith(("scheduler.alpha", "kubectl.kubernetes.io", "deprecated."))
        },
        names,
    )
    out["finalizers"] = sorted(meta.get("finalizers") or ())
    out["owners"] = sorted(
        f"{r['kind']}/{names.text(r['name'])}{' controller' if r.get('controller') else ''}{' block' if r.get('blockOwnerDeletion') else ''}"
        for r in meta.get("ownerReferences") or ()
    )
    if kind == "Pod":
        _pod(obj, spec, status, out)
    elif kind == "Node":
        out["taints"] = sorted(f"{t['key']}:{t['effect']}" for t in spec.get("taints") or ())
        out["unschedulable"] = spec.get("unschedulable")
        out["conditions"] = {c["type"]: c["status"] + "/" + (c.get("reason") or "") for c in status.get("conditions") or ()}
        del out["annotations"]
    elif kind == "ConfigMap":
        out["data"] = sorted(obj.get("data") or {})
    elif kind == "ClusterRole":
        out["rules"] = obj.get("rules")
    elif kind == "EndpointSlice":
        _slice(obj, names, out)
    elif kind == "ControllerRevision":
        out["revision"] = obj.get("revision")
    elif kind not in ("ServiceAccount", "Service"):
        _workload(kind, spec, status, names, out)
    return {a: b for a, b in out.items() if b not in (None, {}, [])}


def _pod(obj: Obj, spec: Obj, status: Obj, out: Obj) -> None:
    out["nodeName"], out["phase"], out["reason"] = spec.get("nodeName"), status.get("phase"), status.get("reason")
    out["conditions"] = conditions(obj)
    out["tolerations"] = sorted(
        f"{t.get('key', '')}:{t.get('effect', '')}:{t.get('tolerationSeconds', '')}" for t in spec.get("tolerations") or ()
    )
    out["hostname"] = spec.get("hostname") or None
    if spec.get("volumes"):
        out["claims"] = sorted(v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v)
    out["images"] = [c.get("image") for c in spec.get("containers") or ()]


def _slice(obj: Obj, names: Names, out: Obj) -> None:
    del out["annotations"]
    out["addressType"] = obj.get("addressType")
    out["ports"] = _plain(obj.get("ports") or [], names)
    ends = [
        {
            "conditions": one.get("conditions"), "node": one.get("nodeName"), "zone": one.get("zone"), "hostname": one.get("hostname"),
            "target": (one.get("targetRef") or {}).get("name"),
        }
        for one in obj.get("endpoints") or ()
    ]  # fmt: skip
    out["endpoints"] = sorted((_plain(one, names) for one in ends), key=canonical)


def _workload(kind: str, spec: Obj, status: Obj, names: Names, out: Obj) -> None:
    if kind in _TEMPLATED:
        out["replicas"] = spec.get("replicas")
        out["template_labels"] = _plain(get(spec, "template", "metadata", "labels", default={}), names)
        out["images"] = [c.get("image") for c in get(spec, "template", "spec", "containers", default=())]
    if kind == "ReplicaSet":
        out["selector"] = _plain(get(spec, "selector", "matchLabels", default={}), names)
    elif kind == "Job":
        out["suspend"], out["parallelism"] = spec.get("suspend"), spec.get("parallelism")
    elif kind == "PersistentVolumeClaim":
        out["volumeName"] = spec.get("volumeName")
    elif kind == "PersistentVolume":
        out["claim"] = (spec.get("claimRef") or {}).get("name")
    plain = _plain(status, names)
    for field in NUMBERS.get(kind, ()):
        plain.setdefault(field, 0)
    if "conditions" in plain:
        plain["conditions"] = {
            c["type"]: c["status"] + ("/" + c["reason"] if c.get("reason") else "") + (" | " + c["message"] if c.get("message") else "")
            for c in plain["conditions"]
        }
    for field in _STATUS:
        plain.pop(field, None)
    if plain.get("uncountedTerminatedPods") == {}:
        del plain["uncountedTerminatedPods"]
    if kind == "CronJob" and "active" in plain:
        plain["active"] = len(plain["active"])
    if plain:
        out["status"] = plain


def canonical(value: Any) -> str:
    """Return a text to sort by."""
    import json

    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of all leaves, and the keys of some mappings and the lengths of lists."""
    if isinstance(value, dict):
        if path in ("/labels", "/conditions", "/status/conditions"):
            yield path + "/#keys", sorted(value)
        for key in sorted(value):
            yield from leaves(value[key], f"{path}/{key}")
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        yield path + "/#", len(value)
        for index, one in enumerate(value):
            yield from leaves(one, f"{path}/{index}")
    else:
        yield path, value
