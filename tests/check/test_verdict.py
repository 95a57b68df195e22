"""Verdicts compose by the worst; exit codes have a precedence; fingerprints stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from kchaos.check.verdict import Verdict, compose, fingerprint
from kchaos.errors import ExitCode, InvalidScenario, worst
from kchaos.nemesis.fault import bit
from kchaos.scenario import At, Nth, Scenario, Step, load


def test_unknown_is_never_green() -> None:
    """Pass of nothing is unknown; fail beats unknown beats pass."""
    assert compose([]) is Verdict.UNKNOWN
    assert compose([Verdict.PASS, Verdict.UNKNOWN]) is Verdict.UNKNOWN
    assert compose([Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL]) is Verdict.FAIL
    assert compose([Verdict.PASS]) is Verdict.PASS


def test_precedence_of_exit_codes() -> None:
    """4 > 2 > 1 > 3 > 0."""
    assert worst([ExitCode.PASS, ExitCode.UNKNOWN]) is ExitCode.UNKNOWN
    assert worst([ExitCode.UNKNOWN, ExitCode.VIOLATION]) is ExitCode.VIOLATION
    assert worst([ExitCode.VIOLATION, ExitCode.INVALID]) is ExitCode.INVALID
    assert worst([ExitCode.INVALID, ExitCode.HARNESS]) is ExitCode.HARNESS
    assert worst([]) is ExitCode.PASS


def test_fingerprints() -> None:
    """They follow from rule and root cause alone."""
    assert fingerprint("KC202", "outage x") == fingerprint("KC202", "outage x") != fingerprint("KC202", "outage y")


def test_evidence() -> None:
    """All zero or nothing at all is inert."""
    assert not bit({}) and not bit({"pods": 0}) and bit({"pods": 1})


def test_scenarios_round_trip(tmp_path: Path) -> None:
    """What is written is read back equal, triggers included."""
    steps = (Step(do="drain", args={"target": "node-1"}, when=At(2.0)), Step(do="x", when=Nth({"verb": "create"}, 3), for_s=5.0))
    scenario = Scenario(name="n", seed=4, steps=steps)
    scenario.save(tmp_path / "s.json")
    assert load(tmp_path / "s.json") == scenario


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "not a kchaos scenario"),
        ("{", "not JSON"),
        ('{"format":"kchaos-scenario","version":9}', "version 9"),
        ('{"format":"kchaos-scenario","version":1,"seed":"x"}', "seed"),
    ],
)
def test_bad_scenarios_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """With the reason, never with a traceback."""
    path = tmp_path / "s.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidScenario, match=words):
        load(path)
