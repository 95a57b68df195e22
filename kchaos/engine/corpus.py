"""The corpus: shrunk failures in the user's own repository, replayed first the next time.

A folder for each input (``kchaos-corpus/NAME``), a scenario file for each failure (``KC204-0a1b2c3d.scenario.json``: rule and fingerprint).
Each is whole and can be replayed alone. A campaign takes only its steps, seed and noise, and runs them on what the input is *now*: a failure
that was mended passes, and stays as a guard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import fingerprint
from kchaos.engine.booting import System
from kchaos.engine.cases import Case, Example, Sort
from kchaos.engine.scenarios import check_steps
from kchaos.errors import InvalidScenario
from kchaos.scenario import Scenario
from kchaos.scenario import load as load_scenario

FOLDER = "kchaos-corpus"
_FILE = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)-([0-9a-f]{8})\.scenario\.json")


class Kept(NamedTuple):
    """One failure of the corpus: its file, the start of its fingerprint, and its scenario."""

    file: str
    fingerprint: str
    scenario: Scenario


def read(folder: Path) -> tuple[list[Kept], list[str]]:
    """Return the failures that a folder keeps, by file name, and what is wrong with files that can't be read, in words."""
    found: list[Kept] = []
    problems: list[str] = []
    for path in sorted(folder.glob("*.scenario.json")):
        match = _FILE.fullmatch(path.name)
        try:
            found.append(Kept(str(path), match[2] if match else "", load_scenario(path)))
        except InvalidScenario as error:
            problems.append(str(error))
    return found, problems


def cases(kept: Sequence[Kept], system: System) -> tuple[list[Case], dict[str, str]]:
    """Return what to run on the system as it is now, and the files whose steps make no sense here, with why."""
    out: list[Case] = []
    gone: dict[str, str] = {}
    for one in kept:
        try:
            check_steps(one.scenario.steps, system)
        except InvalidScenario as error:
            gone[one.file] = str(error)
            continue
        scenario = msgspec.structs.replace(one.scenario, name="", topology={}, inputs={})
        masters = int(one.scenario.topology.get("masters", system.topology.masters))
        out.append(Case(Sort.CORPUS, scenario, masters))
    return out, gone


def mended(kept: Sequence[Kept], gone: Sequence[str], examples: Sequence[Example]) -> list[str]:
    """Return the files of failures that were replayed and did not fail again. ``gone``: files that were not replayed."""
    replayed = [one for one in kept if one.file not in gone]
    ran = [one for one in examples if one.case.sort is Sort.CORPUS]
    return [one.file for one, example in zip(replayed, ran, strict=False) if not _again(one, example)]


def _again(one: Kept, example: Example) -> bool:
    """Tell whether a failure was seen again; of one whose file has no fingerprint, whether anything was violated."""
    bad = [fingerprint(ident, v.root or v.object) for ident, v in example.violations if v.severity is not Severity.INFO]
    return any(print_.startswith(one.fingerprint) for print_ in bad)
