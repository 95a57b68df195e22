"""Recorded stories of real controllers hold here; a story that can't be executed counts as not held, never as nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kchaos.commands import conform as command
from kchaos.models.conform.judge import judge
from kchaos.models.conform.stories import run_story
from tests.support import ROOT

RECORDINGS = sorted((ROOT / "fixtures" / "recordings").glob("*.json"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recordings_hold(path: Path) -> None:
    story = json.loads(path.read_text(encoding="utf-8"))
    facts = judge(story, run_story(story))
    assert [fact for fact in facts if not fact.holds] == []
    assert len(facts) >= 8


def test_a_story_that_fails_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nor does it hide the others."""
    for path in RECORDINGS[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    command.conform((str(tmp_path),), True, False)
    before = json.loads(capsys.readouterr().out)

    def broken(story: dict[str, object]) -> list[object]:
        if story["story"] == RECORDINGS[0].stem:
            raise KeyError("replicas")
        return list(run_story(story))

    monkeypatch.setattr(command, "run_story", broken)
    assert command.conform((str(tmp_path),), True, False) == 1
    after = json.loads(capsys.readouterr().out)
    assert after["facts"]["of"] > 0.9 * before["facts"]["of"]  # objects that never came have fewer details to compare
    assert after["facts"]["held"] == after["stories"][1]["held"] == before["stories"][1]["held"]
    assert after["not_executed"] == [RECORDINGS[0].stem]
