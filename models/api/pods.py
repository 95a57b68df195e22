"""Pods as controllers see them: conditions, readiness, availability, ended, and who owns them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj


def meta(obj: Obj) -> Obj:
    """Return the metadata."""
    found: Obj = obj["metadata"]
    return found


def name(obj: Obj) -> str:
    """Return the name."""
    return str(obj["metadata"]["name"])


def namespace(obj: Obj) -> str:
    """Return the namespace, empty for cluster-scoped kinds."""
    return str(obj["metadata"].get("namespace", ""))


def uid(obj: Obj) -> str:
    """Return the uid."""
    return str(obj["metadata"]["uid"])


def labels(obj: Obj) -> dict[str, str]:
    """Return the labels, empty if none."""
    return obj["metadata"].get("labels") or {}


def notes_of(obj: Obj) -> dict[str, str]:
    """Return the annotations, empty if none."""
    return obj["metadata"].get("annotations") or {}


annotations_of = notes_of
"""The same, by the name that most callers use."""


def controller_of(obj: Obj) -> Obj | None:
    """Return the owner reference with controller: true, if any."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            found: Obj = ref
            return found
    return None


def controller_uid(obj: Obj) -> tuple[str, ...]:
    """Return the uid of the controlling owner as an index value: one or none."""
    ref = controller_of(obj)
    return (ref["uid"],) if ref is not None else ()


def owner_reference(owner: Obj) -> Obj:
    """Return the controlling, blocking owner reference to ``owner``."""
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def phase(pod: Obj) -> str:
    """Return the phase, Pending if unset."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def ended(pod: Obj) -> bool:
    """Tell whether the pod's phase is final: Succeeded or Failed."""
    return phase(pod) in ("Succeeded", "Failed")


def terminating(obj: Obj) -> bool:
    """Tell whether deletion was requested."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def active(pod: Obj) -> bool:
    """Tell whether a controller counts the pod: neither ended nor terminating (controller.IsPodActive)."""
    return not terminating(pod) and not ended(pod)


def condition(obj: Obj, kind: str) -> Obj | None:
    """Return the condition of that type."""
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == kind:
            found: Obj = one
            return found
    return None


def is_true(obj: Obj, kind: str) -> bool:
    """Tell whether the condition of that type is True."""
    found = condition(obj, kind)
    return found is not None and found["status"] == "True"


def ready(pod: Obj) -> bool:
    """Tell whether the pod's Ready condition is True."""
    return is_true(pod, "Ready")


def available(pod: Obj, min_ready_s: int, now_wall_s: float) -> bool:
    """Tell whether the pod has been ready for ``min_ready_s`` (pkg/api/v1/pod/util.go: IsPodAvailable)."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return False
    if not min_ready_s:
        return True
    since = found.get("lastTransitionTime")
    return bool(since) and parse(since) + min_ready_s <= now_wall_s


def set_condition(conditions: Iterable[Obj], new: Obj, now: str) -> list[Obj]:
    """Return ``conditions`` with ``new`` in place of the one of its type.

    ``lastTransitionTime`` is kept while the status stays the same, else set to ``now``.
    """
    out: list[Obj] = []
    found = False
    for old in conditions:
        if old["type"] != new["type"]:
            out.append(old)
            continue
        found = True
        stays = old["status"] == new["status"] and old.get("lastTransitionTime")
        out.append({**new, "lastTransitionTime": old["lastTransitionTime"] if stays else now})
    if not found:
        out.append({**new, "lastTransitionTime": now})
    return out


def restarts(pod: Obj) -> int:
    """Return the sum of the containers' restart counts."""
    statuses: list[Any] = (pod.get("status") or {}).get("containerStatuses") or []
    return sum(int(one.get("restartCount", 0)) for one in statuses)
