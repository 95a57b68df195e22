"""Values to YAML text in the style of the file that they are written into: its indentation, its lists, its way with small mappings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

from kchaos.models.manifests.yamltree import plain

FLOW_WIDTH = 76
"""A mapping or list longer than this is written on lines of its own, where the file leaves the choice."""
NESTED_WIDTH = 44
"""The same for a mapping of one key that holds mappings."""
_BARE = re.compile(r"[A-Za-z0-9_./%][-A-Za-z0-9_./%]*")


class Style(NamedTuple):
    """How a file is written: spaces per level, spaces before the dash of a list below its key, whether ``{a: 1}`` occurs, its line ends."""

    step: int = 2
    dash: int = 2
    flow: bool = False
    newline: str = "\n"


def style_of(nodes: Iterable[Any], text: str) -> Style:
    """Return the style of a file from the nodes of its documents: what occurs first counts."""
    step = dash = None
    flow = False
    for node in _walk(nodes):
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            for key, value in node.value:
                below = value.start_mark.column - key.start_mark.column
                if value.start_mark.index < key.start_mark.index or value.start_mark.line == key.start_mark.line:
                    continue
                if dash is None and isinstance(value, yaml.SequenceNode) and not value.flow_style:
                    dash = below
                if step is None and isinstance(value, yaml.MappingNode) and not value.flow_style:
                    step = below
        elif not isinstance(node, yaml.ScalarNode):
            flow = flow or bool(node.flow_style and node.value)
    return Style(step or 2, 2 if dash is None else max(0, dash), flow, "\r\n" if "\r\n" in text else "\n")


def _walk(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield nodes depth first, each once: anchors are shared."""
    seen: dict[int, None] = {}
    stack = list(reversed(list(nodes)))
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = None
        yield node
        if isinstance(node, yaml.MappingNode):
            stack.extend(part for pair in reversed(node.value) for part in reversed(pair))
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(reversed(node.value))


def scalar_text(value: Any, quote: str = "") -> str:
    """Return a scalar; text that would be read as something else is quoted, other text too if ``quote`` says how."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return json.dumps(value)
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if quote != '"' and _BARE.fullmatch(value) and isinstance(plain(value), str):
        return value
    return json.dumps(value, ensure_ascii=False)


def flow_text(value: Any, as_json: bool = False) -> str:
    """Return a value on one line: ``{a: 1, b: [x, y]}``; ``as_json``: with all texts quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow_entry(key, below, as_json)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(below, as_json) for below in value) + "]"
    return scalar_text(value, '"' if as_json else "")


def flow_entry(key: str, value: Any, as_json: bool = False) -> str:
    """Return ``key: value`` for within a mapping on one line."""
    return f"{scalar_text(key, chr(34) if as_json else '')}: {flow_text(value, as_json)}"


def _short(value: Any, style: Style) -> bool:
    """Tell whether a value goes behind its key, on one line."""
    if not isinstance(value, dict | list) or not value:
        return True
    below = list(value.values() if isinstance(value, dict) else value)
    flat = not any(isinstance(one, dict | list) and one for one in below)
    nested = isinstance(value, dict) and len(below) == 1
    return style.flow and (flat or nested) and len(flow_text(value)) <= (FLOW_WIDTH if flat else NESTED_WIDTH)


def entry_lines(key: str, value: Any, style: Style) -> list[str]:
    """Return ``key: value`` as lines without indentation of the first."""
    name = scalar_text(key)
    if _short(value, style):
        return [f"{name}: {flow_text(value)}"]
    if isinstance(value, dict):
        return [f"{name}:", *(" " * style.step + line for line in mapping_lines(value, style))]
    return [f"{name}:", *(" " * style.dash + line for one in value for line in item_lines(one, style))]


def mapping_lines(value: dict[str, Any], style: Style) -> list[str]:
    """Return a mapping as lines."""
    return [line for key, below in value.items() for line in entry_lines(key, below, style)]


def item_lines(value: Any, style: Style, block: bool = False) -> list[str]:
    """Return one item of a list as lines that begin with ``- ``; a mapping as a ``block`` if its neighbours are."""
    if not (block and isinstance(value, dict) and value) and (_short(value, style) or isinstance(value, list)):
        return [f"- {flow_text(value)}"]
    first, *rest = mapping_lines(value, style)
    return [f"- {first}", *(f"  {line}" for line in rest)]
