"""What campaigns once found wrong in the models themselves: shrunk, kept in fixtures/corpus as RULE-what, and mended."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.engine.kubernetes import run
from kchaos.engine.smaller import Systems
from kchaos.properties.catalog import CATALOG
from kchaos.scenario import load
from tests.support import ROOT

FILES = sorted((ROOT / "fixtures" / "corpus").glob("*.scenario.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".scenario.json"))
def test_stays_mended(path: Path) -> None:
    """The faults bite, and the rule that was broken is no more."""
    scenario = load(path)
    system, booted = Systems().of(scenario)
    found = run(system, booted, scenario)
    assert "bit" in [step["status"] for step in found.steps], msgspec.to_builtins(scenario.steps)
    rule = path.name.partition("-")[0]
    assert rule in CATALOG
    assert [v.summary for prop, v in found.violations if prop.id == rule and v.severity is Severity.ERROR] == []
