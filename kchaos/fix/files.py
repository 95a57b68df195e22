"""The user's files with edits in them: texts and the objects that they hold, changed together and compared after each edit.

An edit that would change anything but its own object (an anchor that others use, a merge key) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from kchaos.fix.edits import Edit, Op
from kchaos.fix.emit import style_of
from kchaos.fix.surgery import EditRefused, Splice, Surgeon
from kchaos.models.api.tree import Obj
from kchaos.models.manifests.load import Manifest, Text, load
from kchaos.models.manifests.yamltree import Document, parse

BOM = "\ufeff"


class _Root(NamedTuple):
    """One thing that a text holds: an object, or a document that is none."""

    value: Any
    node: Any


def roots(text: str) -> list[_Root]:
    """Return what a text holds, in order; items of lists one by one. Raises EditRefused for text that can't be read to its end."""
    out: list[_Root] = []
    for item in parse(text):
        if isinstance(item, Document):
            _unfold(item.value, item.node, out)
        elif item.fatal:
            raise EditRefused(f"the file can't be read beyond line {item.line}")
    return out


def _unfold(value: Any, node: Any, out: list[_Root]) -> None:
    items = value.get("items") if isinstance(value, dict) and str(value.get("kind")).endswith("List") else None
    below = next((v for k, v in node.value if k.value == "items"), None) if isinstance(items, list) and items else None
    if below is None or items is None:
        out.append(_Root(value, node))
        return
    for one, its_node in zip(items, below.value, strict=True):
        _unfold(one, its_node, out)


class Draft(NamedTuple):
    """Objects by id, and the texts they stand in by name, with the edits done so far. Immutable."""

    objects: Mapping[str, Manifest]
    texts: Mapping[str, str]
    """Without byte order marks; only of files that can be written."""
    ordinals: Mapping[str, int]
    """Object -> its place among what its text holds."""
    copies: Mapping[str, tuple[tuple[str, int], ...]] = {}
    """Object -> where the same is declared once more, as (text, place): what is edited is edited there too."""
    closed: Collection[str] = ()
    """Files of the user whose bytes are no UTF-8: read, but never written."""
    edits: tuple[Edit, ...] = ()
    namespace: str = "default"

    @classmethod
    def of(cls, manifests: Sequence[Manifest], texts: Sequence[Text], rendered: Collection[str], namespace: str = "default") -> Draft:
        """Return the draft of what was loaded; texts that are ``rendered`` from something else are never written."""
        found: dict[str, str] = {}
        closed: list[str] = []
        for text in texts:
            if text.name in rendered:
                continue
            if (decoded := _decoded(text.data)) is None:
                closed.append(text.name)
            else:
                found[text.name] = decoded
        held = {name: _readable(text) for name, text in found.items()}
        marks = {name: {one.node.start_mark.index: place for place, one in enumerate(some)} for name, some in held.items()}
        ordinals: dict[str, int] = {}
        for one in manifests:
            place = marks.get(one.file, {}).get(one.node.start_mark.index)
            if place is not None:
                ordinals[one.id] = place
        objects = {one.id: one for one in manifests}
        copies = _copies({ident: (objects[ident].file, place) for ident, place in ordinals.items()}, held)
        return cls(objects, found, ordinals, copies, tuple(closed), (), namespace)

    def with_edits(self, edits: Sequence[Edit]) -> Draft:
        """Return the draft with more edits done, in order. Raises EditRefused."""
        draft = self
        for edit in edits:
            draft = draft._with(edit)
        return draft

    def written(self, texts: Sequence[Text]) -> list[Text]:
        """Return the texts of a question as they are with the edits."""
        return [Text(text.name, encoded(self.texts[text.name], text.data)) if text.name in self.texts else text for text in texts]

    def _with(self, edit: Edit) -> Draft:
        manifest = self.objects.get(edit.object)
        if manifest is None:
            raise EditRefused(f"{edit.object} is not in the files")
        if manifest.file in self.closed:
            raise EditRefused(f"{manifest.file} can't be edited: text that is not UTF-8")
        objects = dict(self.objects)
        texts, ordinals = self.texts, dict(self.ordinals)
        written = manifest.file in self.texts
        if written and edit.object not in self.ordinals:
            raise EditRefused(f"{manifest.file} can't be edited: several JSON objects in one file")
        if written:
            texts = self._written(edit, (manifest.file, self.ordinals[edit.object]))
        if edit.op is Op.ADD:
            added = _loaded(edit.value, manifest.file, self.namespace)
            if added.id in objects:
                raise EditRefused(f"there is a {added.id} already")
            objects[added.id] = added
            if written:
                ordinals[added.id] = len(roots(texts[manifest.file])) - 1
        else:
            objects[edit.object] = manifest._replace(obj=edit.on(manifest.obj))
        return self._replace(objects=objects, texts=texts, ordinals=ordinals, edits=(*self.edits, edit))

    def _written(self, edit: Edit, at: tuple[str, int]) -> dict[str, str]:
        """Return the texts with an edit done where its object is declared, and in each copy of that."""
        texts = dict(self.texts)
        for file, place in (at, *(self.copies.get(edit.object, ()) if edit.op is not Op.ADD else ())):
            texts[file] = _cut(file, texts[file], place, edit)
        return texts


