"""``kchaos.yaml``: what the user knows of the application and YAML does not tell; with its JSON Schema.

::

    version: 1
    kubernetes: "1.34"
    defaults: {start_s: 10}
    workloads:
      shop/web: {start_s: 3, outage_s: 30, requests_per_s: 50}
      shop/db:  {quorum: 2}
      shop/operator: {calls: [{verb: list, resource: pods}, {verb: update, resource: leases, name: leader, needed: true}]}
    webhooks:
      validate.shop.example: {answers: timeout}
    accept:
      - {id: KC202, object: Deployment/shop/web, reason: batch only, date: 2026-11-01}
    properties:
      - {id: SHOP-1, title: the shop keeps two pods ready, always: 'workloads["shop/web"].ready >= 2'}
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import io
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kchaos.check.property import Severity
from kchaos.engine.declarations import IDENT
from kchaos.engine.settings_calls import call_schema, operation_schema, wrong_call, wrong_operation
from kchaos.engine.settings_properties import Written, declarations, schema_of
from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.versions import SUPPORTED
from kchaos.models.cluster import AssumptionTable
from kchaos.models.manifests.notes import BY_ID
from kchaos.models.manifests.yamltree import Document, Problem, line_of, parse
from kchaos.models.node.apicall import VERBS, ApiCall
from kchaos.models.node.assumptions import DEFAULTS, Assumptions, assume
from kchaos.models.security.webhooks import ANSWERS, WebhookTable
from kchaos.properties.catalog import CATALOG
from kchaos.properties.own.declared import Declared

FILE = "kchaos.yaml"
WORKLOAD = r"[^/]+/[^/]+"
"""A key of ``workloads``: namespace/name."""
OBJECT = r"(Deployment|StatefulSet|DaemonSet|ReplicaSet|ReplicationController|Pod)/[^/]+/[^/]+"
"""A workload that answers webhooks."""
QUANTITY = r"[+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?"
DATE = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
IDS = tuple(sorted((*CATALOG, *BY_ID)))
"""Rules that a finding may be of."""
T = TypeVar("T")


class Accept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that is known: by rule id or fingerprint, of one object or of all; why, and since when."""

    reason: str
    date: str
    id: str = ""
    fingerprint: str = ""
    object: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. ``workloads``: namespace/name -> assumptions that differ from ``defaults``.

    ``webhooks``: the name of a webhook or of its configuration -> what it answers.
    """

    version: int = 1
    kubernetes: str = ""
    defaults: dict[str, Any] = {}
    workloads: dict[str, dict[str, Any]] = {}
    webhooks: dict[str, dict[str, Any]] = {}
    accept: tuple[Accept, ...] = ()
    properties: tuple[Written, ...] = ()

    def places(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the assumptions that were written, each with its path."""
        return [("defaults", self.defaults), *((f"workloads.{key}", own) for key, own in self.workloads.items())]

    def at(self, path: str) -> Location:
        """Return where a field stands, such as ``workloads.shop/web.quorum``."""
        return Location(FILE)

    def declared(self) -> tuple[Declared, ...]:
        """Return the properties of users."""
        return ()

    def default(self) -> Assumptions:
        """Return the assumptions of a workload that is not named."""
        return assume(DEFAULTS, self.defaults)

    def table(self) -> AssumptionTable:
        """Return the assumptions of all workloads."""
        base = self.default()
        return AssumptionTable({key: assume(base, own) for key, own in self.workloads.items()}, base)

    def answers(self) -> dict[str, WebhookTable]:
        """Return what webhooks answer."""
        return {name: msgspec.convert(own, WebhookTable) for name, own in self.webhooks.items()}

    def expectations(self) -> dict[str, Any]:
        """Return what properties look at: quorum and outage_s per workload, and under ``*`` those of all others."""
        return {"workloads": {
            key: {name: own[name] for name in ("quorum", "outage_s") if own.get(name) is not None}
            for key, own in {**self.workloads, "*": self.defaults}.items()
        }}  # fmt: skip


