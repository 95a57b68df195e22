"""The report in a real browser: it opens from a file, everybody can read it, and its buttons do what they say."""

from __future__ import annotations

import html as text_
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kchaos.reports.html import html
from kchaos.reports.session import render
from tests.conftest import AXE, tool
from tests.reports.browser import Browser
from tests.reports.hostile import NASTY, whole
from tests.support import GUESTBOOK, SITUATIONS, ask

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""What axe-core looks for: WCAG 2.2 AA, and what it takes for good practice."""
ALL_OPEN = "for (const one of document.querySelectorAll('details')) one.open = true;"
TOLD = "const told = document.createElement('pre'); told.id = 'told'; document.body.append(told);"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real application."""
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(html(ask([GUESTBOOK], faults="node-power-loss,rollout,drain", budget="30").result), encoding="utf-8")
    return page


def told(document: str) -> Any:
    """Return what a script of :data:`TOLD` told."""
    found = re.search(r'<pre id="told">(.*?)</pre>', document, re.DOTALL)
    assert found is not None, document[-2000:]
    return json.loads(text_.unescape(found[1]))


@pytest.mark.needs("browser")
def test_the_report_opens(tmp_path: Path) -> None:
    """A screenshot of the page shows more than one colour, and the text is there."""
    page = tmp_path / "report.html"
    page.write_text(html(ask([SITUATIONS / "budget-blocks-drain.yaml"], faults="drain", budget="4").result), encoding="utf-8")
    browser = Browser(tmp_path)
    assert len(browser.picture(page)) > 20_000
    text = browser.document(page)
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


def violations(page: Path, tmp_path: Path, before: str = "", **look: Any) -> list[str]:
    """Return what axe-core finds."""
    run = f"axe.run(document, {{runOnly: {json.dumps(TAGS)}}}).then((found) => {{ told.textContent = JSON.stringify({{"
    run += "found: found.violations.map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)"
    run += " + ' (' + (node.any[0]?.message ?? '') + ')').join(' | ')), passed: found.passes.length,"
    run += " dark: matchMedia('(prefers-color-scheme: dark)').matches}); });"
    found = told(Browser(tmp_path).document(page, f"{AXE.read_text(encoding='utf-8')};{before}{ALL_OPEN}{TOLD}{run}", **look))
    assert found["passed"] > 15 and found["dark"] == look.get("dark", False)
    problems: list[str] = found["found"]
    return problems


@pytest.mark.needs("browser", "axe-core")
@pytest.mark.parametrize("look", [{}, {"dark": True}, {"width": 400}], ids=["light", "dark", "narrow"])
def test_everybody_can_read_it(report: Path, tmp_path: Path, look: dict[str, Any]) -> None:
    """axe-core finds nothing, whatever is open, by day, by night and on a phone."""
    assert violations(report, tmp_path, **look) == []


@pytest.mark.needs("browser", "axe-core")
def test_everybody_can_read_it_on_paper_and_without_scripts(report: Path, tmp_path: Path) -> None:
    """With the rules for print, and without the page's own script."""
    text = report.read_text(encoding="utf-8")
    paper, still = tmp_path / "paper.html", tmp_path / "still.html"
    paper.write_text(text.replace("@media print", "@media all"), encoding="utf-8")
    still.write_text(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL), encoding="utf-8")
    assert violations(paper, tmp_path) == []
    assert violations(still, tmp_path) == []


@pytest.mark.needs("browser", "axe-core")
def test_everybody_can_read_hostile_names(tmp_path: Path) -> None:
    """A result with every section, and names that no one would choose: nothing of them runs either."""
    page = tmp_path / "report.html"
    page.write_text(html(whole(NASTY)), encoding="utf-8")
    assert violations(page, tmp_path, "window.alert = () => { throw new Error('a name has run'); };", dark=True) == []


@pytest.mark.needs("browser")
def test_time_can_be_stretched(report: Path, tmp_path: Path) -> None:
    """Twice as long: what has a time moves, names and heights stay; and all is as it was after "all"."""
    script = """
    const one = diagrams[0], wide = one.svg.viewBox.baseVal.width, high = one.svg.viewBox.baseVal.height;
    const bar = one.svg.querySelector('rect.ready'), was = Number(bar.getAttribute('width'));
    const [less, more, all] = one.tools.querySelectorAll('button');
    more.click();
    const now = Number(bar.getAttribute('width')), wider = one.svg.viewBox.baseVal.width, higher = one.svg.viewBox.baseVal.height;
    all.click();
    const again = Number(bar.getAttribute('width'));
    told.textContent = JSON.stringify({was, now, again, wide, wider, high, higher, off: less.disabled && !more.disabled});
    """
    found = told(Browser(tmp_path).document(report, f"{TOLD}{script}"))
    assert abs(found["now"] - 2 * found["was"]) < 0.5 and found["wider"] > 1.8 * found["wide"] and found["high"] == found["higher"]
    assert found["again"] == found["was"] and found["off"]
