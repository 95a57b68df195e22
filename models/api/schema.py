"""Does a JSON tree fit the Go structs of its kind: unknown fields and wrong types, by path.

What the strict decoder of the API server says (sigs.k8s.io/json with DisallowUnknownFields; field validation Strict, which kubectl asks for).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

from kchaos.models.api.gotypes import members, struct_of, types

_FREE = ("apiextensions/v1.JSON", "pkg/runtime.RawExtension", "meta/v1.FieldsV1")
_SCALARS = {
    "string": (str,), "bool": (bool,), "float64": (int, float), "int": (int,), "int32": (int,), "int64": (int,), "uint8": (int,),
}  # fmt: skip
_SPECIAL = {
    "api/resource.Quantity": (str, int, float), "util/intstr.IntOrString": (str, int), "meta/v1.Time": (str,), "meta/v1.MicroTime": (str,),
    "meta/v1.Duration": (str,),
}  # fmt: skip
_INT32 = (-(2**31), 2**31 - 1)
_RANGES = {"int32": _INT32, "int64": (-(2**63), 2**63 - 1), "util/intstr.IntOrString": _INT32}
"""What a whole number may be: the decoder refuses more."""
_WORDS = {str: "a string", bool: "a boolean (true or false)", int: "a whole number", float: "a number"}


class Misfit(NamedTuple):
    """One field that does not fit. ``unknown``: no such field (else: wrong type)."""

    path: str
    unknown: bool
    message: str
    hint: str = ""


@cache
def shape_of(type_: str) -> tuple[str, str]:
    """Return (shape, argument) of a Go type: list, map, struct, special, scalar or free."""
    type_ = type_.lstrip("*")
    if "=" in type_ and not type_.startswith(("[]", "map[")):
        type_ = type_.partition("=")[2]
    if type_ == "[]uint8":
        return "special", "bytes"
    if type_.startswith("[]"):
        return "list", type_[2:]
    if type_.startswith("map["):
        return "map", type_.partition("]")[2]
    name = type_.removesuffix("{}")
    if name in _FREE or name in ("interface", "any") or name.startswith("apiextensions/v1.JSONSchemaProps"):
        return "free", name
    if name in _SPECIAL:
        return "special", name
    if name in types().structs:
        return "struct", name
    return ("scalar", name) if name in _SCALARS else ("free", name)


def misfits(obj: dict[str, Any]) -> list[Misfit]:
    """Return what does not fit in an object; nothing for kinds that are not built in."""
    struct = struct_of(str(obj.get("apiVersion")), str(obj.get("kind")))
    if struct is None or obj.get("kind") == "CustomResourceDefinition":
        return []
    return list(_struct(obj, struct, ""))


def _kind_of(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return _WORDS.get(type(value), "null")


def _struct(value: Any, struct: str, path: str) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        yield Misfit(path, False, f"{path} must be a mapping, not {_kind_of(value)}")
        return
    known = members(struct)
    for key, below in value.items():
        at = f"{path}.{key}" if path else key
        field = known.get(key)
        if field is None:
            near = get_close_matches(key, known, n=1, cutoff=0.7) or [k for k in known if k.lower() == key.lower()]
            yield Misfit(at, True, f"unknown field {at}", f"did you mean {near[0]}?" if near else "remove it")
        elif below is not None:
            yield from _value(below, field.type, at)


def _value(value: Any, type_: str, path: str) -> Iterator[Misfit]:
    shape, arg = shape_of(type_)
    if shape == "struct":
        yield from _struct(value, arg, path)
    elif shape == "list":
        if not isinstance(value, list):
            yield Misfit(path, False, f"{path} must be a list, not {_kind_of(value)}", "write each item on a line that begins with `- `")
            return
        for index, item in enumerate(value):
            if item is not None:
                yield from _value(item, arg, f"{path}[{index}]")
    elif shape == "map":
        if not isinstance(value, dict):
            yield Misfit(path, False, f"{path} must be a mapping, not {_kind_of(value)}")
            return
        for key, item in value.items():
            if item is not None:
                yield from _value(item, arg, f"{path}.{key}")
    elif shape in ("special", "scalar"):
        allowed = (str,) if arg == "bytes" else _SPECIAL.get(arg) or _SCALARS[arg]
        if type(value) not in allowed and not (arg in ("int32", "int64", "int") and type(value) is float and value.is_integer()):
            yield _wrong(value, allowed, path)
        elif arg == "bytes" and not _is_base64(value):
            hint = "encode it (`base64 -w0`)" + ("; stringData takes plain text" if path.startswith("data.") else "")
            yield Misfit(path, False, f"{path} is not base64", hint)
        elif arg in _RANGES and isinstance(value, int | float) and not _RANGES[arg][0] <= value <= _RANGES[arg][1]:
            least, most = _RANGES[arg]
            bound = f"less than or equal to {most}" if value > most else f"greater than or equal to {least}"
            yield Misfit(
                path, False, f"{path} must be {bound}, not {value}", "write a smaller number" if value > most else "write a larger number"
            )


def _is_base64(value: str) -> bool:
    """Tell whether Go reads a text as bytes (encoding/base64: line ends are skipped)."""
    try:
        base64.b64decode(value.replace("\r", "").replace("\n", ""), validate=True)
    except ValueError:
        return False
    return True


def _wrong(value: Any, allowed: tuple[type, ...], path: str) -> Misfit:
    want = " or ".join(_WORDS[one] for one in allowed)
    hint = ""
    if allowed[0] is str and isinstance(value, bool | int | float):
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        hint = f'put it in quotes: "{text}"'
    elif allowed[0] in (int, bool) and isinstance(value, str):
        hint = f"write it without quotes: {value}"
    return Misfit(path, False, f"{path} must be {want}, not {_kind_of(value)}", hint)
