"""Violations and remarks to findings: one per root cause, with the object's file and line, and the example that shows it best."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kchaos.check.property import Property, Severity, Violation
from kchaos.check.verdict import Finding, fingerprint
from kchaos.engine.campaign import Done
from kchaos.engine.cases import Example
from kchaos.engine.settings import Accept
from kchaos.models.manifests.load import Manifest
from kchaos.models.manifests.notes import BY_ID, Note
from kchaos.properties.catalog import CATALOG


class Shown(NamedTuple):
    """A finding and the example that shows it, if any."""

    finding: Finding
    example: Example | None


def of_examples(done: Done, manifests: Mapping[str, Manifest], accepts: Sequence[Accept], own: Sequence[Property] = ()) -> list[Shown]:
    """Return findings of all examples, the worst first. ``own``: the properties of users."""
    known = {**CATALOG, **{prop.id: prop for prop in own}}
    groups: dict[tuple[str, str], list[tuple[Example, Violation]]] = {}
    for one in done.examples:
        for ident, violation in one.violations:
            groups.setdefault((ident, violation.root or violation.object), []).append((one, violation))
    return [_finding(known[ident], root, members, manifests, accepts) for (ident, root), members in groups.items()]


def _finding(
    prop: Property, root: str, members: list[tuple[Example, Violation]], manifests: Mapping[str, Manifest], accepts: Sequence[Accept]
) -> Shown:
    worst = min(violation.severity.rank for _, violation in members)
    best_example, best = min(
        ((e, v) for e, v in members if v.severity.rank == worst),
        key=lambda pair: (
            len(pair[0].steps),
            -float(pair[1].figures.get("outage_s", pair[1].figures.get("lost_requests", 0.0))),
            pair[0].number,
        ),
    )
    affected = tuple(dict.fromkeys(violation.object for _, violation in members))
    faults = tuple(dict.fromkeys(one.label for one, _ in members))
    print_ = fingerprint(prop.id, root)
    manifest = manifests.get(best.object) or next((manifests[name] for name in affected if name in manifests), None)
    figures = dict(best.figures)
    others = len(affected) - 1
    summary = best.summary + (f" (and {others} more like it)" if others else "")
    finding = Finding(
        id=prop.id, property=prop.name, severity=best.severity, summary=summary, object=best.object, fingerprint=print_,
        file=prop.file or (manifest.file if manifest else ""), line=prop.line or (manifest.line if manifest else 0), fault=best_example.label, t=round(best.t, 3),
        affected=affected, faults=faults, examples=len({one.number for one, _ in members}), advice=best.advice, figures=figures,
        accepted=accepted(accepts, prop.id, print_, affected),
    )  # fmt: skip
    return Shown(finding, best_example)


def of_notes(notes: Sequence[Note], accepts: Sequence[Accept]) -> list[Shown]:
    """Return findings of the loader's and the checks' remarks that are errors, warnings or unknowns."""
    out: list[Shown] = []
    groups: dict[tuple[str, str], list[Note]] = {}
    for note in notes:
        if note.level == "info":
            continue
        groups.setdefault((note.rule, note.object or f"{note.file}:{note.message}"), []).append(note)
    for (rule, root), members in groups.items():
        note = members[0]
        more = f" (and {len(members) - 1} more)" if len(members) > 1 else ""
        severity = Severity.ERROR if any(m.level == "error" for m in members) else Severity.WARNING
        if all(m.level == "unknown" for m in members):
            severity = Severity.INFO
        print_ = fingerprint(rule, root)
        finding = Finding(
            id=rule, property=BY_ID[rule].name, severity=severity, summary=note.message + more, object=note.object, fingerprint=print_,
            file=note.file, line=note.line, affected=(note.object,) if note.object else (), advice=note.hint, examples=0,
            accepted=accepted(accepts, rule, print_, (note.object,)), figures={"unknown": True} if severity is Severity.INFO else {},
        )  # fmt: skip
        out.append(Shown(finding, None))
    return out


def accepted(accepts: Sequence[Accept], ident: str, print_: str, affected: Sequence[str]) -> str:
    """Return why kchaos.yaml accepts a finding, empty if it does not."""
    for one in accepts:
        if one.fingerprint and not print_.startswith(one.fingerprint):
            continue
        if one.id and one.id != ident:
            continue
        if one.object and any(one.object not in (name, name.partition("/")[2]) for name in affected):
            continue
        return f"{one.reason} ({one.date})"
    return ""


def order(shown: Sequence[Shown], known: Collection[str] = ()) -> list[Shown]:
    """Return findings, the worst and most telling first: what is wrong without any fault comes first, accepted ones last.

    Those whose fingerprint is ``known`` come after the new. A remark that says what a finding says already is left out.
    """
    said = {(s.finding.id, s.finding.object, s.finding.summary) for s in shown if s.finding.severity is not Severity.INFO}
    shown = [
        s for s in shown
        if s.finding.severity is not Severity.INFO or (s.finding.id, s.finding.object, s.finding.summary) not in said
    ]  # fmt: skip
    return sorted(
        shown,
        key=lambda s: (
            bool(s.finding.accepted),
            s.finding.fingerprint in known,
            s.finding.severity.rank,
            bool(s.example and s.example.steps),
            -s.finding.examples,
            s.finding.id,
            s.finding.fingerprint,
        ),
    )
