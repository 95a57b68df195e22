"""ReplicaSets, Deployments, DaemonSets: counts, owners, the bounds of a rollout."""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.check.property import Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import active, controller_of, ready, terminating, uid
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, declare, everywhere, folded, ident


def owned(context: Context, resource: str, owner: Obj) -> list[Obj]:
    """Return the live objects of a kind that ``owner`` controls."""
    mine = uid(owner)
    space = owner["metadata"].get("namespace", "") + "/"
    return [
        one for key, one in context.view.table(resource).items() if key.startswith(space) and (controller_of(one) or {}).get("uid") == mine
    ]


def _one_controller(context: Context, entry: Write) -> Iterable[Violation]:
    refs = [ref for ref in entry.obj["metadata"].get("ownerReferences") or () if ref.get("controller")]
    if len(refs) > 1:
        text = f"{len(refs)} controllers own it: {', '.join(ref['name'] for ref in refs)}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="two controllers")


def _replicasets_converge(context: Context, t: float) -> Iterable[Violation]:
    for resource in ("replicasets", "replicationcontrollers"):
        for owner in context.view.table(resource).values():
            if terminating(owner) or any(
                c["type"] == "ReplicaFailure" and c["status"] == "True" for c in get(owner, "status", "conditions", default=())
            ):
                continue
            want = owner["spec"].get("replicas", 1)
            have = sum(1 for pod in owned(context, "pods", owner) if active(pod))
            if have != want:
                text = f"has {have} pods that are not terminating, spec.replicas is {want}"
                yield Violation(t=t, object=ident(owner), summary=text, root="replicas", figures={"have": have, "want": want})


def _victims(context: Context, entry: Write) -> Iterable[Violation]:
    """A scale-down takes unassigned and unready pods before ready ones (as the controller could see them a moment ago)."""
    if entry.actor not in ("replicaset-controller", "replication-controller") or entry.prev is None:
        return
    if terminating(entry.prev) or not (terminating(entry.obj) or entry.type == "DELETED") or not ready(entry.prev):
        return
    ref = controller_of(entry.prev)
    if ref is None:
        return
    space = entry.prev["metadata"]["namespace"] + "/"
    for key, pod in context.view.table("pods").items():
        if key == entry.key or not key.startswith(space) or (controller_of(pod) or {}).get("uid") != ref["uid"]:
            continue
        settled = get(pod, "status", "conditions", default=())
        since = [c.get("lastTransitionTime") for c in settled if c["type"] == "Ready" and c["status"] != "True"]
        made = pod["metadata"].get("creationTimestamp")
        if active(pod) and not ready(pod) and since and since[0] != made and entry.rv - int(pod["metadata"]["resourceVersion"]) > 50:
            text = f"was deleted to scale down while {pod['metadata']['name']}, which is not ready, was kept"
            yield Violation(t=entry.t, object=ident(entry.prev), summary=text, root="victims")


def _rolling_bounds(deployment: Obj) -> tuple[int, int]:
    replicas = deployment["spec"].get("replicas", 1)
    rolling = get(deployment, "spec", "strategy", "rollingUpdate", default={})
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return replicas - unavailable, replicas + surge


def _deployment_of(context: Context, replicaset: Obj) -> Obj | None:
    ref = controller_of(replicaset)
    if ref is None or ref["kind"] != "Deployment":
        return None
    found: Obj | None = context.view.get("deployments", f"{replicaset['metadata']['namespace']}/{ref['name']}")
    return found


def _rollout_floor(context: Context, entry: Write) -> Iterable[Violation]:
    """Judge each scale-down of a ReplicaSet by the deployment controller, on what it could see."""
    if entry.type != "MODIFIED" or entry.prev is None or entry.actor != "deployment-controller":
        return
    before, after = entry.prev["spec"].get("replicas", 1), entry.obj["spec"].get("replicas", 1)
    deployment = _deployment_of(context, entry.obj)
    if deployment is None or get(deployment, "spec", "strategy", "type") == "Recreate":
        return
    floor, ceiling = _rolling_bounds(deployment)
    sets = owned(context, "replicasets", deployment)
    desired = entry.prev["metadata"].get("annotations", {}).get("deployment.kubernetes.io/desired-replicas")
    if desired is not None and desired != str(deployment["spec"].get("replicas", 1)):
        return  # being scaled
    if after < before:
        counted = get(entry.prev, "status", "availableReplicas", default=0)
        others = sum(get(one, "status", "availableReplicas", default=0) for one in sets if uid(one) != uid(entry.obj))
        spare = before - get(entry.prev, "status", "availableReplicas", default=0)
        taken = max(0, before - after - spare)
        if taken and counted + others - taken < floor:
            text = f"{taken} available pods taken away, {counted + others - taken} left; at least {floor} must stay"
            yield Violation(t=entry.t, object=ident(deployment), summary=text, root="floor")
    total = after + sum(one["spec"].get("replicas", 1) for one in sets if uid(one) != uid(entry.obj))
    if after > before and total > ceiling:
        text = f"{total} pods asked for during a rollout; at most {ceiling} may be"
        yield Violation(t=entry.t, object=ident(deployment), summary=text, root="ceiling")


