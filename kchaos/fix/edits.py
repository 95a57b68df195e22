"""An edit: one small change of one object, as data; what it makes of the object's tree, and how it is said."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from kchaos.fix.surgery import EditRefused, FieldPath
from kchaos.models.api.tree import Obj, get

FIELD = 60
"""Characters of a value in words before it is cut."""


class Op(StrEnum):
    """What an edit does."""

    SET = "set"
    RENAME = "rename"
    APPEND = "append"
    REMOVE = "remove"
    ADD = "add"


class Edit(msgspec.Struct, frozen=True):
    """One change. ``object``: ``kind/namespace/name``; of ``ADD`` it is the object whose file the new one goes into.

    ``SET``: put ``value`` at ``path``; with a ``name`` the last key of the path gets that name too (``minAvailable`` becomes
    ``maxUnavailable``). ``RENAME``: only the key changes. ``APPEND``: one item more in a list. ``ADD``: the object ``value`` is added.
    """

    op: Op
    object: str
    path: FieldPath = ()
    value: Any = None
    name: str = ""

    def on(self, tree: Obj) -> Obj:
        """Return the object's tree with it done. Raises EditRefused where the path leads nowhere."""
        if self.op is Op.ADD:
            return tree
        out: Obj = _change(tree, self.path, self)
        return out

    def words(self, tree: Obj) -> str:
        """Return what it changes in ``tree``: ``spec.replicas: 1 → 2``."""
        if self.op is Op.ADD:
            return f"a {self.value['kind']} {get(self.value, 'metadata', 'name', default='')}"
        told = _path_words(self.path, tree)
        before = at(tree, self.path)
        if self.op is Op.REMOVE:
            return f"without {told}"
        if self.op is Op.RENAME:
            return f"{told} → {self.name}"
        if self.op is Op.APPEND:
            return f"{told}: and {_value_words(self.value)}"
        new = f"{self.name}: " if self.name else ""
        was = f"{_value_words(before)} → " if not isinstance(before, dict | list) and before is not None else ""
        return f"{told}: {was}{new}{_value_words(self.value)}"


def at(tree: Any, path: FieldPath) -> Any:
    """Return what stands at a path, None for nothing."""
    for part in path:
        if isinstance(part, int):
            tree = tree[part] if isinstance(tree, list) and part < len(tree) else None
        else:
            tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _path_words(path: FieldPath, tree: Obj) -> str:
    """Return a path as people say it: without what every pod template has above it, containers by their names."""
    out, here = "", ()  # type: str, FieldPath
    for part in path:
        here = (*here, part)
        below = at(tree, here)
        if isinstance(part, int):
            named = below.get("name") if isinstance(below, dict) else None
            out += f"[{named if named is not None else part}]"
        else:
            out += f".{part}" if out else part
    return out


def _value_words(value: Any) -> str:
    from kchaos.fix.emit import flow_text

    told = flow_text(value)
    return told if len(told) <= FIELD else told[: FIELD - 1] + "…"


def _change(tree: Any, path: FieldPath, edit: Edit) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        if not isinstance(tree, list) or head >= len(tree):
            raise EditRefused(f"there is no item {head} in the list")
        return [_change(one, rest, edit) if i == head else one for i, one in enumerate(tree)] if rest else _item(tree, head, edit)
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise EditRefused(f"{head} has no place in what is no mapping")
    if rest:
        return {**tree, head: _change(tree.get(head), rest, edit)}
    return _member(tree, head, edit)


def _item(tree: list[Any], index: int, edit: Edit) -> list[Any]:
    if edit.op is not Op.SET:
        raise EditRefused("an item of a list is only put in another's place")
    return [edit.value if i == index else one for i, one in enumerate(tree)]


def _member(tree: Obj, key: str, edit: Edit) -> Obj:
    if edit.op is Op.APPEND:
        return {**tree, key: [*(tree.get(key) or ()), edit.value]}
    if edit.op in (Op.REMOVE, Op.RENAME) or edit.name:
        if key not in tree:
            raise EditRefused(f"there is no {key}")
        if edit.op is Op.REMOVE:
            return {name: value for name, value in tree.items() if name != key}
        if edit.name in tree:
            raise EditRefused(f"there is a {edit.name} already")
        new = tree[key] if edit.op is Op.RENAME else edit.value
        return {(edit.name if name == key else name): (new if name == key else value) for name, value in tree.items()}
    return {**tree, key: edit.value}
