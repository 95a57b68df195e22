"""`kchaos run --sweep triggers` finds races that faults at times do not, and hands back the operation and the one fault that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.races.planted import RACES, Race
from tests.support import ask

FOUND = [race for race in RACES if race.name in ("informer-resumes-at-the-newest", "replicaset-waits-for-what-failed")]


@pytest.mark.parametrize("race", FOUND, ids=[race.name for race in FOUND])
def test_the_sweep_finds_a_planted_race(race: Race, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operation and fault are all that is left; the failure is kept, and every event of the operation had its turn."""
    file = tmp_path / "web.yaml"
    file.write_text(race.text, encoding="utf-8")
    race.plant(monkeypatch)
    names = ",".join(("rollout", *race.faults))
    found = ask([file], faults=names, triggers=True, budget="400")
    result = found.result
    assert result.examples.triggered == result.examples.triggers > 10
    finding = next(one for one in result.findings if one.id == race.caught_by)
    assert finding.severity.value == "error" and found.corpus
    steps = found.replays[finding.fingerprint].scenario.steps
    assert [step.do for step in steps][:1] == ["rollout"] and len(steps) == 2
    assert any(steps[1].do in sentence for sentence in finding.story)


def test_a_sweep_in_which_nothing_was_tried_is_unknown(tmp_path: Path) -> None:
    """No fault at any event, for want of budget or of faults that matter there: nothing is known, and the reason says so."""
    file = tmp_path / "web.yaml"
    file.write_text(FOUND[0].text, encoding="utf-8")
    for faults, budget in (("rollout,leader-crash", "2"), ("rollout,clock-skew", None)):
        found = ask([file], faults=faults, triggers=True, budget=budget).result
        assert found.verdict == "unknown" and found.exit_code == 3
        assert any("no fault was tried at any event" in reason for reason in found.reasons)
