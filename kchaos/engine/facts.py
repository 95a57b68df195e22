"""What a person wants to know of an object, in a few words: what is told when it changes.

Values of Secrets, ConfigMaps and variables are never told; that they changed is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kchaos.canonical import digest
from kchaos.models.api.pods import condition, ended, is_true, phase, ready, terminating
from kchaos.models.api.tree import Obj, get

Facts = Mapping[str, str]
"""Words by what they are of; the empty key is the object as a whole."""
OPAQUE = ("template", "data")
"""Facts of which only a change is told."""
TOLD = (
    "nodes", "services", "deployments", "statefulsets", "daemonsets", "replicationcontrollers", "jobs", "pods", "replicasets",
    "poddisruptionbudgets", "persistentvolumeclaims", "volumeattachments", "cronjobs", "configmaps", "secrets", "networkpolicies", "namespaces",
)  # fmt: skip
"""Resources that are told of, the most telling first."""


def facts(resource: str, obj: Obj) -> Facts:
    """Return what is to be known of an object. A resource that is not in :data:`TOLD` has nothing to tell."""
    found = _OF.get(resource)
    return found(obj) if found is not None else {}


def pod_status(pod: Obj) -> str:
    """Return a pod's status much as ``kubectl get pods`` prints it (pkg/printers/internalversion/printers.go: printPod), and whether it is ready."""
    if terminating(pod):
        return "Terminating"
    if get(pod, "status", "reason"):
        return str(pod["status"]["reason"])
    for one in (*get(pod, "status", "initContainerStatuses", default=()), *get(pod, "status", "containerStatuses", default=())):
        state = one.get("state") or {}
        said = (state.get("waiting") or {}).get("reason")
        if said and said not in ("ContainerCreating", "PodInitializing"):
            return str(said)
        if not ended(pod) and state.get("terminated") and state["terminated"].get("exitCode"):
            return str(state["terminated"].get("reason") or "Error")
    if phase(pod) == "Running":
        return "Running" if ready(pod) else "Running, not ready"
    if phase(pod) == "Pending":
        return f"starting on {pod['spec']['nodeName']}" if pod["spec"].get("nodeName") else "Pending, on no node"
    return phase(pod)


def endpoints(slice_: Obj) -> int:
    """Return how many endpoints of a slice are ready (unset means yes)."""
    return sum(get(one, "conditions", "ready", default=True) is not False for one in slice_.get("endpoints") or ())


def _pod(pod: Obj) -> Facts:
    return {"": pod_status(pod)}


def _node(node: Obj) -> Facts:
    found = condition(node, "Ready")
    taints = [
        str(one["key"]).rpartition("/")[2]
        for one in node["spec"].get("taints") or ()
        if not str(one["key"]).startswith("node.kubernetes.io/")
    ]
    return {
        "": {"True": "Ready", "False": "NotReady"}.get(found["status"], "Unknown") if found is not None else "not reported",
        "scheduling": "off (cordoned)" if node["spec"].get("unschedulable") else "on",
        "disk": "full (DiskPressure)" if is_true(node, "DiskPressure") else "has room",
        "taints": ", ".join(taints) or "none",
    }  # fmt: skip


def _replicated(obj: Obj) -> Facts:
    wanted = get(obj, "spec", "replicas", default=1)
    if obj.get("kind") == "ReplicaSet":  # how many are ready its Deployment says
        return {"replicas": str(wanted)}
    ready_ = f"{get(obj, 'status', 'readyReplicas', default=0)}/{wanted}"
    return {"replicas": str(wanted), "ready": ready_, "template": digest(get(obj, "spec", "template", default={}))}


def _daemons(obj: Obj) -> Facts:
    status = obj.get("status") or {}
    wanted = status.get("desiredNumberScheduled") or 0
    return {"ready": f"{status.get('numberReady') or 0}/{wanted}", "template": digest(get(obj, "spec", "template", default={}))}


def _job(obj: Obj) -> Facts:
    status = obj.get("status") or {}
    ends = [kind for kind in ("Complete", "Failed") if is_true(obj, kind)]
    counts = ", ".join(f"{status[name]} {name}" for name in ("active", "succeeded", "failed") if status.get(name))
    return {"": ends[0] if ends else "runs", "pods": counts or "none"}


def _budget(obj: Obj) -> Facts:
    return {"evictions allowed": str(get(obj, "status", "disruptionsAllowed", default=0))}


def _attachment(obj: Obj) -> Facts:
    return {
        "": f"{'attached to' if get(obj, 'status', 'attached', default=False) else 'on its way to'} {get(obj, 'spec', 'nodeName', default='')}"
    }


def _data(obj: Obj) -> Facts:
    return {"data": digest([obj.get("data"), obj.get("stringData"), obj.get("binaryData")])}


_OF: dict[str, Callable[[Obj], Facts]] = {
    "pods": _pod, "nodes": _node, "deployments": _replicated, "statefulsets": _replicated, "replicasets": _replicated,
    "replicationcontrollers": _replicated, "daemonsets": _daemons, "jobs": _job, "poddisruptionbudgets": _budget,
    "persistentvolumeclaims": lambda obj: {"": phase(obj)}, "volumeattachments": _attachment, "configmaps": _data, "secrets": _data,
}  # fmt: skip
