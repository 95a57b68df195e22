"""SARIF 2.1.0: valid whatever the names are, with places that a repository's viewer finds.

The schema here is written by hand after the specification, and stricter: nothing may stand where we write that it does not name. The
official one (sarif-schema-2.1.0.json) is OASIS's, and no copy of it is kept here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.engine.result import Result
from kchaos.models.manifests.notes import BY_ID
from kchaos.properties.catalog import CATALOG
from kchaos.reports.sarif import repository, sarif
from tests.reports.hostile import NASTY, finding, large, result

ROOT = Path("/repository")


def exactly(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no other."""
    return {"type": "object", "properties": required | optional, "required": list(required), "additionalProperties": False}


def many(items: dict[str, Any], unique: bool = False) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "uniqueItems": unique}


TEXT: dict[str, Any] = {"type": "string"}
MESSAGE = exactly({"text": TEXT}, markdown=TEXT)
BAG = {"type": "object"}
NUMBER = {"type": "integer", "minimum": 0}
URI = {"type": "string", "pattern": r"^[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]*$", "not": {"pattern": r"^/|%(?![0-9A-F]{2})"}}
ARTIFACT = exactly({"uri": URI}, uriBaseId={"const": "SRCROOT"})
LOCATION = exactly(
    {},
    physicalLocation=exactly({"artifactLocation": ARTIFACT}, region=exactly({"startLine": {"type": "integer", "minimum": 1}})),
    logicalLocations=many(exactly({"fullyQualifiedName": TEXT, "kind": TEXT}), unique=True),
)
LEVEL = {"enum": ["none", "note", "warning", "error"]}
RULE = exactly({"id": {"type": "string", "pattern": "^KC[0-9]{3}$"}, "name": TEXT}, shortDescription=MESSAGE, fullDescription=MESSAGE,
               help=MESSAGE, helpUri={"type": "string", "format": "uri"}, properties=BAG)  # fmt: skip
INVOCATION = exactly({
    "commandLine": TEXT, "exitCode": {"type": "integer"}, "exitCodeDescription": TEXT, "executionSuccessful": {"type": "boolean"},
    "toolExecutionNotifications": many(exactly({"level": LEVEL, "message": MESSAGE})),
})  # fmt: skip
RESULT = exactly(
    {
        "ruleId": TEXT, "ruleIndex": NUMBER, "level": LEVEL, "message": MESSAGE, "locations": many(LOCATION),
        "partialFingerprints": {"type": "object", "additionalProperties": TEXT}, "properties": BAG,
    },
    suppressions=many(exactly({"kind": {"enum": ["inSource", "external"]}, "status": {"const": "accepted"}, "justification": TEXT}), unique=True),
    baselineState={"enum": ["new", "unchanged", "updated", "absent"]},
)  # fmt: skip
RUN = exactly({
    "tool": exactly({"driver": exactly({"name": TEXT, "version": TEXT, "semanticVersion": TEXT, "rules": many(RULE, unique=True)})}),
    "invocations": many(INVOCATION), "originalUriBaseIds": {"type": "object", "additionalProperties": exactly({"description": MESSAGE})},
    "artifacts": many(exactly({"location": ARTIFACT, "hashes": {"type": "object", "additionalProperties": TEXT}}), unique=True),
    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]}, "results": many(RESULT), "properties": BAG,
})  # fmt: skip
SCHEMA = exactly({"$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"}, "runs": many(RUN)})


def run_of(one: Result, folder: Path = ROOT) -> dict[str, Any]:
    """Return the only run of the document, which is valid."""
    document = json.loads(sarif(one, folder, ROOT))
    jsonschema.validate(document, SCHEMA)
    found: dict[str, Any] = document["runs"][0]
    return found


def placed(file: str, line: int = 3, folder: Path = ROOT) -> dict[str, Any]:
    """Return the location of a finding in a file."""
    one = msgspec.structs.replace(finding("a"), file=file, line=line)
    run = run_of(msgspec.structs.replace(result(("a",)), findings=(one,)), folder)
    found: dict[str, Any] = run["results"][0]["locations"][0]
    return found


@pytest.mark.parametrize("text", NASTY, ids=repr)
def test_hostile_names(text: str) -> None:
    """One name in all places: the document is valid, in UTF-8, and no message holds a control character."""
    run = run_of(result((text,)))
    assert len(run["results"]) == 3
    for one in run["results"]:
        assert "was away" in one["message"]["text"]
        assert all(c.isprintable() or c in "\n\t\u202e" for c in one["message"]["text"])
    json.dumps(run, ensure_ascii=False).encode()


