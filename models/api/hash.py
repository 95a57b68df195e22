"""The hashes in object names: pod-template-hash and controller-revision-hash, equal to the real ones to the last digit.

The real controllers hash a dump of the Go struct (pkg/controller/controller_utils.go ComputeHash; pkg/util/hash DeepHashObject with
spew's ``%#v``), so the dump is reproduced here from the struct table, nil fields and all.
"""

from __future__ import annotations

import random
from typing import Any

from kchaos.canonical import encode
from kchaos.models.api.gotypes import members, types
from kchaos.models.api.quantity import canonical_text, exact
from kchaos.models.api.tree import Obj

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HTML = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_SUFFIX_POWER = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def rand_suffix(rng: random.Random, n: int = 5) -> str:
    """Return ``n`` random characters of the alphabet that generateName uses (apimachinery/pkg/util/rand)."""
    return "".join(rng.choice(_ALPHABET) for _ in range(n))


def _safe_encode(text: str) -> str:
    return "".join(_ALPHABET[ord(c) % len(_ALPHABET)] for c in text)


def _fnv32a(data: bytes, value: int = 0x811C9DC5) -> int:
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _fnv32(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value * 0x01000193) & 0xFFFFFFFF) ^ byte
    return value


def pod_template_hash(template: Obj, collision_count: int | None = None) -> str:
    """Return the pod-template-hash of a defaulted pod template."""
    data = dump(template, "core/v1.PodTemplateSpec{}").encode()
    if collision_count is not None:
        data += int(collision_count).to_bytes(4, "little") + b"\0\0\0\0"
    return _safe_encode(str(_fnv32a(data)))


def revision_data(obj: Obj) -> Obj:
    """Return the patch that a StatefulSet's or DaemonSet's ControllerRevision holds (getPatch in stateful_set_utils.go)."""
    return {"spec": {"template": {**obj["spec"]["template"], "$patch": "replace"}}}


def revision_hash(data: Obj, collision_count: int | None = None) -> str:
    """Return the hash in a ControllerRevision's name (pkg/controller/history, HashControllerRevision)."""
    raw = encode(data)
    for character, escape in _HTML:  # Go's encoder escapes these
        raw = raw.replace(character, escape)
    if collision_count is not None:
        raw += str(collision_count).encode()
    return _safe_encode(str(_fnv32(raw)))


# -- spew's %#v ------------------------------------------------------------------------------------------------------------


def dump(value: Any, go_type: str) -> str:
    """Return what spew prints for ``value`` (JSON) as a Go value of ``go_type``: the type, then the value."""
    return f"({_shown(go_type)}){_body(value, go_type)}"


def _shown(go_type: str) -> str:
    """Return a type as reflection names it: ``core/v1.Pod{}`` is ``v1.Pod``, ``v1.DNSPolicy=string`` is ``v1.DNSPolicy``."""
    prefix = ""
    while True:
        if go_type.startswith("*"):
            prefix, go_type = prefix + "*", go_type[1:]
        elif go_type.startswith("[]"):
            prefix, go_type = prefix + "[]", go_type[2:]
        elif go_type.startswith("map["):
            key, _, rest = go_type[4:].partition("]")
            prefix, go_type = f"{prefix}map[{key.partition('=')[0]}]", rest
        else:
            break
    if "=" in go_type:
        return prefix + go_type.partition("=")[0]
    return prefix + go_type.removesuffix("{}").rpartition("/")[2]


def _body(value: Any, go_type: str) -> str:
    if go_type.startswith("*"):
        return "<nil>" if value is None else _body(value, go_type[1:])
    if go_type.startswith("[]"):
        if not value:
            return "<nil>"  # objects reach controllers by protobuf, which can't tell empty from nil
        return "[" + " ".join(_body(one, go_type[2:]) for one in value) + "]"
    named_map = "=map" in go_type
    if go_type.startswith("map[") or named_map:
        if not value:
            return "<nil>"
        inner = go_type.partition("=map[")[2] if named_map else go_type
        inner = inner.partition("]")[2]
        return "map[" + " ".join(f"{key}:{_body(value[key], inner)}" for key in sorted(value)) + "]"
    if not go_type.endswith("{}"):
        return _scalar(value, go_type.rpartition("=")[2])
    struct = go_type[:-2]
    if struct.endswith("/resource.Quantity"):
        return _quantity(value)
    if struct.endswith("/intstr.IntOrString"):
        return _int_or_string(value)
    if struct.endswith("/v1.Time"):
        return "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
    fields = types().structs[struct]
    table = value or {}
    shown = []
    for field in fields:
        below: Any = table if field.json == "" else table.get(field.json)
        if field.json == "" and field.type.startswith("*"):
            below = table if any(name in table for name in members(field.type[1:-2])) else None
        shown.append(f"{field.go}:({_shown(field.type)}){_body(below, field.type)}")
    return "{" + " ".join(shown) + "}"


def _scalar(value: Any, kind: str) -> str:
    if kind == "bool":
        return "true" if value else "false"
    if kind == "string":
        return "" if value is None else str(value)
    return str(value or 0)


def _quantity(value: Any) -> str:
    text = canonical_text(value if value is not None else 0)
    zero = "{i:(resource.int64Amount){value:(int64)0 scale:(resource.Scale)0} d:(resource.infDecAmount){Dec:(*inf.Dec)<nil>}"
    if value is None:
        return f"{zero} s:(string) Format:(resource.Format)}}"
    if text.endswith("i"):
        amount, scale, form = int(exact(text)), 0, "BinarySI"
    elif "e" in text:
        digits, _, power = text.partition("e")
        amount, scale, form = int(digits), int(power), "DecimalExponent"
    else:
        suffix = text[-1] if text[-1].isalpha() else ""
        amount, scale, form = int(text.removesuffix(suffix)), _SUFFIX_POWER[suffix], "DecimalSI"
    return (
        f"{{i:(resource.int64Amount){{value:(int64){amount} scale:(resource.Scale){scale}}}"
        f" d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text} Format:(resource.Format){form}}}"
    )


def _int_or_string(value: Any) -> str:
    if isinstance(value, str):
        return f"{{Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string){value}}}"
    return f"{{Type:(intstr.Type)0 IntVal:(int32){value or 0} StrVal:(string)}}"
