"""The syntax tree of a checked CEL expression, read from its serialized form.

The library compiles and evaluates; to know which fields an expression reads, we look at the tree itself. Its form is ``cel.expr.CheckedExpr``
in an ``Any`` (github.com/google/cel-spec: proto/cel/expr/syntax.proto, checked.proto), in protobuf's wire format
(https://protobuf.dev/programming-guides/encoding/). Only what is needed is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VALUE = 2
"""Of ``Any``."""
EXPR, SOURCE_INFO = 4, 5
"""Of ``CheckedExpr``."""
POSITIONS = 4
"""Of ``SourceInfo``: a map from a node's id to its offset in code points."""
SORTS = {3: "const", 4: "name", 5: "select", 6: "call", 7: "list", 8: "map", 9: "fold"}
"""Alternatives of ``Expr``, by field number."""
TEXT, NUMBERS = 6, (3, 4, 5)
"""Of ``Constant``: string_value; int64, uint64 and double."""
BOOL = 2


class Node(NamedTuple):
    """One node. ``text``: a name, a field, a function, or a constant's text; ``below``: operands, the target of a call first.

    ``fold`` (what macros such as ``exists`` become) has five below: range, start, condition, step, result; ``text`` is the variable.
    """

    sort: str
    text: str
    below: tuple[Node, ...] = ()
    id: int = 0
    tests: bool = False
    """A select that asks whether the field is there: ``has(x.y)``."""
    type: str = ""
    """Of a constant: text, number, bool, or empty."""
    has_target: bool = False
    """A call of the form ``x.f(y)``."""
    collects: str = ""
    """Of a fold: the name of what it collects in."""


class Tree(NamedTuple):
    """The root, and where nodes stand in the source, by id."""

    root: Node
    positions: dict[int, int]


def read(serialized: bytes) -> Tree:
    """Return the tree of a serialized expression."""
    message = _one(serialized, VALUE)
    positions = {}
    for number, value in _fields(_one(message, SOURCE_INFO)):
        if number == POSITIONS and isinstance(value, bytes):
            entry = dict(_fields(value))
            positions[_int(entry.get(1, 0))] = _int(entry.get(2, 0))
    return Tree(_node(_one(message, EXPR)), positions)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: number, and an integer or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        length, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        yield number, data[at : at + length]
        at += length


def _one(data: bytes, number: int) -> bytes:
    return next((value for found, value in _fields(data) if found == number and isinstance(value, bytes)), b"")


def _int(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _node(data: bytes) -> Node:
    ident, sort, body = 0, "", b""
    for number, value in _fields(data):
        if number in SORTS and isinstance(value, bytes):
            sort, body = SORTS[number], value
        elif number == 2:
            ident = _int(value)
    fields = list(_fields(body))
    known = dict(fields)
    if sort == "const":
        kind = "text" if TEXT in known else "number" if any(one in known for one in NUMBERS) else "bool" if BOOL in known else ""
        return Node(sort, _text(known.get(TEXT, b"")), id=ident, type=kind)
    if sort == "name":
        return Node(sort, _text(known.get(1, b"")), id=ident)
    if sort == "select":
        return Node(sort, _text(known.get(2, b"")), (_node(_one(body, 1)),), ident, tests=bool(known.get(3)))
    if sort == "call":
        below = tuple(_node(value) for number in (1, 3) for found, value in fields if found == number and isinstance(value, bytes))
        return Node(sort, _text(known.get(2, b"")), below, ident, has_target=1 in known)
    if sort == "list":
        return Node(sort, "", tuple(_node(value) for found, value in fields if found == 1 and isinstance(value, bytes)), ident)
    if sort == "fold":
        parts = tuple(_node(_one(body, number)) for number in (2, 4, 5, 6, 7))
        return Node(sort, _text(known.get(1, b"")), parts, ident, collects=_text(known.get(3, b"")))
    entries = [_node(_one(value, number)) for found, value in fields if found == 2 and isinstance(value, bytes) for number in (3, 4)]
    return Node(sort, "", tuple(entries), ident)
