"""The vocabulary of a run is what really happens in it, so that every triggered fault fires."""

from __future__ import annotations

import pytest

from kchaos.engine.booting import boot
from kchaos.engine.kubernetes import run
from kchaos.engine.triggers import triggered, vocabulary
from kchaos.scenario import Nth, Scenario
from tests.drawn import TEXT
from tests.support import one, step, system_of


@pytest.mark.parametrize(("do", "target"), [("rollout", "Deployment/default/api"), ("scale-down", "StatefulSet/default/store")])
def test_every_triggered_fault_fires(do: str, target: str) -> None:
    """Each word's last event comes about when the same operation is disturbed at it: nothing is disarmed at healing."""
    system = system_of(TEXT)
    booted = boot(system)
    operation = step(do, target)
    words = vocabulary(one(system, operation, booted=booted).run)
    assert {word.actor for word in words} >= {"kubelet", "user", f"{target.partition('/')[0].lower()}-controller"}
    found_by_word = {
        tuple(found.when.event.items()): found
        for found in triggered(words, ["leader-crash", "request-refused"])
        if isinstance(found.when, Nth)
    }
    for found in found_by_word.values():
        outcome = run(system, booted, Scenario(steps=(operation, found)))
        assert outcome.steps[1]["status"] != "disarmed", found


def test_the_sweep_is_every_fault_at_every_event() -> None:
    """As many steps as events times faults that fit; only the faults that are asked for."""
    system = system_of(TEXT)
    words = vocabulary(one(system, step("scale-down", "StatefulSet/default/store")).run)
    crashes = list(triggered(words, ["leader-crash"]))
    commits = [word for word in words if word.event["on"] == "commit"]
    assert len(crashes) == sum(word.times for word in commits)
    assert {found.do for found in crashes} == {"leader-crash"}
