"""What users do ends as it began: overlapping scalings add up, whatever the order in which they end."""

from __future__ import annotations

import functools

import pytest

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import run
from kchaos.history.record import Write
from kchaos.scenario import At, Scenario, Step
from tests.drawn import WEB
from tests.support import system_of

TARGET = "Deployment/default/api"


@functools.cache
def booted() -> tuple[System, Boot]:
    system = system_of(WEB)
    return system, boot(system)


@pytest.mark.parametrize("noise", [{"type": "quiet"}, *({"type": "seeded", "seed": seed, "p": 0.2} for seed in range(4))])
def test_overlapping_scalings_end_where_they_began(noise: dict[str, object]) -> None:
    """Two more, one less and one more at the same instant, some for a while: in between their sum, and in the end what was before."""
    steps = (
        Step(do="scale-up", args={"target": TARGET, "by": 2}, when=At(0.0), for_s=30.0),
        Step(do="scale-down", args={"target": TARGET}, when=At(0.0)),
        Step(do="scale-up", args={"target": TARGET}, when=At(0.0)),
    )
    system, image = booted()
    found = run(system, image, Scenario(steps=steps, noise=noise))
    seen = [
        entry.obj["spec"]["replicas"] for entry in found.run.entries
        if isinstance(entry, Write) and entry.resource == "deployments" and entry.actor == "user"
    ]  # fmt: skip
    before = image.image.store.tables["deployments"]["default/api"]["spec"]["replicas"]
    assert before + 2 in seen and seen[-1] == before
    assert [line["status"] for line in found.steps] == ["bit"] * 3
    assert [prop.id for prop, _ in found.violations if prop.id in ("KC069", "KC017")] == []
