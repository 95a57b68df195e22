"""How long a run waits: for what was asked of it, and for what must still come of it after healing."""

from __future__ import annotations

import pytest

from kchaos.engine.booting import boot
from kchaos.scenario import Step
from tests.drawn import STATEFUL
from tests.support import one, system_of


@pytest.mark.parametrize("for_s", [200.0, 400.0, None])
def test_a_back_off_has_its_time_after_healing(for_s: float | None) -> None:
    """A kubelet tries an image again at most five minutes after the last try: healed during chaos or after it, the pod comes back."""
    system = system_of(STATEFUL)
    step = Step(do="image-pull-failure", args={"target": "StatefulSet/default/store"}, for_s=for_s)
    found = one(system, step, booted=boot(system))
    assert found.steps[0]["status"] == "bit"
    assert [prop.id for prop, _ in found.violations if prop.liveness and prop.id != "KC204"] == []
