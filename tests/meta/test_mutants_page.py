"""docs/mutants.md lists the mutants that there are: `make mutants` writes it anew."""

from __future__ import annotations

import re

from tests.mutants.registry import MUTANTS
from tests.mutants.targets import TARGETS
from tests.races.planted import RACES
from tests.support import ROOT

PAGE = (ROOT / "docs" / "mutants.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


def test_named_mutants_are_those_of_the_registry() -> None:
    """With what they break, the property and the application; each was killed, in at most eight steps."""
    rows = [row for row in ROWS if len(row) == 6 and row[0] != "mutant"]
    assert [row[:4] for row in rows] == [[one.name, one.promise, one.caught_by, one.application.name] for one in MUTANTS]
    assert [row[0] for row in rows if not row[4].isdigit() or int(row[5]) > 8] == []


def test_races_are_those_that_are_planted() -> None:
    assert [row[:2] for row in ROWS if len(row) == 3 and row[0] != "race"] == [[race.name, race.caught_by] for race in RACES]


def test_mechanical_mutants_are_those_of_the_targets() -> None:
    """At least 200, and their modules are the ones that are mutated."""
    rows = [row for row in ROWS if len(row) == 4 and row[0] not in ("module", "in all")]
    assert [row[0] for row in rows] == [target.module for target in TARGETS]
    assert sum(int(row[1]) for row in rows) >= 200
    survivors = sum(int(row[1]) - int(row[2]) for row in rows)
    assert len(re.findall(r"^- `", PAGE, re.MULTILINE)) == survivors
