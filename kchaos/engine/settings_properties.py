"""``properties:`` of kchaos.yaml: what users claim of their own application, as declarations; what of it can't be used, and why.

::

    properties:
      - {id: SHOP-1, title: the shop keeps two pods ready, always: 'workloads["shop/web"].ready >= 2', for_s: 10}
      - {id: SHOP-2, title: its endpoints come back, eventually: 'endpoints["shop/web"].ready == 3', within_s: 120}
      - {id: SHOP-3, title: never two on one node, never: '…', source: SLO 2026-03}
      - {python: checks.py}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from kchaos.check.property import Severity
from kchaos.engine.declarations import IDENT, SETTLE_S, At, check, ident_of
from kchaos.engine.decorators import declared_in
from kchaos.errors import InvalidScenario, Location
from kchaos.models.faults.catalog import catalog
from kchaos.properties.own.declared import FORMS, Declared
from kchaos.properties.own.expression import compiled

Bound = Annotated[float, msgspec.Meta(ge=0)]


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry: a property with one of always, never and eventually; or ``python``, a file that declares some."""

    id: str = ""
    title: str = ""
    always: str = ""
    never: str = ""
    eventually: str = ""
    when: str = ""
    for_s: Bound = 0.0
    within_s: Bound | None = None
    severity: Severity = Severity.ERROR
    source: str = ""
    except_during: tuple[str, ...] = ()
    faults_at_once: Annotated[int, msgspec.Meta(ge=0)] | None = None
    python: str = ""


def declarations(
    written: Sequence[Written], raw: Sequence[dict[str, Any]], at: Callable[[int, str], Location], folder: Path
) -> tuple[Declared, ...]:
    """Return the declarations. Raises InvalidScenario with the line of the first that can't be used."""
    found: list[Declared] = []
    for index, one in enumerate(written):

        def where(field: str = "", index: int = index) -> Location:
            return at(index, field)

        new = _python(one, raw[index], where, folder) if one.python else [_declared(one, raw[index], where)]
        for declared in new:
            if any(declared.id == other.id for other in found):
                raise InvalidScenario(
                    f"the id {declared.id} stands twice", location=where("id"), hint="give each property an id of its own"
                )
            found.append(declared)
    return tuple(found)


def _python(one: Written, raw: dict[str, Any], at: At, folder: Path) -> list[Declared]:
    more = [name for name in raw if name != "python"]
    if more:
        raise InvalidScenario(f"{more[0]} stands beside python", location=at(more[0]), hint="the file itself says it: leave it out")
    file = folder / one.python
    if not file.is_file():
        raise InvalidScenario(f"no such file: {one.python}", location=at("python"), hint="write its path from this file's folder on")
    return declared_in(str(file))


def _declared(one: Written, raw: dict[str, Any], at: At) -> Declared:
    ident_of(one.id, at)
    if not one.title:
        raise InvalidScenario(f"{one.id} has no title", location=at(""), hint="write title: what is claimed, in words")
    forms = [form for form in FORMS if form in raw]
    if len(forms) != 1:
        what = f"{' and '.join(forms)} at once" if forms else "none of always, never and eventually"
        raise InvalidScenario(f"{one.id} has {what}", location=at(forms[1] if forms else ""), hint="write one of them in each property")
    form = forms[0]
    for field in (form, "when"):
        if field in raw:
            _expression(getattr(one, field), field, at)
    made = Declared(
        id=one.id, title=" ".join(one.title.split()), form=form, says=getattr(one, form), when=one.when, for_s=one.for_s, within_s=one.within_s,
        severity=one.severity, source=one.source, except_during=one.except_during, faults_at_once=one.faults_at_once,
        file=at("").file, line=at("").line,
    )  # fmt: skip
    check(made, at)
    return made


def _expression(source: str, field: str, at: At) -> None:
    try:
        compiled(source)
    except InvalidScenario as error:
        raise InvalidScenario(f"{field}: {error.message}", location=at(field), hint=error.hint) from error


def schema_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry with what is refused."""
    fields = found["properties"]
    text = {"type": "string", "minLength": 1, "pattern": r"\S"}
    for name in ("title", *FORMS, "when", "python"):
        fields[name] = text
    fields["id"] = {"type": "string", "pattern": f"^(?![Kk][Cc][0-9]){IDENT}$"}
    fields["for_s"]["maximum"] = SETTLE_S
    fields["within_s"] = {"anyOf": [{"type": "number", "minimum": 0, "maximum": SETTLE_S}, {"type": "null"}], "default": None}
    fields["except_during"]["items"] = {"enum": [kind.name for kind in catalog()]}
    no_within = {"properties": {"within_s": {"const": None}}}
    lasting = [{"required": ["id", "title", form], **no_within, "not": {"required": ["python"]}} for form in FORMS[:2]]
    later = {
        "required": ["id", "title", "eventually"], "properties": {"for_s": {"const": 0}}, "not": {"required": ["python"]},
        "dependentSchemas": {"when": {"required": ["within_s"], "properties": {"within_s": {"type": "number"}}}},
    }  # fmt: skip
    return {**found, "oneOf": [*lasting, later, {"required": ["python"], "maxProperties": 1}]}
