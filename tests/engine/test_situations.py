"""Nine situations that no linter sees are found; their healthy twins pass with ``--fail-on warning``."""

from __future__ import annotations

import msgspec
import pytest

from kchaos.check.property import Severity
from tests.support import SITUATIONS, ask, one, step, system_of

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
    result = ask([SITUATIONS / f"{name}.yaml"]).result
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


def test_a_bad_rollout_that_is_undone_before_it_is_taken_does_no_harm() -> None:
    """While no API server answers the bad template waits; healing undoes it before it arrives, and it stays undone."""
    text = (SITUATIONS / "one-replica.yaml").read_text(encoding="utf-8")
    system = system_of(text)
    system = system._replace(topology=msgspec.structs.replace(system.topology, masters=3))
    steps = [step("masters-apart", master) for master in ("master-0", "master-1", "master-2")]
    outcome = one(system, *steps, step("rollback", "Deployment/default/worker"))
    assert "KC204" not in [prop.id for prop, _ in outcome.violations]
    after = [entry.obj for entry in outcome.run.entries if getattr(entry, "resource", "") == "deployments"]
    assert all("invalid" not in obj["spec"]["template"]["spec"]["containers"][0]["image"] for obj in after[-1:])