class SettingsFile(Settings, frozen=True, kw_only=True):
    """Settings that were read from a file, and where in it things stand: its name and hash, and the lines of fields by path."""

    file: str = FILE
    sha256: str = ""
    lines: dict[str, int] = {}
    declarations: tuple[Declared, ...] = ()

    def at(self, path: str) -> Location:
        """Return where a field stands."""
        return Location(self.file, self.lines.get(path, 0))

    def declared(self) -> tuple[Declared, ...]:
        """Return the properties of users."""
        return self.declarations


def load_settings(path: Path) -> Settings:
    """Read a kchaos.yaml. Raises InvalidScenario with line and hint."""
    where = str(path)
    try:
        data = path.read_bytes()
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig").read()
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else ""
        why = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InvalidScenario(f"can't read it: {why}", location=Location(where), hint=hint) from error
    except UnicodeDecodeError as error:
        raise InvalidScenario("can't read it: not UTF-8 text", location=Location(where), hint="save the file as UTF-8") from error
    documents: list[Document] = []
    for item in parse(text):
        if isinstance(item, Problem):
            raise InvalidScenario(item.message, location=Location(where, item.line), hint=item.hint)
        documents.append(item)
    if len(documents) > 1:
        raise InvalidScenario("more than one document", location=Location(where, documents[1].line), hint="remove the `---`")
    if not documents:
        return Settings()
    found = _settings(documents[0].value, where, documents[0].node)
    return msgspec.structs.replace(found, sha256=hashlib.sha256(data).hexdigest())


def _settings(value: Any, where: str, node: Any) -> SettingsFile:
    if not isinstance(value, dict):
        raise InvalidScenario("not a mapping", location=Location(where, 1), hint="write for example `workloads:`")
    if value.get("version", 1) != 1 or isinstance(value.get("version"), bool):
        raise InvalidScenario("this version is not known", location=_at(where, node, "version"), hint="write version: 1")
    value = {**value, "kubernetes": _version(value["kubernetes"], _at(where, node, "kubernetes"))} if "kubernetes" in value else value
    settings = _convert(value, Settings, where, node, "")
    declared = declarations(
        settings.properties, value.get("properties", ()), lambda i, field: _at(where, node, f"properties[{i}].{field}"), Path(where).parent
    )
    theirs = [one.id for one in declared]
    _assumptions(settings.defaults, where, node, "defaults")
    for key, own in settings.workloads.items():
        if re.fullmatch(WORKLOAD, key) is None:
            hint = f"write namespace/name, such as {key.partition('/')[2] if key.count('/') == 2 else 'default/web'}"
            raise InvalidScenario(f"not a workload: {key}", location=_at(where, node, f"workloads.{key}"), hint=hint)
        _assumptions(own, where, node, f"workloads.{key}")
    for key, own in settings.webhooks.items():
        prefix = f'webhooks["{key}"]'
        table = _convert(own, WebhookTable, where, node, prefix)
        if table.down_with and re.fullmatch(OBJECT, table.down_with) is None:
            at, hint = _at(where, node, f"{prefix}.down_with"), "write Kind/namespace/name, such as Deployment/default/web"
            raise InvalidScenario(f"not a workload: {table.down_with}", location=at, hint=hint)
        for index, change in enumerate(table.patch):
            if (says := wrong_operation(change)) is not None:
                at = _at(where, node, f"{prefix}.patch[{index}]")
                raise InvalidScenario(says, location=at, hint='write for example {op: add, path: /metadata/labels, value: {a: "1"}}')
    for index, one in enumerate(settings.accept):
        if not one.id and not one.fingerprint:
            at = _at(where, node, f"accept[{index}]")
            raise InvalidScenario("an accepted finding needs its id or fingerprint", location=at, hint="write id: KC202")
        if one.id and one.id not in (*IDS, *theirs):
            near = difflib.get_close_matches(one.id, theirs, n=1) or difflib.get_close_matches(one.id.upper(), IDS, n=1)
            hint = (f"did you mean {near[0]}? " if near else "") + "`kchaos properties` lists them"
            raise InvalidScenario(f"no rule has the id {one.id}", location=_at(where, node, f"accept[{index}].id"), hint=hint)
        try:
            good = re.fullmatch(DATE, one.date) is not None and bool(datetime.date.fromisoformat(one.date))
        except ValueError:
            good = False
        if not good:
            at = _at(where, node, f"accept[{index}].date")
            raise InvalidScenario(f"{one.date!r} is no date", location=at, hint="write year-month-day, such as 2026-11-01")
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return SettingsFile(**fields, file=where, lines=_lines(settings, node), declarations=declared)


