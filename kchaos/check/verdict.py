"""Verdicts and findings: what a campaign concludes, composed by the worst; unknown is never shown green."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import msgspec

from kchaos.check.property import Severity
from kchaos.errors import ExitCode


class Verdict(StrEnum):
    """Three values."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> ExitCode:
        """Return the process exit code of this verdict."""
        return {"pass": ExitCode.PASS, "fail": ExitCode.VIOLATION, "unknown": ExitCode.UNKNOWN}[self.value]


def compose(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst: fail over unknown over pass; pass of nothing is unknown."""
    found = list(verdicts)
    if Verdict.FAIL in found:
        return Verdict.FAIL
    if Verdict.UNKNOWN in found or not found:
        return Verdict.UNKNOWN
    return Verdict.PASS


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A failed property: where, how bad, under which fault, with its story and replay file.

    ``affected`` lists all objects of the same root cause, ``examples`` how many runs showed it.
    """

    id: str
    property: str
    severity: Severity
    summary: str
    object: str
    fingerprint: str
    file: str = ""
    line: int = 0
    fault: str = ""
    t: float = 0.0
    affected: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    examples: int = 1
    advice: str = ""
    figures: dict[str, Any] = {}
    story: tuple[str, ...] = ()
    replay: str = ""
    accepted: str = ""
    known: bool = False
    """In the baseline: it decides nothing."""


def fingerprint(property_id: str, root: str) -> str:
    """Return what stays the same when line numbers, seeds and figures change: 16 hex digits over property and root cause."""
    return hashlib.sha256(f"{property_id}|{root}".encode()).hexdigest()[:16]
