"""The terminal: names can't steer it, NO_COLOR is obeyed, and the verdict comes first."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

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
