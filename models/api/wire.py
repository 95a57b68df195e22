"""The form in which the API server writes an object: no nulls or empty members, zeros added.

Source: the ``json`` tags of k8s.io/api 0.34 (``types.json``): ``omitempty`` members vanish when empty, others are
always written; a struct that is no pointer is written even when empty; quantities are written in canonical form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from kchaos.models.api.gotypes import members, struct_of
from kchaos.models.api.quantity import canonical, canonical_text, exact, milli
from kchaos.models.api.tree import Obj

Handler = Callable[[Any], Any]
_OPAQUE = (
    "RawExtension{}",
    "FieldsV1{}",
    ".JSON{}",
    "OrBool{}",
    "OrArray{}",
    "OrStringArray{}",
    "Duration{}",
    "Verbs{}",
)
_TIMES = ("meta/v1.Time{}", "meta/v1.MicroTime{}")
_DROP, _KEEP, _SET = 0, 1, 2


def normalise(obj: Obj) -> Obj:
    """Return ``obj`` in written form; ``obj`` itself if nothing changes. Unknown members stay."""
    struct = struct_of(obj.get("apiVersion", ""), obj.get("kind", ""))
    if struct is None:
        return obj
    out: Obj = _struct(struct)(obj)
    return out


def normalise_struct(struct: str, part: Obj) -> Obj:
    """Return one part in written form; ``struct`` is an id such as ``core/v1.PodTemplateSpec``."""
    out: Obj = _struct(struct)(part)
    return out


def _quantity(value: Any) -> Any:
    try:
        return canonical_text(value)
    except ValueError:
        return value


def _resource_quantity(value: Any) -> Any:
    """Round up to thousandths as SetDefaults_ResourceList does (pkg/apis/core/v1/defaults.go)."""
    text = _quantity(value)
    if isinstance(text, str) and text[-1:] in "nu":
        try:
            amount = exact(text) * 1000
        except ValueError:
            return text
        return text if amount.denominator == 1 else canonical(milli(text))
    return text


def _handler(kind: str) -> Handler | None:
    """Return what rewrites a value of a Go type, or None if every value stands as it is."""
    kind = kind.lstrip("*")
    if kind.startswith("v1.ResourceList="):
        return _mapping(_resource_quantity)
    if "=" in kind and not kind.startswith(("[]", "map[")):
        kind = kind.split("=", 1)[1]
    if kind == "api/resource.Quantity{}":
        return _quantity
    if kind.startswith("[]"):
        item = _handler(kind[2:])
        return None if item is None else _sequence(item)
    if kind.startswith("map["):
        item = _handler(kind[kind.index("]") + 1 :])
        return None if item is None else _mapping(item)
    if kind.endswith("{}") and kind not in _TIMES and not kind.endswith((*_OPAQUE, "IntOrString{}")):
        return lambda value: _struct(kind[:-2])(value)  # noqa: PLW0108 (structs may hold themselves: look up late)
    return None


def _sequence(item: Handler) -> Handler:
    def rewrite(values: Any) -> Any:
        if not isinstance(values, list):
            return values
        out = None
        for index, value in enumerate(values):
            new = item(value)
            if new is not value:
                if out is None:
                    out = list(values)
                out[index] = new
        return values if out is None else out

    return rewrite


def _mapping(item: Handler) -> Handler:
    def rewrite(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        out = None
        for key, value in values.items():
            new = item(value)
            if new is not value and new != value:
                if out is None:
                    out = dict(values)
                out[key] = new
        return values if out is None else out

    return rewrite


def _is_struct(kind: str) -> bool:
    return kind.endswith("{}") and not kind.startswith(("*", "[]", "map[")) and "=" not in kind


def _zero(kind: str) -> Any:
    """Return what a nil or zero value of a Go type is written as."""
    if kind.startswith(("*", "[]", "map[")) or kind in _TIMES or kind.endswith(_OPAQUE):
        return None
    if "=" in kind:
        kind = kind.split("=", 1)[1]
        return _zero(kind)
    if kind == "api/resource.Quantity{}":
        return "0"
    if kind.endswith("IntOrString{}"):
        return 0
    if kind.endswith("{}"):
        return _struct(kind[:-2])({})
    return "" if kind == "string" else False if kind == "bool" else 0


@cache
def _struct(struct: str) -> Handler:
    """Return what rewrites one struct: one pass over the members, a copy only if something changes."""
    table: dict[str, tuple[Handler | None, int]] = {}
    needed: list[tuple[str, str]] = []
    for name, field in members(struct).items():
        plain = _is_struct(field.type)
        vanishes = bool(field.omitempty) and not plain
        rule = (_KEEP if field.type.startswith("*") else _DROP) if vanishes else _SET
        if (struct, name) == ("autoscaling/v2.HPAScalingRules", "policies"):
            rule = _KEEP  # an empty list there is not the same as none
        if field.type in _TIMES and name == "creationTimestamp":
            vanishes, rule = True, _DROP
        table[name] = (_handler(field.type), rule)
        if not vanishes and name not in ("apiVersion", "kind"):
            needed.append((name, field.type))
    zeros: dict[str, Any] = {}

    def zero(name: str) -> Any:
        if not zeros:
            zeros.update({one: _zero(kind) for one, kind in needed})
        return zeros.get(name)

    names = tuple(name for name, _ in needed)

    def rewrite(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        out: Obj | None = None
        for key, member in value.items():
            entry = table.get(key)
            if entry is None:
                continue
            handler, rule = entry
            if not member and (member is None or rule == _DROP or (member == [] and rule == _SET)):
                if rule != _SET:
                    out = dict(value) if out is None else out
                    del out[key]
                elif (empty := zero(key)) is not member:
                    # an empty list comes back from storage (protobuf) as nil
                    out = dict(value) if out is None else out
                    out[key] = empty
                continue
            if handler is not None:
                new = handler(member)
                if new is not member and new != member:
                    if out is None:
                        out = dict(value)
                    out[key] = new
        for name in names:
            if name not in value:
                if out is None:
                    out = dict(value)
                out[name] = zero(name)
        return value if out is None else out

    return rewrite
