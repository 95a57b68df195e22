"""The page of a run of real etcd in a real browser: everybody can read it, it asks for nothing, and time can be stretched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kchaos.check.verdict import Verdict
from kchaos.reports.etcd.page import html
from tests.reports.browser import Browser
from tests.reports.etcdrun import etcd_result, etcd_run
from tests.reports.hostile import NASTY
from tests.reports.test_browser import ALL_OPEN, TOLD, told, violations

HOSTILE = "".join(NASTY)


@pytest.fixture(scope="module", params=[Verdict.FAIL, Verdict.PASS, Verdict.UNKNOWN])
def etcd_page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("etcd") / "report.html"
    page.write_text(html(etcd_result(request.param, findings=2), etcd_run()), encoding="utf-8")
    return page


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    page = tmp_path / "hostile.html"
    page.write_text(html(etcd_result(Verdict.FAIL, HOSTILE), etcd_run(300, text=HOSTILE)), encoding="utf-8")
    return page


@pytest.mark.needs("browser", "axe-core")
@pytest.mark.parametrize("look", [{}, {"dark": True}, {"width": 400}], ids=["light", "dark", "narrow"])
def test_everybody_can_read_it(etcd_page: Path, tmp_path: Path, look: dict[str, Any]) -> None:
    """axe-core finds nothing, whatever the verdict, by day, by night and on a phone."""
    assert violations(etcd_page, tmp_path, **look) == []


@pytest.mark.needs("browser", "axe-core")
def test_everybody_can_read_it_on_paper_and_without_scripts(etcd_page: Path, tmp_path: Path) -> None:
    text = etcd_page.read_text(encoding="utf-8")
    paper, still = tmp_path / "paper.html", tmp_path / "still.html"
    paper.write_text(text.replace("@media print", "@media all"), encoding="utf-8")
    still.write_text(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL), encoding="utf-8")
    assert violations(paper, tmp_path) == []
    assert violations(still, tmp_path) == []


@pytest.mark.needs("browser", "axe-core")
def test_hostile_keys_do_not_run(hostile: Path, tmp_path: Path) -> None:
    """Neither do they break what axe-core looks for."""
    assert violations(hostile, tmp_path, "window.alert = () => { throw new Error('a key has run'); };", dark=True) == []


@pytest.mark.needs("browser")
def test_it_loads_nothing(hostile: Path, etcd_page: Path, tmp_path: Path) -> None:
    """Even without the policy the browser asks for nothing beside the page, with all of it open."""
    script = "told.textContent = JSON.stringify(performance.getEntriesByType('resource').map((one) => one.name));"
    for page in (hostile, etcd_page):
        assert told(Browser(tmp_path).document(page, f"{ALL_OPEN}{TOLD}{script}")) == []


@pytest.mark.needs("browser")
@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_sticks_out(hostile: Path, tmp_path: Path, width: int) -> None:
    """The page does not scroll sideways: what is wide scrolls by itself."""
    script = "told.textContent = JSON.stringify([document.documentElement.scrollWidth, document.documentElement.clientWidth]);"
    wide, have = told(Browser(tmp_path).document(hostile, f"{ALL_OPEN}{TOLD}{script}", width=width))
    assert wide <= have


@pytest.mark.needs("browser")
def test_time_can_be_stretched(etcd_page: Path, tmp_path: Path) -> None:
    """Twice as long: bars and curves move, the marks of terms keep their width; and all is as it was after "all"."""
    script = """
    const one = diagrams[0];
    const state = () => [...one.svg.querySelectorAll('rect.running, rect.term, path.curve')]
      .map((each) => each.getAttribute('d')?.replaceAll(/\\.0(?!\\d)/g, '') ?? Number(each.getAttribute('width')).toFixed(3));
    const before = state(), bar = one.svg.querySelector('rect.running'), was = Number(bar.getAttribute('width'));
    const [, more, all] = one.tools.querySelectorAll('button');
    more.click();
    const now = Number(bar.getAttribute('width')), term = Number(one.svg.querySelector('rect.term').getAttribute('width'));
    all.click();
    told.textContent = JSON.stringify({count: diagrams.length, was, now, term, same: JSON.stringify(before) === JSON.stringify(state())});
    """
    found = told(Browser(tmp_path).document(etcd_page, f"{TOLD}{script}"))
    assert found["count"] == 1 and abs(found["now"] - 2 * found["was"]) < 0.5 and found["term"] == 1.2 and found["same"]
