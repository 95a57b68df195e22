"""Changes in YAML text at the marks of its nodes: what is not changed stays as it is, comments, order, quotes and line ends.

Nothing is trusted: whoever calls reads the text again and compares (:mod:`kchaos.fix.files`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from kchaos.fix.emit import Style, entry_lines, flow_entry, flow_text, item_lines, mapping_lines, scalar_text
from kchaos.models.manifests.yamltree import plain

FieldPath = tuple[str | int, ...]
_ALIAS = re.compile(r"\s*\*[^\s,\[\]{}]+")
_QUIET = re.compile(r"[ \t]*(#[^\n]*)?\r?$")
BEFORE: dict[str, tuple[str, ...]] = {
    "replicas": ("strategy", "updateStrategy", "selector", "template"),
    "strategy": ("selector", "template"),
    "updateStrategy": ("selector", "template"),
    "minReadySeconds": ("strategy", "selector", "template"),
    "topologySpreadConstraints": ("initContainers", "containers"),
    "affinity": ("initContainers", "containers"),
    "terminationGracePeriodSeconds": ("initContainers", "containers"),
}
"""Before which of their neighbours people write a field; others go to the end."""


class EditRefused(Exception):
    """A change can't be written into this text; says why."""


class Splice(NamedTuple):
    """Replace ``text[start:end]``."""

    start: int
    end: int
    text: str

    def on(self, text: str) -> str:
        """Return the text with it done."""
        return text[: self.start] + self.text + text[self.end :]


class _Found(NamedTuple):
    """Where a walk along a path ended: the node, its key and the mapping or list that holds it, and what of the path is left."""

    node: Any
    key: Any
    parent: Any
    rest: FieldPath


