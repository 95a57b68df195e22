"""The stale-view sweep covers every write twice, and finds a controller whose deletes are not tied to what it saw."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from kchaos.cli import run_cli
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.endstate import destroyed, destructions
from kchaos.engine.stale import stale, with_masters
from kchaos.engine.writes import sweep_writes
from kchaos.models.api.pods import name, namespace
from kchaos.models.api.tree import Obj
from kchaos.models.controllers.statefulset import StatefulSetController
from kchaos.scenario import Step
from tests.drawn import STATEFUL, TEXT
from tests.support import SITUATIONS, system_of


def with_three(text: str) -> System:
    """Return a system of manifests under three API servers."""
    system = system_of(text)
    return system._replace(topology=with_masters(system.topology))


@functools.cache
def booted() -> tuple[System, Boot]:
    system = with_three(TEXT)
    return system, boot(system)


@pytest.mark.parametrize(
    ("do", "target", "at_least"),
    [
        ("rollout", "Deployment/default/api", 80),
        ("rollout", "StatefulSet/default/store", 80),
        ("scale-down", "StatefulSet/default/store", 10),
        ("drain", "node-1", 10),
    ],
)
def test_every_write_may_be_unseen(do: str, target: str, at_least: int) -> None:
    """Kept or restarted into, no old view changes the end, destroys what is wanted or violates safety."""
    found = list(sweep_writes(*booted(), Step(do=do, args={"target": target}), stale))
    assert len(found) >= at_least
    assert [one.case.words for one in found if not one.fired or one.wrong] == []


def test_deletes_by_name_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarted into an old view it takes the pod that replaced the one it means: that destroys what a fresh view would keep."""

    async def by_name(self: StatefulSetController, owner: Obj, pod: Obj) -> None:
        await self.api.delete("pods", namespace(pod), name(pod))

    monkeypatch.setattr(StatefulSetController, "_delete", by_name)
    system = with_three(STATEFUL)
    found = list(sweep_writes(system, boot(system), Step(do="rollout", args={"target": "StatefulSet/default/store"}), stale))
    taken = [one for one in found if one.destroyed]
    assert taken
    assert all(role.startswith("pods default/store-") for one in taken for role in one.destroyed)


def test_an_undisturbed_run_destroys_nothing_of_a_replicaset() -> None:
    """What a rollout takes away is not wanted any more when it goes; against itself a run destroys nothing at all."""
    from tests.support import one, step

    run = one(booted()[0], step("rollout", "Deployment/default/api"), booted=booted()[1]).run
    counts = destructions(run)
    assert not [role for role in counts if "ReplicaSet" in role]
    assert destroyed(counts, counts) == ()
    assert destroyed({}, {"pods default/store-0": 1}) == ("pods default/store-0",)


def test_the_command(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three cases a write, all of them told in the document."""
    monkeypatch.chdir(tmp_path)
    path = str(SITUATIONS / "stuck-after-bad-template.healthy.yaml")
    assert run_cli(["run", path, "--sweep", "stale", "--faults", "scale-down", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["verdict"] == "pass" and document["sweep"] == "stale"
    assert document["cases"] == document["came_about"] == document["equal"] >= 2 * document["writes"] > 10
