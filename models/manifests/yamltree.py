"""YAML and JSON text to trees as kubectl reads them, with the line of every field.

kubectl's scalar rules (sigs.k8s.io/yaml, which resolves YAML 1.1 as go-yaml v2 does): no dates, no base-60 numbers, ``=`` is a string, unknown
tags on scalars are strings, keys become strings, the last of two equal keys wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

MAX_NODES = 2_000_000
"""A document that aliases blow up beyond this many values is refused."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_PATH = re.compile(r"[^.\[\]]+|\[\d+\]")
_STANDARD = "tag:yaml.org,2002:"
_KNOWN = frozenset(_STANDARD + one for one in ("null", "bool", "int", "float", "str", "timestamp", "merge", "value"))


class Problem(NamedTuple):
    """What is wrong with the text: 1-based line, words, what to write instead; ``fatal``: reading ended here."""

    line: int
    message: str
    hint: str = ""
    fatal: bool = True


class Document(NamedTuple):
    """One document: its value, where it begins (1-based line), and its node for looking up lines."""

    value: Any
    line: int
    node: Any


class _Refused(Exception):
    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(line, message, hint)


def parse(text: str) -> Iterator[Document | Problem]:
    """Yield documents, and problems as they are met; after a fatal one nothing follows."""
    loader = None
    try:
        loader = _LOADER(text)
        while loader.check_node():
            node = loader.get_node()
            warnings: list[Problem] = []
            value = _Builder(warnings).build(node)
            yield from warnings
            if value is not None:
                yield Document(value, node.start_mark.line + 1, node)
    except _Refused as refused:
        yield refused.problem
    except yaml.YAMLError as error:
        yield _explain(error, text)
    except RecursionError:
        yield Problem(0, "nested too deeply to be read")
    finally:
        if loader is not None:
            loader.dispose()


def line_of(node: Any, path: str) -> int:
    """Return the 1-based line of a field such as ``spec.containers[0].image``, or of its nearest parent that exists."""
    line = int(node.start_mark.line) + 1
    for part in _PATH.findall(path):
        below = None
        if part[0] == "[" and isinstance(node, yaml.SequenceNode):
            index = int(part[1:-1])
            below = node.value[index] if index < len(node.value) else None
            line = below.start_mark.line + 1 if below is not None else line
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    below = value
                    line = key.start_mark.line + 1
        if below is None:
            break
        node = below
    return line


class _Builder:
    """Builds the value of one document; each anchor is built once and shared."""

    def __init__(self, warnings: list[Problem]) -> None:
        self._warnings = warnings
        self._done: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def build(self, node: Any) -> Any:
        return self._build(node)[0]

    def _build(self, node: Any) -> tuple[Any, int]:
        if isinstance(node, yaml.ScalarNode):
            return scalar(node), 1
        ident = id(node)
        known = self._done.get(ident)
        if known is not None:
            return known
        line = node.start_mark.line + 1
        if ident in self._open:
            raise _Refused(line, "an alias that contains itself", "write the value out")
        self._open.add(ident)
        size = 1
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = []
            for item in node.value:
                below, count = self._build(item)
                value.append(below)
                size += count
        else:
            value, size = self._mapping(node)
        self._open.discard(ident)
        if size > MAX_NODES:
            raise _Refused(line, f"aliases blow this up to more than {MAX_NODES:,} values", "write the values out, or drop the aliases")
        self._done[ident] = (value, size)
        return value, size

    def _mapping(self, node: Any) -> tuple[dict[str, Any], int]:
        out: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        lines: dict[str, int] = {}
        size = 1
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(
                    line, "a mapping or list as a key", "put quotes around it if it is a template: {{ … }} must be rendered by helm first"
                )
            if key_node.tag == _STANDARD + "merge":
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in reversed(sources):
                    below, count = self._build(source)
                    size += count
                    if isinstance(below, dict):
                        inherited.update(below)
                continue
            key = _key(key_node)
            value, count = self._build(value_node)
            size += count
            if key in lines:
                same = " with the same value" if out[key] == value else ", and the values differ"
                self._warnings.append(
                    Problem(
                        line, f"the key {key!r} stands twice (first in line {lines[key]}){same}; the last one counts", "remove one", False
                    )
                )
            lines[key] = line
            out[key] = value
        return ({**inherited, **out} if inherited else out), size


def _key(node: Any) -> str:
    value = scalar(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def scalar(node: Any) -> Any:
    """Return the value of a scalar: None, bool, int, float or str."""
    text: str = node.value
    tag: str = node.tag
    if node.style or tag not in _KNOWN:
        return text  # quoted, a block, or an unknown tag
    value = plain(text)
    if tag == _STANDARD + "str" and not _only_go(text, value):
        return text  # an explicit !!str
    return value


def _only_go(text: str, value: Any) -> bool:
    """Tell whether go-yaml resolves unquoted text that PyYAML's resolver leaves a string: y, n, 1e3."""
    if isinstance(value, bool):
        return len(text) == 1
    return isinstance(value, float)


def plain(text: str) -> Any:
    """Return the value of unquoted text."""
    head = text[:1]
    if head in "~nNtTfFyYoO" or not text:
        if text in _NULL:
            return None
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    if head and head in "+-.0123456789":
        if _INT.match(text):
            return _integer(text.replace("_", ""))
        if _FLOAT.match(text):
            return float(text)
    return text


def _integer(text: str) -> int | str:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    try:
        if digits.startswith("0") and len(digits) > 1 and digits[1] not in "xXbBoO":
            return sign * int(digits, 8)
        return sign * int(digits, 0)
    except ValueError:
        return text


def _explain(error: yaml.YAMLError, text: str) -> Problem:
    """Return the problem in words for people."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or error).strip()
    line = mark.line + 1 if mark is not None else 0
    rows = text.splitlines()
    row = rows[line - 1] if 0 < line <= len(rows) else ""
    if "{{" in row or "{%" in row or (row.lstrip().startswith("@") and "{{" in text):
        return Problem(
            line,
            f"an unrendered template: {row.strip()[:80]}",
            "render it first: give the chart's folder, or the output of `helm template`",
        )
    indent = row[: len(row) - len(row.lstrip())]
    if "\t" in indent:
        return Problem(line, "a tab in the indentation", "YAML is indented with spaces")
    if "cannot start any token" in said:
        word = row.strip()[:40]
        if re.search(r":\s*@\S", row) or row.strip().startswith("@"):
            return Problem(line, f"a value that begins with @ or `: {word}", "put quotes around it, or render the template first")
        return Problem(line, f"a character that can't begin a value: {word}", "put the value in quotes")
    if "mapping values are not allowed" in said:
        return Problem(line, f"a `:` where none may stand: {row.strip()[:80]}", "check the indentation, or put the value in quotes")
    if "did not find expected key" in said or "did not find expected '-' indicator" in said or "block" in said:
        return Problem(line, f"the indentation does not fit: {row.strip()[:80]}", "align it with the lines above it")
    if "{{" in text:
        return Problem(line, f"not YAML ({said}); there are unrendered {{{{ … }}}} in the file", "render it first with helm")
    return Problem(line, f"not YAML: {said}", "")
