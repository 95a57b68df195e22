"""The report in a real browser: it opens from a file, says the verdict, and its picture is not empty."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kchaos.reports.html import html
from tests.conftest import tool
from tests.support import SITUATIONS, ask


@pytest.mark.needs("browser")
def test_the_report_opens(tmp_path: Path) -> None:
    """A screenshot of the page shows more than one colour, and the text is there without scripts."""
    result = ask([SITUATIONS / "budget-blocks-drain.yaml"], faults="drain", budget="4").result
    page = tmp_path / "report.html"
    page.write_text(html(result), encoding="utf-8")
    picture = tmp_path / "report.png"
    browser = tool("browser")
    assert browser is not None
    base = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shot = [*base, "--window-size=1200,1600", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(shot, check=True, capture_output=True, timeout=120)
    assert picture.stat().st_size > 20_000
    done = subprocess.run([*base, "--dump-dom", page.as_uri()], check=True, capture_output=True, timeout=120)
    text = done.stdout.decode("utf-8")
    assert "FAIL" in text and "never ends" in text
