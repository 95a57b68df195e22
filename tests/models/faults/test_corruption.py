"""Corrupted objects: who owns the field repairs it, what users wrote is followed, and what breaks is the corruption's doing."""

from __future__ import annotations

import pytest

from kchaos.check.property import Severity
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.story import story
from kchaos.engine.sweep import sweep
from kchaos.history.record import CORRUPTION, Write
from kchaos.models.controllers.deployment import DeploymentController
from kchaos.models.faults.corruption import CLASSES, at, changed, flipped
from kchaos.scenario import Scenario, Step
from tests.models.faults.test_symbols import API, STORE, booted, outcome

OWNED = {name for name, one in CLASSES.items() if one.repairs}


def corrupted(do: str, target: str) -> Outcome:
    return outcome(Step(do=do, args={"target": target}, for_s=60.0), masters=1)


def test_a_field_changes_by_one_bit() -> None:
    assert (flipped(3), flipped(2), flipped("a0"), flipped(True)) == (2, 3, "a1", False)
    obj = {"a": [{"b": 1}, {"b": 2}], "c": {}}
    new = changed(obj, ("a", 1, "b"), 3)
    assert new == {"a": [{"b": 1}, {"b": 3}], "c": {}} and obj["a"] == [{"b": 1}, {"b": 2}]
    assert (at(new, ("a", 1, "b")), at(new, ("a", 7)), at(new, ("x", "y")), at(None, ("a",))) == (3, None, None, None)


def _cases() -> list[tuple[str, str]]:
    return [(one.do, one.args["target"]) for (one,) in sweep(*booted(1), list(CLASSES)).level1[1:]]


def test_a_workload_without_the_field_is_left_out() -> None:
    cases = _cases()
    assert ("corrupt-claim", STORE) in cases and ("corrupt-claim", API) not in cases
    assert {do for do, _ in cases} == set(CLASSES)


@pytest.mark.parametrize(("do", "target"), _cases())
def test_it_bites_is_attributed_and_heals(do: str, target: str) -> None:
    """What has an owner is repaired by it; nothing is called an error of the application or of the model."""
    found = corrupted(do, target)
    (line,) = found.steps
    assert line["status"] == "bit" and line["evidence"]["fields_changed"] == 1
    if do in OWNED:
        assert line["evidence"]["written_by"] in ("deployment-controller", "statefulset-controller", "kubelet")
        assert line["evidence"]["after_s"] < 15.0
    assert [v for _, v in found.violations if v.severity is Severity.ERROR] == []
    assert "in the store, " in "\n".join(story(found.run))
    writes = [e for e in found.run.entries if isinstance(e, Write) and e.actor == CORRUPTION]
    assert len(writes) == 1 + line["evidence"].get("restored", 0)


def test_what_users_wrote_is_followed_until_it_is_put_back() -> None:
    """spec.replicas is what the user wants, as far as anybody can know: one pod goes, and comes back."""
    found = corrupted("corrupt-replicas", API)
    assert found.steps[0]["evidence"]["restored"] == 1
    pods = [e.type for e in found.run.entries if isinstance(e, Write) and e.resource == "pods" and e.type != "MODIFIED"]
    assert pods == ["DELETED", "ADDED"]


def test_a_wrong_address_loses_requests() -> None:
    """One of three endpoints has an address that nobody has."""
    found = corrupted("corrupt-endpoints", API)
    assert any(m.data["lost"].get("timeout") == pytest.approx(1 / 3, abs=1e-3) for m in found.run.marks("traffic"))


def test_an_orphan_is_collected_and_replaced() -> None:
    """A reference to an owner that there is not makes a pod garbage."""
    found = corrupted("corrupt-owner", API)
    pods = [(e.type, e.actor) for e in found.run.entries if isinstance(e, Write) and e.resource == "pods" and e.type != "MODIFIED"]
    assert ("ADDED", "replicaset-controller") in pods and ("DELETED", "kubelet") in pods


def test_a_controller_that_does_not_repair_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: a Deployment controller that never looks at its Deployments again."""
    system, image = booted(1)

    async def nothing(self: DeploymentController, key: str) -> None:
        return

    monkeypatch.setattr(DeploymentController, "_sync", nothing)
    found = run(system, image, Scenario(steps=(Step(do="corrupt-status", args={"target": API}, for_s=60.0),)))
    errors = [(prop.id, v.object) for prop, v in found.violations if v.severity is Severity.ERROR]
    assert errors == [("KC110", API)]


def test_no_target_field_is_inert() -> None:
    """A Deployment without volumes has no claim to corrupt."""
    (line,) = corrupted("corrupt-claim", API).steps
    assert line["status"] == "inert"
