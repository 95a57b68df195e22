"""ReplicaSets, Deployments: counts, owners, the bounds of a rollout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import active, condition, controller_of, ready, terminating, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, everywhere, folded, ident
from kchaos.properties.sight import Sighted

SETS = {"ReplicaSet": "replicasets", "ReplicationController": "replicationcontrollers"}
PATIENCE_S = 290.0
"""Less than the five minutes after which expectations expire (ExpectationsTimeout)."""
MAKERS = ("replicaset-controller", "replication-controller")


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


class _Surplus(Sighted):
    """A controller that makes a pod lacks one: its expectations tell it, for five minutes, what its cache does not show yet."""

    stands = ("events-held", "watch-closed")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._held_s = math.inf
        """Since when events are held back."""
        self._wanted: dict[str, tuple[float, int]] = {}
        """Owner uid -> when its size was last lowered, and from what."""
        self._pods: dict[str, dict[str, None]] = {}
        """Owner uid -> uids of its active pods."""
        for pod in context.view.table("pods").values():
            self._count(pod, active(pod))

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._written, **dict.fromkeys(SETS.values(), self._set)}

    def _count(self, pod: Obj, there: bool) -> None:
        ref = controller_of(pod)
        if there and ref is not None:
            self._pods.setdefault(ref["uid"], {})[uid(pod)] = None
        elif ref is not None:
            self._pods.get(ref["uid"], {}).pop(uid(pod), None)

    def _written(self, entry: Write) -> Iterable[Violation]:
        yield from self._pod(entry)
        if entry.prev is not None and entry.prev["metadata"].get("ownerReferences") != entry.obj["metadata"].get("ownerReferences"):
            self._count(entry.prev, False)
        self._count(entry.obj, entry.type != "DELETED" and active(entry.obj))

    def fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] == "events-held":
            self._held_s = min(self._held_s, mark.t)
        return super().fault(mark)

    def _set(self, entry: Write) -> Iterable[Violation]:
        before, after = get(entry.prev, "spec", "replicas", default=1) if entry.prev else 0, get(entry.obj, "spec", "replicas", default=1)
        if after < before:
            self._wanted[uid(entry.obj)] = (entry.t, before)
        return ()

    def _pod(self, entry: Write) -> Iterable[Violation]:
        ref = controller_of(entry.obj)
        if (
            entry.type != "ADDED"
            or not self.sighted
            or ref is None
            or ref["kind"] not in SETS
            or entry.actor not in MAKERS
            or entry.t - self._held_s > PATIENCE_S
        ):
            return
        space = entry.obj["metadata"]["namespace"]
        owner = self.context.view.get(SETS[ref["kind"]], f"{space}/{ref['name']}")
        if owner is None or uid(owner) != ref["uid"]:
            return
        lowered, before = self._wanted.get(ref["uid"], (0.0, 0))
        most = max(int(owner["spec"].get("replicas", 1)), before if entry.t - lowered <= SEEN_S else 0)
        have = len(self._pods.get(ref["uid"], ()))
        if have >= most:
            text = f"a pod was made while {have} were there; spec.replicas is {most}"
            yield Violation(t=entry.t, object=ident(owner), summary=text, root="surplus")


class _Victims(BaseMonitor):
    """A scale-down takes pods that are not ready before ready ones, as the controller could see them.

    Victims of one decision go in any order: only a pod that is still kept a little later counts as kept.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unready: dict[str, float] = {
            key: 0.0 for key, pod in context.view.table("pods").items() if controller_of(pod) and not ready(pod)
        }
        """Since when each pod has not been ready."""
        self._suspects: list[tuple[Write, str]] = []
        """Deletions of ready pods, each with the key of a pod that was not ready."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod}

    def _pod(self, entry: Write) -> Iterable[Violation]:
        yield from self._settle(entry.t)
        if begins_deletion(entry):
            self._suspects = [(taken, key) for taken, key in self._suspects if key != entry.key]
        if entry.type == "DELETED" or not active(entry.obj) or ready(entry.obj):
            self._unready.pop(entry.key, None)
        else:
            self._unready.setdefault(entry.key, entry.t)
        if entry.actor not in MAKERS or not begins_deletion(entry):
            return
        assert entry.prev is not None
        ref = controller_of(entry.prev)
        if ref is None or not ready(entry.prev):
            return
        for key, since in self._unready.items():
            pod = self.context.view.get("pods", key)
            mine = pod is not None and (controller_of(pod) or {}).get("uid") == ref["uid"]
            if mine and active(pod) and entry.t - since > SEEN_S:
                self._suspects.append((entry, key))

    def _settle(self, now: float) -> Iterable[Violation]:
        """Judge what lies so far back that all victims of that decision have gone."""
        due = [one for one in self._suspects if now - one[0].t > SEEN_S]
        self._suspects = [one for one in self._suspects if now - one[0].t <= SEEN_S]
        for taken, kept in due:
            text = f"was deleted to scale down while {kept.partition('/')[2]}, which was not ready, was kept"
            yield Violation(t=taken.t, object=ident(taken.obj), summary=text, root="victims")

    def finish(self, t: float) -> Iterable[Violation]:
        return self._settle(t + 2 * SEEN_S)


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


class _RolloutBounds(BaseMonitor):
    """Judges each resizing of a ReplicaSet by the deployment controller, on what it could see."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._fell: dict[str, tuple[float, int]] = {}
        """When the available pods of a set became fewer, and how many they were before."""
        self._unseen: dict[int, float] = {}
        """Until when the controller may not have seen its own ReplicaSets, by the step that keeps them from it."""
        self._resized: dict[str, float] = {}
        """When each set was last asked for another number of pods."""

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"fault": self._fault}

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        step, name = mark.data.get("step", -1), mark.data["name"]
        if mark.data["action"] == "injected":
            of_sets = name in ("events-held", "events-missed", "events-reordered") and mark.data["args"].get("target") == "replicasets"
            if of_sets or name == "stale-apiserver":
                self._unseen[step] = math.inf
        elif step in self._unseen:
            self._unseen[step] = mark.t + SEEN_S
        return ()

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"replicasets": self._set}

    def _available(self, one: Obj, t: float) -> int:
        """Return how many pods of a set are available, or were a moment ago: that they fell ill may not be known yet."""
        now = int(get(one, "status", "availableReplicas", default=0))
        fell = self._fell.get(uid(one))
        before = fell[1] if fell is not None and t - fell[0] <= SEEN_S else 0
        return max(now, before)

    def _set(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED":
            return
        old: Obj = entry.prev or {"metadata": entry.obj["metadata"], "spec": {"replicas": 0}}
        if old["spec"].get("replicas", 1) != entry.obj["spec"].get("replicas", 1):
            self._resized[uid(entry.obj)] = entry.t
        was = self._available(old, entry.t)
        if get(entry.obj, "status", "availableReplicas", default=0) < get(old, "status", "availableReplicas", default=0):
            self._fell[uid(entry.obj)] = (entry.t, was)
        deployment = _deployment_of(self.context, entry.obj)
        if entry.actor != "deployment-controller" or deployment is None or get(deployment, "spec", "strategy", "type") == "Recreate":
            return
        desired = old["metadata"].get("annotations", {}).get("deployment.kubernetes.io/desired-replicas")
        if desired is not None and desired != str(deployment["spec"].get("replicas", 1)):
            return  # being scaled
        before, after = old["spec"].get("replicas", 1), entry.obj["spec"].get("replicas", 1)
        floor, ceiling = _rolling_bounds(deployment)
        sets = [one for one in owned(self.context, "replicasets", deployment) if uid(one) != uid(entry.obj)]
        if after < before:
            up = was + sum(self._available(one, entry.t) for one in sets)
            taken = max(0, was - after)
            known_ill = get(old, "status", "availableReplicas", default=0) <= after  # then it takes those away that are not available
            if taken and up - taken < floor and not known_ill:
                text = f"{taken} available pods taken away, {up - taken} left; at least {floor} must stay"
                yield Violation(t=entry.t, object=ident(deployment), summary=text, root="floor")
        total = after + sum(one["spec"].get("replicas", 1) for one in sets)
        seen = all(until < entry.t for until in self._unseen.values())
        if self.context.facts.get("noise"):  # messages are late now and then: what it asked for a moment ago it may not see yet
            seen = seen and all(entry.t - self._resized.get(uid(one), -math.inf) > SEEN_S for one in sets)
        if after > before and total > ceiling and seen:  # it asks for what is missing of those that it sees
            text = f"{total} pods asked for during a rollout; at most {ceiling} may be"
            yield Violation(t=entry.t, object=ident(deployment), summary=text, root="ceiling")


class _Recreate(BaseMonitor):
    """No new pod while an old one exists that was there when the controller decided that new pods may be made.

    One that is made later (by a ReplicaSet whose controller was late to see it) was not to be waited for.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._writes = 0
        self._wanted: dict[str, int] = {}
        """ReplicaSet -> the write since which it asks for pods."""
        self._made: dict[str, int] = {}
        """Pod -> the write that made it; pods that were there at the start are older than all."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"replicasets": self._resized, "pods": self._pod}

    def _resized(self, entry: Write) -> Iterable[Violation]:
        before = entry.prev["spec"].get("replicas", 1) if entry.prev is not None else 0
        if before == 0 and entry.obj["spec"].get("replicas", 1) > 0:
            self._writes += 1
            self._wanted[uid(entry.obj)] = self._writes
        return ()

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "ADDED":
            return
        self._writes += 1
        self._made[uid(entry.obj)] = self._writes
        ref = controller_of(entry.obj)
        if ref is None or ref["kind"] != "ReplicaSet":
            return
        space = entry.obj["metadata"]["namespace"]
        mine = self.context.view.get("replicasets", f"{space}/{ref['name']}")
        deployment = _deployment_of(self.context, mine) if mine else None
        if deployment is None or get(deployment, "spec", "strategy", "type") != "Recreate":
            return
        decided = self._wanted.get(ref["uid"], self._writes)
        for one in owned(self.context, "replicasets", deployment):
            if uid(one) != ref["uid"] and (left := self._left(one, decided)):
                text = f"a new pod was made while {left[0]} of the old revision still existed (strategy Recreate)"
                yield Violation(t=entry.t, object=ident(deployment), summary=text, root="recreate")

    def _left(self, replicaset: Obj, decided: int) -> list[str]:
        pods = [pod for pod in owned(self.context, "pods", replicaset) if get(pod, "status", "phase") not in ("Succeeded", "Failed")]
        return [pod["metadata"]["name"] for pod in pods if self._made.get(uid(pod), 0) < decided]


def _revision(replicaset: Obj) -> int:
    return int(replicaset["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", 0))


def _history(context: Context, t: float) -> Iterable[Violation]:
    for deployment in context.view.table("deployments").values():
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None or terminating(deployment) or deployment["spec"].get("paused"):
            continue
        status, want = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
        done = counts == [want] * 3 and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        sets = [one for one in owned(context, "replicasets", deployment) if not terminating(one)]
        newest = max(sets, key=_revision, default=None)
        old = [one for one in sets if one is not newest and not one["spec"].get("replicas") and not get(one, "status", "replicas")]
        if done and len(old) > limit:
            yield Violation(t=t, object=ident(deployment), summary=f"{len(old)} old ReplicaSets kept, limit {limit}", root="history")


class _Deadline(Sighted):
    """A rollout that makes no progress is given up in time: judged at each write of a Deployment, and at the end."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"deployments": self._written}

    def _written(self, entry: Write) -> Iterable[Violation]:
        return self._late(entry.prev, entry.t) if entry.prev is not None and self.sighted else ()

    def finish(self, t: float) -> Iterable[Violation]:
        for deployment in self.context.view.table("deployments").values():
            yield from self._late(deployment, t)

    def _late(self, deployment: Obj, t: float) -> Iterable[Violation]:
        deadline = deployment["spec"].get("progressDeadlineSeconds")
        status = deployment.get("status") or {}
        progressing = condition(deployment, "Progressing")
        if deadline is None or deadline >= 2**31 - 1 or progressing is None or deployment["spec"].get("paused"):
            return
        late = self.context.facts.get("epoch_s", 0.0) + t - parse(progressing["lastUpdateTime"]) - deadline
        complete = status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == deployment["spec"].get("replicas", 1)
        if not complete and progressing["status"] == "True" and progressing.get("reason") != "NewReplicaSetAvailable" and late > 30:
            text = f"no progress for {late + deadline:.0f} s, yet Progressing is True (deadline {deadline} s)"
            yield Violation(t=t, object=ident(deployment), summary=text, root="deadline")


DEPLOY = "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/"
PROPERTIES = (
    declare("KC017", "17", "replicas-converge", "A ReplicaSet converges to exactly spec.replicas pods that are not terminating.",
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/", folded(end=_replicasets_converge),
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC117", "17", "no-surplus", "A ReplicaSet's controller makes no pod beyond spec.replicas.",
            "pkg/controller/controller_utils.go, ControllerExpectations", _Surplus, Guarantee.AS_SEEN),
    declare("KC018", "18", "one-controller", "At most one controller owns an object.",
            "pkg/controller/controller_ref_manager.go", folded(everywhere(_one_controller))),
    declare("KC020", "20", "victims", "A scale-down takes pods that are not ready before ready ones.",
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset", _Victims, Guarantee.AS_SEEN),
    declare("KC021", "21", "rollout-bounds",
            "A rollout never takes available pods below replicas - maxUnavailable nor asks for more than replicas + maxSurge.",
            DEPLOY + "#rolling-update-deployment", _RolloutBounds, Guarantee.AS_SEEN),
    declare("KC022", "22", "recreate", "Strategy Recreate makes no new pod before the old ones are gone.",
            DEPLOY + "#recreate-deployment", _Recreate, Guarantee.AS_SEEN),
    declare("KC023", "23", "history-limit", "No more than revisionHistoryLimit old ReplicaSets are kept.",
            DEPLOY + "#clean-up-policy", folded(end=_history), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC024", "24", "progress-deadline", "Progressing turns False after progressDeadlineSeconds without progress.",
            DEPLOY + "#progress-deadline-seconds", _Deadline, Guarantee.WITHOUT_FAULTS, liveness=True),
)  # fmt: skip
