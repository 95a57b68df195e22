"""What a fault is: frozen data, a way to inject it, its undo, and the evidence that it bit.

A backend registers kinds in a :class:`Catalog`; a scenario's step names one and gives its arguments. A fault without evidence is
*inert*: it never counts as survived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from kchaos.errors import InvalidScenario
from kchaos.nemesis.arguments import Argument, complete
from kchaos.nemesis.targets import Resolved

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


class Together:
    """Several injected faults as one :class:`Active`: undone last first, numbers of their evidence added up."""

    def __init__(self, parts: Sequence[Active]) -> None:
        self._parts = tuple(parts)

    def undo(self) -> None:
        """Heal all."""
        for part in reversed(self._parts):
            part.undo()

    def evidence(self) -> Evidence:
        """Return the sums."""
        out: Evidence = {}
        for part in self._parts:
            for name, value in part.evidence().items():
                before = out.get(name, 0)
                out[name] = value if isinstance(value, str) or isinstance(before, str) else before + value
        return out


class Kind(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """One kind of fault or user operation.

    ``klass``: process, network, disk, clock, api, node, zone, container, workload. ``planned``: somebody means to do it (drain,
    rollout, scale), so an application should lose nothing. ``target``: what ``args["target"]`` names. ``evidence`` says what counts.
    ``level1``: part of the sweep that asks the obvious questions; the others are tried when they are named. ``arguments``: what it
    takes beside its target. ``one_pod``: of a workload it takes one pod, so that a target may say which.
    """

    name: str
    summary: str
    klass: str
    target: str
    planned: bool = False
    operation: bool = False
    level1: bool = True
    evidence: str = ""
    arguments: tuple[Argument, ...] = ()
    one_pod: bool = False
    inject: Callable[[C, dict[str, Any]], Active]

    def complete(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Return a step's arguments with all defaults: what ``inject`` is given. Raises InvalidScenario for what it does not take."""
        return complete(self.name, self.arguments, args)


Resolve = Callable[[C, Kind[C], str, str, str], Resolved]
"""Called when a fault fires with (cluster, kind, sort of target, text, and for an argument the name of the step's own target)."""


def _plain(_cluster: Any, _kind: Any, _sort: str, text: str, _of: str) -> Resolved:
    """Take every target for a name."""
    return Resolved((text,))


class Catalog(Generic[C]):
    """The kinds that one backend knows, in the order in which they were registered. ``resolve`` knows its symbolic targets."""

    def __init__(self, resolve: Resolve[C] = _plain) -> None:
        self._kinds: dict[str, Kind[C]] = {}
        self.resolve = resolve

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