def _lines(settings: Settings, node: Any) -> dict[str, int]:
    """Return the lines of what may turn out not to be in the input."""
    paths = [f"workloads.{key}{more}" for key in settings.workloads for more in ("", ".quorum")]
    paths += [f"{place}.calls[{index}].namespace" for place, own in settings.places() for index in range(len(own.get("calls") or ()))]
    paths += [f'webhooks["{key}"]{more}' for key in settings.webhooks for more in ("", ".patch", ".down_with")]
    paths += [f"accept[{index}].object" for index in range(len(settings.accept))]
    return {path: line_of(node, path) for path in paths}


def _version(value: Any, at: Location) -> Any:
    """Return a version as text: 1.34 without quotes is a number, and 1.30 without them is 1.3."""
    if isinstance(value, float) and str(value) in SUPPORTED:
        return str(value)
    if isinstance(value, float):
        raise InvalidScenario(f"kubernetes: {value} may mean more than one version", location=at, hint='write it in quotes: "1.34"')
    if isinstance(value, str) and value and value not in SUPPORTED:
        raise InvalidScenario(f"Kubernetes {value} is not modelled", location=at, hint=f"use one of {SUPPORTED[0]} … {SUPPORTED[-1]}")
    return value


def _assumptions(own: dict[str, Any], where: str, node: Any, prefix: str) -> None:
    found = _convert(own, Assumptions, where, node, prefix)
    for name, value in own.items():
        at = _at(where, node, f"{prefix}.{name}")
        if isinstance(value, int | float) and value < 0:
            raise InvalidScenario(f"{name} can't be negative", location=at, hint="write 0 or more")
    if found.quorum is not None and found.quorum < 1:
        raise InvalidScenario(
            "quorum must be 1 or more", location=_at(where, node, f"{prefix}.quorum"), hint="leave it out for the default"
        )
    if found.memory is not None and re.fullmatch(QUANTITY, found.memory) is None:
        at = _at(where, node, f"{prefix}.memory")
        raise InvalidScenario(f"memory {found.memory!r} is no quantity", location=at, hint='write for example "512Mi"')
    for index, call in enumerate(found.calls):
        if (wrong := wrong_call(call, own["calls"][index])) is not None:
            field, says, hint = wrong
            raise InvalidScenario(says, location=_at(where, node, f"{prefix}.calls[{index}].{field}"), hint=hint)


def _convert(value: Any, type_: type[T], where: str, node: Any, prefix: str) -> T:
    """Return the value as that type; else raise with the line of what does not fit."""
    _check(value, type_, where, node, f"{prefix}." if prefix else "")
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$")
        path = prefix + path.rstrip("`")
        at = _at(where, node, path.removeprefix("."))
        if "[...]" in path:  # a value of a mapping; msgspec does not say which
            group = path.partition("[...]")[0].removeprefix(".")
            key = next((k for k, v in value.get(group, {}).items() if not isinstance(v, dict)), "")
            path = f"{group}.{key}"
            at = _at(where, node, f'{group}["{key}"]')
        hint = _choices(said, path) or _hint(said)
        raise InvalidScenario(f"{path.removeprefix('.')}: {_words(said)}" if path else _words(said), location=at, hint=hint) from error


_KINDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "object": "a mapping", "array": "a list",
    "null": "null",
}  # fmt: skip


