"""What a campaign says of the properties of users beside their findings: objects that are not there, what was never put to the test."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from kchaos.check.property import Context, Property, Severity
from kchaos.check.verdict import Finding
from kchaos.engine.booting import Boot
from kchaos.engine.cases import Example
from kchaos.engine.result import PropertyResult
from kchaos.errors import InvalidScenario, Location
from kchaos.history.view import View
from kchaos.models.manifests.notes import Note
from kchaos.properties.own.declared import UNDECIDED, Declared
from kchaos.properties.own.expression import compiled, keys_of
from kchaos.properties.own.state import State

KNOWN = 6
"""Names that are told of what there is."""


def refuse_unknown_keys(declared: Sequence[Declared], booted: Boot) -> None:
    """Raise InvalidScenario if an expression names a workload or a Service that is not in the input: it could never be evaluated."""
    state = State(Context(View(booted.image.store.tables)))
    what = {"workloads": "workload", "endpoints": "Service"}
    state.need(what)
    for one in declared:
        expressions = [compiled(source) for source in (one.says, one.when) if isinstance(source, str) and source]
        for table in what:
            names = sorted(state.tables[table].rows)
            for key in keys_of(expressions, table):
                if key in names:
                    continue
                near = difflib.get_close_matches(key, names, n=1)
                there = f"known: {', '.join(names[:KNOWN])}{' …' if len(names) > KNOWN else ''}" if names else "the input has none"
                hint = f"did you mean {near[0]}?" if near else there
                raise InvalidScenario(f"{one.id}: no {what[table]} {key} in the input", location=Location(one.file, one.line), hint=hint)


def never_exercised(properties: Iterable[Property], examples: Sequence[Example]) -> Iterator[Note]:
    """Say which properties no example put to the test: that they hold says nothing."""
    met = dict.fromkeys(ident for one in examples for ident in one.exercised)
    undecided = dict.fromkeys(ident for one in examples for ident, violation in one.violations if violation.figures.get(UNDECIDED))
    for prop in properties:
        if prop.id not in met and prop.id not in undecided and examples:
            text = f"{prop.id} was never exercised: in no example was there a moment to judge it ({prop.claim})"
            yield Note(
                "KC331", "warning", prop.file, prop.line, text, "widen `when`, or choose faults that bring it about", f"property/{prop.id}"
            )


def undecided_in(findings: Iterable[Finding]) -> list[str]:
    """Return in words what properties of users could not be told."""
    return [f"{one.id}: {one.summary}" for one in findings if one.figures.get(UNDECIDED) and not one.accepted]


def own_properties(properties: Iterable[Property], examples: Sequence[Example]) -> tuple[PropertyResult, ...]:
    """Return the properties of users for the result."""
    counts: dict[str, int] = {}
    broken: dict[str, int] = {}
    for one in examples:
        bad = dict.fromkeys(ident for ident, violation in one.violations if violation.severity is not Severity.INFO)
        for table, idents in ((counts, one.exercised), (broken, tuple(bad))):
            for ident in idents:
                table[ident] = table.get(ident, 0) + 1
    return tuple(
        PropertyResult(
            id=prop.id, name=prop.name, claim=prop.claim, source=prop.source, file=prop.file, line=prop.line, liveness=prop.liveness,
            exercised=counts.get(prop.id, 0), violated=broken.get(prop.id, 0),
        )
        for prop in properties
    )  # fmt: skip
