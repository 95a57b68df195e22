"""Every property has a planted bug that it must catch, and a healthy twin."""

from __future__ import annotations

import importlib
from pathlib import Path

from kchaos.properties.catalog import CATALOG
from kchaos.properties.etcd import ETCD
from tests.properties.planted import Case, Cases
from tests.support import ROOT

HERE = Path(__file__).parent
NO_PROPERTIES = {"__init__", "catalog", "common", "disruption", "rights", "sight"}
"""Modules of properties/ that declare none."""


def _cases() -> list[Case]:
    modules = [importlib.import_module(f"tests.properties.{path.stem}") for path in sorted(HERE.glob("test_*.py"))]
    return [case for module in modules for case in getattr(module, "CASES", Cases())]


def test_every_property_has_a_planted_bug() -> None:
    """Whoever adds a property plants a bug for it."""
    assert {*CATALOG, *ETCD} - {case.id for case in _cases()} == set()


def test_no_planted_bug_is_for_a_property_that_is_gone() -> None:
    assert {case.id for case in _cases()} - {*CATALOG, *ETCD} == set()


def test_every_module_has_its_tests() -> None:
    """Cases for properties/x.py are found in test_x.py (and test_x_*.py)."""
    modules = {path.stem for path in (ROOT / "properties").glob("*.py")} - NO_PROPERTIES
    assert {name for name in modules if not (HERE / f"test_{name}.py").exists()} == set()


def test_cases_have_names_of_their_own() -> None:
    names = [str(case) for case in _cases()]
    assert sorted(names) == sorted(set(names))
