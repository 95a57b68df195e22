"""Predicates in Python: functions of the user over a :class:`Cluster`, found again by file and name wherever a run is judged."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from kchaos.canonical import digest
from kchaos.errors import InvalidScenario, Location
from kchaos.properties.own.state import ROWS, Claim, Endpoints, Fault, Node, Pod, State, Undecided, Value, Workload

WAYS = 'write `def web_is_up(cluster): return cluster.workloads["shop/web"].ready >= 2`'


class Function(msgspec.Struct, frozen=True):
    """A function at the top of a file (``checks.py``), by name."""

    file: str
    name: str


class Cluster:
    """What a predicate sees: tables of rows. It must only look, and follow from nothing else."""

    __slots__ = ("_read", "_state")

    def __init__(self, state: State, read: dict[str, None]) -> None:
        self._state = state
        self._read = read

    def _rows(self, table: str) -> Mapping[str, Any]:
        self._read[table] = None
        return self._state.tables[table].rows

    def _sorted(self, table: str) -> list[Any]:
        rows = self._rows(table)
        return [rows[key] for key in sorted(rows)]

    @property
    def pods(self) -> list[Pod]:
        """All pods, by namespace and name."""
        return self._sorted("pods")

    @property
    def workloads(self) -> Mapping[str, Workload]:
        """Workloads by ``namespace/name``."""
        return self._rows("workloads")

    @property
    def endpoints(self) -> Mapping[str, Endpoints]:
        """Endpoints of Services by ``namespace/name``."""
        return self._rows("endpoints")

    @property
    def nodes(self) -> list[Node]:
        """All nodes, by name."""
        return self._sorted("nodes")

    @property
    def claims(self) -> list[Claim]:
        """All PersistentVolumeClaims, by namespace and name."""
        return self._sorted("claims")

    @property
    def faults(self) -> list[Fault]:
        """The faults that are active."""
        return self._sorted("faults")

    @property
    def phase(self) -> str:
        """chaos, heal, settle or final."""
        self._read["phase"] = None
        return self._state.phase


def load(function: Function) -> Callable[[Cluster], object]:
    """Return the function. Raises InvalidScenario, with file and line, if the file can't be run or has no such function."""
    found: Any = module(function.file)
    for part in function.name.split("."):
        found = getattr(found, part, None)
    found = getattr(found, "function", found)  # decorated
    if not callable(found):
        raise InvalidScenario(f"no function {function.name}", location=Location(function.file), hint=WAYS)
    called: Callable[[Cluster], object] = found
    return called


def module(file: str) -> ModuleType:
    """Return a Python file as a module: the one that is loaded already, or loaded now. This runs the user's code."""
    path = Path(file).resolve()
    for one in list(sys.modules.values()):
        where = getattr(one, "__file__", None)
        if where and one.__name__ != "__main__" and Path(where).name == path.name and Path(where).resolve() == path:
            return one
    if not path.is_file():
        raise InvalidScenario("no such file", location=Location(file), hint="run it where the file is, as when the property was declared")
    name = f"kchaos_properties_{digest(str(path))[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidScenario("not a Python file", location=Location(file), hint="give a file that ends in .py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
    except (InvalidScenario, KeyboardInterrupt):  # of one of its declarations; or somebody has waited long enough
        del sys.modules[name]
        raise
    except BaseException as error:  # also sys.exit, and what test frameworks raise to skip: neither may end a run
        del sys.modules[name]
        where = Location(file, _line(error, path))
        raise InvalidScenario(f"it can't be run: {_said(error)}", location=where, hint=f"`python {file}` shows more") from error
    return made


def _said(error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _line(error: BaseException, path: Path) -> int:
    """Return the last line of a file that an error came through, 0 if none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return (lines[-1] or 0) if lines else 0


class Called:
    """A function over the state of one run: called anew only if a table that it looked at has changed."""

    def __init__(self, function: Function, state: State) -> None:
        self._called = load(function)
        self._file = function.file
        self._state = state
        state.need(ROWS)
        self._read: dict[str, None] = {}
        self._versions: tuple[int, ...] | None = None
        self._value: Value = Undecided("not evaluated")

    def _seen(self) -> tuple[int, ...]:
        return tuple(self._state.phase_version if name == "phase" else self._state.tables[name].version for name in self._read)

    def value(self) -> Value:
        """Return what the function says now."""
        if self._versions is None or self._seen() != self._versions:
            self._value = self._call()
            self._versions = self._seen()
        return self._value

    def _call(self) -> Value:
        self._read.clear()
        try:
            found = self._called(Cluster(self._state, self._read))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's, sys.exit too: told with its line, and the answer is unknown
            line = _line(error, Path(self._file).resolve())
            return Undecided(f"{_said(error)} ({self._file}{f':{line}' if line else ''})")
        return found if isinstance(found, bool) else Undecided(f"it returned {found!r}, not True or False")

    def told(self) -> str:
        """Return nothing: only the function knows what it looked at."""
        return ""
