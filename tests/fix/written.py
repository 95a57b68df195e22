"""YAML as people write it: objects rendered in drawn styles, with comments wherever YAML allows them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

from kchaos.fix.emit import flow_text, scalar_text

WORDS = st.text(alphabet="abcxyz-", min_size=1, max_size=6).map(lambda text: f"k{text}")
SCALARS = st.one_of(
    st.integers(-5, 300),
    st.booleans(),
    st.sampled_from(["on", "1", "a: b", "x # y", "", "é", "it's", "25%", "line\nbreak\n", "{}", "- a", "~"]),
)
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, min_size=1, max_size=3), st.dictionaries(WORDS, below, min_size=1, max_size=3)),
    max_leaves=9,
)


class Written(NamedTuple):
    """Objects, and the text that holds them."""

    objects: list[dict[str, Any]]
    text: str
    comments: list[str]


class _Writer:
    def __init__(self, draw: Any, step: int, dash: int) -> None:
        self._draw = draw
        self._step = step
        self._dash = dash
        self.comments: list[str] = []

    def _comment(self) -> str:
        self.comments.append(f"# c{len(self.comments)}:")
        return self.comments[-1]

    def _often(self) -> bool:
        return bool(self._draw(st.integers(0, 3)) == 0)

    def _tail(self) -> str:
        return f"  {self._comment()}" if self._often() else ""

    def lines(self, value: Any, indent: int) -> list[str]:
        """Return a mapping or list as block lines."""
        out: list[str] = []
        for part in value.items() if isinstance(value, dict) else value:
            if self._often():
                out.append(" " * indent + self._comment() if self._draw(st.booleans()) else "")
            out += self._entry(part, indent) if isinstance(value, dict) else self._item(part, indent)
        return out

    def _inline(self, value: Any) -> bool:
        return not isinstance(value, dict | list) or not value or self._often()

    def _entry(self, pair: tuple[str, Any], indent: int) -> list[str]:
        key, value = pair
        lead = " " * indent + scalar_text(key, self._draw(st.sampled_from(["", "'", '"']))) + ":"
        if isinstance(value, str) and value.endswith("\n") and value.strip():
            return [f"{lead} |", *(" " * (indent + 2) + row for row in value[:-1].split("\n"))]
        if self._inline(value):
            return [f"{lead} {self._flow(value)}{self._tail()}"]
        deeper = indent + (self._dash if isinstance(value, list) else self._step)
        return [lead + self._tail(), *self.lines(value, deeper)]

    def _item(self, value: Any, indent: int) -> list[str]:
        if self._inline(value) or isinstance(value, list):
            return [f"{' ' * indent}- {self._flow(value)}{self._tail()}"]
        rows = [row for pair in value.items() for row in self._entry(pair, indent + 2)]
        return [" " * indent + "- " + rows[0].lstrip(), *rows[1:]]

    def _flow(self, value: Any) -> str:
        if isinstance(value, dict | list):
            return json.dumps(value) if self._draw(st.booleans()) else flow_text(value)
        return scalar_text(value, self._draw(st.sampled_from(["", "'", '"']))) if isinstance(value, str) else scalar_text(value)


@st.composite
def written(draw: Any) -> Written:
    """Draw one to three objects in one text."""
    writer = _Writer(draw, draw(st.sampled_from([2, 4])), draw(st.sampled_from([0, 2])))
    objects = []
    parts = []
    for number in range(draw(st.integers(1, 3))):
        spec = draw(st.dictionaries(WORDS, TREES, min_size=1, max_size=4))
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"o{number}"}, "spec": spec}
        objects.append(obj)
        parts.append("\n".join(writer.lines(obj, 0)))
    text = "\n---\n".join(parts) + draw(st.sampled_from(["\n", "", f"\n{'# last'}\n", "\n\n"]))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return Written(objects, text, writer.comments)


def paths(tree: Any, base: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths of all fields and items below a tree."""
    out: list[tuple[str | int, ...]] = []
    for part, below in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        out += [(*base, part), *paths(below, (*base, part))]
    return out
