"""The matrix of properties and classes of faults: what is counted, and what it says at least."""

from __future__ import annotations

import pytest

from kchaos.engine.cases import NO_FAULT
from kchaos.engine.matrix import Judged, Matrix, Violated
from kchaos.reports.html import html
from kchaos.reports.matrix import Held, table, wilson
from tests.support import SITUATIONS, ask


@pytest.mark.parametrize(("held", "examples", "least"), [(0, 0, 0.0), (0, 9, 0.0), (1, 1, 0.2699), (10, 10, 0.7870), (50, 100, 0.4188)])
def test_lower_bound(held: int, examples: int, least: float) -> None:
    """Of the Wilson score interval; of all of n it is n / (n + z²)."""
    assert wilson(held, examples) == pytest.approx(least, abs=5e-4)


def test_rows() -> None:
    """Broken properties have a row each, the most broken first; the others share one; a class that never bit has no figure."""
    few, many = {"node": Violated(examples=1, first="a")}, {"node": Violated(examples=3, first="b")}
    found = table(Matrix(
        classes={"node": 4, "disk": 0}, properties=(Judged(id="A", name="a", violated=few), Judged(id="B", name="b", violated=many), Judged(id="C", name="c")),
    ))  # fmt: skip
    assert [(row.id, row.cells[0], row.cells[1], row.first) for row in found.broken] == [
        ("B", Held(1, 4, "6"), None, "b"), ("A", Held(3, 4, "36"), None, "a"),
    ]  # fmt: skip
    assert found.held.cells == [Held(4, 4, "60"), None] and [one.id for one in found.others] == ["C"]


def test_a_campaign_is_counted() -> None:
    """An example counts for the classes of faults that bit in it; what was never tried says so."""
    result = ask([SITUATIONS / "budget-blocks-drain.yaml"], faults="drain", budget="4").result
    assert result.matrix.classes[NO_FAULT] == 1 and result.matrix.classes["disk"] == 0
    row = next(one for one in result.matrix.properties if one.id == "KC203")
    broken = next(one for one in result.findings if one.id == "KC203")
    assert 0 < row.violated["node"].examples <= result.matrix.classes["node"] and "drain of node-" in row.violated["node"].first
    assert row.violated["node"].examples <= broken.examples
    page = html(result)
    assert 'KC203 drain-ends<span class="least">first: drain of node-' in page and '<td class="never">never</td>' in page