def _words(said: str) -> str:
    """Return what msgspec says in words for people."""
    found = re.fullmatch(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`", said)
    least = re.fullmatch(r"Expected `(?:float|int)` >= ([\d.]+)", said)
    if least is not None:
        return f"must be {float(least[1]):g} or more"
    chosen = re.fullmatch(r"Invalid enum value '(.*)'", said)
    if chosen is not None:
        return f"{chosen[1]} is none of them"
    if found is None:
        return said[:1].lower() + said[1:].replace("`", "")
    return f"must be {_KINDS.get(found[1], found[1])}, not {_KINDS.get(found[2], found[2])}"


_CHOICES = {"verb": VERBS, "answers": ANSWERS, "severity": tuple(Severity)}
"""What may stand in fields that are one of a few words."""


def _choices(said: str, path: str) -> str:
    """Return what to write where a word is none of those that may stand there; empty for another mistake."""
    choices = _CHOICES.get(path.rpartition(".")[2], ())
    found = re.fullmatch(r"Invalid enum value '(.*)'", said)
    if found is None or not choices:
        return ""
    near = difflib.get_close_matches(found[1], choices, n=1)
    return f"did you mean {near[0]}?" if near else f"write one of {', '.join(choices)}"


def _hint(said: str) -> str:
    if "got `null`" in said:
        return "remove the key, or write what belongs below it"
    if said.startswith(("Expected `str`", "Expected `str | null`")):
        return "put it in quotes"
    missing = re.search(r"missing required field `(\w+)`", said)
    return f"write {missing[1]}:" if missing else "`kchaos schema` prints what is allowed"


def _at(where: str, node: Any, path: str) -> Location:
    return Location(where, line_of(node, path) if node is not None else 0)


_LISTS: dict[Any, dict[str, Any]] = {Settings: {"accept": Accept, "properties": Written}, Assumptions: {"calls": ApiCall}}
"""Settings that are lists, and of what."""


def _check(value: Any, type_: Any, where: str, node: Any, prefix: str) -> None:
    known = [field.name for field in msgspec.structs.fields(type_)]
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InvalidScenario(f"unknown setting {key}", location=_at(where, node, f"{prefix}{key}"), hint=hint)
    for name, below in _LISTS.get(type_, {}).items():
        for index, one in enumerate(value[name] if isinstance(value.get(name), list) else ()):
            if isinstance(one, dict):
                _check(one, below, where, node, f"{prefix}{name}[{index}].")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of kchaos.yaml."""
    found = msgspec.json.schema(Settings)
    assumptions = msgspec.json.schema(Assumptions)
    fields = assumptions["$defs"]["Assumptions"]
    webhook = found["$defs"]["WebhookTable"] = msgspec.json.schema(WebhookTable)["$defs"]["WebhookTable"]
    webhook["properties"]["down_with"]["pattern"] = f"^({OBJECT})?$"
    webhook["properties"]["patch"]["items"] = operation_schema()
    found["$defs"]["ApiCall"] = call_schema(assumptions["$defs"]["ApiCall"])
    fields["additionalProperties"] = False
    for name, one in fields["properties"].items():
        least = {"minimum": 1 if name == "quorum" else 0}
        if one.get("type") == "number":
            one.update(least)
        for choice in one.get("anyOf", ()):
            if choice.get("type") == "integer":
                choice.update(least)
            elif choice.get("type") == "string":
                choice["pattern"] = f"^{QUANTITY}$"
    found["$defs"]["Accept"]["anyOf"] = [{"required": [name], "properties": {name: {"minLength": 1}}} for name in ("id", "fingerprint")]
    found["$defs"]["Assumptions"] = fields
    properties = found["$defs"]["Settings"]["properties"]
    properties["defaults"] = {"$ref": "#/$defs/Assumptions"}
    properties["kubernetes"] = {"enum": ["", *SUPPORTED, *(float(one) for one in SUPPORTED if str(float(one)) == one)], "default": ""}
    of_users = {"type": "string", "pattern": f"^(?![Kk][Cc][0-9]){IDENT}$"}
    found["$defs"]["Accept"]["properties"]["id"] = {"anyOf": [{"enum": ["", *IDS]}, of_users], "default": ""}
    found["$defs"]["Written"] = schema_of(found["$defs"]["Written"])
    found["$defs"]["Accept"]["properties"]["date"] = {"type": "string", "format": "date", "pattern": f"^{DATE}$"}
    properties["version"] = {"const": 1, "default": 1}
    properties["webhooks"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/WebhookTable"}}
    properties["workloads"] = {
        "type": "object", "additionalProperties": {"$ref": "#/$defs/Assumptions"}, "propertyNames": {"pattern": f"^{WORKLOAD}$"}
    }  # fmt: skip
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE, **found}
