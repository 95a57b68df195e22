"""The rule of all checkers: two to four witnesses for each anomaly, and where there is but one it is said that there is no other."""

from __future__ import annotations

from kchaos.history.anomaly import ALONE, Anomaly


def enough_witnesses(one: Anomaly) -> bool:
    """Tell whether an anomaly has two to four, all different. Raises AssertionError for one that has none, too many, or one without saying so."""
    assert 1 <= len(one.witnesses) <= 4, one
    assert len(set(one.witnesses)) == len(one.witnesses), one
    assert (len(one.witnesses) == 1) == (ALONE in one.words), one
    return len(one.witnesses) > 1
