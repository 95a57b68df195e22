"""The sweep over writes covers every write and finds a controller that does not look at what is there when it starts."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from kchaos.cli import run_cli
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.writes import sweep_writes
from kchaos.models.api.tree import Obj
from kchaos.models.client.informer import Informer
from kchaos.models.client.informer import Key as InformerKey
from kchaos.scenario import Step
from tests.drawn import STATEFUL, TEXT
from tests.support import SITUATIONS, system_of


@functools.cache
def booted() -> tuple[System, Boot]:
    system = system_of(TEXT)
    return system, boot(system)


@pytest.mark.parametrize(
    ("do", "target", "at_least"),
    [
        ("rollout", "Deployment/default/api", 40),
        ("rollout", "StatefulSet/default/store", 40),
        ("scale-down", "StatefulSet/default/store", 5),
        ("drain", "node-1", 5),
    ],
)
def test_every_write_can_be_the_last(do: str, target: str, at_least: int) -> None:
    """All crashes come about, all end states are the undisturbed one, nothing of safety is violated."""
    found = list(sweep_writes(*booted(), Step(do=do, args={"target": target})))
    assert len(found) >= at_least
    assert [one.case.words for one in found if not one.fired or one.wrong] == []


def test_an_edge_triggered_controller_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reacts to changes only: what was under way when its process died is never finished."""
    system = system_of(STATEFUL)
    image = boot(system)
    original = Informer._set

    def deaf(self: Informer, key: InformerKey, new: Obj | None, last: Obj | None = None) -> None:
        handlers = self._handlers
        if not self.synced:
            self._handlers = []
        original(self, key, new, last)
        self._handlers = handlers

    monkeypatch.setattr(Informer, "_set", deaf)
    monkeypatch.setattr(Informer, "add_handler", lambda self, handler: self._handlers.append(handler))
    found = list(sweep_writes(system, image, Step(do="rollout", args={"target": "StatefulSet/default/store"})))
    different = [one for one in found if not one.same]
    assert different
    assert any(role.startswith("statefulsets default/store (") and " instead of " in role for one in different for role in one.differences)


def test_the_command(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One document; a sweep that was cut short is unknown, never a pass."""
    monkeypatch.chdir(tmp_path)
    path = str(SITUATIONS / "stuck-after-bad-template.healthy.yaml")
    assert run_cli(["run", path, "--sweep", "writes", "--faults", "scale-down", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["verdict"] == "pass" and document["writes"] == document["came_about"] == document["equal"] > 5
    assert run_cli(["run", path, "--sweep", "writes", "--faults", "leader-crash"]) == 3
    assert "brings about no write, so nothing is known" in capfd.readouterr().out
    assert run_cli(["run", path, "--sweep", "writes", "--budget", "3"]) == 3
    assert capfd.readouterr().out.startswith("UNKNOWN: a crash after each of 3 writes")
