"""Small API objects for histories told by hand: only what a property may look at."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.times import stamp
from tests.properties.planted import EPOCH_S, MADE, Obj

SPACE = "shop"


def obj(api_version: str, kind: str, name: str, spec: Obj | None = None, status: Obj | None = None, space: str = SPACE, **meta: Any) -> Obj:
    """Return an object with a uid made of its kind and name; no namespace if ``space`` is empty."""
    head = {"name": name, "uid": f"{kind}-{name}", "creationTimestamp": MADE, "generation": 1, **meta}
    if space:
        head["namespace"] = space
    out: Obj = {"apiVersion": api_version, "kind": kind, "metadata": head}
    if spec is not None:
        out["spec"] = spec
    if status is not None:
        out["status"] = status
    return out


def condition(kind: str, true: bool | None, since_s: float = 0.0, **more: Any) -> Obj:
    """Return a condition: True, False, or Unknown for None."""
    return {"type": kind, "status": "Unknown" if true is None else str(true), "lastTransitionTime": stamp(EPOCH_S + since_s), **more}


def container(name: str = "app", ready: bool = True, restarts: int = 0, state: Obj | None = None) -> Obj:
    """Return a container status, running unless told."""
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state or {"running": {"startedAt": MADE}}}


def pod(
    name: str = "web-0", node: str = "", ready: bool | None = None, owner: Obj | None = None, since_s: float = 0.0,
    spec: Obj | None = None, status: Obj | None = None, **meta: Any,
) -> Obj:  # fmt: skip
    """Return a pod: not yet placed; on a node; or, if ``ready`` is told, running there."""
    body: Obj = {"containers": [{"name": "app", "image": "app:1"}], **({"nodeName": node} if node else {}), **(spec or {})}
    state: Obj = {"phase": "Pending"}
    if ready is not None:
        up = [condition("Ready", ready, since_s), condition("ContainersReady", ready, since_s)]
        state = {"phase": "Running", "podIP": "10.244.0.9", "conditions": up, "containerStatuses": [container(ready=ready)]}
    if owner is not None:
        meta["ownerReferences"] = [owner_reference(owner)]
    return obj("v1", "Pod", name, body, {**state, **(status or {})}, **meta)


def deleted(one: Obj, at_s: float, grace_s: int = 30) -> Obj:
    """Return an object after its deletion was asked for at ``at_s``."""
    meta = {"deletionTimestamp": stamp(EPOCH_S + at_s + grace_s), "deletionGracePeriodSeconds": grace_s}
    if one["kind"] != "Pod" and "spec" in one:
        meta["generation"] = one["metadata"]["generation"] + 1
    return {**one, "metadata": {**one["metadata"], **meta}}


def replica_set(name: str = "web-1", replicas: int = 3, owner: Obj | None = None, status: Obj | None = None, **meta: Any) -> Obj:
    """Return a ReplicaSet, all of whose pods are available unless told."""
    if owner is not None:
        meta["ownerReferences"] = [owner_reference(owner)]
    full = {"replicas": replicas, "availableReplicas": replicas, "observedGeneration": 1}
    return obj("apps/v1", "ReplicaSet", name, {"replicas": replicas}, full if status is None else status, **meta)


def deployment(name: str = "web", replicas: int = 3, spec: Obj | None = None, status: Obj | None = None, **meta: Any) -> Obj:
    """Return a Deployment whose rollout is complete unless told."""
    full = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas, "observedGeneration": 1}
    return obj("apps/v1", "Deployment", name, {"replicas": replicas, **(spec or {})}, full if status is None else status, **meta)


def stateful_set(name: str = "db", replicas: int = 3, spec: Obj | None = None, status: Obj | None = None, **meta: Any) -> Obj:
    """Return a StatefulSet."""
    full = {"replicas": replicas, "updateRevision": "new", "currentRevision": "old", "observedGeneration": 1}
    return obj("apps/v1", "StatefulSet", name, {"replicas": replicas, **(spec or {})}, {**full, **(status or {})}, **meta)


def node(name: str = "node-1", ready: bool | None = True, allocatable: Obj | None = None, taints: list[Obj] | None = None) -> Obj:
    """Return a node."""
    status = {"conditions": [condition("Ready", ready)], "allocatable": allocatable or {"cpu": "2", "memory": "4Gi", "pods": "10"}}
    return obj("v1", "Node", name, {"taints": taints} if taints else {}, status, space="", labels={"topology.kubernetes.io/zone": "zone-a"})
