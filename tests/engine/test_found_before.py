"""What campaigns once found wrong in the models themselves: shrunk, kept in fixtures/corpus, and mended."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.engine.kubernetes import run
from kchaos.engine.smaller import Systems
from kchaos.scenario import load
from tests.support import ROOT

FILES = sorted((ROOT / "fixtures" / "corpus").glob("*.scenario.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".scenario.json"))
def test_stays_mended(path: Path) -> None:
    """Each fault bites, and nothing of level error comes of it."""
    scenario = load(path)
    system, booted = Systems().of(scenario)
    found = run(system, booted, scenario)
    assert "bit" in [step["status"] for step in found.steps], msgspec.to_builtins(scenario.steps)
    assert [(prop.id, v.summary) for prop, v in found.violations if v.severity is Severity.ERROR] == []
