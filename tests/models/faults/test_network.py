"""Faults of the node network lose requests while they last, tell what they did, and leave nothing behind."""

from __future__ import annotations

import pytest

from kchaos.history.record import Mark
from tests.support import SITUATIONS, one, step, system_of

WEB = (SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8")


def _lost(outcome: object, reason: str) -> list[float]:
    marks = [entry for entry in outcome.run.entries if isinstance(entry, Mark) and entry.what == "traffic"]  # type: ignore[attr-defined]
    return [mark.data["lost"][reason] for mark in marks if reason in mark.data["lost"]]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("overlay-loss", "overlay"), ("stale-fdb", "overlay"), ("lease-lost", "overlay"), ("dns-replica-dead", "dns")],
)
def test_requests_are_lost(fault: str, reason: str) -> None:
    outcome = one(system_of(WEB, nodes=3, zones=1), step(fault, "node-1"))
    assert outcome.steps[0]["status"] == "bit"
    assert max(_lost(outcome, reason)) > 0
    assert [prop.id for prop, _ in outcome.violations if prop.id in ("KC050", "KC051", "KC052")] == []
    wrong = {mark.data["node"]: mark.data["wrong"] for mark in outcome.run.entries if isinstance(mark, Mark) and mark.what == "overlay"}
    assert not any(wrong.values())


def test_a_stopped_proxy_without_a_change_is_inert() -> None:
    outcome = one(system_of(WEB, nodes=3, zones=1), step("proxy-stopped", "node-1"))
    assert outcome.steps[0]["status"] == "inert"


def test_a_stopped_proxy_sends_requests_to_pods_that_are_gone() -> None:
    outcome = one(system_of(WEB, nodes=3, zones=1), step("proxy-stopped", "node-1"), step("rollout", "Deployment/default/api"))
    assert outcome.steps[0]["status"] == "bit"
    assert _lost(outcome, "refused")


def test_it_is_recorded_which_pods_are_asked() -> None:
    """What KC048 judges: after a rollout, the rules of all nodes send requests to the new pods and to no other."""
    outcome = one(system_of(WEB, nodes=3, zones=1), step("rollout", "Deployment/default/api"))
    told = [mark.data["pods"] for mark in outcome.run.entries if isinstance(mark, Mark) and mark.what == "asked"]
    assert len(told) > 2
    assert len(told[-1]) == len(told[0])
    assert not set(told[-1]) & set(told[0])
