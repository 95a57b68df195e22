"""Immutable JSON trees with structural sharing: read by path, update by copying only the path that changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]
"""An API object or a part of one, in wire form. Treat as immutable."""


def get(tree: Any, *path: str, default: Any = None) -> Any:
    """Return the value under ``path`` or ``default``; a missing or null member on the way gives ``default``."""
    for key in path:
        if not isinstance(tree, dict):
            return default
        tree = tree.get(key)
        if tree is None:
            return default
    return tree


def put(tree: Obj, value: Any, *path: str) -> Obj:
    """Return a copy of ``tree`` with ``value`` at ``path``; siblings are shared, missing members are created."""
    head, rest = path[0], path[1:]
    out = dict(tree)
    out[head] = put(tree.get(head) or {}, value, *rest) if rest else value
    return out


def drop(tree: Obj, *path: str) -> Obj:
    """Return a copy of ``tree`` without the member at ``path``; ``tree`` itself if there is none."""
    head, rest = path[0], path[1:]
    if head not in tree:
        return tree
    out = dict(tree)
    if not rest:
        del out[head]
        return out
    child = tree[head]
    if not isinstance(child, dict):
        return tree
    out[head] = drop(child, *rest)
    return out if out[head] is not child else tree


def merge(tree: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    out: Obj = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out


def diff(old: Any, new: Obj) -> Obj:
    """Return the merge patch that turns ``old`` into ``new``; shared subtrees are skipped by identity."""
    if not isinstance(old, dict):
        return new
    out: Obj = {}
    for key, value in new.items():
        before = old.get(key)
        if before is value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            below = diff(before, value)
            if below:
                out[key] = below
        elif before != value or (before is None) is not (key not in old):
            out[key] = value
    for key in old:
        if key not in new:
            out[key] = None
    return out


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(path, scalar)`` for each scalar in ``tree``, in order; paths look like ``spec.containers[0].image``."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, tree
