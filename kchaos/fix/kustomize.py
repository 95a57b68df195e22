"""What to change in what was rendered: a kustomization over it, of strategic merge patches, each applied here before it is written.

Source: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/patches/ ; the rules of merging are those of
:mod:`kchaos.models.api.patch`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kchaos.fix.edits import Edit, Op
from kchaos.fix.emit import Style, mapping_lines
from kchaos.fix.files import Draft
from kchaos.fix.surgery import EditRefused
from kchaos.models.api.gotypes import members, struct_of
from kchaos.models.api.patch import strategic_merge_patch
from kchaos.models.api.tree import Obj
from kchaos.models.manifests.load import Manifest

BLOCK = Style(dash=0)


def strategic_patch(old: Obj, new: Obj) -> Obj:
    """Return the strategic merge patch from one object to another, without what names it. Raises EditRefused if there is none."""
    struct = struct_of(old["apiVersion"], old["kind"])
    patch: Obj = _between(old, new, struct) if struct is not None else {}
    if struct is None or strategic_merge_patch(old, patch) != new:
        raise EditRefused(f"no strategic merge patch makes the change in {old['kind']} {old['metadata'].get('name')}")
    return patch


def _between(old: Any, new: Any, struct: str) -> Obj:
    table = members(struct)
    out: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        before, field = old.get(key), table.get(key)
        if key in old and before == value:
            continue
        kind = field.type.lstrip("*") if field is not None else ""
        if isinstance(before, dict) and isinstance(value, dict):
            out[key] = _between(before, value, kind.removesuffix("{}") if kind.endswith("{}") else "")
        elif isinstance(before, list) and isinstance(value, list) and field is not None and field.merge_key and "merge" in field.strategy:
            out[key] = _items(before, value, field.merge_key, kind[2:].lstrip("*").removesuffix("{}"))
        else:
            out[key] = value
    return out


def _items(old: list[Any], new: list[Any], key: str, struct: str) -> list[Any]:
    by_name = {one.get(key): one for one in old}
    kept = [one.get(key) for one in new]
    out: list[Any] = [{"$patch": "delete", key: name} for name in by_name if name not in kept]
    for one in new:
        before = by_name.get(one.get(key))
        if before is None:
            out.append(one)
        elif before != one:
            out.append({key: one.get(key), **_between(before, one, struct)})
    return out


def refuse_unpatchable(before: Draft, after: Draft) -> None:
    """Raise EditRefused if what was rendered is edited as no patch can."""
    for ident in dict.fromkeys(edit.object for edit in after.edits if edit.op is not Op.ADD):
        if before.objects[ident].file not in before.texts:
            strategic_patch(before.objects[ident].obj, after.objects[ident].obj)


def kustomization(before: Draft, after: Draft, edits: Sequence[Edit], base: str, says: Sequence[str] = ()) -> dict[str, str]:
    """Return the files of a kustomization over ``base`` with some edits of rendered objects; ``says``: how to use it."""
    files: dict[str, str] = {}
    added = [name for name in after.objects if name not in before.objects]
    resources, patches = [base], []
    for ident in dict.fromkeys(edit.object for edit in edits if edit.op is not Op.ADD):
        old, new = before.objects[ident], after.objects[ident].obj
        named = {"apiVersion": new["apiVersion"], "kind": new["kind"], "metadata": _names(old)}
        name = _file(new)
        files[name] = _text({**named, **strategic_patch(old.obj, new)})
        patches.append({"path": name})
    for one in (edit.value for edit in edits if edit.op is Op.ADD and added):
        files[_file(one)] = _text(one)
        resources.append(_file(one))
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources}
    comment = "".join(f"# {line}\n" for line in says)
    return {"kustomization.yaml": comment + _text({**head, **({"patches": patches} if patches else {})}), **files}


def _names(manifest: Manifest) -> Obj:
    """Return an object's name and, where its text has it, its namespace: kustomize finds by both."""
    meta = manifest.obj["metadata"]
    written = [below.value for key, value in manifest.node.value if key.value == "metadata" for below, _ in value.value]
    return {key: meta[key] for key in ("name", "namespace") if key in meta and (key == "name" or key in written)}


def _file(obj: Obj) -> str:
    space = obj["metadata"].get("namespace")
    words = "-".join(str(part) for part in (obj["kind"].lower(), space if space != "default" else None, obj["metadata"]["name"]) if part)
    return re.sub(r"[^a-z0-9.-]+", "-", words.lower()) + ".yaml"


def _text(obj: Obj) -> str:
    return "\n".join(mapping_lines(obj, BLOCK)) + "\n"
