"""What a StatefulSet does next, case by case (stateful_set_control.go)."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.statefulset_decide import Create, Delete, Repair, complete, decide, ordinal_of

Obj = dict[str, Any]


def _set(replicas: int = 3, policy: str = "OrderedReady", status: Obj | None = None, **spec: Any) -> Obj:
    meta = {"name": "db", "namespace": "shop", "uid": "u", "generation": 4}
    return {"metadata": meta, "spec": {"replicas": replicas, "podManagementPolicy": policy, **spec}, "status": status or {}}


def _pod(
    ordinal: int, phase: str = "Running", ready: bool = True, revision: str = "r1", going: bool = False, since: str = "2026-01-01T00:00:00Z"
) -> Obj:
    meta: Obj = {"name": f"db-{ordinal}", "namespace": "shop", "uid": f"p{ordinal}", "labels": {"controller-revision-hash": revision}}
    if going:
        meta["deletionTimestamp"] = since
    conditions = [{"type": "Ready", "status": str(ready and phase == "Running"), "lastTransitionTime": since}]
    return {"metadata": meta, "spec": {}, "status": {"phase": phase, "conditions": conditions}}


def _does(owner: Obj, *pods: Obj, update: str = "r1", wall_s: float = 2e9) -> list[str]:
    """Return the actions in words: ``+1`` and ``+1new``, ``-2``, ``=0``."""
    out = []
    for one in decide(owner, list(pods), "r1", update, 0, wall_s).actions:
        if isinstance(one, Create):
            out.append(f"+{one.ordinal}{'new' if one.from_update else ''}")
        elif isinstance(one, Delete):
            out.append(f"-{ordinal_of(owner, one.pod)}")
        elif isinstance(one, Repair):
            out.append(f"={ordinal_of(owner, one.pod)}")
    return out


@pytest.mark.parametrize(
    ("name", "expected"), [("db-0", 0), ("db-12", 12), ("db-", -1), ("other-1", -1), ("db-x", -1), ("db", -1), ("db-1-2", -1)]
)
def test_ordinals_in_names(name: str, expected: int) -> None:
    assert ordinal_of(_set(), {"metadata": {"name": name}}) == expected


def test_one_is_made_after_the_other() -> None:
    """From the update revision unless the status says that pods of the current one are needed."""
    assert _does(_set()) == ["+0new"]
    assert _does(_set(status={"currentReplicas": 1})) == ["+0"]
    assert _does(_set(status={"currentReplicas": 1}), _pod(0)) == ["=0", "+1new"]
    assert _does(_set(), _pod(0, ready=False)) == []
    assert _does(_set(), _pod(0, phase="Pending")) == ["=0"]
    assert _does(_set(), _pod(0, going=True)) == []
    assert _does(_set(minReadySeconds=30), _pod(0), wall_s=0.0) == []
    assert _does(_set(ordinals={"start": 5}), _pod(5)) == ["=5", "+6new"]


def test_a_parallel_set_makes_all_at_once() -> None:
    owner = _set(policy="Parallel", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert _does(owner, update="r2") == ["+0", "+1", "+2new"]
    assert _does(_set(policy="Parallel", updateStrategy={"type": "OnDelete"})) == ["+0new", "+1new", "+2new"]


def test_a_pod_that_has_ended_is_deleted_first() -> None:
    assert _does(_set(), _pod(0), _pod(1, phase="Failed"), _pod(2)) == ["=0", "-1"]
    assert _does(_set(), _pod(0), _pod(1, phase="Succeeded", going=True), _pod(2)) == ["=0"]


def test_scaling_down_waits() -> None:
    """The largest first, one at a time; a pod that is not ready stops it unless it is the first that is not."""
    assert _does(_set(1), _pod(0), _pod(1), _pod(2)) == ["=0", "-2"]
    assert _does(_set(1), _pod(0), _pod(1), _pod(2, going=True)) == ["=0"]
    assert _does(_set(1), _pod(0), _pod(1), _pod(2, ready=False)) == ["=0", "-2"]
    assert _does(_set(1), _pod(0), _pod(1, ready=False), _pod(2, ready=False)) == ["=0"]
    assert _does(_set(1, "Parallel"), _pod(0), _pod(1), _pod(2)) == ["=0", "-2", "-1"]
    assert _does(_set(1, "Parallel"), _pod(0), _pod(1), _pod(2, going=True)) == ["=0", "-1"]


def _rolls(*pods: Obj, partition: int = 0, kind: str = "RollingUpdate") -> list[str]:
    strategy = {"type": kind, "rollingUpdate": {"partition": partition}}
    return [one for one in _does(_set(updateStrategy=strategy, policy="Parallel"), *pods, update="r2") if one.startswith("-")]


def test_an_update_goes_from_the_largest_down() -> None:
    assert _rolls(_pod(0), _pod(1), _pod(2)) == ["-2"]
    assert _rolls(_pod(0), _pod(1), _pod(2, revision="r2")) == ["-1"]
    assert _rolls(_pod(0), _pod(1), _pod(2, revision="r2", ready=False)) == []
    assert _rolls(_pod(0), _pod(1), _pod(2, going=True)) == []
    assert _rolls(_pod(0), _pod(1, revision="r2"), _pod(2, revision="r2")) == ["-0"]
    assert _rolls(_pod(0), _pod(1, revision="r2"), _pod(2, revision="r2"), partition=1) == []
    assert _rolls(_pod(0), _pod(1), _pod(2, revision="r2"), partition=1) == ["-1"]
    assert _rolls(_pod(0), _pod(1), _pod(2), kind="OnDelete") == []
    assert _rolls(_pod(0), _pod(1)) == []


def test_nothing_is_done_for_a_set_under_deletion() -> None:
    owner = _set()
    owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert _does(owner, _pod(0)) == []


def test_counts() -> None:
    """Of a pod that is going no revision is counted; conditions stay."""
    owner = _set(status={"conditions": [{"type": "Mine"}]}, minReadySeconds=10)
    pods = [_pod(0), _pod(1, revision="r2", ready=False), _pod(2, going=True, revision="r2")]
    status = decide(owner, pods, "r1", "r2", 7, 2e9).status
    assert status == {
        "replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "currentReplicas": 1, "updatedReplicas": 1, "observedGeneration": 4,
        "currentRevision": "r1", "updateRevision": "r2", "collisionCount": 7, "conditions": [{"type": "Mine"}],
    }  # fmt: skip
    assert decide(_set(0), [], "r1", "r1", 0, 0.0).status == {
        "replicas": 0, "availableReplicas": 0, "observedGeneration": 4, "currentRevision": "r1", "updateRevision": "r1", "collisionCount": 0,
    }  # fmt: skip


def test_the_update_becomes_current_when_all_have_it() -> None:
    full = {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, "currentRevision": "r1", "updateRevision": "r2"}
    assert complete(_set(), full) == {**full, "currentRevision": "r2", "currentReplicas": 3}
    assert complete(_set(updateStrategy={"type": "OnDelete"}), full) == full
    for field in ("replicas", "readyReplicas", "updatedReplicas"):
        less = {**full, field: 2}
        assert complete(_set(), less) == less
