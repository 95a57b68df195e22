"""Planted bugs: small histories that break one rule, each with a healthy twin that differs by the bug alone.

A case is one function with a switch: ``plant(bad, patch)`` tells the same story twice, once with the bug and once without, so that
the twin can't drift away from it. The bug must be found by the property it was planted for; in the twin no property may find anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

from kchaos.check.property import Context, Monitors, Property, Severity, Violation
from kchaos.history.record import Mark, Write
from kchaos.history.view import View
from kchaos.models.api.resources import by_kind
from kchaos.models.api.times import parse
from kchaos.models.apiserver.store import key_of
from kchaos.properties.catalog import CATALOG

Obj = dict[str, Any]
Found = list[tuple[Property, Violation]]
Plant = Callable[[bool, pytest.MonkeyPatch], Found]

MADE = "2026-01-01T00:00:00Z"
EPOCH_S = parse(MADE)


class History:
    """Writes and marks told by hand, judged by all properties as they happen. Starts at 100 s."""

    def __init__(
        self, *existing: Obj, settings: Obj | None = None, facts: Obj | None = None, properties: Iterable[Property] | None = None
    ) -> None:  # fmt: skip
        self.t = 100.0
        self.rv = 1000
        self.view = View()
        for obj in existing:
            resource, key = _place(obj)
            self.view.table(resource)[key] = _versioned(obj, 1)
        self.monitors = Monitors(
            CATALOG.values() if properties is None else properties, Context(self.view, settings, {"epoch_s": EPOCH_S, **(facts or {})})
        )

    def put(self, obj: Obj, by: str = "user") -> Obj:
        """Create an object, or write its new state."""
        resource, key = _place(obj)
        prev = self.view.get(resource, key)
        self.rv += 1
        stored = _versioned(obj, self.rv)
        self.monitors.feed(Write(self.t, "ADDED" if prev is None else "MODIFIED", resource, key, self.rv, by, stored, prev))
        return stored

    def remove(self, obj: Obj, by: str = "user") -> None:
        """Let an object go, ``obj`` being its last state."""
        resource, key = _place(obj)
        self.rv += 1
        self.monitors.feed(Write(self.t, "DELETED", resource, key, self.rv, by, _versioned(obj, self.rv), self.view.get(resource, key)))

    def mark(self, what: str, /, **data: Any) -> None:
        """Tell of anything else."""
        self.monitors.feed(Mark(self.t, what, data))

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.t += seconds

    def end(self, *but: str) -> Found:
        """Return what was found, ``but`` what a history so short is told anyway."""
        return [(prop, violation) for prop, violation in self.monitors.finish(self.t) if prop.id not in but]


def about(found: Found, *idents: str) -> Found:
    """Leave the properties that a story is about, where what it costs the users is not the point."""
    assert set(idents) <= set(CATALOG)
    return [(prop, violation) for prop, violation in found if prop.id in idents]


def _place(obj: Obj) -> tuple[str, str]:
    resource = by_kind(obj["apiVersion"], obj["kind"])
    assert resource is not None, obj["kind"]
    return resource.plural, key_of(obj)


def _versioned(obj: Obj, rv: int) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(rv)}}


class Case(NamedTuple):
    """One planted bug: the property that must find it, the root under which, and in words what it is."""

    id: str
    root: str
    name: str
    plant: Plant
    severity: Severity

    def __str__(self) -> str:
        return f"{self.id}-{self.name}"

    def check(self, bad: bool, patch: pytest.MonkeyPatch) -> None:
        """Fail if the bug is not found, or if anything is found in the twin."""
        found = self.plant(bad, patch)
        told = [(prop.id, violation.root, violation.severity, violation.summary) for prop, violation in found]
        if bad:
            assert (self.id, self.root, self.severity) in [line[:3] for line in told], told
        else:
            assert told == []


class Cases(list[Case]):
    """The cases of one module; ``@CASES.bug("KC012", "moved")`` adds one."""

    def bug(self, ident: str, root: str, severity: Severity = Severity.ERROR) -> Callable[[Plant], Plant]:
        """Add the decorated function as a case."""

        def add(plant: Plant) -> Plant:
            self.append(Case(ident, root, plant.__name__.strip("_").replace("_", " "), plant, severity))
            return plant

        return add

    def ids(self) -> Iterable[str]:
        """Return the properties for which there is a case."""
        return {case.id for case in self}
