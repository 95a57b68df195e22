"""Nine situations that no linter sees are found; their healthy twins pass with ``--fail-on warning``."""

from __future__ import annotations

import pytest

from kchaos.check.property import Severity
from tests.support import SITUATIONS, ask

EXPECTED = {
    "budget-blocks-drain": ("KC203", "error", "never ends"),
    "packed-on-one-node": ("KC202", "error", "no pod of 3 served"),
    "zonal-volume": ("KC201", "warning", "can't be placed"),
    "dead-node-keeps-pod": ("KC202", "warning", "until the fault is healed"),
    "endpoint-race": ("KC205", "warning", "requests lost"),
    "stuck-after-bad-template": ("KC204", "warning", "stuck"),
    "one-replica": ("KC202", "warning", "its only pod was away"),
    "quota-blocks-surge": ("KC204", "error", "exceeded quota"),
    "webhook-deadlock": ("KC208", "error", "can be made any more"),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_situation_is_found(name: str) -> None:
    """The rule, its severity and the words that matter are there, with the file and line of the object and a story."""
    ident, severity, words = EXPECTED[name]
    result = ask([SITUATIONS / f"{name}.yaml"], budget="200").result
    found = [f for f in result.findings if f.id == ident and words in f.summary]
    assert found, [(f.id, f.severity.value, f.summary) for f in result.findings]
    assert severity in {f.severity.value for f in found}
    best = next(f for f in found if f.severity.value == severity)
    assert best.file == f"{name}.yaml" and best.line > 0
    assert best.story and best.replay


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_healthy_twin_passes(name: str) -> None:
    """A false alarm is a defect like a miss."""
    result = ask([SITUATIONS / f"{name}.healthy.yaml"], fail_on=Severity.WARNING).result
    assert [(f.id, f.severity.value, f.summary) for f in result.findings if f.severity is not Severity.INFO] == []
    assert result.verdict == "pass"
    assert result.examples.level1_done == result.examples.level1 > 20
