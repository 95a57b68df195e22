"""What an expression reads: which tables, which fields of their rows, which keys; and mistakes in it that only the rows' types show.

A small inference over the tree: where a row is, only its fields may be selected, and those are what is read. Where a whole row is passed on
(compared, put into a map), all of its fields are.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

import msgspec

from kchaos.properties.own.celtree import Node, read
from kchaos.properties.own.state import MAPS, ROWS


class Mistake(Exception):
    """The expression makes no sense: why, what to write instead, and where (offset in characters)."""

    def __init__(self, message: str, hint: str, offset: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset


class Type(NamedTuple):
    """What is known of a value: ``row`` (of a table), ``list`` or ``map`` of something, or a plain type; empty if nothing is."""

    sort: str = ""
    table: str = ""
    of: Any = None


UNKNOWN, BOOL, NUMBER, STR = Type(), Type("bool"), Type("int"), Type("str")
WORDS = {"bool": "true or false", "int": "a number", "str": "text"}


class TableReads(NamedTuple):
    """Of one table: which fields of its rows, of which keys (None: of any), and which keys are named."""

    fields: tuple[str, ...]
    keys: tuple[str, ...] | None
    named: tuple[str, ...]


class Reads(NamedTuple):
    """``gives``: the type of the whole, if it is known; ``left``: where the operator of a comparison stands that is the whole expression."""

    tables: Mapping[str, TableReads]
    phase: bool
    gives: str
    left: int | None


_COMPARES = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_LOGIC = ("_&&_", "_||_", "!_", "@not_strictly_false")
_TELLS = ("@in", "contains", "startsWith", "endsWith", "matches")
_NUMBERS = ("_-_", "_*_", "_/_", "_%_", "-_", "size", "int", "indexOf")


def reads_of(serialized: bytes) -> Reads:
    """Return what a checked expression reads. Raises Mistake."""
    tree = read(serialized)
    looker = _Looker(tree.positions)
    gives = looker.type_of(tree.root, {})
    tables = {
        name: TableReads(
            tuple(field for field in _FIELDS[name] if field in looker.fields[name]),
            tuple(looker.keys[name]) if name in MAPS and name not in looker.any_key else None, tuple(looker.keys[name]),
        )
        for name in looker.fields
    }  # fmt: skip
    left = tree.positions.get(tree.root.id) if tree.root.text in _COMPARES else None
    return Reads(tables, looker.phase, gives.sort, left)


_FIELDS: dict[str, dict[str, Type]] = {}
for _table, _row in ROWS.items():
    _hints = get_type_hints(_row)
    _FIELDS[_table] = {}
    for _field in msgspec.structs.fields(_row):
        _hint = _hints[_field.name]
        _FIELDS[_table][_field.name] = (
            Type("map", of=STR) if _hint == dict[str, str] else Type("list", of=STR) if _hint == tuple[str, ...] else Type(_hint.__name__)
        )


class _Looker:
    def __init__(self, positions: Mapping[int, int]) -> None:
        self._positions = positions
        self.fields: dict[str, dict[str, None]] = {}
        self.keys: dict[str, dict[str, None]] = {}
        self.any_key: dict[str, None] = {}
        self.phase = False

    def type_of(self, node: Node, names: Mapping[str, Type]) -> Type:
        """Return the type of a node, and note what it reads."""
        if node.sort == "const":
            return {"text": STR, "number": NUMBER, "bool": BOOL}.get(node.type, UNKNOWN)
        if node.sort == "name":
            return self._name(node, names)
        if node.sort == "select":
            return self._select(node, names)
        if node.sort == "call":
            return self._call(node, names)
        if node.sort == "fold":
            return self._fold(node, names)
        found = [self.type_of(one, names) for one in node.below]
        if node.sort == "list" and found:
            return Type("list", of=found[0])
        for one in found:
            self._whole(one)
        return Type(node.sort)

    def _name(self, node: Node, names: Mapping[str, Type]) -> Type:
        if node.text in names:
            return names[node.text]
        if node.text == "phase":
            self.phase = True
            return STR
        if node.text not in ROWS:
            return UNKNOWN
        self.fields.setdefault(node.text, {})
        self.keys.setdefault(node.text, {})
        if node.text in MAPS:
            return Type("map", node.text, Type("row", node.text))
        return Type("list", of=Type("row", node.text))

    def _whole(self, value: Type) -> None:
        """Note that all of a value is read."""
        if value.sort == "row":
            self.fields[value.table] |= dict.fromkeys(_FIELDS[value.table])
        elif value.sort in ("list", "map") and isinstance(value.of, Type):
            if value.table:
                self.any_key[value.table] = None
            self._whole(value.of)

    def _field(self, table: str, name: str, node: Node) -> Type:
        known = _FIELDS[table]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            one = table.removesuffix("s") if table != "endpoints" else table
            raise Mistake(f"{one} has no field {name}", f"{hint}known: {', '.join(known)}", self._positions.get(node.id))
        self.fields[table][name] = None
        return known[name]

    def _key(self, value: Type, key: str) -> Type:
        if value.table:
            self.keys[value.table][key] = None
        return value.of if isinstance(value.of, Type) else UNKNOWN

    def _select(self, node: Node, names: Mapping[str, Type]) -> Type:
        value = self.type_of(node.below[0], names)
        found = UNKNOWN
        if value.sort == "row":
            found = self._field(value.table, node.text, node)
        elif value.sort == "map":
            found = self._key(value, node.text)
        elif value.sort in ("list", "int", "bool", "str"):
            what = {"list": "a list"}.get(value.sort) or WORDS[value.sort]
            hint = f"look at its elements: .exists(x, x.{node.text} …), .filter(…).size()" if value.sort == "list" else "take it out"
            raise Mistake(f"{what} has no field {node.text}", hint, self._positions.get(node.id))
        return BOOL if node.tests else found

    def _index(self, node: Node, names: Mapping[str, Type]) -> Type:
        value, index = self.type_of(node.below[0], names), node.below[1]
        literal = index.sort == "const" and index.type == "text"
        if not literal:
            self.type_of(index, names)
        if value.sort == "row" and literal:
            return self._field(value.table, index.text, node)
        if value.sort == "map" and literal:
            return self._key(value, index.text)
        if value.sort == "map" and value.table:
            self.any_key[value.table] = None
        elif value.sort == "row":
            self._whole(value)
            return UNKNOWN
        return value.of if isinstance(value.of, Type) else UNKNOWN

    def _call(self, node: Node, names: Mapping[str, Type]) -> Type:
        if node.text == "_[_]":
            return self._index(node, names)
        found = [self.type_of(one, names) for one in node.below]
        if node.text in _COMPARES:
            self._compare(node, found)
        if node.text in _LOGIC:
            return BOOL
        if node.text == "_?_:_":
            return found[1] if found[1].sort else found[2]
        if node.text == "_+_" and any(one.sort == "list" for one in found):
            return next(one for one in found if one.sort == "list" and isinstance(one.of, Type)) if _known(found) else found[0]
        if node.text == "size" or (node.text == "@in" and found[1].sort == "map"):
            if found[-1].table and found[-1].sort == "map":
                self.any_key[found[-1].table] = None
            elif found[-1].sort == "row":
                self._whole(found[-1])
            return NUMBER if node.text == "size" else BOOL
        for one in found:
            self._whole(one)
        if node.text in (*_COMPARES, *_TELLS):
            return BOOL
        return NUMBER if node.text in _NUMBERS else found[0] if node.text == "_+_" else UNKNOWN

    def _compare(self, node: Node, found: list[Type]) -> None:
        left, right = found
        if left.sort in WORDS and right.sort in WORDS and left.sort != right.sort:
            text = f"compares {WORDS[left.sort]} with {WORDS[right.sort]}"
            hint = (
                "write true or false without quotes, or leave the comparison out"
                if "bool" in (left.sort, right.sort)
                else "compare values of one type"
            )
            raise Mistake(text, hint, self._positions.get(node.id))

    def _fold(self, node: Node, names: Mapping[str, Type]) -> Type:
        over, start, condition, step, result = node.below
        value = self.type_of(over, names)
        if value.sort == "map" and value.table:
            self.any_key[value.table] = None
        elif value.sort == "row":  # it is a map of its fields
            self._whole(value)
        each = STR if value.sort in ("map", "row") else value.of if isinstance(value.of, Type) else UNKNOWN
        inner = {**names, node.text: each, node.collects: self.type_of(start, names)}
        self.type_of(condition, inner)
        inner[node.collects] = self.type_of(step, inner)
        return self.type_of(result, inner)


def _known(found: list[Type]) -> bool:
    return any(one.sort == "list" and isinstance(one.of, Type) for one in found)