class Surgeon:
    """Changes one text, whose objects are nodes in it."""

    def __init__(self, text: str, style: Style) -> None:
        self._text = text
        self._style = style

    def set(self, root: Any, path: FieldPath, value: Any, name: str | None = None) -> Splice:
        """Put a value at a path, and give its key another name. What is missing on the way is made."""
        found = self._walk(root, path)
        if name is not None and found.rest:
            raise EditRefused(f"there is no {_words(path)} to rename")
        if found.rest:
            head, *more = found.rest
            for part in reversed(more):
                value = {part: value} if isinstance(part, str) else [value]
            return self._insert(found, head, value)
        if name is not None:
            return self._renamed(found, name, value)
        return self._replace(found, value)

    def rename(self, root: Any, path: FieldPath, name: str) -> Splice:
        """Give a key another name; what is below it stays as it is written."""
        found = self._walk(root, path)
        if found.rest or found.key is None:
            raise EditRefused(f"there is no {_words(path)} to rename")
        return Splice(found.key.start_mark.index, found.key.end_mark.index, self._name_like(found.key, name))

    def append(self, root: Any, path: FieldPath, value: Any) -> Splice:
        """Add an item to the end of a list; a missing list is made."""
        found = self._walk(root, path)
        if found.rest or not isinstance(found.node, yaml.SequenceNode) or not found.node.value:
            return self.set(root, path, [value])
        if found.node.start_mark.index < (found.key.end_mark.index if found.key is not None else 0):
            raise EditRefused(f"{_words(path)} is an alias")
        last = found.node.value[-1]
        if found.node.flow_style:
            at = self._end(last, None)
            return Splice(at, at, self._gap(found.node, last.start_mark.index) + flow_text(value, self._as_json(found.node)))
        lines = item_lines(value, self._style, isinstance(last, yaml.MappingNode) and not last.flow_style)
        return self._below(self._end(last, None), found.node.start_mark.column, lines)

    def remove(self, root: Any, path: FieldPath) -> Splice:
        """Take a field of a mapping away, with its comment on the same line."""
        found = self._walk(root, path)
        if found.rest or found.key is None:
            raise EditRefused(f"there is no {_words(path)} to take away")
        keys = [key for key, _ in found.parent.value]
        index, end = keys.index(found.key), self._end(found.node, found.key)
        if len(keys) == 1:
            raise EditRefused(f"{_words(path)} is all that stands there")
        if found.parent.flow_style:
            if index + 1 < len(keys):
                return Splice(found.key.start_mark.index, keys[index + 1].start_mark.index, "")
            before = self._end(found.parent.value[index - 1][1], keys[index - 1])
            return Splice(before, end, "")
        begin = self._line_start(found.key.start_mark.index)
        if self._text[begin : found.key.start_mark.index].strip():
            raise EditRefused(f"{_words(path)} begins an item of a list")
        return Splice(begin, self._line_end(end, past=True), "")

    def document(self, obj: dict[str, Any]) -> Splice:
        """Add an object as a document of its own at the end of the text."""
        text, newline = self._text, self._style.newline
        if _is_json(text):
            raise EditRefused("a JSON file holds one object")
        closed = not text or text.endswith("\n")
        rows = text.rstrip().rsplit("\n", 1)[-1].strip()
        lines = ([] if rows == "---" else ["---"]) + mapping_lines(obj, self._style)
        body = newline.join(lines)
        return Splice(len(text), len(text), body + newline if closed else newline + body)

    # -- walking ---------------------------------------------------------------------------------------------------------

    def _walk(self, root: Any, path: FieldPath) -> _Found:
        found = _Found(root, None, None, ())
        for depth, part in enumerate(path):
            node = found.node
            if isinstance(part, int):
                if not isinstance(node, yaml.SequenceNode) or part >= len(node.value):
                    raise EditRefused(f"there is no {_words(path[: depth + 1])}")
                found = _Found(node.value[part], None, node, ())
                continue
            pair = next((one for one in reversed(node.value) if one[0].value == part), None) if isinstance(node, yaml.MappingNode) else None
            if pair is None:
                return found._replace(rest=tuple(path[depth:]))
            found = _Found(pair[1], pair[0], node, ())
        return found

    def _aliased(self, found: _Found) -> bool:
        """Tell whether the value is written as an alias: its node stands where the anchor is."""
        return found.key is not None and found.node.start_mark.index < found.key.end_mark.index

    # -- changing --------------------------------------------------------------------------------------------------------

    def _replace(self, found: _Found, value: Any) -> Splice:
        node, as_json = found.node, found.parent is not None and self._as_json(found.parent)
        if self._aliased(found):
            at = self._after_colon(found.key)
            alias = _ALIAS.match(self._text, at)
            if alias is None:
                raise EditRefused("its value is written as an alias")
            return Splice(at, alias.end(), " " + flow_text(value, as_json))
        begin, end = node.start_mark.index, self._end(node, found.key)
        if isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">"):
            quote = '"' if as_json else node.style or ""
            lead = " " if begin == end else ""  # nothing stood behind the colon
            if isinstance(value, dict | list) and value and not (found.parent is not None and found.parent.flow_style):
                return self._rewritten(found, value)
            return Splice(begin, end, lead + (flow_text(value, as_json) if isinstance(value, dict | list) else scalar_text(value, quote)))
        if getattr(node, "flow_style", False):  # block scalars have none
            return Splice(begin, end, flow_text(value, as_json))
        return self._rewritten(found, value)

    def _rewritten(self, found: _Found, value: Any) -> Splice:
        """Write a field anew, on lines of its own."""
        if found.key is None:
            raise EditRefused("an item of a list can't be written anew")
        lines = entry_lines(found.key.value, value, self._style)
        return Splice(found.key.start_mark.index, self._end(found.node, found.key), self._joined(lines, found.key.start_mark.column))

    def _renamed(self, found: _Found, name: str, value: Any) -> Splice:
        if found.key is None:
            raise EditRefused("an item of a list has no name")
        if isinstance(value, dict | list) or not isinstance(found.node, yaml.ScalarNode) or self._aliased(found):
            raise EditRefused("only a plain value is renamed and changed at once")
        begin, end = found.node.start_mark.index, self._end(found.node, found.key)
        between = self._text[found.key.end_mark.index : begin]
        quote = '"' if self._as_json(found.parent) else ""
        text = self._name_like(found.key, name) + between + scalar_text(value, quote)
        return Splice(found.key.start_mark.index, end, text)

    def _insert(self, found: _Found, name: str | int, value: Any) -> Splice:
        node = found.node
        if self._aliased(found):
            raise EditRefused("it is written as an alias")
        if isinstance(name, int):
            raise EditRefused("there is no such list")
        if isinstance(node, yaml.ScalarNode) and not node.style and plain(node.value) is None:  # nothing, `~` or `null`
            return self._replace(found, {name: value})
        if not isinstance(node, yaml.MappingNode):
            raise EditRefused("what it belongs into is no mapping")
        if node.flow_style:
            return self._insert_flow(node, name, value)
        keys = [key for key, _ in node.value]
        wanted = BEFORE.get(name, ())
        index = next((i for i, key in enumerate(keys) if key.value in wanted), len(keys))
        after = max(0, index - 1)
        lines = entry_lines(name, value, self._style)
        return self._below(self._end(node.value[after][1], keys[after]), keys[0].start_mark.column, lines)

    def _insert_flow(self, node: Any, name: str, value: Any) -> Splice:
        as_json = self._as_json(node)
        entry = flow_entry(name, value, as_json)
        if not node.value:
            return Splice(node.start_mark.index, node.end_mark.index, "{" + entry + "}")
        key, last = node.value[-1]
        at = self._end(last, key)
        return Splice(at, at, self._gap(node, key.start_mark.index) + entry)

    # -- text ------------------------------------------------------------------------------------------------------------

    def _gap(self, node: Any, last: int) -> str:
        """Return what stands between the entries of a flow collection: a space, or a new line with its indentation."""
        before = self._text[node.start_mark.index + 1 : last]
        lead = re.search(r"\r?\n[ \t]*$", before)
        return "," + (lead[0] if lead is not None else " ")

    def _as_json(self, node: Any) -> bool:
        """Tell whether a mapping or list is written as JSON is: its keys and texts in double quotes."""
        if not getattr(node, "flow_style", False):
            return False
        parts = [pair[0] for pair in node.value] if isinstance(node, yaml.MappingNode) else list(node.value)
        texts = [part for part in parts if isinstance(part, yaml.ScalarNode)]
        return bool(texts) and all(part.style == '"' for part in texts)

    def _name_like(self, key: Any, name: str) -> str:
        return scalar_text(name, key.style or "")

    def _after_colon(self, key: Any) -> int:
        return self._text.index(":", key.end_mark.index) + 1

    def _end(self, node: Any, key: Any) -> int:
        """Return where a value's text ends; its mark says where the next token begins, which is past comments."""
        if key is not None and node.start_mark.index < key.end_mark.index:
            found = _ALIAS.match(self._text, self._after_colon(key))
            if found is None:
                raise EditRefused("an alias that stands on a line of its own")
            return found.end()
        if isinstance(node, yaml.ScalarNode):
            end = int(node.end_mark.index)
            if node.style in ("|", ">"):
                body = self._text[node.start_mark.index : end]
                if "+" not in body.partition("\n")[0]:
                    return int(node.start_mark.index) + len(body.rstrip())
                return end - (1 if body.endswith("\n") else 0) - (1 if body.endswith("\r\n") else 0)
            return end
        if node.flow_style or not node.value:
            return int(node.end_mark.index)
        last = node.value[-1]
        return self._end(last[1], last[0]) if isinstance(node, yaml.MappingNode) else self._end(last, None)

    def _below(self, end: int, column: int, lines: Sequence[str]) -> Splice:
        """Put lines below the line on which something ends."""
        at = self._line_end(end)
        if not _QUIET.match(self._text[end:at]):
            raise EditRefused("more than a comment follows on the same line")
        at -= self._text[end:at].endswith("\r")
        return Splice(at, at, self._style.newline + " " * column + self._joined(lines, column))

    def _joined(self, lines: Sequence[str], column: int) -> str:
        return (self._style.newline + " " * column).join(lines)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int, past: bool = False) -> int:
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found + past


def _is_json(text: str) -> bool:
    """Tell whether a text is one JSON value; several documents in braces, or keys without quotes, are YAML."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _words(path: FieldPath) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out
