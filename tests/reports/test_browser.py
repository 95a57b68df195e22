"""The report in a real browser: it opens from a file, says the verdict, and its picture is not empty."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from kchaos.reports.html import html
from kchaos.reports.session import render
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


@pytest.mark.needs("browser")
def test_the_report_of_a_session_opens(tmp_path: Path) -> None:
    """A row for each campaign, and inside it the campaign's own report, drawn."""
    result = ask([SITUATIONS / "budget-blocks-drain.yaml"], faults="drain", budget="4").result
    entry = {"name": "test_app.py::test_it", "tests": {"test_app.py::test_it": "failed"}, "result": msgspec.to_builtins(result)}
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_bytes(render({"campaigns": [entry], "lost": ["test_app.py::test_other"]}, ".html"))
    browser = tool("browser")
    assert browser is not None
    base = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    found = []
    for document in (page.read_text(encoding="utf-8"), page.read_text(encoding="utf-8").replace("<iframe", "<template")):
        page.write_text(document.replace("<details>", "<details open>"), encoding="utf-8")
        shot = [*base, "--window-size=1200,1600", f"--screenshot={picture}", page.as_uri()]
        subprocess.run(shot, check=True, capture_output=True, timeout=120)
        found.append(picture.stat().st_size)
    assert found[0] > 2 * found[1], "the inner report is not drawn"
