"""Which properties held under which class of faults: counted over all examples of a campaign.

An example counts for each class of which a fault *bit* in it; one without steps counts for :data:`NO_FAULT`. A property is violated in it
if a violation is an error or a warning: remarks of level info say what is meant to be so, or is beyond what is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from kchaos.check.property import Property, Severity
from kchaos.engine.cases import NO_FAULT, Example


class Violated(msgspec.Struct, frozen=True, kw_only=True):
    """In how many examples, and what was done in the first of them."""

    examples: int
    first: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One property, and the classes of faults under which it was violated."""

    id: str
    name: str
    violated: dict[str, Violated] = {}
    judged: dict[str, int] | None = None
    """Of a user's property: in how many examples of each class it was put to the test; None: in all."""


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """``classes``: for each class of faults in how many examples one of them bit, 0 if never; ``properties``: all that were judged."""

    classes: dict[str, int] = {}
    properties: tuple[Judged, ...] = ()


def matrix(examples: Iterable[Example], klass: Mapping[str, str], properties: Sequence[Property]) -> Matrix:
    """Count. ``klass``: of each fault by name, in the order in which classes are shown."""
    classes = dict.fromkeys((NO_FAULT, *klass.values()), 0)
    violated: dict[str, dict[str, Violated]] = {prop.id: {} for prop in properties}
    judged: dict[str, dict[str, int]] = {prop.id: dict.fromkeys(classes, 0) for prop in properties if prop.file}
    for one in examples:
        met = _classes(one, klass)
        for name in met:
            classes[name] += 1
            for ident in one.exercised:
                judged[ident][name] += 1
        broken = dict.fromkeys(ident for ident, violation in one.violations if violation.severity is not Severity.INFO)
        for ident in broken:
            row = violated.setdefault(ident, {})
            for name in met:
                before = row.get(name)
                row[name] = Violated(examples=before.examples + 1 if before else 1, first=before.first if before else one.label)
    rows = (Judged(id=prop.id, name=prop.name, violated=violated[prop.id], judged=judged.get(prop.id)) for prop in properties)
    return Matrix(classes=classes, properties=tuple(rows))


def added(parts: Sequence[Matrix]) -> Matrix:
    """Return the matrix of several parts of one campaign; which failure was the first is told by the first part that has one."""
    classes = {name: sum(one.classes.get(name, 0) for one in parts) for name in parts[0].classes}
    rows = [_added(judged) for judged in zip(*(one.properties for one in parts), strict=True)]
    return Matrix(classes=classes, properties=tuple(rows))


def _added(rows: Sequence[Judged]) -> Judged:
    violated: dict[str, Violated] = {}
    for row in rows:
        for name, found in row.violated.items():
            before = violated.get(name)
            violated[name] = Violated(examples=before.examples + found.examples, first=before.first) if before else found
    judged = rows[0].judged
    if judged is not None:
        judged = {name: sum((row.judged or {}).get(name, 0) for row in rows) for name in judged}
    return msgspec.structs.replace(rows[0], violated=violated, judged=judged)


def _classes(one: Example, klass: Mapping[str, str]) -> tuple[str, ...]:
    if not one.steps:
        return (NO_FAULT,)
    return tuple(dict.fromkeys(klass[line["name"]] for line in one.report if line["status"] == "bit"))
