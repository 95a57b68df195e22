"""YAML and JSON text to trees as kubectl reads them, with the line of every field.

kubectl's scalar rules (sigs.k8s.io/yaml, which resolves YAML 1.1 as go-yaml v2 does): no dates, no base-60 numbers, ``=`` is a string, unknown
tags on scalars are strings, keys become strings, the last of two equal keys wins, and a merge key overrides what stands before it.
Texts of problems never repeat a value, which may be a secret; messages name no line, as fingerprints are made of them (hints may).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

MAX_NODES = 2_000_000
"""A document that aliases blow up beyond this many values is refused."""
MAX_DEPTH = 250
"""A document nested deeper than this is refused (libyaml's composer recurses without a limit of its own)."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(0[bB][01_]+|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_PATH = re.compile(r'\["[^"]*"\]|\[\d+\]|[^.\[\]]+')
_LONG_LEAD = re.compile(f"^[-? ]{{{MAX_DEPTH}}}", re.MULTILINE)
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.")
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


_DEEP = Problem(0, f"nested more than {MAX_DEPTH} levels deep", "flatten it: no Kubernetes object is that deep")


class _Refused(Exception):
    """``key``: it stands where a key is expected, as an unrendered template does."""

    def __init__(self, line: int, message: str, hint: str = "", key: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(line, message, hint)
        self.key = key


def parse(text: str) -> Iterator[Document | Problem]:
    """Yield documents, and problems as they are met; after a fatal one nothing follows."""
    loader = None
    try:
        text = _plain_json(text)
        _guard(text)
        loader = _LOADER(text)
        while loader.check_node():
            node = loader.get_node()
            warnings: list[Problem] = []
            value = _Builder(warnings).build(node)
            yield from warnings
            if value is not None:
                yield Document(value, node.start_mark.line + 1, node)
    except _Refused as refused:
        yield refused.problem if not refused.key else _template(text, refused.problem.line) or refused.problem
    except yaml.YAMLError as error:
        yield _explain(error, text)
    except RecursionError:
        yield _DEEP
    finally:
        if loader is not None:
            loader.dispose()


def _plain_json(text: str) -> str:
    """Return JSON as YAML reads it: surrogate pairs as characters, objects that follow each other as documents; other text as it is."""
    if not text.lstrip().startswith("{"):
        return text
    if "\\ud" in text.lower():
        text = _SURROGATES.sub(_surrogate, text)
    decoder = json.JSONDecoder(strict=False)
    parts: list[str] = []
    begin = len(text) - len(text.lstrip())
    try:
        while begin < len(text):
            _, end = decoder.raw_decode(text, begin)
            gap = len(text[end:]) - len(text[end:].lstrip())
            parts.append(text[begin:end])
            if end + gap < len(text):
                parts.append((text[end : end + gap] if "\n" in text[end : end + gap] else "\n") + "--- ")
            else:
                parts.append(text[end:])
            begin = end + gap
    except (ValueError, RecursionError):
        return text  # YAML in flow style, or a mistake that YAML's reader explains
    return text[: len(text) - len(text.lstrip())] + "".join(parts) if len(parts) > 2 else text


def _surrogate(found: re.Match[str]) -> str:
    if found[1]:
        return chr(0x10000 + ((int(found[1], 16) - 0xD800) << 10) + int(found[2], 16) - 0xDC00)
    return "\ufffd" if found[0][1] == "u" and len(found[0]) == 6 else found[0]


def _guard(text: str) -> None:
    """Refuse text that is nested too deeply, before anything recurses over it."""
    if text.count("[") + text.count("{") < MAX_DEPTH and _LONG_LEAD.search(text) is None:
        return
    depth = most = 0
    for char in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if char in "[{" else max(0, depth - 1)
        most = max(most, depth)
    if most < MAX_DEPTH and _LONG_LEAD.search(text) is None:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark: Any = event.start_mark
                raise _Refused(mark.line + 1, _DEEP.message, _DEEP.hint)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def line_of(node: Any, path: str) -> int:
    """Return the 1-based line of a field such as ``spec.containers[0].image``, or of its nearest parent that exists.

    A key with dots is written ``data["a.yaml"]``.
    """
    line = int(node.start_mark.line) + 1
    for found in _PATH.findall(path):
        below, part = None, found[2:-2] if found.startswith('["') else found
        if found[0] == "[" and isinstance(node, yaml.SequenceNode):
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
        lines: dict[str, int] = {}
        size = 1
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(line, "a mapping or list as a key", "write a plain key; a text with { or [ needs quotes", key=True)
            if key_node.tag == _STANDARD + "merge":
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in reversed(sources):
                    below, count = self._build(source)
                    size += count
                    if not isinstance(below, dict):
                        raise _Refused(line, "`<<` takes a mapping, or a list of mappings", "write an alias of a mapping: `<<: *name`")
                    self._override({key: out[key] for key in lines}, below, line)
                    out.update(below)
                continue
            key = _key(key_node)
            value, count = self._build(value_node)
            size += count
            if key in lines:
                same = " with the same value" if out[key] == value else ", and the values differ"
                self._warnings.append(
                    Problem(
                        line,
                        f"the key {key!r} stands twice{same}; the last one counts",
                        f"remove one; the first is in line {lines[key]}",
                        False,
                    )
                )
            lines[key] = line
            out[key] = value
        return out, size

    def _override(self, out: dict[str, Any], merged: dict[str, Any], line: int) -> None:
        for key in merged:
            if key in out and out[key] != merged[key]:
                says = f"`<<` overrides {key!r}, which stands before it: kubectl takes the last one"
                self._warnings.append(Problem(line, says, "put `<<` first", False))


def _key(node: Any) -> str:
    value = scalar(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return "null" if value is None else str(value)


def scalar(node: Any) -> Any:
    """Return the value of a scalar: None, bool, int, float or str."""
    text: str = node.value
    tag: str = node.tag
    if node.style or tag not in _KNOWN:
        return text  # quoted, a block, or an unknown tag
    value = plain(text)
    if tag == _STANDARD + "str" and not isinstance(value, str) and node.end_mark.index - node.start_mark.index > len(text):
        return text  # an explicit !!str
    return value


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
        bare = text.replace("_", "")
        if _FLOAT.match(bare):
            value = float(bare)
            return value if math.isfinite(value) else text
    return text


def _integer(text: str) -> int | float | str:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    octal = digits.startswith("0") and len(digits) > 1 and digits[1] not in "xXbBoO"
    try:
        value = sign * int(digits, 8 if octal else 0)
    except ValueError:
        return text
    if -(2**63) <= value < 2**64:
        return value
    return text if digits[:1] == "0" else float(value)


def _template(text: str, line: int) -> Problem | None:
    """Return the problem if a row holds a placeholder of a template; of its text only what can't be a secret."""
    rows = text.splitlines()
    row = rows[line - 1] if 0 < line <= len(rows) else ""
    found = re.search(r"\{\{[^\"'`}]*(\}\}|.)?|\{%[^\"'`}]*", row)
    if found is None:
        return None
    shown = found[0] if found[0].endswith("}}") else found[0].rstrip("\"'`") + "…"
    return Problem(
        line, f"an unrendered template: {shown[:80]}", "render it first: give the chart's folder, or the output of `helm template`"
    )


def _unclosed(text: str) -> tuple[str, int]:
    """Return the last bracket of a text that is open at its end, and its line."""
    opened: list[int] = []
    for found in re.finditer(r"""[\[{}\]]|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""", text):
        if found[0] in "[{":
            opened.append(found.start())
        elif found[0] in "]}" and opened:
            opened.pop()
    return (text[opened[-1]], text.count("\n", 0, opened[-1]) + 1) if opened else ("", 0)


def _key_in(row: str) -> str:
    """Return the key of a row, in words; never its value."""
    found = re.match(r"\s*(?:- +)*([A-Za-z0-9_./-]{1,60})\s*:", row)
    return f" (at `{found[1]}:`)" if found else ""


def _explain(error: yaml.YAMLError, text: str) -> Problem:
    """Return the problem in words for people."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable").strip()
    line = mark.line + 1 if mark is not None else 0
    rows = text.splitlines()
    line = min(line, max(1, len(rows)))  # the end of a text counts as one more line
    row = rows[line - 1] if 0 < line <= len(rows) else ""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, max(0, error.position)) + 1 if isinstance(error.position, int) else 0
        return Problem(line, "a control character", "remove it, or write it as an escape between double quotes")
    found = _template(text, line)
    if found is not None:
        return found
    indent = row[: len(row) - len(row.lstrip(" \t-"))]
    at = _key_in(row)
    opened = getattr(error, "context_mark", None)
    context = str(getattr(error, "context", None) or "")
    if "\t" in indent:
        return Problem(line, "a tab in the indentation", "YAML is indented with spaces")
    if opened is not None and "flow" in context and ("',' or" in said or "node content" in said):
        what, begin = _unclosed(text[: mark.index]) if mark is not None else ("", 0)
        if not what:
            return Problem(line, "a ] or } where none is open", "remove it, or write what opens it")
        where = "" if begin == line else f", before line {line}"
        return Problem(
            begin, f"a {what} that is not closed, or a comma that is missing", f"write {'}' if what == '{' else ']'} at its end{where}"
        )
    if opened is not None and "quoted scalar" in context:
        return Problem(opened.line + 1, "a quote that is never closed" if "end of" in said else f"in quotes: {said}", "check the quotes")
    if "undefined alias" in said:
        return Problem(line, f"`*` begins an alias, and nothing has that name before it{at}", "put the value in quotes")
    if "cannot start any token" in said:
        return Problem(line, f"a value begins with a character that it can't begin with, such as @, ` or %{at}", "put the value in quotes")
    if "expected whitespace or line break" in said:
        return Problem(line, f"`!` begins a tag, which is not what is meant{at}", "put the value in quotes")
    if "mapping values are not allowed" in said:
        return Problem(line, f"a `:` where none may stand{at}", "check the indentation, or put the value in quotes")
    if "did not find expected key" in said or "did not find expected '-' indicator" in said or "block" in said:
        return Problem(line, f"the indentation does not fit{at}", "align it with the lines above it")
    if "{{" in text:
        near = next((n for n in (*range(line, 0, -1), *range(line, len(rows) + 1)) if n <= len(rows) and "{{" in rows[n - 1]), line)
        return _template(text, near) or Problem(near, "unrendered {{ … }} in the file", "render it first with helm")
    return Problem(line, f"not YAML: {said}{at}", "check this line and the one before it")
