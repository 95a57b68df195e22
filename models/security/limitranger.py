"""LimitRanger: default requests and limits of containers, and bounds on containers, pods and claims.

Source: plugin/pkg/admission/limitranger/admission.go. (Resources within one limit are visited by name; the real order is a map's.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kchaos.models.api.errors import forbidden
from kchaos.models.api.quantity import canonical, milli
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.security.rbac import Tables

NOTE = "kubernetes.io/limit-ranger"


def limits_of(tables: Tables, namespace: str) -> list[Obj]:
    """Return the items of all LimitRanges of a namespace."""
    table = tables("limitranges")
    if not table:
        return []
    prefix = namespace + "/"
    return [one for key, obj in sorted(table.items()) if key.startswith(prefix) for one in obj["spec"].get("limits") or ()]


def _merged(container: Obj, limits: list[Obj], what: str, notes: list[str]) -> Obj:
    resources = container.get("resources") or {}
    for side, field, word in (("requests", "defaultRequest", "request"), ("limits", "default", "limit")):
        have = dict(resources.get(side) or {})
        wanted: Obj = {}
        for one in limits:
            if one.get("type") == "Container":
                wanted = {**(one.get(field) or {}), **wanted}
        missing = sorted(name for name in wanted if name not in have)
        if missing:
            resources = {**resources, side: {**have, **{name: wanted[name] for name in missing}}}
            notes.append(f"{', '.join(missing)} {word} for {what} {container['name']}")
    return {**container, "resources": resources} if resources is not (container.get("resources") or {}) else container


def with_defaults(tables: Tables, resource: Resource, namespace: str, obj: Obj) -> Obj:
    """Return a new pod with the defaults of its namespace, and the annotation that says which."""
    if resource.plural != "pods":
        return obj
    limits = limits_of(tables, namespace)
    if not limits:
        return obj
    notes: list[str] = []
    spec = obj["spec"]
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        if spec.get(field):
            spec = {**spec, field: [_merged(one, limits, what, notes) for one in spec[field]]}
    if not notes:
        return obj
    meta = obj["metadata"]
    return {**put(obj, {**(meta.get("annotations") or {}), NOTE: f"LimitRanger plugin set: {'; '.join(notes)}"},
                  "metadata", "annotations"), "spec": spec}  # fmt: skip


def violations(limit: Obj, requests: Obj, bounds: Obj) -> Iterator[str]:
    """Yield what one item of a LimitRange finds wrong with requests and limits."""
    kind = limit["type"]
    for name, least in sorted((limit.get("min") or {}).items()):
        text = f"minimum {name} usage per {kind} is {least}"
        if name not in requests:
            yield f"{text}.  No request is specified"
        elif milli(requests[name]) < milli(least):
            yield f"{text}, but request is {requests[name]}"
        elif name in bounds and milli(bounds[name]) < milli(least):
            yield f"{text}, but limit is {bounds[name]}"
    for name, most in sorted((limit.get("max") or {}).items()):
        text = f"maximum {name} usage per {kind} is {most}"
        if name not in bounds:
            yield f"{text}.  No limit is specified"
        elif milli(bounds[name]) > milli(most):
            yield f"{text}, but limit is {bounds[name]}"
        elif name in requests and milli(requests[name]) > milli(most):
            yield f"{text}, but request is {requests[name]}"
    for name, ratio in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        text = f"{name} max limit to request ratio per {kind} is {ratio}, but"
        if not milli(requests.get(name, 0)):
            yield f"{text} no request is specified or request is 0"
        elif not milli(bounds.get(name, 0)):
            yield f"{text} no limit is specified or limit is 0"
        elif 1000 * milli(bounds[name]) > milli(ratio) * milli(requests[name]):
            yield f"{text} provided ratio is {milli(bounds[name]) / milli(requests[name]):f}"


def _claim(limit: Obj, claim: Obj) -> Iterator[str]:
    asked = get(claim, "spec", "resources", "requests", default={})
    for name, least in sorted((limit.get("min") or {}).items()):
        if milli(asked.get(name, 0)) < milli(least):
            yield f"minimum {name} usage per PersistentVolumeClaim is {least}, but request is {asked.get(name, '0')}"
    for name, most in sorted((limit.get("max") or {}).items()):
        if milli(asked.get(name, 0)) > milli(most):
            yield f"maximum {name} usage per PersistentVolumeClaim is {most}, but request is {asked.get(name, '0')}"


def check(tables: Tables, resource: Resource, namespace: str, obj: Obj, sums: Callable[[Obj, str], dict[str, int]]) -> None:
    """Refuse a new pod or claim outside the bounds of its namespace; ``sums`` adds up a pod's requests or limits. Raises 403."""
    if resource.plural not in ("pods", "persistentvolumeclaims"):
        return
    wrong: list[str] = []
    for limit in limits_of(tables, namespace):
        if resource.plural == "persistentvolumeclaims":
            if limit["type"] == "PersistentVolumeClaim":
                wrong += _claim(limit, obj)
        elif limit["type"] == "Container":
            for one in (*obj["spec"].get("containers", ()), *(obj["spec"].get("initContainers") or ())):
                amounts = one.get("resources") or {}
                wrong += violations(limit, amounts.get("requests") or {}, amounts.get("limits") or {})
        elif limit["type"] == "Pod":
            requests, bounds = ({n: canonical(a) for n, a in sums(obj["spec"], side).items()} for side in ("requests", "limits"))
            wrong += violations(limit, requests, bounds)
    if wrong:
        text = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
        raise forbidden(resource.group, resource.plural, obj["metadata"].get("name", ""), text)
