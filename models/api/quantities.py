"""Amounts that are no quantities (``cpu: lots``): the API server can't decode the object, so it is never validated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from kchaos.models.api.gotypes import members, struct_of
from kchaos.models.api.quantity import exact
from kchaos.models.api.schema import Misfit
from kchaos.models.api.tree import Obj

_QUANTITY = "api/resource.Quantity"


def unreadable(obj: Obj) -> list[Misfit]:
    """Return the amounts of an object that can't be read, by path; the object's types must fit its kind."""
    struct = struct_of(str(obj.get("apiVersion")), str(obj.get("kind")))
    return list(_walk(obj, struct, "")) if struct is not None else []


def _bare(type_: str) -> str:
    """Return the type of what a field holds in the end: lists, maps and pointers taken off."""
    if "=" in type_ and not type_.startswith(("*", "[]", "map[")):
        type_ = type_.partition("=")[2]
    while True:
        if type_.startswith("*"):
            type_ = type_[1:]
        elif type_.startswith("[]"):
            type_ = type_[2:]
        elif type_.startswith("map["):
            type_ = type_.partition("]")[2]
        else:
            return type_.removesuffix("{}")


@cache
def _leading(struct: str) -> dict[str, str]:
    """Return the fields of a struct that lead to quantities, and what they hold in the end."""
    out = {}
    for name, field in members(struct).items():
        bare = _bare(field.type)
        if bare == _QUANTITY or _leads(bare, frozenset((struct,))):
            out[name] = bare
    return out


def _leads(struct: str, above: frozenset[str]) -> bool:
    if struct in above:
        return False
    held = [_bare(field.type) for field in members(struct).values()]
    return _QUANTITY in held or any(_leads(one, above | {struct}) for one in held)


def _walk(value: Any, bare: str, path: str) -> Iterator[Misfit]:
    if value is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, bare, f"{path}[{index}]")
    elif bare == _QUANTITY:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _walk(item, bare, f"{path}.{key}")
            return
        try:
            exact(value)
        except ValueError:
            hint = "write a number with a suffix such as m, k, M, G, Ki, Mi, Gi: 500m, 0.5, 128Mi"
            yield Misfit(path, False, f"{path} is {value!r}, which is no quantity", hint)
    elif isinstance(value, dict):
        for key, below in _leading(bare).items():
            if key in value:
                yield from _walk(value[key], below, f"{path}.{key}" if path else key)
