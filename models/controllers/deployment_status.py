"""A Deployment's status and conditions. Pure.

pkg/controller/deployment/{sync,progress}.go. A condition keeps its times while status and reason stay the same.
"""

from __future__ import annotations

from kchaos.models.api.pods import name
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.deployment_rolling import available, bounds, replicas

NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"


def has_deadline(deployment: Obj) -> bool:
    """Tell whether a progress deadline is set (the largest int32 means none)."""
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    return deadline is not None and deadline != 2**31 - 1


def new_condition(kind: str, status: str, reason: str, message: str, now: str) -> Obj:
    """Return a condition stamped now."""
    return {
        "type": kind, "status": status, "lastUpdateTime": now, "lastTransitionTime": now, "reason": reason, "message": message,
    }  # fmt: skip


def find(conditions: list[Obj], kind: str) -> Obj | None:
    """Return the condition of a type."""
    return next((one for one in conditions if one["type"] == kind), None)


def with_condition(conditions: list[Obj], new: Obj) -> list[Obj]:
    """Return conditions with ``new`` last; unchanged if status and reason are what they were (SetDeploymentCondition)."""
    old = find(conditions, new["type"])
    if old is not None and old["status"] == new["status"] and old["reason"] == new["reason"]:
        return conditions
    if old is not None and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def without(conditions: list[Obj], kind: str) -> list[Obj]:
    """Return conditions without that type."""
    return [one for one in conditions if one["type"] != kind]


def complete(deployment: Obj, status: Obj) -> bool:
    """Tell whether all replicas are updated and available and no old ones are left (DeploymentComplete)."""
    want = replicas(deployment)
    return bool(
        status.get("updatedReplicas", 0) == want == status.get("replicas", 0) == status.get("availableReplicas", 0)
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    )


def _progressing(old: Obj, new: Obj) -> bool:
    def outdated(status: Obj) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return bool(
        new.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or outdated(new) < outdated(old)
        or new.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or new.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def timed_out(deployment: Obj, conditions: list[Obj], wall_s: float) -> bool:
    """Tell whether there was no progress for progressDeadlineSeconds (DeploymentTimedOut)."""
    found = find(conditions, "Progressing")
    if not has_deadline(deployment) or found is None or found["reason"] == NEW_AVAILABLE:
        return False
    if found["reason"] == TIMED_OUT:
        return True
    return parse(found["lastUpdateTime"]) + float(deployment["spec"]["progressDeadlineSeconds"]) < wall_s


def calculate(deployment: Obj, new: Obj | None, sets: list[Obj], now: str) -> Obj:
    """Return the counts and the Available condition (calculateStatus)."""
    ready = sum(int(get(rs, "status", "readyReplicas", default=0)) for rs in sets)
    up = sum(available(rs) for rs in sets)
    status: Obj = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": sum(int(get(rs, "status", "replicas", default=0)) for rs in sets),
        "updatedReplicas": int(get(new, "status", "replicas", default=0)),
        "readyReplicas": ready,
        "availableReplicas": up,
        "unavailableReplicas": max(0, sum(replicas(rs) for rs in sets) - up),
    }
    status = {key: value for key, value in status.items() if value or key == "observedGeneration"}
    old = deployment.get("status") or {}
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    _, unavailable = bounds(deployment)
    conditions = list(old.get("conditions") or ())
    if up >= replicas(deployment) - unavailable:
        new_one = new_condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    else:
        text = "Deployment does not have minimum availability."
        new_one = new_condition("Available", "False", "MinimumReplicasUnavailable", text, now)
    status["conditions"] = with_condition(conditions, new_one)
    return status


def rollout_status(deployment: Obj, new: Obj | None, sets: list[Obj], now: str, wall_s: float) -> Obj:
    """Return the status during and after a rollout, with Progressing and ReplicaFailure (syncRolloutStatus)."""
    status = calculate(deployment, new, sets, now)
    conditions: list[Obj] = status["conditions"]
    old = deployment.get("status") or {}
    before = find(list(old.get("conditions") or ()), "Progressing")
    if not has_deadline(deployment):
        conditions = without(conditions, "Progressing")
    done = status.get("replicas", 0) == status.get("updatedReplicas", 0) and before is not None and before["reason"] == NEW_AVAILABLE
    if has_deadline(deployment) and not done:
        who = f'ReplicaSet "{name(new)}"' if new is not None else f'Deployment "{name(deployment)}"'
        if complete(deployment, status):
            text = f"{who} has successfully progressed."
            conditions = with_condition(conditions, new_condition("Progressing", "True", NEW_AVAILABLE, text, now))
        elif _progressing(old, status):
            one = new_condition("Progressing", "True", "ReplicaSetUpdated", f"{who} is progressing.", now)
            if before is not None and before["status"] == "True":
                one["lastTransitionTime"] = before["lastTransitionTime"]
            conditions = [*without(conditions, "Progressing"), one]
        elif timed_out(deployment, conditions, wall_s):
            text = f"{who} has timed out progressing."
            conditions = with_condition(conditions, new_condition("Progressing", "False", TIMED_OUT, text, now))
    failure = _failure(sets, new)
    conditions = with_condition(conditions, failure) if failure is not None else without(conditions, "ReplicaFailure")
    return {**status, "conditions": conditions}


def _failure(sets: list[Obj], new: Obj | None) -> Obj | None:
    for rs in [*([new] if new is not None else []), *sets]:
        for one in get(rs, "status", "conditions", default=()):
            if one["type"] == "ReplicaFailure":
                return {**one, "lastUpdateTime": one["lastTransitionTime"]}
    return None


def stuck_for_s(deployment: Obj, status: Obj, wall_s: float) -> float | None:
    """Return in how many seconds the progress deadline must be looked at again; None if never (requeueStuckDeployment)."""
    found = find(status["conditions"], "Progressing")
    if not has_deadline(deployment) or found is None or complete(deployment, status) or found["reason"] == TIMED_OUT:
        return None
    return max(0.0, parse(found["lastUpdateTime"]) + float(deployment["spec"]["progressDeadlineSeconds"]) - wall_s) + 1.0
