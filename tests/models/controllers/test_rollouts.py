"""How a Deployment sizes its ReplicaSets and what it says of itself, case by case (pkg/controller/deployment: rolling, sync, progress, util)."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.times import parse
from kchaos.models.controllers import deployment_rolling as rolling
from kchaos.models.controllers import deployment_status as progress

Obj = dict[str, Any]
NOW = "2026-01-01T01:00:00Z"


def _deployment(replicas: int, surge: Any = 1, unavailable: Any = 0, status: Obj | None = None, **spec: Any) -> Obj:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    meta = {"name": "web", "generation": 2}
    return {"metadata": meta, "spec": {"replicas": replicas, "strategy": strategy, **spec}, "status": status or {}}


def _set(name: str, size: int, up: int | None = None, minute: int = 0, **notes: int) -> Obj:
    keys = {"desired": rolling.DESIRED, "most": rolling.MAX, "revision": rolling.REVISION}
    meta = {
        "name": name, "uid": name, "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z", "generation": 1,
        "annotations": {keys[key]: str(value) for key, value in notes.items()},
    }  # fmt: skip
    have = size if up is None else up
    status = {"replicas": size, "readyReplicas": have, "availableReplicas": have, "observedGeneration": 1}
    return {"metadata": meta, "spec": {"replicas": size}, "status": status}


def _sizes(plan: rolling.Plan) -> dict[str, int]:
    return {rs["metadata"]["name"]: size for rs, size in plan}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [(10, "25%", "25%", (3, 2)), (3, 0, 0, (0, 1)), (3, 0, 2, (0, 2)), (3, 2, 0, (2, 0)), (2, 1, 5, (1, 2)), (1, "1%", "1%", (1, 0))],
)
def test_bounds(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    """A surge rounds up, what may be unavailable down; both 0 means one unavailable, and never more than there are."""
    assert rolling.bounds(_deployment(replicas, surge, unavailable)) == expected
    recreate = _deployment(replicas, surge, unavailable)
    recreate["spec"]["strategy"] = {"type": "Recreate"}
    assert rolling.bounds(recreate) == (0, 0)


@pytest.mark.parametrize(
    ("new", "old", "surge", "expected"), [(0, 3, 1, 1), (0, 4, 1, 0), (0, 6, 1, 0), (2, 2, 2, 3), (1, 0, 3, 3), (None, 2, 0, 1)]
)
def test_size_of_the_new_set(new: int | None, old: int, surge: int, expected: int) -> None:
    """It grows into the room below replicas + maxSurge, to replicas at most, and never shrinks for others that are too many."""
    made = _set("new", new) if new is not None else None
    assert rolling.new_size(_deployment(3, surge), made, [_set("old", old)]) == expected


def test_the_new_set_is_right_too_large_or_grows() -> None:
    assert rolling.plan_new(_deployment(3), _set("new", 3), []) == []
    assert _sizes(rolling.plan_new(_deployment(3), _set("new", 5), [])) == {"new": 3}
    assert _sizes(rolling.plan_new(_deployment(3), _set("new", 1), [_set("old", 2)])) == {"new": 2}
    assert rolling.plan_new(_deployment(3), _set("new", 1), [_set("old", 3)]) == []


def test_old_sets_shrink_by_what_can_be_spared() -> None:
    """Nothing while no new pod is available beyond the floor; then the oldest set first."""
    olds = [_set("older", 1, minute=1), _set("old", 2, minute=2)]
    assert rolling.plan_olds(_deployment(3), _set("new", 1, up=0, minute=3), olds) == []
    assert _sizes(rolling.plan_olds(_deployment(3), _set("new", 1, minute=3), olds)) == {"older": 0}
    assert _sizes(rolling.plan_olds(_deployment(3, 2), _set("new", 2, minute=3), olds)) == {"older": 0, "old": 1}
    assert rolling.plan_olds(_deployment(3), _set("new", 3), [_set("old", 0)]) == []
    assert _sizes(rolling.plan_olds(_deployment(3, 1, 1), _set("new", 2, up=0), [_set("old", 2, up=2)])) == {}


def test_recreate_takes_all_old_pods() -> None:
    assert _sizes(rolling.plan_recreate([_set("a", 1), _set("b", 0), _set("c", 3)])) == {"a": 0, "c": 0}


def test_a_change_of_replicas_is_noticed() -> None:
    """By the annotation of any set that has pods."""
    assert rolling.is_scaling_event(_deployment(5), [_set("old", 3, desired=3)])
    assert not rolling.is_scaling_event(_deployment(3), [_set("old", 3, desired=3), _set("older", 0, desired=7), _set("mine", 1)])
    assert rolling.is_scaling_event(_deployment(3), [_set("old", 1, desired=2)])


def test_one_set_is_scaled_as_a_whole() -> None:
    """The only active one; else the new one; else the newest."""
    assert _sizes(rolling.plan_scale(_deployment(5), _set("new", 3), [_set("old", 0)])) == {"new": 5}
    assert _sizes(rolling.plan_scale(_deployment(5), _set("new", 0), [_set("old", 1)])) == {"old": 5}
    assert _sizes(rolling.plan_scale(_deployment(5), None, [_set("a", 0, minute=1), _set("b", 0, minute=2)])) == {"b": 5}
    assert _sizes(rolling.plan_scale(_deployment(5), _set("new", 0), [_set("old", 0)])) == {"new": 5}
    assert rolling.plan_scale(_deployment(3), _set("new", 3), []) == [] == rolling.plan_scale(_deployment(3), None, [])


def test_old_sets_go_when_the_new_one_serves_alone() -> None:
    assert _sizes(rolling.plan_scale(_deployment(3), _set("new", 3, desired=3), [_set("old", 1), _set("gone", 0)])) == {"old": 0}
    assert _sizes(rolling.plan_scale(_deployment(3, 3), _set("new", 3, up=2, desired=3), [_set("old", 1, most=6)]))["old"] != 0


def test_several_sets_are_scaled_in_proportion() -> None:
    """What rounding leaves goes to the largest; a Recreate rollout is not scaled in parts."""
    sets = {"new": _set("new", 3, most=12, minute=2), "old": _set("old", 9, most=12, minute=1)}
    assert _sizes(rolling.plan_scale(_deployment(20, 2), sets["new"], [sets["old"]])) == {"old": 17, "new": 5}
    assert _sizes(rolling.plan_scale(_deployment(4, 0), sets["new"], [sets["old"]])) == {"old": 3, "new": 1}
    assert _sizes(rolling.plan_scale(_deployment(0, 2), sets["new"], [sets["old"]])) == {"old": 0, "new": 0}
    assert _sizes(rolling.plan_scale(_deployment(12, 0), sets["new"], [sets["old"]])) == {"old": 9, "new": 3}
    recreate = _deployment(20)
    recreate["spec"]["strategy"] = {"type": "Recreate"}
    assert rolling.plan_scale(recreate, sets["new"], [sets["old"]]) == []


def test_equal_sets_the_newer_grows_first_and_the_older_shrinks_first() -> None:
    new, old = _set("new", 2, most=4, minute=2), _set("old", 2, most=4, minute=1)
    assert _sizes(rolling.plan_scale(_deployment(5, 0), new, [old])) == {"new": 3, "old": 2}
    assert _sizes(rolling.plan_scale(_deployment(3, 0), new, [old])) == {"old": 1, "new": 2}


def test_without_a_note_the_size_before_is_that_of_the_status() -> None:
    new, old = _set("new", 1), _set("old", 3)
    assert _sizes(rolling.plan_scale(_deployment(8, 0, status={"replicas": 4}), new, [old])) == {"old": 6, "new": 2}
    assert _sizes(rolling.plan_scale(_deployment(8, 0), new, [old])) == {"old": 7, "new": 1}


def test_history_keeps_the_newest_revisions() -> None:
    """What still has pods is left, whatever its age; no limit keeps all."""
    olds = [_set(f"r{n}", 0, revision=n, minute=9 - n) for n in range(1, 5)]
    names = [rs["metadata"]["name"] for rs in rolling.stale_history(_deployment(3, revisionHistoryLimit=2), olds)]
    assert names == ["r1", "r2"]
    assert rolling.stale_history(_deployment(3), olds) == [] == rolling.stale_history(_deployment(3, revisionHistoryLimit=4), olds)
    busy = {**olds[0], "status": {**olds[0]["status"], "replicas": 1}}
    assert [rs["metadata"]["name"] for rs in rolling.stale_history(_deployment(3, revisionHistoryLimit=2), [busy, *olds[1:]])] == ["r2"]


# -- status ------------------------------------------------------------------------------------------------------------


def _condition(kind: str, status: str, reason: str, at: str = "2026-01-01T00:00:00Z") -> Obj:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastUpdateTime": at, "lastTransitionTime": at}


def _progress(reason: str = "ReplicaSetUpdated", status: str = "True", at: str = "2026-01-01T00:00:00Z") -> Obj:
    return {"conditions": [_condition("Progressing", status, reason, at)]}


def _of(conditions: list[Obj], kind: str) -> Obj | None:
    return next((one for one in conditions if one["type"] == kind), None)


def test_a_condition_keeps_its_times_while_it_says_the_same() -> None:
    old = _condition("Available", "True", "MinimumReplicasAvailable")
    same = progress.new_condition("Available", "True", "MinimumReplicasAvailable", "other words", NOW)
    assert progress.with_condition([old], same) == [old]
    why = progress.with_condition([old], progress.new_condition("Available", "True", "Other", "", NOW))
    assert (why[0]["lastTransitionTime"], why[0]["lastUpdateTime"]) == (old["lastTransitionTime"], NOW)
    off = progress.with_condition([old, _condition("Progressing", "True", "x")], progress.new_condition("Available", "False", "x", "", NOW))
    assert [one["type"] for one in off] == ["Progressing", "Available"]
    assert off[1]["lastTransitionTime"] == NOW


def test_complete_means_all_and_only_updated() -> None:
    full = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "observedGeneration": 2}
    assert progress.complete(_deployment(3), full)
    for field, value in (("replicas", 4), ("updatedReplicas", 2), ("availableReplicas", 2), ("observedGeneration", 1)):
        assert not progress.complete(_deployment(3), {**full, field: value})
    assert progress.complete(_deployment(0), {"observedGeneration": 2})


def test_counts() -> None:
    """Zeros are left out, but for what was observed; of the collisions nothing is forgotten."""
    web = _deployment(4, 1, 1, status={"collisionCount": 2})
    status = progress.calculate(web, _set("new", 2, up=1), [_set("new", 2, up=1), _set("old", 3, up=2)], NOW)
    counts = {key: value for key, value in status.items() if key != "conditions"}
    assert counts == {
        "observedGeneration": 2, "replicas": 5, "updatedReplicas": 2, "readyReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 2,
        "collisionCount": 2,
    }  # fmt: skip
    assert status["conditions"][0]["reason"] == "MinimumReplicasAvailable"
    less = progress.calculate(web, None, [_set("old", 3, up=2)], NOW)
    assert less["conditions"][0]["reason"] == "MinimumReplicasUnavailable"
    assert "updatedReplicas" not in less
    assert "unavailableReplicas" not in progress.calculate(web, None, [_set("old", 3)], NOW)


def _rolled(before: Obj, sets: list[Obj], deadline: int | None = 600, replicas: int = 3) -> list[Obj]:
    web = _deployment(replicas, status=before, **({} if deadline is None else {"progressDeadlineSeconds": deadline}))
    return list(progress.rollout_status(web, sets[0], sets, NOW, parse(NOW))["conditions"])


def test_progress_is_what_grows() -> None:
    """More updated, ready or available pods, or fewer old ones; the transition stays where it was."""
    before = {**_progress(), "replicas": 3, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3}
    found = _of(_rolled(before, [_set("new", 2), _set("old", 1)]), "Progressing")
    assert found is not None
    assert (found["reason"], found["lastUpdateTime"], found["lastTransitionTime"]) == ("ReplicaSetUpdated", NOW, "2026-01-01T00:00:00Z")
    same = _of(_rolled(before, [_set("new", 1), _set("old", 2)], deadline=36000), "Progressing")
    assert same is not None
    assert same["lastUpdateTime"] == "2026-01-01T00:00:00Z"
    again = _of(
        _rolled({**_progress(status="False", reason="ProgressDeadlineExceeded"), "updatedReplicas": 1}, [_set("new", 2)]), "Progressing"
    )
    assert again is not None
    assert (again["status"], again["lastTransitionTime"]) == ("True", NOW)


def test_no_progress_for_too_long_is_told() -> None:
    before = {**_progress(), "replicas": 3, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3}
    late = _of(_rolled(before, [_set("new", 1), _set("old", 2)]), "Progressing")
    assert late is not None
    assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert _of(_rolled(before, [_set("new", 1), _set("old", 2)], deadline=None), "Progressing") is None
    done = _of(_rolled(before, [_set("new", 3)]), "Progressing")
    assert done is not None
    assert done["reason"] == "NewReplicaSetAvailable"


def test_what_is_done_stays_done() -> None:
    """A rollout that is over does not begin anew when pods are lost or added."""
    before = {**_progress("NewReplicaSetAvailable"), "replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2}
    found = _of(_rolled(before, [_set("new", 3, up=3)]), "Progressing")
    assert found is not None
    assert found["lastUpdateTime"] == "2026-01-01T00:00:00Z"


def test_a_sets_failure_is_the_deployments() -> None:
    bad = _set("new", 1)
    bad["status"]["conditions"] = [_condition("Other", "True", "x"), _condition("ReplicaFailure", "True", "FailedCreate")]
    found = _of(_rolled(_progress(), [bad]), "ReplicaFailure")
    assert found is not None
    assert found["reason"] == "FailedCreate"
    gone = {"conditions": [*_progress()["conditions"], _condition("ReplicaFailure", "True", "FailedCreate")]}
    assert _of(_rolled(gone, [_set("new", 1)]), "ReplicaFailure") is None


def test_when_to_look_again() -> None:
    """One second after the deadline; never once it is over, done or has no deadline."""
    status = {**_progress(), "replicas": 1}
    web = _deployment(3, progressDeadlineSeconds=600)
    assert progress.stuck_for_s(web, status, parse("2026-01-01T00:05:00Z")) == 301.0
    assert progress.stuck_for_s(web, status, parse(NOW)) == 1.0
    assert progress.stuck_for_s(_deployment(3), status, parse(NOW)) is None
    assert progress.stuck_for_s(web, {**_progress("ProgressDeadlineExceeded"), "replicas": 1}, parse(NOW)) is None
    assert progress.timed_out(web, status["conditions"], parse(NOW))
    assert not progress.timed_out(web, status["conditions"], parse("2026-01-01T00:10:00Z"))
    assert not progress.timed_out(web, _progress("NewReplicaSetAvailable")["conditions"], parse(NOW))
