"""The documentation site: every page is in its contents, every link leads somewhere, and nothing is asked of the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kchaos.models.faults.catalog import catalog
from kchaos.properties.catalog import CATALOG
from kchaos.properties.etcd import ETCD
from tests.support import ROOT

HERE = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it, strictly: a link that leads nowhere fails."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def _pages(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    inner = nav.values() if isinstance(nav, dict) else nav
    return [page for one in inner for page in _pages(one)]  # type: ignore[attr-defined]  # a tree of dicts and lists


def test_every_page_is_in_the_contents() -> None:
    """A page that nobody finds is none."""
    listed = _pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    there = [str(path.relative_to(HERE)) for path in HERE.rglob("*.md")]
    assert sorted(one for one in listed if not one.startswith("reference/")) == sorted(there)


def test_the_reference_names_all(site: Path) -> None:
    """Every property and every fault, as it is declared."""
    properties = (site / "reference" / "properties.html").read_text(encoding="utf-8")
    faults = (site / "reference" / "faults.html").read_text(encoding="utf-8")
    assert [one for one in (*CATALOG, *ETCD) if f">{one}<" not in properties] == []
    assert [kind.name for kind in catalog() if f">{kind.name}<" not in faults] == []


def test_it_asks_nothing_of_the_network(site: Path) -> None:
    """It opens from a folder: no script, style, font or picture is fetched from elsewhere."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\s\">]+)", text)
        fetched += re.findall(r"<link[^>]*rel=\"?(?:stylesheet|preload|icon)[^>]*href=\"?(https?:[^\s\">]+)", text)
        assert fetched == [], page
