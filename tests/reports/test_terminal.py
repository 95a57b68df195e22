"""The terminal: names can't steer it, NO_COLOR is obeyed, and the verdict comes first."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from kchaos.check.property import Severity
from kchaos.engine.result import Cell, WorkloadResult
from kchaos.reports.terminal import show
from tests.reports.hostile import NASTY, large, result
from tests.support import ROOT, SITUATIONS

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printed(one: object, **options: object) -> str:
    """Return what is printed of a result."""
    out = io.StringIO()
    show(one, Console(file=out, width=120, **options), "out/report.html")  # type: ignore[arg-type]
    return out.getvalue()


def test_names_can_not_steer_the_terminal() -> None:
    """Neither by escape codes nor by markup, even where colours are on."""
    plain = printed(result(), no_color=True, force_terminal=False)
    assert STEERS.search(plain) is None
    assert "[bold red]x[/]" in plain and "<script>" in plain
    coloured = printed(result(), force_terminal=True, color_system="standard")
    codes = set(re.findall("\x1b[^m]*m", coloured))
    assert codes and all(re.fullmatch("\x1b\\[[0-9;]*m", code) for code in codes)
    assert STEERS.search(re.sub("\x1b\\[[0-9;]*m", "", coloured)) is None


@pytest.mark.parametrize("width", [40, 160])
def test_it_fits(width: int) -> None:
    """The verdict is the first line at any width; long lists are cut, and it is said."""
    out = io.StringIO()
    show(large(), Console(file=out, width=width), "out/report.html")
    text = out.getvalue()
    assert text.startswith("PASS: 500 warnings in 20000 examples")
    assert text.rstrip().endswith("Report: out/report.html")
    assert "more workloads" in text and "more: see the report" in text
    assert len(text.splitlines()) < 250


def workload(name: str) -> WorkloadResult:
    """Return a StatefulSet that was tried with everything."""
    faults = ("node-power-loss", "zone-power-loss", "drain", "rollout", "pod-kill")
    cell = Cell(outage_s=353.0, lost_requests=3500.0, examples=1, severity="warning")
    return WorkloadResult(workload=f"StatefulSet/shop/{name}", replicas=3, ready=3, file="a", line=1, faults=dict.fromkeys(faults, cell))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("redis-sentinel-node", "sts/redis-sentinel-node "), ("a-very-long-name-of-an-application-0", "sts/a-very-lo…pplication-0")],
)
def test_names_in_80_columns(name: str, shown: str) -> None:
    """Columns give way first; what is still too long loses its middle; nothing breaks in the midst of a word."""
    out = io.StringIO()
    one = msgspec.structs.replace(result(NASTY[:1]), workloads=(workload(name),))
    show(one, Console(file=out, width=80))
    rows = out.getvalue().splitlines()
    first = next(index for index, row in enumerate(rows) if "sts/" in row and "353 s" in row)
    assert rows[first].startswith(f" {shown}") and rows[first].count("353 s") == 5 and rows[first + 1].count("(3.5k)") == 5
    assert " pods " in rows[first - 2] and max(len(row) for row in rows[first - 2 : first + 2]) <= 80


@pytest.mark.parametrize(
    ("severities", "says"),
    [
        (["error"], "1 finding:"), (["error", "warning", "info"], "2 findings and 1 remark:"), (["info", "info"], "2 remarks:"),
    ],
)  # fmt: skip
def test_what_is_counted(severities: list[str], says: str) -> None:
    """Findings and remarks of level info, apart."""
    out = io.StringIO()
    first = result(NASTY[:1])
    found = tuple(msgspec.structs.replace(first.findings[0], severity=Severity(one), accepted="") for one in severities)
    show(msgspec.structs.replace(first, findings=found), Console(file=out, width=120))
    assert says in out.getvalue().splitlines()


def test_quiet_is_one_line() -> None:
    """The verdict only."""
    out = io.StringIO()
    show(result(NASTY[:1]), Console(file=out, width=80), quiet=True)
    assert out.getvalue().count("\n") == 1 and out.getvalue().startswith("FAIL: 1 error")


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {}])
def test_no_codes_without_a_terminal(variable: dict[str, str], tmp_path: Path) -> None:
    """In a pipe there is no code, with NO_COLOR or without."""
    app = tmp_path / "app.yaml"
    app.write_text((SITUATIONS / "one-replica.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    command = [sys.executable, "-m", "kchaos.cli", "run", str(app), "--faults", "drain", "--budget", "2"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **variable},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr.decode("utf-8", "replace")
    assert STEERS.search((done.stdout + done.stderr).decode("utf-8").replace("\r\n", "\n")) is None
    assert done.stdout
