"""The three patch types of the API: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge patch.

Strategic merge rules: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go; list merge keys come from the Go struct tags.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.gotypes import Field, members, struct_of
from kchaos.models.api.tree import Obj, merge


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """Return ``obj`` with a JSON merge patch applied."""
    out: Obj = merge(obj, patch)
    return out


def json_patch(obj: Any, operations: list[Obj]) -> Any:
    """Return ``obj`` with JSON patch operations applied. Raises 422 for one that does not apply."""
    for operation in operations:
        try:
            obj = _operate(obj, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            text = f"the server rejected our request due to an error in our request: {operation.get('op')} {operation.get('path')}"
            raise ApiError("Invalid", text) from error
    return obj


def _pointer(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise ValueError(path)
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _lookup(tree: Any, path: list[str]) -> Any:
    for part in path:
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def _change(tree: Any, path: list[str], action: str, value: Any) -> Any:
    if not path:
        if action == "remove":
            raise ValueError("cannot remove the whole document")
        return value
    head, rest = path[0], path[1:]
    if isinstance(tree, list):
        out: Any = list(tree)
        if not rest and action == "add":
            index = len(out) if head == "-" else int(head)
            if not 0 <= index <= len(out):
                raise IndexError(head)
            out.insert(index, value)
            return out
        index = int(head)
        if rest:
            out[index] = _change(out[index], rest, action, value)
        elif action == "remove":
            del out[index]
        else:
            out[index] = value
        return out
    out = dict(tree)
    if rest:
        out[head] = _change(out[head], rest, action, value)
    elif action == "remove":
        del out[head]
    elif action == "replace" and head not in out:
        raise KeyError(head)
    else:
        out[head] = value
    return out


def _operate(obj: Any, operation: Obj) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind in ("add", "replace"):
        return _change(obj, path, kind, operation["value"])
    if kind == "remove":
        return _change(obj, path, kind, None)
    if kind == "test":
        if _lookup(obj, path) != operation.get("value"):
            raise ValueError("testing value failed")
        return obj
    source = _pointer(operation["from"])
    value = _lookup(obj, source)
    if kind == "move":
        obj = _change(obj, source, "remove", None)
    elif kind != "copy":
        raise ValueError(kind)
    return _change(obj, path, "add", value)


# -- strategic merge -------------------------------------------------------------------------------------------------------


def strategic_merge_patch(obj: Obj, patch: Obj) -> Obj:
    """Return ``obj`` with a strategic merge patch applied. Raises 415 for a custom resource."""
    struct = struct_of(obj.get("apiVersion", ""), obj.get("kind", ""))
    if struct is None:
        raise ApiError(
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include:"
            " application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            code=415,
        )
    out: Obj = _merge_struct(obj, patch, struct)
    return out


_DIRECTIVES = ("$patch", "$retainKeys", "$setElementOrder/", "$deleteFromPrimitiveList/")


def _merge_struct(old: Any, patch: Any, struct: str) -> Any:
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if not k.startswith(_DIRECTIVES)}
    if patch.get("$patch") == "delete":
        return {}
    table = members(struct)
    out: Obj = dict(old) if isinstance(old, dict) else {}
    if "$retainKeys" in patch:
        out = {k: v for k, v in out.items() if k in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            out[name] = [one for one in out.get(name) or () if one not in value]
        if key.startswith(_DIRECTIVES):
            continue
        if value is None:
            out.pop(key, None)
            continue
        out[key] = _merge_member(out.get(key), value, table.get(key), patch.get(f"$setElementOrder/{key}"))
    for key, order in patch.items():
        if key.startswith("$setElementOrder/") and key.partition("/")[2] not in patch:
            name = key.partition("/")[2]
            if name in out:
                out[name] = _ordered(out[name], order, table.get(name))
    return out


def _merge_member(old: Any, value: Any, field: Field | None, order: list[Any] | None) -> Any:
    if field is None:
        return merge(old, value) if isinstance(value, dict) else value
    go_type = field.type.lstrip("*")
    if go_type.startswith("[]"):
        if "merge" not in field.strategy.split(","):
            return [_clean(one) for one in value]
        merged = _merge_list(list(old or ()), value, go_type[2:].lstrip("*"), field.merge_key)
        return _ordered(merged, order, field) if order else merged
    if go_type.endswith("{}") and "=map[" not in go_type and not go_type.startswith("map["):
        if "replace" in field.strategy.split(","):
            return _clean(value)
        if "retainKeys" in field.strategy.split(",") and isinstance(value, dict) and "$retainKeys" not in value:
            return _merge_struct(old, value, go_type[:-2])
        return _merge_struct(old, value, go_type[:-2]) if isinstance(value, dict) else value
    return merge(old, value) if isinstance(value, dict) else value


def _clean(value: Any) -> Any:
    return {k: v for k, v in value.items() if not k.startswith("$")} if isinstance(value, dict) else value


def _merge_list(old: list[Any], patch: list[Any], element: str, merge_key: str) -> list[Any]:
    if not merge_key:  # a list of scalars is a set
        return old + [one for one in patch if one not in old]
    if any(isinstance(one, dict) and one.get("$patch") == "replace" for one in patch):
        return [_clean(one) for one in patch if set(one) != {"$patch"}]
    out = list(old)
    struct = element.removesuffix("{}")
    for one in patch:
        if merge_key not in one:
            raise ApiError("Invalid", f"map: {one} does not contain declared merge key: {merge_key}")
        found = next((i for i, have in enumerate(out) if have.get(merge_key) == one[merge_key]), None)
        if one.get("$patch") == "delete":
            if found is not None:
                del out[found]
        elif found is None:
            out.append(_clean(one))
        else:
            out[found] = _merge_struct(out[found], one, struct)
    return out


def _ordered(items: list[Any], order: list[Any], field: Field | None) -> list[Any]:
    key = field.merge_key if field is not None else ""
    wanted = [one.get(key) if isinstance(one, dict) else one for one in order]

    def place(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else item

    named = [item for item in items if place(item) in wanted]
    others = [item for item in items if place(item) not in wanted]
    return sorted(named, key=lambda item: wanted.index(place(item))) + others
