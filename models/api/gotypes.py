"""The Go structs behind the built-in kinds, read from ``types.json`` (made by tools/gotypes from k8s.io/api 0.34).

One table serves the template hash (field order), schema checks (names and types) and strategic merge patches (merge keys).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import msgspec


class Field(NamedTuple):
    """One struct field: Go name, JSON name ("" if inlined), Go type, patch merge key, patch strategy."""

    go: str
    json: str
    type: str
    merge_key: str
    strategy: str
    omitempty: int


class Types(NamedTuple):
    """``kinds``: "apps/v1/Deployment" -> struct id; ``structs``: struct id -> fields in order."""

    kinds: dict[str, str]
    structs: dict[str, tuple[Field, ...]]


@cache
def types() -> Types:
    """Return the table; read once."""
    raw = msgspec.json.decode(resources.files(__package__).joinpath("types.json").read_bytes())
    return Types(raw["kinds"], {name: tuple(Field(*f) for f in fields or ()) for name, fields in raw["structs"].items()})


@cache
def members(struct: str) -> dict[str, Field]:
    """Return the JSON members of a struct, those of inlined structs included."""
    out: dict[str, Field] = {}
    for field in types().structs.get(struct, ()):
        if field.json == "-":
            continue
        if field.json == "":
            out.update(members(field.type.lstrip("*").removesuffix("{}")))
        else:
            out[field.json] = field
    return out


def struct_of(api_version: str, kind: str) -> str | None:
    """Return the struct id of a kind, or None if it is not built in."""
    return types().kinds.get(f"{api_version}/{kind}")
