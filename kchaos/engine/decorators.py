"""Properties in Python: ``@always``, ``@never`` and ``@eventually`` make a property of a function over the cluster.

::

    from kchaos import always, eventually

    @always(id="SHOP-1", title="the shop keeps two pods ready", for_s=10)
    def two_ready(cluster):
        return cluster.workloads["shop/web"].ready >= 2

Without an id, ``always`` (:func:`invariant` says the same) and ``eventually`` mark a method of a ClusterMachine, which looks at ``self.cluster``
and asserts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from kchaos.check.property import Severity
from kchaos.engine.declarations import check, ident_of
from kchaos.errors import InvalidScenario, Location
from kchaos.properties.own.declared import Declared, Form
from kchaos.properties.own.expression import compiled
from kchaos.properties.own.functions import WAYS, Cluster, Function, module

F = TypeVar("F", bound=Callable[..., None])
Predicate = Callable[[Cluster], bool]
MARK = "_kchaos_claim"
"""What a marked method of a machine carries."""


class Declaration:
    """A function that is a property; it can still be called. ``declared`` is what it claims."""

    def __init__(self, function: Predicate, declared: Declared) -> None:
        self.function = function
        self.declared = declared
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, cluster: Cluster) -> bool:
        """Ask the function."""
        return self.function(cluster)

    def __repr__(self) -> str:
        return f"property {self.declared.id}"


def invariant() -> Callable[[F], F]:
    """Declare a method as a claim that always holds: it looks at ``self.cluster`` and asserts.

    It is asked after every step, every virtual second in which anything changed, and at the end.
    """
    return _marked("always")


def _marked(when: str) -> Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, MARK, when)
        return function

    return mark


@overload
def always() -> Callable[[F], F]: ...
@overload
def always(
    *, id: str, title: str = "", when: Predicate | str | None = None, for_s: float = 0.0, severity: Severity | str = Severity.ERROR,
    source: str = "", except_during: Sequence[str] = (), faults_at_once: int | None = None,
) -> Callable[[Predicate], Declaration]: ...  # fmt: skip
def always(*, id: str | None = None, **fields: Any) -> Any:
    """Declare a function as a property that holds at every change from the beginning of chaos on, while ``when`` is true.

    ``for_s``: for how long it may be broken; ``except_during``: faults while which nothing is claimed; ``faults_at_once``: what more of them
    bring about is told as info. The title is the first line of the docstring, unless it is given. Without arguments: see the module.
    """
    return _marked("always") if id is None and not fields else _declaration("always", id or "", **fields)


def never(
    *, id: str, title: str = "", when: Predicate | str | None = None, for_s: float = 0.0, severity: Severity | str = Severity.ERROR,
    source: str = "", except_during: Sequence[str] = (), faults_at_once: int | None = None,
) -> Callable[[Predicate], Declaration]:  # fmt: skip
    """Declare a function as a property: it is true at no moment. See :func:`always`."""
    return _declaration(
        "never",
        id,
        title=title,
        when=when,
        for_s=for_s,
        severity=severity,
        source=source,
        except_during=except_during,
        faults_at_once=faults_at_once,
    )


@overload
def eventually() -> Callable[[F], F]: ...
@overload
def eventually(
    *, id: str, title: str = "", within_s: float | None = None, when: Predicate | str | None = None, severity: Severity | str = Severity.ERROR,
    source: str = "", except_during: Sequence[str] = (), faults_at_once: int | None = None,
) -> Callable[[Predicate], Declaration]: ...  # fmt: skip
def eventually(*, id: str | None = None, **fields: Any) -> Any:
    """Declare a function as a property that holds in the end: once all faults are healed and the cluster is at rest.

    ``within_s``: it has done so since no later than that after healing. With ``when``: each time that becomes true, it is true at some moment
    within ``within_s``. Without arguments: a method of a ClusterMachine; see the module.
    """
    return _marked("eventually") if id is None and not fields else _declaration("eventually", id or "", **fields)


def _place(function: Callable[..., Any]) -> Location:
    """Return where a function stands: its file, from the current folder on if it is below that, and its first line."""
    file = Path(inspect.getsourcefile(function) or function.__code__.co_filename).resolve()
    here = Path.cwd()
    return Location(str(file.relative_to(here)) if file.is_relative_to(here) else str(file), function.__code__.co_firstlineno)


def _named(function: Callable[..., Any], where: Location) -> Function:
    if "<" in function.__qualname__ or "." in function.__qualname__:
        hint = "define it there with `def`: wherever a run is judged again, it is found by its name"
        raise InvalidScenario("a property is a function at the top of a file", location=where, hint=hint)
    return Function(where.file, function.__name__)


def _declaration(
    form: Form, id: str, *, title: str = "", when: Predicate | str | None = None, **fields: Any
) -> Callable[[Predicate], Declaration]:
    """Return a decorator that makes a property of a function. Raises InvalidScenario, with file and line, for what makes no sense."""

    def make(function: Predicate) -> Declaration:
        where = _place(function)

        def at(field: str) -> Location:
            return where

        ident_of(id, at)
        _fit(function, fields, where)
        if fields.get("severity", Severity.ERROR) not in list(Severity):
            raise InvalidScenario(
                f"severity: {fields['severity']!r} is none of them", location=where, hint=f"write one of {', '.join(Severity)}"
            )
        if isinstance(when, str):
            _compiled(when, where)
        words = title or (inspect.getdoc(function) or function.__name__.replace("_", " ")).partition("\n")[0].rstrip(".")
        known = {
            **fields,
            "severity": Severity(fields.get("severity", Severity.ERROR)),
            "except_during": tuple(fields.get("except_during", ())),
        }
        one = Declared(
            id=id, title=words, form=form, says=_named(function, where), when=_named(when, where) if callable(when) else when or "",
            file=where.file, line=where.line, **known,
        )  # fmt: skip
        check(one, at)
        return Declaration(function, one)

    return make


def _fit(function: Predicate, fields: dict[str, Any], where: Location) -> None:
    """Refuse a function that can't be asked, and values of another sort than they are read as."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidScenario("a property is asked and answers at once", location=where, hint="write `def`, without async, await and yield")
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise InvalidScenario("a property takes the cluster, and nothing else", location=where, hint=WAYS) from error
    for name in ("for_s", "within_s"):
        value = fields.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise InvalidScenario(f"{name} must be a number of seconds, not {value!r}", location=where, hint=f"write {name}=10")
    if isinstance(names := fields.get("except_during", ()), str):
        raise InvalidScenario("except_during is a list of faults", location=where, hint=f'write except_during=["{names}"]')


def _compiled(when: str, where: Location) -> None:
    try:
        compiled(when)
    except InvalidScenario as error:
        raise InvalidScenario(f"when: {error.message}", location=where, hint=error.hint) from error


def declared_in(file: str) -> list[Declared]:
    """Return the properties that a Python file declares, in their order. This runs the file. Raises InvalidScenario if there are none."""
    if not Path(file).is_file():
        what = "a folder, not a file" if Path(file).is_dir() else "no such file"
        raise InvalidScenario(what, location=Location(file), hint="give a Python file that declares properties")
    found = [one.declared for one in vars(module(file)).values() if isinstance(one, Declaration)]
    if not found:
        hint = 'write `@always(id="SHOP-1")` above a function over the cluster (`from kchaos import always`)'
        raise InvalidScenario("the file declares no property", location=Location(file), hint=hint)
    return found
