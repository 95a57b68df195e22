"""The facets of objects that recordings follow: each change of one is a milestone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kchaos.models.api.pods import controller_of
from kchaos.models.api.tree import Obj, get

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"),
    "ReplicaSet": ("replicas", "readyReplicas", "availableReplicas"),
    "ReplicationController": ("replicas", "readyReplicas", "availableReplicas"),
    "StatefulSet": ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"),
    "DaemonSet": (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled", "numberMisscheduled",
    ),
    "Job": ("active", "ready", "succeeded", "failed", "terminating"),
    "PodDisruptionBudget": ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"),
    "HorizontalPodAutoscaler": ("currentReplicas", "desiredReplicas"),
}  # fmt: skip
_TIMES = ("lastScheduleTime", "lastSuccessfulTime", "lastScaleTime")


def conditions(obj: Obj) -> dict[str, str]:
    """Return type -> ``Status/Reason``."""
    return {
        one["type"]: one["status"] + ("/" + one["reason"] if one.get("reason") else "")
        for one in get(obj, "status", "conditions", default=())
    }


def endpoints(slice_: Obj) -> str:
    """Return an EndpointSlice's counts in words."""
    ready = serving = ending = 0
    all_ = slice_.get("endpoints") or ()
    for one in all_:
        states = one.get("conditions") or {}
        ready += states.get("ready") is not False
        serving += states.get("serving") is not False
        ending += bool(states.get("terminating"))
    return f"endpoints={len(all_)}(ready {ready}, serving {serving}, terminating {ending})"


def facets(obj: Obj) -> dict[str, Any]:
    """Return the watched facets of an object."""
    kind, meta = obj["kind"], obj["metadata"]
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    out: dict[str, Any] = {}
    if meta.get("deletionTimestamp"):
        out["delete-requested"] = True
    ref = controller_of(obj)
    out["controller"] = f"{ref['kind']}/{ref['name']}" if ref is not None else None
    for finalizer in meta.get("finalizers") or ():
        out[f"finalizer {finalizer}"] = True
    special = _SPECIAL.get(kind)
    if special is not None:
        special(obj, meta, spec, status, out)
    if kind in NUMBERS:
        for field in NUMBERS[kind]:
            out[field] = status.get(field) or 0
        if kind != "PodDisruptionBudget":
            out.update({f"cond {a}": b for a, b in conditions(obj).items()})
    if kind in ("ReplicaSet", "HorizontalPodAutoscaler", "Deployment", "StatefulSet") and "replicas" in spec:
        out["spec.replicas"] = spec["replicas"]
    if kind in ("ReplicaSet", "Deployment"):
        out["revision"] = (meta.get("annotations") or {}).get("deployment.kubernetes.io/revision")
    return out


def _pod(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    states = conditions(obj)
    out["scheduled"] = bool(spec.get("nodeName"))
    if states.get("PodScheduled", "").startswith("False") and not spec.get("nodeName"):
        out["unscheduled-reason"] = states["PodScheduled"].rpartition("/")[2]
    if status.get("phase") in ("Running", "Succeeded", "Failed"):
        out["phase"] = status["phase"]
    out["ready"] = states.get("Ready", "").startswith("True")
    if "DisruptionTarget" in states:
        out["disruption-target"] = states["DisruptionTarget"]
    cost = (meta.get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost")
    if cost:
        out["deletion-cost"] = cost
    if status.get("nominatedNodeName"):
        out["nominated"] = status["nominatedNodeName"]


def _node(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["Ready"] = conditions(obj).get("Ready")
    for taint in spec.get("taints") or ():
        out[f"taint {taint['key']}:{taint['effect']}"] = True
    if spec.get("unschedulable"):
        out["unschedulable"] = True


def _slice(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["endpoints"] = endpoints(obj).partition("=")[2]


def _namespace(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["phase"] = status.get("phase")
    out.update({f"cond {a}": b for a, b in conditions(obj).items()})


def _volume(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["phase"] = status.get("phase")
    out["claim"] = (spec.get("claimRef") or {}).get("name")


def _claim(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["phase"] = status.get("phase")
    out["volumeName"] = spec.get("volumeName")


def _quota(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out.update({f"used {a}": b for a, b in (status.get("used") or {}).items()})
    out.update({f"hard {a}": b for a, b in (status.get("hard") or {}).items()})


def _cron(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["active"] = len(status.get("active") or ())
    out["lastScheduleTime"] = status.get("lastScheduleTime")
    out["lastSuccessfulTime"] = status.get("lastSuccessfulTime")


def _stateful(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["updateRevision"] = status.get("updateRevision")
    out["currentRevision"] = status.get("currentRevision")


def _job(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["completedIndexes"] = status.get("completedIndexes")
    out["failedIndexes"] = status.get("failedIndexes")
    out["startTime"] = bool(status.get("startTime"))
    out["completionTime"] = bool(status.get("completionTime"))


def _scaler(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["lastScaleTime"] = status.get("lastScaleTime")


def _role(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["rules"] = len(obj.get("rules") or ())


def _config(obj: Obj, meta: Obj, spec: Obj, status: Obj, out: dict[str, Any]) -> None:
    out["data"] = ",".join(sorted(obj.get("data") or {}))


_SPECIAL = {
    "Pod": _pod, "Node": _node, "EndpointSlice": _slice, "Namespace": _namespace, "PersistentVolume": _volume, "PersistentVolumeClaim": _claim,
    "ResourceQuota": _quota, "CronJob": _cron, "StatefulSet": _stateful, "Job": _job, "HorizontalPodAutoscaler": _scaler,
    "ClusterRole": _role, "ConfigMap": _config,
}  # fmt: skip


def settles(kind: str, facet: str) -> bool:
    """Tell whether a facet's value counts only if it lasts: it depends on latency while it changes."""
    if kind in NUMBERS:
        return facet in NUMBERS[kind] or facet.startswith("cond ") or facet in ("spec.replicas", "completedIndexes", "failedIndexes")
    return (
        (kind == "EndpointSlice" and facet == "endpoints")
        or (kind == "ResourceQuota" and facet.startswith("used "))
        or (kind == "CronJob" and facet == "active")
    )


def milestones(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the milestones between two states of the facets."""
    out: list[str] = []
    for facet in sorted({**old, **new}, key=lambda f: (f not in ("scheduled", "phase"), f)):
        before, after = old.get(facet), new.get(facet)
        if before == after:
            continue
        if facet == "scheduled":
            if after:
                out.append("scheduled")
        elif facet == "ready" and isinstance(after, bool):
            out.append("ready" if after else "not-ready")
        elif facet in _TIMES:
            if after:
                out.append(facet)
        elif isinstance(after, bool) or isinstance(before, bool):
            if after:
                out.append(f"+{facet}" if facet != "delete-requested" else facet)
            elif before:
                out.append(f"-{facet}")
        else:
            out.append(f"{facet}={'none' if after is None else after}")
    return out
