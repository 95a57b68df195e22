"""The result as SARIF 2.1.0, for code scanning: findings as annotations on lines of the repository.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html; what code scanning shows of it:
https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kchaos.check.property import Property, Severity
from kchaos.check.verdict import Finding
from kchaos.engine.result import PropertyResult, Result
from kchaos.models.manifests.load import visible
from kchaos.models.manifests.notes import BY_ID, Rule
from kchaos.properties.catalog import CATALOG
from kchaos.reports.columns import headline

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "SRCROOT"
"""Base of URIs that are relative to the repository."""
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
STDIN = "-"
"""What is read from standard input has no place in a repository."""
PRINT = "kchaosFingerprint/v1"
STORY = 40
"""Sentences of a story in a message."""
AFFECTED = 50
"""Objects of one root cause that are listed; result.json has all."""
_UNFIT = re.compile("[\ud800-\udfff\ufffe\uffff]")
"""What can't be written as UTF-8, or is no character."""
_LINK = re.compile(r"\[([^\[\]]*)\]\(")
"""What would be a link in a plain text message (SARIF 2.1.0, 3.11.6)."""


def repository(folder: Path) -> Path:
    """Return the root of the repository that a folder belongs to; without one, the folder."""
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def sarif(result: Result, folder: Path, root: Path) -> bytes:
    """Return the document. The result's paths count from ``folder``; URIs are relative to ``root``, the repository's."""
    used = {finding.id: finding.property for finding in result.findings}
    known: Mapping[str, Property | Rule | PropertyResult] = {**CATALOG, **BY_ID, **{one.id: one for one in result.properties}}
    rules = sorted({**dict.fromkeys(known), **used})
    index = {ident: number for number, ident in enumerate(rules)}
    run = {
        "tool": {"driver": {
            "name": "kchaos", "version": result.kchaos, "semanticVersion": result.kchaos, "rules": [_rule(ident, known.get(ident), used) for ident in rules],
        }},
        "invocations": [_invocation(result)],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "artifacts": _artifacts(result, folder, root),
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index[finding.id], folder, root, result.baseline is not None) for finding in result.findings],
        "properties": {"verdict": result.verdict, "seed": result.seed, "digest": result.digest, "kubernetes": result.kubernetes},
    }  # fmt: skip
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1).encode() + b"\n"


def _rule(ident: str, known: Property | Rule | PropertyResult | None, used: dict[str, str]) -> dict[str, Any]:
    """Return a rule with its claim, and its source in the help text; of one that this version does not know only the name."""
    if known is None:
        return {"id": ident, "name": _clean(used[ident])}
    source = {"helpUri": known.source} if known.source.startswith("https://") else {}
    told = f"{known.claim}\n\nSource: {known.source}\n\n"
    return {
        "id": ident, "name": known.name, "shortDescription": {"text": _text(known.claim)}, "fullDescription": {"text": _text(known.claim)},
        "help": {"text": _text(told) + f"kchaos explain {ident}", "markdown": f"{told}`kchaos explain {ident}`"},
        **source, "properties": {"tags": ["kubernetes", "reliability"]},
    }  # fmt: skip


def _invocation(result: Result) -> dict[str, Any]:
    """Return how it was run; an unknown verdict is an invocation without success, for it answers nothing."""
    answered = result.verdict != "unknown" and not result.examples.interrupted
    return {
        "commandLine": _clean(result.command), "exitCode": result.exit_code, "exitCodeDescription": _clean(headline(result)),
        "executionSuccessful": answered,
        "toolExecutionNotifications": [{"level": "warning", "message": {"text": _text(one)}} for one in result.reasons],
    }  # fmt: skip


def _result(finding: Finding, index: int, folder: Path, root: Path, compared: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "ruleId": finding.id, "ruleIndex": index, "level": LEVELS[finding.severity], "message": {"text": _text(_told(finding))},
        "locations": [_location(finding, folder, root)], "partialFingerprints": {PRINT: finding.fingerprint},
        "properties": {"fault": _clean(finding.fault), "examples": finding.examples, "affected": [_clean(one) for one in finding.affected[:AFFECTED]]},
    }  # fmt: skip
    if compared:
        out["baselineState"] = "unchanged" if finding.known else "new"
    if finding.accepted:
        out["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _clean(finding.accepted)}]
    return out


def _told(finding: Finding) -> str:
    """Return the message: what, what to change, how it came about, how to see it again."""
    paragraphs = [f"{finding.object}: {finding.summary}" if finding.object else finding.summary]
    if finding.advice:
        paragraphs.append(f"→ {finding.advice}")
    if finding.story:
        more = len(finding.story) - STORY
        paragraphs.append("\n".join([*finding.story[:STORY], *([f"… {more} more"] if more > 0 else [])]))
    if finding.replay:
        paragraphs.append(f"The same again: kchaos replay {shlex.quote(finding.replay)}")
    return "\n\n".join(paragraphs)


def _location(finding: Finding, folder: Path, root: Path) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if finding.file and finding.file != STDIN:
        out["physicalLocation"] = {"artifactLocation": _artifact(finding.file, folder, root)}
        if finding.line > 0:
            out["physicalLocation"]["region"] = {"startLine": finding.line}
    if finding.object:
        out["logicalLocations"] = [{"fullyQualifiedName": _clean(finding.object), "kind": "resource"}]
    return out


def _artifacts(result: Result, folder: Path, root: Path) -> list[dict[str, Any]]:
    """Return the input files, each once, with its digest."""
    found = {_artifact(name, folder, root)["uri"]: (name, hash_) for name, hash_ in result.inputs.items() if name != STDIN}
    return [{"location": _artifact(name, folder, root), "hashes": {"sha-256": hash_}} for name, hash_ in found.values()]


def _artifact(file: str, folder: Path, root: Path) -> dict[str, str]:
    """Return where a file is: relative to the repository, or as a file URI if it is outside."""
    path = Path(os.path.normpath(folder / file.replace("\0", "\ufffd")))
    if path.is_relative_to(root):
        return {"uri": quote(path.relative_to(root).as_posix(), errors="replace"), "uriBaseId": ROOT}
    return {"uri": "file://" + quote(path.as_posix(), errors="replace")}


def _text(text: str) -> str:
    """Return a plain text message in which nothing is a link."""
    return _LINK.sub(r"\\[\1\\](", "\n".join(_clean(line) for line in text.splitlines()))


def _clean(text: str) -> str:
    return _UNFIT.sub("\ufffd", visible(text))
