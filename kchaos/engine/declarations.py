"""What every declaration of a user's property must keep to, wherever it is written: its id, its bounds, the faults that it names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from kchaos.errors import InvalidScenario, Location
from kchaos.models.faults.catalog import catalog
from kchaos.properties.own.declared import Declared

IDENT = r"[A-Za-z][A-Za-z0-9._-]{0,63}"
"""The id of a user's property; those that begin with KC are kchaos' own."""
RESERVED = re.compile(r"(?i)KC\d")
SETTLE_S = 1200.0
"""A run has so long to come to rest after healing."""
At = Callable[[str], Location]
"""Returns where a field of a declaration stands; of "" the declaration."""


def ident_of(ident: str, at: At) -> None:
    """Raise InvalidScenario for what can't be the id of a user's property."""
    if not ident:
        raise InvalidScenario("a property needs an id", location=at(""), hint="write id: SHOP-1, and keep it: findings are known by it")
    if re.fullmatch(IDENT, ident) is None:
        hint = "write letters, digits, -, . and _, such as SHOP-1"
        raise InvalidScenario(f"{ident!r} can't be an id", location=at("id"), hint=hint)
    if RESERVED.match(ident):
        raise InvalidScenario(f"{ident}: ids that begin with KC are kchaos' own", location=at("id"), hint="write another, such as SHOP-1")


def check(one: Declared, at: At) -> None:
    """Raise InvalidScenario for bounds and faults that make no sense."""
    if one.form == "eventually" and one.for_s:
        raise InvalidScenario("for_s is for always and never", location=at("for_s"), hint="write within_s")
    if one.form != "eventually" and one.within_s is not None:
        raise InvalidScenario("within_s is for eventually", location=at("within_s"), hint="write for_s: for how long it may be broken")
    if one.form == "eventually" and one.when and one.within_s is None:
        raise InvalidScenario("eventually with when needs within_s", location=at("when"), hint="write within_s: 120")
    for name, bound in (("for_s", one.for_s), ("within_s", one.within_s or 0.0)):
        if bound > SETTLE_S:
            says = f"{name} is longer than a run has to come to rest: {SETTLE_S:g} s"
            raise InvalidScenario(says, location=at(name), hint=f"write {SETTLE_S:g} or less")
    kinds = [kind.name for kind in catalog()]
    for name in one.except_during:
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else "`kchaos faults` lists them"
            raise InvalidScenario(f"no fault is called {name}", location=at("except_during"), hint=hint)


def merged(own: Iterable[Declared], more: Iterable[Declared]) -> tuple[Declared, ...]:
    """Return the properties of kchaos.yaml and others. Raises InvalidScenario if two have one id."""
    found: dict[str, Declared] = {}
    for one in (*own, *more):
        before = found.setdefault(one.id, one)
        if before != one:
            where = Location(one.file, one.line)
            raise InvalidScenario(
                f"the id {one.id} is that of {before.file}:{before.line}", location=where, hint="give it an id of its own"
            )
    return tuple(found.values())
