"""Deletion: grace, finalizers and propagation; what one delete request turns an object into.

Sources: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go (deletionFinalizersForGarbageCollection,
BeforeDelete), pkg/registry/core/pod/strategy.go (CheckGracefulDelete).
"""

from __future__ import annotations

from kchaos.models.api.resources import Resource
from kchaos.models.api.times import parse, stamp
from kchaos.models.api.tree import Obj, get

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
ORPHANS_BY_DEFAULT = {("", "replicationcontrollers"), ("batch", "jobs")}


def _gc_finalizers(resource: Resource, finalizers: list[str], policy: str | None) -> list[str]:
    if policy is None:
        if FOREGROUND in finalizers or ORPHAN in finalizers:
            return finalizers
        policy = "Orphan" if (resource.group, resource.plural) in ORPHANS_BY_DEFAULT else "Background"
    kept = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        return [*kept, ORPHAN]
    if policy == "Foreground":
        return [*kept, FOREGROUND]
    return kept


def _pod_grace(pod: Obj, asked: int | None) -> int:
    grace = asked if asked is not None else get(pod, "spec", "terminationGracePeriodSeconds", default=30)
    if not get(pod, "spec", "nodeName") or get(pod, "status", "phase") in ("Failed", "Succeeded"):
        return 0
    return 1 if int(grace) < 0 else int(grace)


def mark_deleted(resource: Resource, obj: Obj, now_s: float, policy: str | None, grace_s: int | None) -> tuple[Obj, bool]:
    """Return ``(object after the request, whether it goes at once)``; the same object if the request changes nothing.

    ``now_s`` is the server's wall clock, ``policy`` Background|Foreground|Orphan or None for the kind's default.
    """
    meta = obj["metadata"]
    finalizers = _gc_finalizers(resource, list(meta.get("finalizers") or ()), policy)
    new = dict(meta)
    if finalizers != list(meta.get("finalizers") or ()):
        new["finalizers"] = finalizers
        if not finalizers:
            del new["finalizers"]
    already = meta.get("deletionTimestamp")
    if resource.plural == "pods":
        grace = _pod_grace(obj, grace_s)
        if already:
            left = meta.get("deletionGracePeriodSeconds", 0)
            if grace_s is not None and grace < left:  # may only be shortened
                requested = parse(already) - left
                new["deletionTimestamp"] = stamp(requested + grace)
                new["deletionGracePeriodSeconds"] = grace
                new["generation"] = meta.get("generation", 0) + 1
            else:
                grace = left
        else:
            new["deletionTimestamp"] = stamp(now_s + grace)
            new["deletionGracePeriodSeconds"] = grace
            new["generation"] = meta.get("generation", 0) + 1
        gone = grace == 0 and not finalizers
    else:
        gone = not finalizers
        if not already:
            new["deletionTimestamp"] = stamp(now_s)
            new["deletionGracePeriodSeconds"] = 0
            if resource.has_generation:
                new["generation"] = meta.get("generation", 0) + 1
    if resource.plural == "namespaces":
        if get(obj, "spec", "finalizers"):
            gone = False
        if not already:
            obj = {**obj, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}
    return (obj if new == meta else {**obj, "metadata": new}), gone


def ready_to_go(resource: Resource, obj: Obj) -> bool:
    """Tell whether an object under deletion has nothing left that holds it."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if resource.plural == "pods":
        return bool(meta.get("deletionGracePeriodSeconds") == 0)
    if resource.plural == "namespaces":
        return not get(obj, "spec", "finalizers")
    return True
