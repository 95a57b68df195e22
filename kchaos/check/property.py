"""Properties: named claims with a source, folded over a run entry by entry.

A property is data plus a factory of monitors. A monitor lists what it wants to see (kinds of objects, sorts of marks); entries are
dispatched by that, so a property costs nothing for what does not concern it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from kchaos.history.record import CORRUPTION, Entry, Mark, Write
from kchaos.history.view import View


class Severity(StrEnum):
    """How bad a finding is; see ``docs/finding.md``."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """Return 0 for the worst."""
        return ("error", "warning", "info").index(self.value)


class Guarantee(StrEnum):
    """When the real system promises the claim."""

    ALWAYS = "always"
    WITHOUT_FAULTS = "without faults"
    AS_SEEN = "as the component saw it"
    UNTIL_FORCED = "until forced"


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One breach of a claim, at ``t`` seconds: by which object, in words, with figures."""

    t: float
    object: str
    """``kind/namespace/name`` of the object at fault, as the user knows it."""
    summary: str
    severity: Severity = Severity.ERROR
    root: str = ""
    """What the finding is grouped by: violations of one property with the same root are one finding."""
    advice: str = ""
    figures: dict[str, Any] = {}


class Context:
    """What a monitor may know beyond the entry at hand.

    ``view`` holds all objects as of *before* the entry that a handler is given; ``settings`` are the user's expectations; ``facts``
    are figures of the scenario (constants, topology); ``shared`` is what monitors of one run keep in common, by its type.
    """

    def __init__(self, view: View | None = None, settings: dict[str, Any] | None = None, facts: dict[str, Any] | None = None) -> None:
        self.view = view if view is not None else View()
        self.settings = settings or {}
        self.facts = facts or {}
        self.shared: dict[type, Any] = {}


class Monitor(Protocol):
    """The state of one property over one run."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        """Return the handler of each resource of interest."""

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        """Return the handler of each sort of mark of interest."""

    def finish(self, t: float) -> Iterable[Violation]:
        """Return what only the end of the run shows."""


class BaseMonitor:
    """A monitor that looks at nothing; override what matters."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        """Return no handler."""
        return {}

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        """Return no handler."""
        return {}

    def finish(self, t: float) -> Iterable[Violation]:
        """Return nothing."""
        return ()


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """A named claim. ``number`` is its place in the specification list, ``id`` is stable across versions.

    ``file`` and ``line``: where a user has declared it; empty for those of kchaos.
    """

    id: str
    name: str
    claim: str
    source: str
    guarantee: Guarantee
    liveness: bool = False
    number: str = ""
    monitor: Callable[[Context], Monitor]
    file: str = ""
    line: int = 0


class Monitors:
    """All properties over one run: feed it entries as they happen, then :meth:`finish`."""

    def __init__(self, properties: Iterable[Property], context: Context) -> None:
        self.violations: list[tuple[Property, Violation]] = []
        self._view = context.view
        self._writes: dict[str, list[tuple[Property, Callable[[Write], Iterable[Violation]]]]] = {}
        self._marks: dict[str, list[tuple[Property, Callable[[Mark], Iterable[Violation]]]]] = {}
        self._all: list[tuple[Property, Monitor]] = []
        for one in properties:
            monitor = one.monitor(context)
            self._all.append((one, monitor))
            for resource, on_write in monitor.writes().items():
                self._writes.setdefault(resource, []).append((one, on_write))
            for what, on_mark in monitor.marks().items():
                self._marks.setdefault(what, []).append((one, on_mark))

    def feed(self, entry: Entry) -> None:
        """Show one entry to the monitors that want it; a corruption of the store is seen by the view alone."""
        if isinstance(entry, Write) and entry.actor == CORRUPTION:
            pass
        elif isinstance(entry, Write):
            for prop, on_write in self._writes.get(entry.resource, ()):
                for violation in on_write(entry):
                    self.violations.append((prop, violation))
        else:
            for prop, on_mark in self._marks.get(entry.what, ()):
                for violation in on_mark(entry):
                    self.violations.append((prop, violation))
        self._view.apply(entry)

    def exercised(self) -> tuple[str, ...]:
        """Return the ids of the properties that say that they were put to the test."""
        return tuple(prop.id for prop, monitor in self._all if getattr(monitor, "exercised", False))

    def finish(self, t: float) -> list[tuple[Property, Violation]]:
        """Return all violations, those that only the end shows included, in the order found."""
        for prop, monitor in self._all:
            for violation in monitor.finish(t):
                self.violations.append((prop, violation))
        return self.violations
