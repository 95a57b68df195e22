"""How many replicas each ReplicaSet of a Deployment should have: rolling update, recreate, proportional scaling. Pure.

pkg/controller/deployment/{rolling,recreate,sync}.go and util/deployment_util.go.
"""

from __future__ import annotations

from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import name, notes_of, terminating, uid
from kchaos.models.api.tree import Obj, get

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
REVISION = "deployment.kubernetes.io/revision"

Plan = list[tuple[Obj, int]]
"""ReplicaSets and the size each should get, in the order in which to do it."""


def replicas(obj: Obj) -> int:
    """Return spec.replicas."""
    return int(obj["spec"].get("replicas", 1))


def available(rs: Obj) -> int:
    """Return status.availableReplicas."""
    return int(get(rs, "status", "availableReplicas", default=0))


def is_rolling(deployment: Obj) -> bool:
    """Tell whether the strategy is RollingUpdate."""
    return bool(get(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate")


def bounds(deployment: Obj) -> tuple[int, int]:
    """Return (max surge, max unavailable) as numbers; both zero becomes one unavailable (ResolveFenceposts)."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = get(deployment, "spec", "strategy", "rollingUpdate", default={})
    total = replicas(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), total, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), total, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, total)


def by_age(sets: list[Obj]) -> list[Obj]:
    """Return ReplicaSets, the oldest first."""
    return sorted(sets, key=lambda rs: (rs["metadata"]["creationTimestamp"], name(rs)))


def new_size(deployment: Obj, new: Obj | None, others: list[Obj]) -> int:
    """Return the size that the new ReplicaSet (None: not yet made) should have next (NewRSNewReplicas)."""
    if not is_rolling(deployment):
        return replicas(deployment)
    surge, _ = bounds(deployment)
    now = replicas(new) if new is not None else 0
    total = sum(replicas(rs) for rs in others) + now
    room = replicas(deployment) + surge - total
    if room <= 0:
        return now
    return now + min(room, replicas(deployment) - now)


def plan_new(deployment: Obj, new: Obj, olds: list[Obj]) -> Plan:
    """Return how to size the new ReplicaSet in a rolling update; empty if it is right (reconcileNewReplicaSet)."""
    if replicas(new) == replicas(deployment):
        return []
    if replicas(new) > replicas(deployment):
        return [(new, replicas(deployment))]
    size = new_size(deployment, new, olds)
    return [(new, size)] if size != replicas(new) else []


def plan_olds(deployment: Obj, new: Obj, olds: list[Obj]) -> Plan:
    """Return how to shrink the old ReplicaSets without going below the floor: unhealthy pods first (reconcileOldReplicaSets)."""
    active = [rs for rs in olds if replicas(rs) > 0]
    if not active:
        return []
    _, unavailable = bounds(deployment)
    floor = replicas(deployment) - unavailable
    total = sum(replicas(rs) for rs in [*olds, new])
    budget = total - floor - (replicas(new) - available(new))
    if budget <= 0:
        return []
    size = {uid(rs): replicas(rs) for rs in active}
    plan: Plan = []
    taken = 0
    for rs in by_age(active):  # cleanupUnhealthyReplicas
        if taken >= budget:
            break
        unhealthy = replicas(rs) - available(rs)
        if unhealthy < 0:  # the set was sized and its status not yet written: what is available there is not known ("invalid request")
            return plan
        count = min(budget - taken, unhealthy)
        if count > 0:
            size[uid(rs)] -= count
            taken += count
            plan.append((rs, size[uid(rs)]))
    spare = sum(available(rs) for rs in [*olds, new]) - floor
    for rs in by_age(active):  # scaleDownOldReplicaSetsForRollingUpdate, a second request where both take from one set
        count = min(size[uid(rs)], spare)
        if count > 0:
            size[uid(rs)] -= count
            spare -= count
            plan.append((rs, size[uid(rs)]))
    return plan


def plan_recreate(olds: list[Obj]) -> Plan:
    """Return how to take all old pods away (scaleDownOldReplicaSetsForRecreate)."""
    return [(rs, 0) for rs in olds if replicas(rs) > 0]


def is_scaling_event(deployment: Obj, sets: list[Obj]) -> bool:
    """Tell whether spec.replicas changed since the sets were last sized."""
    for rs in sets:
        desired = notes_of(rs).get(DESIRED)
        if replicas(rs) > 0 and desired is not None and desired != str(replicas(deployment)):
            return True
    return False


def plan_scale(deployment: Obj, new: Obj | None, olds: list[Obj]) -> Plan:
    """Return how to scale: the one active set, or all in proportion to their sizes (Deployment.scale)."""
    want = replicas(deployment)
    active = [rs for rs in [*olds, *([new] if new is not None else [])] if replicas(rs) > 0]
    if len(active) <= 1:
        only = active[0] if active else new if new is not None else (by_age(olds)[-1] if olds else None)
        return [(only, want)] if only is not None and replicas(only) != want else []
    if new is not None and _saturated(deployment, new):
        return [(rs, 0) for rs in olds if replicas(rs) > 0]
    if not is_rolling(deployment):
        return []
    surge, _ = bounds(deployment)
    allowed = want + surge if want > 0 else 0
    to_add = allowed - sum(replicas(rs) for rs in active)
    if to_add >= 0:  # the largest first; among equals the newer when growing, the older when shrinking
        newest_first = list(reversed(by_age(active)))
        ordered = sorted(newest_first, key=lambda rs: -replicas(rs))
    else:
        ordered = sorted(by_age(active), key=lambda rs: -replicas(rs))
    added = 0
    sizes: Plan = []
    for rs in ordered:
        part = _proportion(rs, deployment, to_add, added) if to_add else 0
        added += part
        sizes.append((rs, replicas(rs) + part))
    if to_add and sizes:
        sizes[0] = (sizes[0][0], max(0, sizes[0][1] + to_add - added))
    return sizes


def _saturated(deployment: Obj, new: Obj) -> bool:
    """Tell whether the new set alone serves the Deployment (IsSaturated)."""
    desired = notes_of(new).get(DESIRED)
    want = replicas(deployment)
    return replicas(new) == want and desired == str(want) and available(new) == want


def _proportion(rs: Obj, deployment: Obj, to_add: int, added: int) -> int:
    if replicas(rs) == 0 or to_add == added:
        return 0
    allowed = to_add - added
    fraction = _fraction(rs, deployment)
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(rs: Obj, deployment: Obj) -> int:
    if replicas(deployment) == 0:
        return -replicas(rs)
    before = int(notes_of(rs).get(MAX) or 0) or int(get(deployment, "status", "replicas", default=0))
    if before == 0:
        return 0
    surge, _ = bounds(deployment)
    size = replicas(rs) * (replicas(deployment) + surge) / before
    return int(size + 0.5) - replicas(rs)


def stale_history(deployment: Obj, olds: list[Obj]) -> list[Obj]:
    """Return the old ReplicaSets beyond revisionHistoryLimit, the lowest revision first (cleanupDeployment)."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return []
    alive = [rs for rs in olds if not terminating(rs)]
    excess = len(alive) - limit
    if excess <= 0:
        return []
    alive = sorted(by_age(alive), key=lambda rs: int(notes_of(rs).get(REVISION) or 0))
    return [
        rs
        for rs in alive[:excess]
        if not get(rs, "status", "replicas", default=0)
        and replicas(rs) == 0
        and rs["metadata"].get("generation", 0) <= get(rs, "status", "observedGeneration", default=0)
    ]
