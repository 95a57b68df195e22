"""``kchaos.yaml``: what the user knows of the application and YAML does not tell; with its JSON Schema.

::

    version: 1
    kubernetes: "1.34"
    defaults: {start_s: 10}
    workloads:
      shop/web: {start_s: 3, outage_s: 30, requests_per_s: 50}
      shop/db:  {quorum: 2}
    accept:
      - {id: KC202, object: Deployment/shop/web, reason: batch only, date: 2026-11-01}
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import msgspec

from kchaos.errors import InvalidScenario, Location
from kchaos.models.cluster import AssumptionTable
from kchaos.models.manifests.yamltree import Document, Problem, line_of, parse
from kchaos.models.node.assumptions import DEFAULTS, Assumptions

FILE = "kchaos.yaml"


class Accept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that is known: by rule id or fingerprint, of one object or of all; why, and since when."""

    reason: str
    date: str
    id: str = ""
    fingerprint: str = ""
    object: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. ``workloads``: namespace/name -> assumptions that differ from ``defaults``."""

    version: int = 1
    kubernetes: str = ""
    defaults: dict[str, Any] = {}
    workloads: dict[str, dict[str, Any]] = {}
    accept: tuple[Accept, ...] = ()

    def default(self) -> Assumptions:
        """Return the assumptions of a workload that is not named."""
        return msgspec.structs.replace(DEFAULTS, **self.defaults)

    def table(self) -> AssumptionTable:
        """Return the assumptions of all workloads."""
        base = self.default()
        return AssumptionTable({key: msgspec.structs.replace(base, **own) for key, own in self.workloads.items()}, base)

    def expectations(self) -> dict[str, Any]:
        """Return what properties look at: per workload quorum and outage_s."""
        out: dict[str, Any] = {}
        for key, own in self.workloads.items():
            out[key] = {name: own[name] for name in ("quorum", "outage_s") if own.get(name) is not None}
        if self.defaults.get("outage_s"):
            out["*"] = {"outage_s": self.defaults["outage_s"]}
        return {"workloads": out}


def load_settings(path: Path) -> Settings:
    """Read a kchaos.yaml. Raises InvalidScenario with line and hint."""
    where = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidScenario(f"can't read it: {error}", location=Location(where)) from error
    value: Any = {}
    node: Any = None
    for item in parse(text):
        if isinstance(item, Problem):
            if item.fatal:
                raise InvalidScenario(item.message, location=Location(where, item.line), hint=item.hint)
        elif isinstance(item, Document):
            value, node = item.value, item.node
    if not isinstance(value, dict):
        raise InvalidScenario("not a mapping", location=Location(where, 1), hint="write for example `workloads:`")
    if value.get("version", 1) != 1:
        raise InvalidScenario(f"version {value['version']} is not known", location=_at(where, node, "version"), hint="write version: 1")
    _check(value, Settings, where, node, "")
    _check(value.get("defaults") or {}, Assumptions, where, node, "defaults.")
    for key, own in (value.get("workloads") or {}).items():
        if "/" not in str(key):
            hint = "write namespace/name, such as default/web"
            raise InvalidScenario(f"not a workload: {key}", location=_at(where, node, f"workloads.{key}"), hint=hint)
        _check(own or {}, Assumptions, where, node, f"workloads.{key}.")
    try:
        settings = msgspec.convert(value, Settings, strict=False)
        for own in [settings.defaults, *settings.workloads.values()]:
            msgspec.convert(own, Assumptions)
    except msgspec.ValidationError as error:
        raise InvalidScenario(str(error), location=Location(where), hint="`kchaos schema` prints what is allowed") from error
    for index, one in enumerate(settings.accept):
        if not one.id and not one.fingerprint:
            at = _at(where, node, f"accept[{index}]")
            raise InvalidScenario("an accepted finding needs its id or fingerprint", location=at, hint="write id: KC202")
    return settings


def _at(where: str, node: Any, path: str) -> Location:
    return Location(where, line_of(node, path) if node is not None else 0)


def _check(value: Any, type_: Any, where: str, node: Any, prefix: str) -> None:
    if not isinstance(value, dict):
        raise InvalidScenario(f"{prefix.rstrip('.')} must be a mapping", location=_at(where, node, prefix.rstrip(".")))
    known = [field.name for field in msgspec.structs.fields(type_)]
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InvalidScenario(f"unknown setting {key}", location=_at(where, node, f"{prefix}{key}"), hint=hint)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of kchaos.yaml."""
    found = msgspec.json.schema(Settings)
    assumptions = msgspec.json.schema(Assumptions)
    fields = assumptions["$defs"]["Assumptions"]
    fields["additionalProperties"] = False
    found["$defs"]["Assumptions"] = fields
    properties = found["$defs"]["Settings"]["properties"]
    properties["defaults"] = {"$ref": "#/$defs/Assumptions"}
    properties["workloads"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Assumptions"}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE, **found}
