"""What a fault is: frozen data, a way to inject it, its undo, and the evidence that it bit.

A backend registers kinds in a :class:`Catalog`; a scenario's step names one and gives its arguments. A fault without evidence is
*inert*: it never counts as survived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from kchaos.errors import InvalidScenario

Evidence = dict[str, int | float | str]
C = TypeVar("C")


class Active(Protocol):
    """A fault that has been injected."""

    def undo(self) -> None:
        """Heal it; called once. A fault that has ended by itself does nothing."""

    def evidence(self) -> Evidence:
        """Return counters of what it really did; all zero or empty means inert."""


class Once:
    """An :class:`Active` for what is done at once and has no undo."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def undo(self) -> None:
        """Do nothing."""

    def evidence(self) -> Evidence:
        """Return what was done."""
        return self._evidence


class Kind(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """One kind of fault or user operation.

    ``klass``: process, network, disk, clock, api, node, zone, container, workload. ``planned``: somebody means to do it (drain,
    rollout, scale), so an application should lose nothing. ``target``: what ``args["target"]`` names. ``evidence`` says what counts.
    ``level1``: part of the sweep that asks the obvious questions; the others are tried when they are named.
    """

    name: str
    summary: str
    klass: str
    target: str
    planned: bool = False
    operation: bool = False
    level1: bool = True
    evidence: str = ""
    inject: Callable[[C, dict[str, Any]], Active]


class Catalog(Generic[C]):
    """The kinds that one backend knows, in the order in which they were registered."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind[C]] = {}

    def add(self, kind: Kind[C]) -> Kind[C]:
        """Register one kind."""
        if kind.name in self._kinds:
            raise ValueError(f"fault {kind.name} is registered twice")
        self._kinds[kind.name] = kind
        return kind

    def __iter__(self) -> Iterator[Kind[C]]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def get(self, name: str) -> Kind[C]:
        """Return the kind of that name. Raises InvalidScenario with near misses."""
        found = self._kinds.get(name)
        if found is None:
            import difflib

            near = difflib.get_close_matches(name, self._kinds, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "`kchaos faults` lists what exists"
            raise InvalidScenario(f"no such fault: {name}", hint=hint)
        return found


def bit(evidence: Evidence) -> bool:
    """Tell whether evidence shows that a fault did something."""
    return any(bool(value) for value in evidence.values())