def _cut(file: str, text: str, place: int, edit: Edit) -> str:
    """Return a file's text with an edit done: read again, everything but what it means to change is as before."""
    before = roots(text)
    surgeon = Surgeon(text, style_of([one.node for one in before], text))
    after = _splice(surgeon, before[place].node, edit).on(text)
    values = [one.value for one in before]
    if edit.op is Op.ADD:
        values.append(edit.value)
    else:
        values[place] = edit.on(values[place])
    try:
        same = _same([one.value for one in roots(after)], values)
    except EditRefused:
        same = False
    if not same:
        raise EditRefused(f"{file} can't be edited there: an anchor, a merge key or its layout would change more than is meant")
    return after


def _copies(declared: Mapping[str, tuple[str, int]], held: Mapping[str, Sequence[_Root]]) -> dict[str, tuple[tuple[str, int], ...]]:
    """Return where objects are declared with the same words once more."""
    places: dict[str, list[tuple[str, int]]] = {}
    for name, some in held.items():
        for place, one in enumerate(some):
            places.setdefault(_told(one.value), []).append((name, place))
    out = {}
    for ident, at in declared.items():
        others = tuple(one for one in places[_told(held[at[0]][at[1]].value)] if one != at)
        if others:
            out[ident] = others
    return out


def _readable(text: str) -> list[_Root]:
    """Return what a text holds; nothing for a text that can't be edited."""
    try:
        return roots(text)
    except EditRefused:
        return []


def _told(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _splice(surgeon: Surgeon, node: Any, edit: Edit) -> Splice:
    if edit.op is Op.ADD:
        return surgeon.document(edit.value)
    if edit.op is Op.REMOVE:
        return surgeon.remove(node, edit.path)
    if edit.op is Op.RENAME:
        return surgeon.rename(node, edit.path, edit.name)
    if edit.op is Op.APPEND:
        return surgeon.append(node, edit.path, edit.value)
    return surgeon.set(node, edit.path, edit.value, edit.name or None)


def _same(found: Any, wanted: Any) -> bool:
    """Tell whether two trees are the same; ``1`` and ``true`` differ."""
    return _told(found) == _told(wanted)


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def encoded(text: str, before: bytes) -> bytes:
    """Return a text as bytes, with the byte order mark that it had."""
    return (BOM if before.startswith(BOM.encode()) else "").encode() + text.encode()


def _loaded(obj: Obj, file: str, namespace: str) -> Manifest:
    """Return a new object as the loader reads it."""
    found = load([Text(file, json.dumps(obj).encode())], namespace)
    if len(found.manifests) != 1:
        raise EditRefused(f"not an object: {[note.message for note in found.notes]}")
    return found.manifests[0]
