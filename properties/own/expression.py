"""CEL expressions over a :class:`~kchaos.properties.own.state.State`: compiled once, checked against the rows' fields, evaluated when needed.

The language is https://github.com/google/cel-spec; parsed, checked and evaluated by its authors' library (``cel-expr-python``), which is loaded
when the first expression is. What it can't know, because rows are plain maps to it, is checked here: names of fields, and what they hold.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from kchaos.errors import InvalidScenario
from kchaos.properties.own.reads import Mistake, Reads, reads_of
from kchaos.properties.own.state import MAPS, ROWS, State, Undecided, Value

PHASE = "phase"
INSTALL = "pip install 'kchaos[cel]'"
NAMES = (*ROWS, PHASE)
"""The variables of an expression."""


class Compiled(NamedTuple):
    """An expression that can be evaluated: the library's program, what it reads, and the left side of its comparison, if it is one."""

    source: str
    program: Any
    reads: Reads


def _library() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped]  # it has no stubs
    except ImportError as error:
        raise InvalidScenario(
            "expressions need the CEL library, which is not installed", hint=f"{INSTALL}, or write it in Python"
        ) from error
    return cel


@functools.cache
def _environment() -> Any:
    cel = _library()
    types = cel.Type
    variables = {name: types.Map(types.STRING, types.DYN) if name in MAPS else types.List(types.DYN) for name in ROWS}
    return cel.NewEnv(variables={**variables, PHASE: types.STRING})


@functools.lru_cache(maxsize=256)
def compiled(source: str) -> Compiled:
    """Compile an expression that is true or false. Raises InvalidScenario, without a location."""
    source = source.rstrip()
    if not source:
        raise InvalidScenario(
            "the expression is empty", hint='write CEL, such as workloads["shop/web"].ready >= 2; in quotes if it begins with !'
        )
    try:
        program = _environment().compile(source)
        kind = program.return_type().name().upper().partition("<")[0]
    except RuntimeError as error:
        raise _explained(source, str(error)) from error
    try:
        reads = reads_of(program.serialize())
    except Mistake as error:
        raise InvalidScenario(f"{_place(source, error.offset)}{error.message}", hint=error.hint) from error
    if kind not in ("BOOL", "DYN") or reads.gives not in ("", "bool"):
        gives = {"INT": "a number", "DOUBLE": "a number", "STRING": "text", "LIST": "a list", "MAP": "a map"}.get(kind, f"a {kind.lower()}")
        gives = _GIVES.get(reads.gives, gives) if kind == "DYN" else gives
        raise InvalidScenario(f"the expression gives {gives}, not true or false", hint="compare it, such as … >= 2")
    return Compiled(source, program, reads)


_GIVES = {"int": "a number", "str": "text", "dict": "a map", "tuple": "a list"}


def _place(source: str, offset: int | None) -> str:
    if offset is None:
        return ""
    above = source[:offset].split("\n")
    line = f"line {len(above)}, " if "\n" in source else ""
    return f"at {line}character {len(above[-1]) + 1}: "


_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_INSTEAD = {
    "and": "&&", "or": "||", "not": "!", "True": "true", "False": "false", "None": "null", "len": "size", "length": "size", "any": "exists",
    "some": "exists", "every": "all", "count": "filter(…).size()",
}  # fmt: skip
"""What people write out of habit, and what it is in CEL."""
_FUNCTIONS = ("size", "exists", "all", "filter", "map", "exists_one", "has", "startsWith", "endsWith", "contains", "matches")


def _explained(source: str, said: str) -> InvalidScenario:
    """Return what the compiler says in words for people; its first mistake, or the first unknown name."""
    found = [(int(line), int(column), text.removesuffix(" [INVALID_ARGUMENT]")) for line, column, text in _ERROR.findall(said)]
    if not found:
        first = said.strip().partition("\n")[0].partition(" [")[0].rpartition("ARGUMENT: ")[2]
        return InvalidScenario(f"the expression can't be used: {first}", hint="write less at once, in more than one property")
    unknown = [one for one in found if one[2].startswith("undeclared reference")]
    line, column, text = unknown[-1] if unknown and any(_called(source, one) for one in unknown) else found[0]
    lines = source.split("\n")
    offset = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
    where = _place(source, offset)
    name = re.match(r"undeclared reference to '([^']+)'", text)
    if name is not None:
        return _unknown(where, name[1])
    if "operand of a select operation" in text:
        what = "a list" if "list(" in text else "what stands before the dot"
        return InvalidScenario(
            f"{where}{what} has no fields", hint="look at its elements: pods.exists(p, p.ready), pods.filter(p, p.ready).size()"
        )
    overload = re.match(r"found no matching overload for '([^']+)' applied to '\(?(.*?)\)?'", text)
    if overload is not None:
        what = overload[1].strip("_").replace("_", "") or overload[1]
        return InvalidScenario(f"{where}{what} can't be applied to ({overload[2]})", hint="both sides must be of one type")
    if "=>" in source or "->" in source:
        return InvalidScenario(f"{where}not a CEL expression", hint="write the variable first: pods.exists(p, p.ready)")
    if re.search(r"(?<![=<>!])=(?!=)", source):
        return InvalidScenario(f"{where}not a CEL expression", hint="write == to compare")
    word = next((word for word in re.findall(r"[A-Za-z_]+", source) if word in ("and", "or", "not")), None)
    hint = f"write {_INSTEAD[word]} for {word}" if word else "https://cel.dev tells the language"
    return InvalidScenario(f"{where}not a CEL expression: {text.partition(' expecting ')[0]}", hint=hint)