def test_every_rule_has_its_source() -> None:
    """Ids are those of `kchaos properties`; each result points to its rule, also one of a version to come."""
    one = result(("a",))
    strange = msgspec.structs.replace(one.findings[0], id="KC999", property="of-tomorrow")
    run = run_of(msgspec.structs.replace(one, findings=(*one.findings, strange)))
    rules = run["tool"]["driver"]["rules"]
    assert {rule["id"] for rule in rules} == {*CATALOG, *BY_ID, "KC999"}
    for rule in rules[:-1]:
        known = CATALOG.get(rule["id"]) or BY_ID[rule["id"]]
        assert known.source in rule["help"]["text"] and known.claim in rule["help"]["markdown"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [one["ruleId"] for one in run["results"]]


def test_levels_and_suppressions() -> None:
    """Severities are levels; what kchaos.yaml accepts is suppressed, with the reason."""
    run = run_of(result(("a",)))
    assert [one["level"] for one in run["results"]] == ["error", "note", "error"]
    assert [one.get("suppressions") for one in run["results"]] == [
        None,
        None,
        [{"kind": "external", "status": "accepted", "justification": "a (2026)"}],
    ]
    assert run_of(large())["results"][1]["level"] == "warning"


def test_fingerprints() -> None:
    """They are those of kchaos: a moved line makes no new alert."""
    moved = msgspec.structs.replace(finding("a", 7), line=99)
    runs = [run_of(msgspec.structs.replace(result(("a",)), findings=(one,))) for one in (finding("a", 7), moved)]
    assert [run["results"][0]["partialFingerprints"] for run in runs] == [{"kchaosFingerprint/v1": "0000000000000007"}] * 2


def test_places_are_relative_to_the_repository() -> None:
    """From wherever it ran, with absolute and relative paths; spaces and umlauts are encoded."""
    inside = {"artifactLocation": {"uri": "k8s/a%20%C3%BC.yaml", "uriBaseId": "SRCROOT"}, "region": {"startLine": 3}}
    assert placed("k8s/a ü.yaml")["physicalLocation"] == inside
    assert placed("./a ü.yaml", folder=ROOT / "k8s")["physicalLocation"] == inside
    assert placed("../k8s/a ü.yaml", folder=ROOT / "src")["physicalLocation"] == inside
    assert placed("/repository/k8s/a ü.yaml", folder=Path("/elsewhere"))["physicalLocation"] == inside
    assert placed("/etc/a.yaml", 0)["physicalLocation"] == {"artifactLocation": {"uri": "file:///etc/a.yaml"}}
    assert set(placed("-")) == set(placed("")) == {"logicalLocations"}


def test_the_repository(tmp_path: Path) -> None:
    """The nearest folder above with .git (a folder, or a file in a worktree); without one the folder itself."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert repository(deep) == deep
    (tmp_path / "a" / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    assert repository(deep) == tmp_path / "a"


@pytest.mark.parametrize(("verdict", "success"), [("pass", True), ("fail", True), ("unknown", False)])
def test_the_invocation(verdict: str, success: bool) -> None:
    """Exit code, verdict in words, reasons; unknown is never a success."""
    (one,) = run_of(result(("a",), verdict))["invocations"]
    assert one["executionSuccessful"] is success and one["exitCode"] == 1
    assert one["exitCodeDescription"].startswith(verdict.upper())
    assert [note["message"]["text"] for note in one["toolExecutionNotifications"]] == ["a"]


def test_no_name_is_a_link() -> None:
    """`[x](y)` would be one in a message."""
    run = run_of(result(("[click](https://evil.example)",)))
    assert "\\[click\\](https" in run["results"][0]["message"]["text"]


def test_a_large_result() -> None:
    """A thousand findings stay below the 10 MB that code scanning takes."""
    data = sarif(msgspec.structs.replace(large(), fail_on=Severity.WARNING.value), ROOT, ROOT)
    assert len(json.loads(data)["runs"][0]["results"]) == 1000 and len(data) < 10_000_000
    assert json.loads(data)["runs"][0]["results"][0]["message"]["text"].count("\n") < 60