def _recreate(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "ADDED":
        return
    ref = controller_of(entry.obj)
    if ref is None or ref["kind"] != "ReplicaSet":
        return
    space = entry.obj["metadata"]["namespace"]
    mine = context.view.get("replicasets", f"{space}/{ref['name']}")
    deployment = _deployment_of(context, mine) if mine else None
    if deployment is None or get(deployment, "spec", "strategy", "type") != "Recreate":
        return
    for one in owned(context, "replicasets", deployment):
        if uid(one) == ref["uid"]:
            continue
        left = [p["metadata"]["name"] for p in owned(context, "pods", one) if get(p, "status", "phase") not in ("Succeeded", "Failed")]
        if left:
            text = f"a new pod was made while {left[0]} of the old revision still existed (strategy Recreate)"
            yield Violation(t=entry.t, object=ident(deployment), summary=text, root="recreate")


def _history(context: Context, t: float) -> Iterable[Violation]:
    for deployment in context.view.table("deployments").values():
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None or terminating(deployment) or deployment["spec"].get("paused"):
            continue
        done = get(deployment, "status", "updatedReplicas", default=0) == deployment["spec"].get("replicas", 1)
        old = [one for one in owned(context, "replicasets", deployment) if one["spec"].get("replicas") == 0]
        if done and len(old) > limit + 1:
            yield Violation(t=t, object=ident(deployment), summary=f"{len(old)} old ReplicaSets kept, limit {limit}", root="history")


def _daemons(context: Context, t: float) -> Iterable[Violation]:
    for daemon in context.view.table("daemonsets").values():
        status = daemon.get("status") or {}
        want, have = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
        placed = status.get("currentNumberScheduled", 0)
        per_node: dict[str, int] = {}
        for pod in owned(context, "pods", daemon):
            if active(pod) and pod["spec"].get("nodeName"):
                per_node[pod["spec"]["nodeName"]] = per_node.get(pod["spec"]["nodeName"], 0) + 1
        twice = [node for node, count in sorted(per_node.items()) if count > 1]
        if twice:
            yield Violation(t=t, object=ident(daemon), summary=f"two pods on {twice[0]}", root="two per node")
        elif placed < want:
            text = f"runs on {placed} of {want} eligible nodes ({have} available)"
            yield Violation(t=t, object=ident(daemon), summary=text, root="eligible nodes")


def _deadline(context: Context, t: float) -> Iterable[Violation]:
    for deployment in context.view.table("deployments").values():
        deadline = deployment["spec"].get("progressDeadlineSeconds")
        status = deployment.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        progressing = conditions.get("Progressing")
        if deadline is None or deadline >= 2**31 - 1 or progressing is None or deployment["spec"].get("paused"):
            continue
        from kchaos.models.api.times import parse

        wall = context.facts.get("epoch_s", 0.0) + t
        late = wall - parse(progressing["lastUpdateTime"]) - deadline
        complete = status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == deployment["spec"].get("replicas", 1)
        if not complete and progressing["status"] == "True" and progressing.get("reason") != "NewReplicaSetAvailable" and late > 30:
            text = f"no progress for {late + deadline:.0f} s, yet Progressing is True (deadline {deadline} s)"
            yield Violation(t=t, object=ident(deployment), summary=text, root="deadline")


DEPLOY = "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/"
PROPERTIES = (
    declare("KC017", "17", "replicas-converge", "A ReplicaSet converges to exactly spec.replicas pods that are not terminating.",
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/", folded(end=_replicasets_converge),
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC018", "18", "one-controller", "At most one controller owns an object.",
            "pkg/controller/controller_ref_manager.go", folded(everywhere(_one_controller))),
    declare("KC020", "20", "victims", "A scale-down takes pods that are not ready before ready ones.",
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset", folded({"pods": _victims}),
            Guarantee.AS_SEEN),
    declare("KC021", "21", "rollout-bounds",
            "A rollout never takes available pods below replicas - maxUnavailable nor asks for more than replicas + maxSurge.",
            DEPLOY + "#rolling-update-deployment", folded({"replicasets": _rollout_floor}), Guarantee.AS_SEEN),
    declare("KC022", "22", "recreate", "Strategy Recreate makes no new pod before the old ones are gone.",
            DEPLOY + "#recreate-deployment", folded({"pods": _recreate}), Guarantee.AS_SEEN),
    declare("KC023", "23", "history-limit", "No more than revisionHistoryLimit old ReplicaSets are kept.",
            DEPLOY + "#clean-up-policy", folded(end=_history), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC024", "24", "progress-deadline", "Progressing turns False after progressDeadlineSeconds without progress.",
            DEPLOY + "#progress-deadline-seconds", folded(end=_deadline), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC031", "31", "daemon-per-node", "A DaemonSet runs one pod on every eligible node.",
            "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/", folded(end=_daemons), Guarantee.WITHOUT_FAULTS,
            liveness=True),
)  # fmt: skip
