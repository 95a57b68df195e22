"""Faults of the control plane bite, are healed, and leave the cluster as it was: controllers are level-triggered and survive them."""

from __future__ import annotations

import functools

import msgspec
import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.machines import of_numbers
from kchaos.engine.settings import Settings
from kchaos.engine.sweep import choose, sweep
from kchaos.engine.system import build, inputs_of
from kchaos.errors import InvalidScenario
from kchaos.history.record import Write
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.objects import KLASS
from kchaos.scenario import At, Scenario, Step
from tests.drawn import TEXT
from tests.support import loaded

MOVES = (
    Step(do="rollout", args={"target": "Deployment/default/api"}, when=At(1.0)),
    Step(do="scale-down", args={"target": "StatefulSet/default/store"}, when=At(5.0)),
    Step(do="pod-kill", args={"target": "StatefulSet/default/store"}, when=At(9.0)),
)
"""What the cluster is busy with while a fault lasts."""


@functools.cache
def booted(masters: int) -> tuple[System, Boot]:
    objects = [one.obj for one in loaded(TEXT).manifests]
    topology = msgspec.structs.replace(of_numbers(6, 3, objects).topology, masters=masters)
    system = build(msgspec.to_builtins(topology), inputs_of(objects, [], Settings(), "1.34"))
    return system, boot(system)


def outcome(do: str, target: str, masters: int = 1, **args: object) -> Outcome:
    system, image = booted(masters)
    first = Step(do=do, args={"target": target, **args}, for_s=40.0)
    return run(system, image, Scenario(steps=(first, *MOVES)))


def safety(found: Outcome) -> list[str]:
    """Return what was violated, availability aside: that a fault may cost."""
    return [f"{prop.id} {violation.summary}" for prop, violation in found.violations if not prop.id.startswith("KC2")]


def _cases() -> list[tuple[str, str, int]]:
    out = []
    for masters in (1, 3):
        system, image = booted(masters)
        plan = sweep(system, image, choose("process,api,watch,network,clock", catalog()))
        seen: dict[str, int] = {}
        for (step,) in plan.level1[1:]:
            seen[step.do] = seen.get(step.do, 0) + 1
            if catalog().get(step.do).target != "node" or seen[step.do] <= 2:  # two nodes tell as much as six
                out.append((step.do, step.args["target"], masters))
    return out


@pytest.mark.parametrize(("do", "target", "masters"), _cases())
def test_it_bites_and_heals(do: str, target: str, masters: int) -> None:
    found = outcome(do, target, masters)
    assert safety(found) == []
    if (do, target) != ("events-reordered", "replicasets"):  # too few of these events to overtake each other
        assert found.steps[0]["status"] == "bit"


def test_an_answer_that_is_lost_was_carried_out() -> None:
    """The replicaset-controller hears nothing of some pods that it made, and makes none twice."""
    found = outcome("answer-lost", "replicaset-controller")
    assert found.steps[0]["evidence"]["requests_failed"] > 0
    new = [e for e in found.run.entries if isinstance(e, Write) and e.resource == "pods" and e.type == "ADDED" and "api-" in e.key]
    assert len(new) == 3


def test_two_leaders_take_turns() -> None:
    """With three masters another one takes over while the first is frozen."""
    found = outcome("two-leaders", "kube-controller-manager", masters=3)
    assert found.steps[0]["evidence"] == {"leaders_frozen": 1, "others_took_over": 1}


def test_a_wrong_clock_makes_a_node_flap() -> None:
    """Set back by two minutes, its Lease seems not to be renewed until it has caught up."""
    found = outcome("clock-skew", "node-1")
    ready = [
        condition["status"]
        for entry in found.run.entries
        if isinstance(entry, Write) and entry.key.endswith("node-1") and entry.resource == "nodes"
        for condition in entry.obj["status"]["conditions"]
        if condition["type"] == "Ready"
    ]
    assert "Unknown" in ready and ready[-1] == "True"


@pytest.mark.parametrize(
    ("do", "target", "args"),
    [
        ("leader-crash", "kube-proxy", {}),
        ("apiserver-crash", "master-7", {}),
        ("request-refused", "*", {"code": 418}),
        ("request-refused", "*", {"phase": "during"}),
    ],
)
def test_mistakes_are_said(do: str, target: str, args: dict[str, object]) -> None:
    with pytest.raises(InvalidScenario):
        outcome(do, target, **args)


def test_level_1_leaves_them_out() -> None:
    """They are tried when they are named, by name or by group."""
    kinds = catalog()
    assert "leader-crash" not in choose(None, kinds)
    assert choose("process", kinds) == ["leader-crash", "leader-loss", "two-leaders", "apiserver-crash", "stale-apiserver"]
    assert set(choose("all", kinds)) == {kind.name for kind in kinds if kind.klass != KLASS}