def _called(source: str, one: tuple[int, int, str]) -> bool:
    """Tell whether an unknown name is that of a function on something, whose arguments then seem unknown too."""
    line = source.split("\n")[one[0] - 1]
    return line[one[1] - 1 : one[1]] == "("


def _unknown(where: str, name: str) -> InvalidScenario:
    if name in _INSTEAD:
        return InvalidScenario(f"{where}{name} is not CEL", hint=f"write {_INSTEAD[name]}")
    near = difflib.get_close_matches(name.partition(".")[0], (*NAMES, *_FUNCTIONS), n=1)
    known = f"known: {', '.join(NAMES)}"
    shape = f'{near[0]}["namespace/name"]' if near and near[0] in MAPS else near[0] if near else ""
    return InvalidScenario(f"{where}no variable or function is called {name}", hint=f"did you mean {shape}? {known}" if near else known)


@functools.lru_cache(maxsize=256)
def _part(text: str) -> Any:
    """Return the program of a part of an expression; None if it is none by itself, such as half of what stands in brackets."""
    try:
        return _environment().compile(text)
    except RuntimeError:
        return None


class Watch:
    """One expression over the state of one run: evaluated anew only if something that it reads has changed."""

    def __init__(self, expression: Compiled, state: State) -> None:
        self._expression = expression
        self._state = state
        reads = expression.reads
        state.need(reads.tables)
        self._shown = {name: state.tables[name].shown(one.fields, one.keys) for name, one in reads.tables.items()}
        self._versions: tuple[int, ...] | None = None
        self._value: Value = Undecided("not evaluated")
        self._environment = _environment()

    def value(self) -> Value:
        """Return what the expression is now."""
        versions = tuple(one.version for one in self._shown.values())
        if self._expression.reads.phase:
            versions += (self._state.phase_version,)
        if versions != self._versions:
            self._versions = versions
            self._value = self.of(self._expression.program)
        return self._value

    def of(self, program: Any) -> Value:
        """Evaluate a program of the same variables."""
        found = program.eval(self._environment.Activation(self.data()))
        plain = found.value()
        return plain if isinstance(plain, bool) else Undecided(_why(str(found)))

    def data(self) -> dict[str, Any]:
        """Return the variables."""
        data: dict[str, Any] = {name: one.rows if name in MAPS else one.sorted() for name, one in self._shown.items()}
        if self._expression.reads.phase:
            data[PHASE] = self._state.phase
        return data

    def told(self) -> str:
        """Return in words what the left side of the comparison is, or the fields of workloads and endpoints that it names; empty if none."""
        expression = self._expression
        parts = [expression.reads.left] if expression.reads.left is not None else []
        said: dict[str, None] = {}
        for text in [expression.source[: parts[0]].strip()] if parts else _PATH.findall(expression.source):
            program = _part(text)
            if program is None:
                continue
            found = program.eval(self._environment.Activation(self.data()))
            plain = found.plain_value()
            if isinstance(plain, bool | int | float | str):
                said[f"{text} was {_literal(plain)}"] = None
        return ", ".join(said)


_PATH = re.compile(r"""(?:workloads|endpoints)\[(?:"[^"]*"|'[^']*')\]\.[a-z_]+""")


def _literal(plain: Any) -> str:
    return {True: "true", False: "false"}[plain] if isinstance(plain, bool) else f'"{plain}"' if isinstance(plain, str) else str(plain)


def _why(said: str) -> str:
    """Return why an expression has no value, in words."""
    missing = re.search(r'Key not found in map : "?([^"]*)"?', said)
    if missing is not None:
        return f"there is no {missing[1]}"
    index = re.search(r"Index error: index=(-?\d+) size=(\d+)", said)
    if index is not None:
        return f"there is no element {index[1]} of {index[2]}"
    return said.partition(": ")[2] or f"it is {said}, not true or false"


def keys_of(expressions: Iterable[Compiled], table: str) -> list[str]:
    """Return the keys of a table that expressions name."""
    found = [key for one in expressions if table in one.reads.tables for key in one.reads.tables[table].named]
    return list(dict.fromkeys(found))
