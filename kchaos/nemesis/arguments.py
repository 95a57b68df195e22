"""What a fault takes beside its target, as data: checks, defaults, documentation and drawn campaigns read the same declaration."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from kchaos.errors import InvalidScenario


class Argument(msgspec.Struct, frozen=True):
    """One argument: a number from ``low`` to ``high``, one of ``choices``, or a target of the sort ``target``.

    ``usual``: the part of the range that a drawn campaign draws from; None: all of it. ``whole``: no fractions.
    """

    name: str
    default: float | int | str
    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    choices: tuple[int | str, ...] = ()
    target: str = ""
    usual: tuple[float, float] | None = None

    @property
    def drawn(self) -> tuple[float, float]:
        """Return the bounds for drawing a number; both are finite."""
        return self.usual or (self.low, self.high)

    @property
    def words(self) -> str:
        """Return in words what it may be."""
        if self.target:
            return f"the name of a {self.target}"
        if self.choices:
            *most, last = map(str, self.choices)
            return f"{', '.join(most)} or {last}" if most else last
        sort = "a whole number" if self.whole else "a number"
        if self.low == -math.inf:
            return sort
        return f"{sort}, {self.low:g} or more" if self.high == math.inf else f"{sort} from {self.low:g} to {self.high:g}"

    def has(self, value: Any) -> bool:
        """Tell whether it may have a value."""
        if self.target:
            return isinstance(value, str) and bool(value)
        if self.choices:
            return any(type(value) is type(one) and value == one for one in self.choices)
        sort = int if self.whole else (int, float)
        return isinstance(value, sort) and not isinstance(value, bool) and math.isfinite(value) and self.low <= value <= self.high


def complete(fault: str, arguments: Sequence[Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with the defaults of what is left out. Raises InvalidScenario for what a fault does not take."""
    known = {one.name: one for one in arguments}
    for name, value in given.items():
        if name == "target":
            continue
        if name not in known:
            raise InvalidScenario(f"args.{name} is not known to {fault}", hint=near(name, ("target", *known)))
        if not known[name].has(value):
            raise InvalidScenario(f"args.{name} must be {known[name].words}", hint=f"write for example {name}: {known[name].default}")
    return {**{one.name: one.default for one in arguments}, **given}


def near(name: str, names: Iterable[str]) -> str:
    """Return a hint: what was meant, or what there is."""
    names = list(names)
    found = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {found[0]}?" if found else f"known: {', '.join(names[:6])}"
