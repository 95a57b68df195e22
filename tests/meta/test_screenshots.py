"""Pictures of the documentation: there, small, and by day and by night."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT

PICTURES = ROOT / "docs" / "pictures"
MOST = 150_000


@pytest.mark.parametrize("page", ["README.md", "docs/report.md"])
def test_what_a_page_shows_is_there(page: str) -> None:
    """Each picture, with words for those who can't see it, and its other by night."""
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = re.findall(r'srcset="([^"]+)"><img src="([^"]+)" alt="([^"]+)"', text)
    assert shown
    for dark, light, words in shown:
        assert dark == light.replace("-light", "-dark") and len(words) > 20
        assert all(((ROOT / page).parent / one).is_file() for one in (dark, light))


def test_pictures_are_small() -> None:
    """At most 150 kB each: they are in everybody's clone."""
    sizes = {path.name: path.stat().st_size for path in sorted(PICTURES.glob("*.png"))}
    assert sizes and not {name: size for name, size in sizes.items() if size > MOST}
