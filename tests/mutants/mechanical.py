"""Mechanical mutants: one operator, constant or return of a pure function changed, and the tests of its module must notice.

They are made from the syntax tree, sampled by a hash, and put in place by exchanging the code of the function, in a child process each:
tests are collected once a module. What survives is listed in docs/mutants.md.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import inspect
import os
import resource
import time
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.hunt import forget_caches

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
}  # fmt: skip
NEW_LINE = "\n"
PATIENCE = 10.0
"""So many times the CPU seconds of an undisturbed run a mutant may take; longer is noticed too."""
Change = Callable[[ast.AST], str]
"""Changes a node in place and says how; what it may be applied to is found beforehand."""


class Site(NamedTuple):
    """One possible mutant: the number of the node in a walk of the module, which of its changes, and the function that it is in."""

    node: int
    change: int
    function: str


class Made(NamedTuple):
    """A mutant in words, and the code of its function."""

    words: str
    code: CodeType


# -- changes -----------------------------------------------------------------------------------------------------------


def _compare(index: int) -> Change:
    def change(node: ast.AST) -> str:
        assert isinstance(node, ast.Compare)
        before = ast.unparse(node)
        node.ops[index] = SWAPS[type(node.ops[index])]()  # type: ignore[call-overload]  # one comparison for another
        return f"{before} → {ast.unparse(node)}"

    return change


def _operator(node: ast.AST) -> str:
    assert isinstance(node, ast.BoolOp | ast.BinOp)
    before = ast.unparse(node)
    node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]  # one operator for another of its sort
    return f"{before} → {ast.unparse(node)}"


def _constant(node: ast.AST) -> str:
    assert isinstance(node, ast.Constant)
    before = node.value
    assert isinstance(before, int | float)
    node.value = not before if isinstance(before, bool) else before + 1
    return f"{before} → {node.value}"


def _without_not(node: ast.AST) -> str:
    assert isinstance(node, ast.UnaryOp)
    before = ast.unparse(node)
    if isinstance(node.op, ast.Not):
        node.operand = ast.UnaryOp(ast.Not(), node.operand)
    else:
        node.op = ast.UAdd()
    return f"{before} → {ast.unparse(node)}"


def _return_none(node: ast.AST) -> str:
    assert isinstance(node, ast.Return)
    before = ast.unparse(node)
    node.value = ast.Constant(None)
    return f"{before} → return None"


def _pass_over(node: ast.AST) -> str:
    """Take the jump at the end of an if away."""
    assert isinstance(node, ast.If)
    before = ast.unparse(node.body[-1])
    node.body[-1] = ast.Pass()
    return f"if {ast.unparse(node.test)}: {before} → nothing"


def changes(node: ast.AST) -> Iterator[Change]:
    """Yield what may be changed of a node."""
    if isinstance(node, ast.Compare):
        yield from (_compare(index) for index, op in enumerate(node.ops) if type(op) in SWAPS)
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPS:
        if not any(isinstance(side, ast.JoinedStr | ast.List) or _is_text(side) for side in ast.iter_child_nodes(node)):
            yield _operator
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield _constant
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield _without_not
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield _return_none
    elif isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Continue | ast.Break):
        yield _pass_over


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# -- sites -------------------------------------------------------------------------------------------------------------


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield functions and methods by name; what is within a function belongs to it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))


def sites(source: str, only: tuple[str, ...] = ()) -> list[Site]:
    """Return all possible mutants of a module's functions (of ``only`` these)."""
    tree = ast.parse(source)
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    out = []
    for name, function in _functions(tree):
        if only and name not in only:
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                out += [Site(numbers[id(node)], which, name) for which, _ in enumerate(changes(node))]
    return out


def sample(module: str, found: list[Site], count: int) -> list[Site]:
    """Return so many of them, the same at each call, in the order of the source."""
    ranked = sorted(range(len(found)), key=lambda index: hashlib.sha256(f"{module}/{index}".encode()).digest())
    return [found[index] for index in sorted(ranked[:count])]


def make(source: str, path: str, site: Site) -> Made:
    """Return the mutant of a site."""
    tree = ast.parse(source)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == site.node)
    around = next((ast.unparse(one) for one in _statements(tree) if any(part is node for part in ast.walk(one))), "")
    words = list(changes(copy.deepcopy(node)))[site.change](node)
    if isinstance(node, ast.Constant):
        words += f" in {around.partition(NEW_LINE)[0]}"
    code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
    return Made(words, next(one for one in _codes(code) if one.co_qualname == site.function))


def _statements(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements, the innermost first."""
    return [one for one in ast.walk(tree) if isinstance(one, ast.stmt)][::-1]


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def function_of(module: ModuleType, name: str) -> FunctionType:
    """Return a function by its qualified name, whatever it is wrapped in."""
    owner: Any = module
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    found: Any = inspect.getattr_static(owner, last)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    found = inspect.unwrap(found)
    assert isinstance(found, FunctionType), name
    return found


# -- killing -----------------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """A module, which of its functions are pure (empty: all), and its own tests."""

    module: str
    tests: tuple[str, ...]
    functions: tuple[str, ...] = ()
    count: int = 12


class Verdict(NamedTuple):
    """What became of one mutant."""

    module: str
    function: str
    words: str
    killed: bool


class _Loop:
    """Runs the collected tests once for each mutant, in a child process, until one of them fails."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.verdicts: list[Verdict] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        module = importlib.import_module(f"kchaos.models.{self._target.module}")
        source, path = inspect.getsource(module), str(module.__file__)
        began = time.monotonic()
        assert self._passes(session, lambda: None, 600), f"the tests of {self._target.module} fail without a mutant"
        limit = 5 + int(PATIENCE * (time.monotonic() - began))
        for site in sample(self._target.module, sites(source, self._target.functions), self._target.count):
            made = make(source, path, site)

            def plant(made: Made = made, site: Site = site) -> None:
                function_of(module, site.function).__code__ = made.code

            survived = self._passes(session, plant, limit)
            self.verdicts.append(Verdict(self._target.module, site.function, made.words, not survived))
        return True

    @staticmethod
    def _passes(session: pytest.Session, plant: Callable[[], None], limit_s: int) -> bool:
        child = os.fork()
        if not child:
            status = 1
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
                plant()
                forget_caches()
                reports = (report for item in session.items for report in runtestprotocol(item, nextitem=None, log=False))
                status = int(any(report.failed for report in reports))
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def judge(target: Target) -> list[Verdict]:
    """Return what became of a module's mutants."""
    loop = _Loop(target)
    quiet = ("-qq", "--no-header", "--no-summary", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    code = pytest.main([*quiet, *target.tests], plugins=[loop])
    assert code == 0 and loop.verdicts, f"pytest ended with {code}"
    return loop.verdicts
