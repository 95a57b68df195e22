"""No finding of level error on healthy applications, with any seed; and every warning is argued."""

from __future__ import annotations

import pytest

from tests.healthy.__main__ import PAGE, ask
from tests.healthy.apps import APPS, MANIFESTS, SEEDS, App


@pytest.mark.soak
@pytest.mark.skipif(not MANIFESTS.is_dir(), reason="not run: needs the real manifests")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_no_error(app: App, seed: int) -> None:
    """It passes, or something that it needs is not known; and what is warned of has a reason."""
    found = ask(app, seed)
    assert (found.errors, found.unargued) == ((), ())


def test_the_page_names_all() -> None:
    """docs/healthy.md is of these applications."""
    rows = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert rows[2:] == [app.name for app in APPS] and len(APPS) >= 30
