"""Two results side by side: what is new, mended, still there or not tried again; which cells and figures changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kchaos.cli import run_cli
from kchaos.engine.compare import compared
from kchaos.engine.matrix import Judged, Matrix, Violated
from kchaos.engine.result import Cell, Result, WorkloadResult
from kchaos.errors import InvalidScenario
from tests.reports.hostile import finding, result
from tests.support import SITUATIONS, ask


def of(**fields: Any) -> Result:
    """Return a result of one workload that was tried in full."""
    return msgspec.structs.replace(result(("a",)), **{"findings": (), "comparison": None, **fields})


def test_findings() -> None:
    """By fingerprint; one that is gone is mended only if what showed it was tried again."""
    elsewhere = msgspec.structs.replace(finding("d", 4), fault="zone-power-loss of zone-a")  # a fault that this run has not
    worse = msgspec.structs.replace(finding("b", 2), summary="b was away for longer")
    found = compared(
        of(findings=(finding("a", 1), worse)), of(findings=(finding("b", 2), finding("c", 3), elsewhere)), "old.json"
    ).comparison
    assert found is not None
    assert found.new == ("0000000000000001",)
    assert [(one.fingerprint, one.summary) for one in found.still] == [("0000000000000002", "b was away")]
    assert [one.fingerprint for one in found.mended] == ["0000000000000003"]
    assert [one.fingerprint for one in found.untried] == ["0000000000000004"]
    assert found.words() == "1 new, 1 mended, 1 still there, 1 not tried again"


def test_cells() -> None:
    """Those that began or ceased to hold; not those that were never exercised in one of the two."""

    def matrix(node: int, zone: int, *violated: str) -> Matrix:
        bad = {name: Violated(examples=1, first="x") for name in violated}
        return Matrix(classes={"node": node, "zone": zone}, properties=(Judged(id="KC202", name="served", violated=bad),))

    found = compared(of(matrix=matrix(4, 2)), of(matrix=matrix(5, 0, "node", "zone")), "old").comparison
    assert found is not None
    assert [(one.klass, one.before, one.now) for one in found.cells] == [("node", (4, 5), (4, 4))]


def test_figures() -> None:
    """Outage and lost requests of faults that bit in both, the largest change first."""

    def workload(**cells: Cell) -> WorkloadResult:
        return WorkloadResult(workload="Deployment/d/web", replicas=1, ready=1, faults=cells)

    before = workload(
        drain=Cell(outage_s=5, examples=1), rollout=Cell(lost_requests=50, examples=1), crash=Cell(outage_s=9), same=Cell(examples=1)
    )
    now = workload(
        drain=Cell(outage_s=65, examples=1), rollout=Cell(examples=2), crash=Cell(examples=3), same=Cell(outage_s=0.5, examples=1)
    )
    found = compared(of(workloads=(now,)), of(workloads=(before,)), "old").comparison
    assert found is not None
    assert [(one.fault, one.outage_s, one.lost_requests) for one in found.workloads] == [
        ("drain", (5, 65), (0, 0)),
        ("rollout", (0, 0), (50, 0)),
    ]


def test_what_it_was_made_of() -> None:
    """Options and files; files are the same below whatever folder they are in."""
    before = of(inputs={"/a/b/web.yaml": "1", "/a/b/db/sts.yaml": "2", "/a/b/old.yaml": "3"}, seed=1)
    now = of(inputs={"k8s/web.yaml": "1", "k8s/db/sts.yaml": "9", "k8s/new.yaml": "3"}, seed=2)
    found = compared(now, before, "old").comparison
    assert found is not None and found.differs == (
        "seed: 1 → 2",
        "changed files: db/sts.yaml",
        "new files: new.yaml",
        "gone files: old.yaml",
    )
    same = compared(now, now, "old").comparison
    assert same is not None and same.differs == ()


def test_another_application() -> None:
    """It says which workloads there are."""
    other = of(workloads=(WorkloadResult(workload="Deployment/d/other", replicas=1, ready=1),))
    with pytest.raises(InvalidScenario, match=r"no workload is in both results: here Deployment/a/a, in old\.json Deployment/d/other"):
        compared(of(), other, "old.json")


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A situation and its cure: the finding is mended, the cell of drains turned; a file that is none is told."""
    files = []
    for name in ("budget-blocks-drain", "budget-blocks-drain.healthy"):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_bytes(ask([SITUATIONS / f"{name}.yaml"], faults="drain", budget="4").result.to_json())
    assert run_cli(["report", "--before", str(files[0]), str(files[1]), "--out", str(tmp_path)]) == 0
    assert "0 new" in (printed := capfd.readouterr().out) and "mended" in printed and "(fail then, pass now)" in printed
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Since the earlier run" in page and "never ends" in page
    (tmp_path / "none.json").write_text("{}", encoding="utf-8")
    assert run_cli(["report", "--before", str(tmp_path / "none.json"), str(files[1])]) == 2
    assert "none.json: not a result of this version" in capfd.readouterr().err
