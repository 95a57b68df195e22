"""While a run is judged Python looks for no garbage; afterwards it does as before, whatever came of it."""

from __future__ import annotations

import gc

import pytest

from kchaos.engine.workers import not_collecting


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_looked_for_as_before(before: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with pytest.raises(ZeroDivisionError), not_collecting():
            assert not gc.isenabled()
            _ = 1 / 0
        assert gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()
