"""What the API server's JSON decoder says of an object whose types do not fit its kind.

Source: UnmarshalTypeError of sigs.k8s.io/json (it names the innermost struct, and the path from the root without indices), and what types
with a decoder of their own say (Quantity, IntOrString, Time).
"""

from __future__ import annotations

import re
from typing import Any

from kchaos.models.api.gotypes import members, struct_of
from kchaos.models.api.quantities import unreadable
from kchaos.models.api.schema import misfits, shape_of
from kchaos.models.api.tree import Obj

_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_OWN = {"util/intstr.IntOrString": "int32", "meta/v1.Time": "string", "meta/v1.MicroTime": "string", "meta/v1.Duration": "string"}
"""Types with a decoder of their own, and what that reads a value into."""
_NUMBERS = ("int", "int32", "int64", "uint8")


def decode_error(obj: Obj) -> str:
    """Return why the API server can't decode an object of a built-in kind; empty if it can. Unknown fields are not in its way."""
    wrong = [one for one in misfits(obj) if not one.unknown] or unreadable(obj)
    struct = struct_of(str(obj.get("apiVersion")), str(obj.get("kind")))
    return _said(obj, wrong[0].path, struct) if wrong and struct is not None else ""


def without_null_items(obj: Obj) -> Obj:
    """Return an object whose types fit as Go decodes it: a null in a list or map is the zero of what it holds."""
    struct = struct_of(str(obj.get("apiVersion")), str(obj.get("kind")))
    if struct is None or obj["kind"] == "CustomResourceDefinition":  # whose types nobody has looked at: schema.misfits
        return obj
    out: Obj = _filled(obj, struct)
    return out


def _filled(value: Any, type_: str) -> Any:
    shape, arg = shape_of(type_)
    if shape == "struct":
        known = members(arg)
        return {key: one if one is None or key not in known else _filled(one, known[key].type) for key, one in value.items()}
    if shape == "list":
        return [_zero(arg) if one is None else _filled(one, arg) for one in value]
    if shape == "map":
        return {key: _zero(arg) if one is None else _filled(one, arg) for key, one in value.items()}
    return value


def _zero(type_: str) -> Any:
    shape, arg = shape_of(type_)
    if type_.startswith("*") or shape not in ("struct", "scalar"):
        return None
    return {} if shape == "struct" else "" if arg == "string" else False if arg == "bool" else 0


def _said(obj: Obj, path: str, struct: str) -> str:
    """Walk by the structs to the value that does not fit, and say what it was to become."""
    value: Any = obj
    type_, holder, trail = struct, struct, []
    while path:
        shape, arg = shape_of(type_)
        if shape == "struct":
            name = re.match(r"[^.\[]+", path)
            assert name is not None
            holder, type_, value, path = arg, members(arg)[name[0]].type, value[name[0]], path[name.end() :].removeprefix(".")
            trail.append(name[0])
        elif shape == "list":
            index = re.match(r"\[(\d+)\]\.?", path)
            assert index is not None
            type_, value, path = arg, value[int(index[1])], path[index.end() :]
        else:  # a map: keys may have dots in them
            key = max((key for key in value if path == key or path.startswith((f"{key}.", f"{key}["))), key=len)
            type_, value, path = arg, value[key], path[len(key) :].removeprefix(".")
    shape, arg = shape_of(type_)
    if arg == "api/resource.Quantity":
        return _QUANTITY
    if arg in _OWN:
        return f"json: cannot unmarshal {_json(value, _OWN[arg])} into Go value of type {_OWN[arg]}"
    if arg == "bytes" and isinstance(value, str):
        return "illegal base64 data"
    field = f"{holder.rpartition('.')[2]}.{'.'.join(trail)}"
    return f"json: cannot unmarshal {_json(value, arg)} into Go struct field {field} of type {_go(type_)}"


def _json(value: Any, wanted: str) -> str:
    """Return a value's sort as the decoder words it: a number that does not fit into a number is named."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if wanted in _NUMBERS else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _go(type_: str) -> str:
    """Return a Go type as reflect names it: ``v1.ObjectMeta``, ``[]v1.PolicyRule``, ``map[string]string``."""
    bare = type_.lstrip("*").replace("{}", "")
    if "=" in bare and not bare.startswith(("[]", "map[")):
        bare = bare.partition("=")[0]
    return re.sub(r"[\w./-]+/", "", bare)
