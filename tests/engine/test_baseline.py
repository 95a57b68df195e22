"""Held against an earlier result: only what is new decides; what is gone is mended only if it was tried again."""

from __future__ import annotations

import json

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.baseline import against
from kchaos.engine.result import BaselineResult, Counts, FaultResult, Result
from kchaos.reports.columns import headline
from kchaos.reports.junit import junit
from kchaos.reports.markdown import markdown


def finding(number: int, severity: Severity = Severity.ERROR, fault: str = "drain of node-1", examples: int = 1) -> Finding:
    return Finding(
        id="KC202", property="served", severity=severity, summary="was away", object=f"Deployment/d/{number}", fault=fault,
        fingerprint=f"{number:016x}", examples=examples,
    )  # fmt: skip


def result(*findings: Finding, reasons: tuple[str, ...] = (), level1_done: int = 9, pairs: int = 4, seed: int = 0) -> Result:
    return Result(
        verdict="fail" if findings else "pass", exit_code=1 if findings else 0, reasons=reasons, seed=seed, digest="", kubernetes="1.34",
        topology="", examples=Counts(run=9, level1_done=level1_done, level1=9, pairs_done=pairs, pairs=9), objects=1, findings=findings,
        faults=(FaultResult(name="drain", summary="", exercised=1, bit=1, inert=0),),
    )  # fmt: skip


def compared(one: Result) -> BaselineResult:
    assert one.baseline is not None
    return one.baseline


def test_only_new_findings_decide() -> None:
    """The same findings pass; one more fails, and comes first."""
    before = result(finding(1), finding(2))
    same = against(before, before, "before.json")
    assert (same.verdict, same.exit_code, compared(same).known) == ("pass", 0, 2)
    more = against(result(finding(1), finding(3), finding(2)), before, "before.json")
    assert (more.verdict, more.exit_code) == ("fail", 1)
    assert [(one.object[-1], one.known) for one in more.findings] == [("3", False), ("1", True), ("2", True)]


def test_the_bar_of_the_run_counts() -> None:
    """A new warning fails with --fail-on warning only."""
    now = result(finding(1, Severity.WARNING))
    assert against(now, result(), "").verdict == "pass"
    assert against(msgspec.structs.replace(now, fail_on="warning"), result(), "").verdict == "fail"


def test_doubts_stay() -> None:
    """What could not be answered may hide something new."""
    before = result(finding(1))
    found = against(result(finding(1), reasons=("why",)), before, "")
    assert (found.verdict, found.exit_code) == ("unknown", 3)


@pytest.mark.parametrize(
    ("gone", "now", "mended"),
    [
        (finding(1), result(), True),
        (finding(1, fault="no fault"), result(), True),
        (finding(1, fault="", examples=0), result(), True),
        (finding(1, fault="zone-power-loss of a"), result(), False),
        (finding(1), result(level1_done=8), False),
        (finding(1, fault="drain of a then drain of b"), result(), True),
        (finding(1, fault="drain of a then drain of b"), result(pairs=3), False),
        (finding(1, fault="drain of a then drain of b"), result(seed=1), False),
    ],
)
def test_mended_is_what_was_tried_again(gone: Finding, now: Result, mended: bool) -> None:
    """A fault that was left out, or a shorter run, mends nothing."""
    assert [one.fingerprint for one in compared(against(now, result(gone), "")).mended] == [gone.fingerprint] * mended


def test_reports_say_it() -> None:
    """In the headline, in Markdown; known findings are no failures in JUnit."""
    before = result(finding(1), finding(2))
    found = against(result(finding(1)), before, "before.json")
    assert headline(found).startswith("PASS: no new finding (1 known, 1 mended) in 9 examples")
    assert "1 known (in the baseline)" in (page := markdown(found)) and "1 mended" in page
    assert b"<failure" not in junit(found) and b"known error: Deployment/d/1" in junit(found)
    assert headline(against(result(finding(1), finding(3)), before, "")).startswith("FAIL: 1 new error (1 known, 1 mended)")
    assert json.loads(found.to_json())["baseline"]["mended"][0]["object"] == "Deployment/d/2"
