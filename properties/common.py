"""Shared by all properties: names of objects, owners, and the common shapes of monitors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kchaos.check.property import BaseMonitor, Context, Guarantee, Monitor, Property, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import controller_of, phase, terminating
from kchaos.models.api.resources import BY_PLURAL

SEEN_S = 5.0
"""After this long a component has seen a change (schedule noise holds a message for two seconds at most)."""

Obj = dict[str, Any]
Check = Callable[[Context, Write], Iterable[Violation]]
End = Callable[[Context, float], Iterable[Violation]]


def ident(obj: Obj) -> str:
    """Return ``Deployment/shop/web``, or ``Node/node-1``."""
    meta = obj["metadata"]
    space = meta.get("namespace")
    return f"{obj['kind']}/{space}/{meta['name']}" if space else f"{obj['kind']}/{meta['name']}"


def workload_of(context: Context, pod: Obj) -> str:
    """Return the user's own object behind a pod: its Deployment rather than its ReplicaSet."""
    ref = controller_of(pod)
    if ref is None:
        return ident(pod)
    space = pod["metadata"].get("namespace", "")
    if ref["kind"] == "ReplicaSet":
        owner = context.view.get("replicasets", f"{space}/{ref['name']}")
        above = controller_of(owner) if owner else None
        if above is not None:
            return f"{above['kind']}/{space}/{above['name']}"
    return f"{ref['kind']}/{space}/{ref['name']}"


def begins_deletion(entry: Write) -> bool:
    """Tell whether a write is the request to delete: most objects go later, by who takes their last finalizer or ends their grace."""
    return entry.prev is not None and not terminating(entry.prev) and (entry.type == "DELETED" or terminating(entry.obj))


def running_at_start(context: Context) -> list[Obj]:
    """Return the pods that run when the history begins: no mark tells of their start."""
    return [pod for pod in context.view.table("pods").values() if pod["spec"].get("nodeName") and phase(pod) == "Running"]


class _Folded(BaseMonitor):
    def __init__(self, context: Context, checks: Mapping[str, Check], end: End | None) -> None:
        super().__init__(context)
        self._checks = checks
        self._end = end

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        context = self.context

        def bound(check: Check) -> Callable[[Write], Iterable[Violation]]:
            return lambda entry: check(context, entry)

        return {resource: bound(check) for resource, check in self._checks.items()}

    def finish(self, t: float) -> Iterable[Violation]:
        return self._end(self.context, t) if self._end is not None else ()


def folded(checks: Mapping[str, Check] | None = None, end: End | None = None) -> Callable[[Context], Monitor]:
    """Return the monitor of a property that needs no state of its own: a check per resource, and one at the end."""
    return lambda context: _Folded(context, checks or {}, end)


def everywhere(check: Check) -> dict[str, Check]:
    """Return ``check`` for every kind."""
    return {plural: check for plural in BY_PLURAL if plural not in ("leases", "events")}


def declare(
    id: str,  # the field's own name
    number: str,
    name: str,
    claim: str,
    source: str,
    monitor: Callable[[Context], Monitor],
    guarantee: Guarantee = Guarantee.ALWAYS,
    liveness: bool = False,
) -> Property:
    """Return a property."""
    return Property(
        id=id,
        number=number,
        name=name,
        claim=claim,
        source=source,
        guarantee=guarantee,
        liveness=liveness,
        monitor=monitor,
    )
