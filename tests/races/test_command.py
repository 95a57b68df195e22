"""Each planted race is found by ``kchaos run --sweep triggers`` itself: an error, with a small replay.

Here the command is told which operation and which faults to try, so that it takes seconds; the soak asks it without that, for a minute each.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kchaos.check.property import Severity
from kchaos.engine.execute import Answer
from kchaos.models.faults.catalog import catalog
from tests.races.planted import RACES, Race
from tests.support import ask

EXAMPLES = "60"
races = pytest.mark.parametrize("race", RACES, ids=[race.name for race in RACES])


def asked(race: Race, folder: Path, patch: pytest.MonkeyPatch, faults: str | None, budget: str) -> Answer:
    """Plant a race and ask the command's question of its application."""
    race.plant(patch)
    file = folder / "app.yaml"
    file.write_text(race.text, encoding="utf-8")
    return ask([file], faults=faults, triggers=True, budget=budget, nodes=6, zones=3)


def small(answer: Answer) -> None:
    """Assert that the verdict is fail, and that an error shrank to at most eight steps and two faults."""
    assert answer.result.verdict == "fail", answer.result.reasons
    kinds = catalog()
    worst = [one.fingerprint for one in answer.result.findings if one.severity is Severity.ERROR]
    steps = min((answer.replays[print_].scenario.steps for print_ in worst if print_ in answer.replays), key=len)
    assert 1 <= len(steps) <= 8
    assert sum(not kinds.get(step.do).operation for step in steps) <= 2


@races
def test_the_command_finds_it(race: Race, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told the operation and the faults."""
    names = dict.fromkeys([*(step.do for step in race.operation), *race.faults])
    answer = asked(race, tmp_path, monkeypatch, ",".join(names), EXAMPLES)
    small(answer)
    assert any(one.id == race.caught_by for one in answer.result.findings)


@pytest.mark.soak
@races
def test_the_command_finds_it_unasked(race: Race, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but the file, in a minute."""
    small(asked(race, tmp_path, monkeypatch, None, "60s"))
