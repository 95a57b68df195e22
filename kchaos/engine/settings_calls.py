"""``calls:`` and ``webhooks:`` of kchaos.yaml: what of it can't be used, and why; and the same as JSON Schema."""

from __future__ import annotations

import difflib
import re
from typing import Any

from kchaos.models.api.resources import BY_PLURAL, Resource, by_kind
from kchaos.models.node.apicall import ALL, NAMED, ApiCall

NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""A DNS label (RFC 1123)."""
_MORE = {
    "pods": ("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", "resize"), "services": ("proxy",),
    "nodes": ("proxy",), "namespaces": ("finalize",), "serviceaccounts": ("token",), "certificatesigningrequests": ("approval",),
}  # fmt: skip
"""Subresources beside status and scale (https://kubernetes.io/docs/reference/kubernetes-api/)."""


def subresources_of(resource: Resource) -> tuple[str, ...]:
    """Return the subresources of a built-in resource."""
    return (*_MORE.get(resource.plural, ()), *(("scale",) if resource.scale else ()), *(("status",) if resource.has_status else ()))


def wrong_call(call: ApiCall, written: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return (field, what is wrong with a call, what to write instead), None if it can be sent."""
    known = BY_PLURAL.get(call.resource)
    if known is None and call.apiGroup is None:
        kind = by_kind(None, call.resource)
        base, _, below = call.resource.partition("/")
        if kind is not None:
            return "resource", f"{call.resource} is a kind, not a resource", f"write {kind.plural}"
        if below and base in BY_PLURAL:
            return "resource", f"{call.resource} names a subresource", f"write resource: {base}, subresource: {below}"
        near = difflib.get_close_matches(call.resource, BY_PLURAL, n=1)
        hint = f"did you mean {near[0]}?" if near else "of a custom resource, write its apiGroup too"
        return "resource", f"no resource {call.resource!r} of Kubernetes", hint
    if known is not None and call.apiGroup not in (None, known.group):
        group = known.group or '""'
        return "apiGroup", f"{call.resource} of group {call.apiGroup} are not modelled", f"leave it out: {call.resource} are in {group}"
    if known is not None and call.subresource and call.subresource not in subresources_of(known):
        there = subresources_of(known)
        near = difflib.get_close_matches(call.subresource, there, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(there)}" if there else "leave it out: it has none"
        return "subresource", f"{call.resource} have no subresource {call.subresource}", hint
    if call.namespace not in ("", ALL) and re.fullmatch(NAMESPACE, call.namespace) is None:
        return "namespace", f"{call.namespace!r} can't name a namespace", 'write small letters, digits and -, at most 63; "*" for all'
    if known is not None and not known.namespaced and call.namespace:
        return "namespace", f"{call.resource} are in no namespace", "leave it out"
    if call.verb in NAMED and not call.name:
        return "verb", f"{call.verb} asks for one object", "write its name"
    if call.namespace == ALL and call.verb not in ("list", "watch"):
        return "namespace", f"{call.verb} asks in one namespace", "write the namespace's name, or leave it out for the pod's own"
    if call.verb == "watch" and "every_s" in written:
        return "every_s", "a watch stays open: it has no interval", "leave it out"
    return None


def call_schema(found: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a call with what :func:`wrong_call` refuses."""
    builtin = {"enum": sorted(BY_PLURAL)}
    of_cluster = {"enum": sorted(one.plural for one in BY_PLURAL.values() if not one.namespaced)}
    groups: dict[str, list[str]] = {}
    for one in BY_PLURAL.values():
        groups.setdefault(one.group, []).append(one.plural)

    def rule(where: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
        return {"if": {"properties": where, "required": list(where)}, "then": then}

    text = {"name": {"minLength": 1}}
    below: dict[tuple[str, ...], list[str]] = {}
    for one in BY_PLURAL.values():
        below.setdefault(subresources_of(one), []).append(one.plural)
    found = {
        **found,
        "properties": {**found["properties"], "namespace": {"type": "string", "pattern": f"^({NAMESPACE}|\\*)?$", "default": ""}},
    }
    one_space = {"not": {"properties": {"namespace": {"const": ALL}}, "required": ["namespace"]}}
    return {**found, "allOf": [
        {"if": {"properties": {"resource": builtin}}, "then": {}, "else": {"required": ["apiGroup"], "properties": {"apiGroup": {"type": "string"}}}},
        *(rule({"resource": {"enum": plurals}}, {"properties": {"apiGroup": {"enum": [None, group]}}}) for group, plurals in groups.items()),
        *(rule({"resource": {"enum": plurals}}, {"properties": {"subresource": {"enum": ["", *there]}}}) for there, plurals in below.items()),
        rule({"resource": of_cluster}, {"properties": {"namespace": {"const": ""}}}),
        rule({"verb": {"enum": list(NAMED)}}, {"required": ["name"], "properties": text}),
        rule({"verb": {"not": {"enum": ["list", "watch"]}}}, one_space),
        rule({"verb": {"const": "watch"}}, {"not": {"required": ["every_s"]}}),
    ]}  # fmt: skip


_OPERATIONS = {"add": "value", "replace": "value", "test": "value", "remove": "", "move": "from", "copy": "from"}
"""Operations of a JSON patch, and what each needs beside its path (RFC 6902)."""


def wrong_operation(change: dict[str, Any]) -> str | None:
    """Return what is wrong with one operation of a JSON patch, None if it is one."""
    does, path = change.get("op"), change.get("path")
    if does not in _OPERATIONS:
        return f"op must be one of {', '.join(_OPERATIONS)}"
    if not isinstance(path, str) or not (path == "" or path.startswith("/")):
        return "path must be text that begins with /"
    needed = _OPERATIONS[does]
    if needed and needed not in change:
        return f"{does} needs {needed}"
    more = [key for key in change if key not in ("op", "path", needed)]
    return f"{does} does not take {more[0]}" if more else None


def operation_schema() -> dict[str, Any]:
    """Return the schema of one operation of a JSON patch."""
    path = {"type": "string", "pattern": "^(/|$)"}

    def one(does: str, needed: str) -> dict[str, Any]:
        fields = {"op": {"const": does}, "path": path, **({needed: {}} if needed else {})}
        return {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}

    return {"anyOf": [one(does, needed) for does, needed in _OPERATIONS.items()]}
