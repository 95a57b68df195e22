"""What must come to an end: placing pods, coming up, drains, rollouts, recovery after faults."""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.check.property import Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark
from kchaos.models.api.pods import condition, controller_of, ended, is_true, ready, terminating
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.properties.advice import of_drain, of_placement, of_refusal, of_rollout, placement
from kchaos.properties.common import Obj, declare, folded, ident, workload_of
from kchaos.properties.disruption import BEYOND, Handlers, UnderFaults, fault_words
from kchaos.properties.waits import Refused, Room, of_pod, of_start_up, together

STALLS = ("FailedCreate", "FailedScheduling", "FailedAttachVolume", "ReplicaSetCreateError")
STALLED = {
    "Pod": "pods",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
}
OVERDUE_S = 30.0
"""A pod that has not gone this long after its grace period is stuck."""


class _Drains(UnderFaults):
    """A drain ends."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._blocked: dict[str, Mark] = {}

    def marks(self) -> Handlers:
        return {**super().marks(), "operation": self._operation}

    def _operation(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        if data["what"] != "drain":
            return
        if data["state"] == "blocked":
            self._blocked[data["target"]] = mark
        elif data["state"] == "done":
            self._blocked.pop(data["target"], None)
        elif data["state"] == "given up" and data["target"] not in self._blocked:
            yield from self._overdue(mark)
        elif data["state"] == "given up":
            blocked = self._blocked.pop(data["target"])
            owner = blocked.data["owner"]
            first = next((one["args"].get("target") for one in self.faults if one["name"] == "drain"), data["target"])
            others = f" (after {first} had been drained)" if first != data["target"] else ""
            text = f"the drain of {data['target']}{others} never ends: {blocked.data['pod']} can't be evicted. {blocked.data['why']}"
            severity = Severity.WARNING if self.drains else Severity.INFO if self.beyond else Severity.ERROR
            yield Violation(
                t=blocked.t, object=owner, summary=text, severity=severity, root=BEYOND if severity is Severity.INFO else f"drain {owner}",
                advice=of_drain(self.context, self._evicted(blocked.data["pod"], owner)),
            )  # fmt: skip

    def _evicted(self, key: str, owner: str) -> Obj | None:
        """Return the pod that could not be evicted, or a sibling of it."""
        found = self.context.view.get("pods", key)
        pods = self.context.view.table("pods").values()
        return found or next((pod for pod in pods if workload_of(self.context, pod) == owner), None)

    def _overdue(self, mark: Mark) -> Iterable[Violation]:
        """Nothing refused the drain: a pod that was let go is still there, long after its grace period."""
        if self.beyond:
            return  # what stops a node's agent stops its pods from going too
        wall = self.context.facts.get("epoch_s", 0.0) + mark.t
        for pod in self.context.view.table("pods").values():
            if pod["spec"].get("nodeName") != mark.data["target"] or not terminating(pod):
                continue
            late = wall - parse(pod["metadata"]["deletionTimestamp"])
            if late > OVERDUE_S:
                owner, name = workload_of(self.context, pod), pod["metadata"]["name"]
                held = "".join(f", held by finalizer {one}" for one in pod["metadata"].get("finalizers") or ())
                text = f"the drain of {mark.data['target']} never ends: {name} is still there {late:.0f} s after its grace period{held}"
                yield Violation(
                    t=mark.t, object=owner, summary=text, severity=Severity.ERROR, root=f"drain {owner}",
                    advice="let the finalizers of its pods be taken away when they end",
                )  # fmt: skip


class _Rollouts(UnderFaults):
    """A rollout ends, and one that is undone leaves things as they were."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._begun: dict[str, tuple[str, float]] = {}
        self._bad: dict[str, None] = {}
        """Workloads that were given a bad template at some time."""
        self._told: dict[str, dict[str, str]] = {}
        """Workload -> reason -> last message of the events that tell why a rollout does not go on."""

    def marks(self) -> Handlers:
        return {**super().marks(), "operation": self._operation, "event": self._event}

    def _operation(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["what"] in ("rollout", "rollback") and mark.data["state"] == "begun":
            self._begun[mark.data["target"]] = (mark.data["what"], mark.t)
            if mark.data["what"] == "rollback":
                self._bad[mark.data["target"]] = None
        return ()

    def _event(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        if data["type"] != "Warning" or data["reason"] not in STALLS or "already exists" in data["message"]:
            return ()
        obj = self.context.view.get(STALLED.get(data["kind"], ""), f"{data['namespace']}/{data['name']}")
        if obj is not None:
            owner = ident(obj) if data["kind"] == "Deployment" else workload_of(self.context, obj)
            self._told.setdefault(owner, {})[data["reason"]] = data["message"]
        return ()

    @staticmethod
    def _serves(found: Obj) -> bool:
        return int((found.get("status") or {}).get("availableReplicas", 0)) >= int(found["spec"].get("replicas", 1))

    def finish(self, t: float) -> Iterable[Violation]:
        for target, (what, begun) in self._begun.items():
            kind, space, owner = target.split("/")
            if not self.whole(target):
                continue
            plural = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}[kind]
            found = self.context.view.get(plural, f"{space}/{owner}")
            if found is None or terminating(found):
                continue
            why = _unfinished(found)
            if why is None:
                continue
            cause = placement(" ".join(self._told.get(target, {}).values()))
            if self.beyond and not cause and found["kind"] == "Deployment" and self._serves(found):
                continue  # all serve, and a back-off that two faults at once have lengthened may still run
            if target in self._bad and kind == "StatefulSet":  # whatever was rolled out since waits behind the broken pod
                text = f"a bad template was undone, yet the StatefulSet is stuck: {why}. The broken pod must be deleted by hand"
                yield Violation(
                    t=begun, object=target, summary=text, severity=Severity.WARNING, root="stuck after a bad template",
                    advice="delete the broken pod after undoing a template; podManagementPolicy: Parallel does not wait for it"
                    " (it starts members in no order, and can't be changed on an existing StatefulSet)",
                )  # fmt: skip
            else:
                text = f"the {what} never ends: {why}." + (f" {cause}" if cause else "")
                yield Violation(
                    t=begun, object=target, summary=text, severity=Severity.ERROR, root=f"{what} {target}",
                    advice=of_rollout(cause, found),
                )  # fmt: skip


def _unfinished(obj: Obj) -> str | None:
    """Return in words what a workload's rollout still waits for, None if it is complete."""
    status, want = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    if obj["kind"] == "DaemonSet":
        want = status.get("desiredNumberScheduled", 0)
        have, up = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        have, up = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        if obj["kind"] == "Deployment" and have >= want and status.get("replicas", 0) > have:
            return f"{status['replicas'] - have} of the old pods can't go before a new one is ready"
        if obj["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
            have = status.get("currentReplicas", 0)
    if obj["kind"] == "StatefulSet" and get(obj, "spec", "updateStrategy", "type") == "OnDelete":
        return None
    generation = int(obj["metadata"].get("generation", 0))
    if obj["kind"] == "Deployment" and int(status.get("observedGeneration", generation)) < generation:
        return "no ReplicaSet of the new template is made"
    if have < want:
        return f"{have} of {want} pods are of the new template"
    if up < want:
        return f"{up} of {want} pods are available"
    return None


class _Placed(UnderFaults):
    """Every pod finds a node: at the end of the run without faults, and again after healing; and while a fault lasts, if it can."""

    def marks(self) -> Handlers:
        return {"phase": self._phase, "fault": self._fault}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        super()._phase(mark)
        if self.phase == "heal" and self.faults and not self.planned and not self.beyond:
            room = Room(self.context)
            for pod in _unplaced(self.context):
                yield from self._stranded(mark.t, pod, room)

    def _stranded(self, t: float, pod: Obj, room: Room) -> Iterable[Violation]:
        """Say that a lost pod's replacement finds no place; where others serve on, that is how Kubernetes means it."""
        text, owner = self._text(pod, room), workload_of(self.context, pod)
        if not self.whole(owner):
            return
        volume = "volume" in text.lower()
        alone = self.replicas(owner) < 2
        yield Violation(
            t=t, object=owner, summary=f"its replacement can't be placed while {fault_words(self.faults)} lasts: {text}",
            severity=Severity.WARNING if volume and alone else Severity.INFO, root="zonal volume" if volume else f"no place {owner}",
            advice="use a StorageClass that replicates over zones, or run members with own volumes in three zones" if volume else
            of_placement(text),
        )  # fmt: skip

    @staticmethod
    def _text(pod: Obj, room: Room) -> str:
        found = condition(pod, "PodScheduled")
        message = str(found.get("message", "not scheduled")) if found is not None else "not scheduled"
        return placement(message) + room.outranked(pod, message)

    def finish(self, t: float) -> Iterable[Violation]:
        if self.faults:
            yield from self._forgotten(t)
            return
        room = Room(self.context)
        for pod in _unplaced(self.context):
            summary = f"{pod['metadata']['name']} can't be placed: {self._text(pod, room)}"
            owner = workload_of(self.context, pod)
            yield Violation(
                t=t, object=owner, summary=summary, severity=Severity.ERROR, root=f"placement {owner}", advice=of_placement(summary)
            )

    def _forgotten(self, t: float) -> Iterable[Violation]:
        """Long after healing the scheduler has bound a pod or has said why it can't."""
        for pod in _unplaced(self.context):
            if condition(pod, "PodScheduled") is None and pod["spec"].get("schedulerName", "default-scheduler") == "default-scheduler":
                owner = workload_of(self.context, pod)
                text = f"{pod['metadata']['name']} waits for a node after healing, and the scheduler has said nothing of it"
                yield Violation(t=t, object=owner, summary=text, severity=Severity.ERROR, root=f"forgotten {owner}")


class _ComesUp(UnderFaults):
    """Without any fault, every pod is made, and ready in the end."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._told = Refused(context)

    def marks(self) -> Handlers:
        return {**super().marks(), "event": self._told.event}

    def finish(self, t: float) -> Iterable[Violation]:
        if self.faults:
            return
        counts: dict[str, list[int]] = {}
        for pod in self.context.view.table("pods").values():
            if terminating(pod) or ended(pod):
                continue
            row = counts.setdefault(workload_of(self.context, pod), [0, 0])
            row[0] += ready(pod) or bool(pod["spec"].get("schedulingGates"))  # gated: meant to wait (KC316)
            row[1] += 1
        placed = {workload_of(self.context, pod) for pod in _unplaced(self.context)}
        for owner in self._asked():
            made, want = counts.get(owner, [0, 0])[1], self.replicas(owner)
            if made < want:
                counts.pop(owner, None)
                cause = self._told.why(owner)
                text = f"{made} of {want} pods are made, without any fault" + (f": {cause}" if cause else "")
                yield Violation(
                    t=t, object=owner, summary=text, severity=Severity.ERROR, root=f"comes up {owner}", advice=of_refusal(cause)
                )
        for owner, (up, all_) in counts.items():
            if up < all_ and owner not in placed:
                waits = _waits(self.context, owner)
                text = f"{up} of {all_} pods are ready, without any fault" + (f"; still waiting: {waits}" if waits else "")
                yield Violation(
                    t=t, object=owner, summary=text, severity=Severity.ERROR, root=f"comes up {owner}", advice=of_start_up(waits)
                )

    def _asked(self) -> Iterable[str]:
        """Yield what asks for a number of pods; of DaemonSets another property speaks, and what owns a set speaks for it."""
        for plural in ("deployments", "statefulsets", "replicasets", "replicationcontrollers"):
            for obj in self.context.view.table(plural).values():
                if controller_of(obj) is None and not terminating(obj) and not obj["spec"].get("paused"):
                    yield ident(obj)


def _unplaced(context: Context) -> list[Obj]:
    return [
        pod
        for pod in context.view.table("pods").values()
        if not pod["spec"].get("nodeName") and not terminating(pod) and not ended(pod) and not pod["spec"].get("schedulingGates")
    ]


def _recovered(context: Context, t: float) -> Iterable[Violation]:
    """After healing every workload is as large and as ready as before (eventually stable reconciliation)."""
    before: dict[str, int] = context.facts.get("ready_before", {})
    now: dict[str, int] = {}
    for pod in context.view.table("pods").values():
        if ready(pod) and not terminating(pod):
            owner = workload_of(context, pod)
            now[owner] = now.get(owner, 0) + 1
    stuck = context.facts.get("rollback_targets", ())
    size = UnderFaults(context)
    for workload, want in before.items():
        if workload.startswith("Job/") and _complete(context, workload):
            continue
        if workload.startswith("Pod/") and context.view.get("pods", workload.partition("/")[2]) is None:
            continue  # nothing makes a bare Pod again: no-outage says that
        if now.get(workload, 0) < want and workload not in stuck and size.whole(workload):
            waits = _waits(context, workload)
            text = f"{now.get(workload, 0)} of {want} pods are ready after healing" + (f"; still waiting: {waits}" if waits else "")
            yield Violation(t=t, object=workload, summary=text, severity=Severity.ERROR, root=f"recovery {workload}")


def _complete(context: Context, workload: str) -> bool:
    """Tell whether a Job has done its work, or is gone: its pods are meant to end."""
    job = context.view.get("jobs", workload.partition("/")[2])
    return job is None or is_true(job, "Complete")


def _waits(context: Context, workload: str) -> str:
    """Return in words what the pods of a workload that are not ready wait for."""
    out = []
    for pod in context.view.table("pods").values():
        if ready(pod) or workload_of(context, pod) != workload:
            continue
        found = condition(pod, "PodScheduled")
        if terminating(pod):
            why = f"terminating on {pod['spec'].get('nodeName', 'no node')}"
        elif found is not None and found["status"] == "False":
            why = placement(str(found.get("message", "")))
        else:
            why = of_pod(context, pod, workload)
        out.append((pod["metadata"]["name"], why))
    return together(out)


K8S = "https://kubernetes.io/docs/"
PROPERTIES = (
    declare("KC201", "39", "placed", "Every pod finds a node.", K8S + "concepts/scheduling-eviction/", _Placed,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC203", "", "drain-ends", "A drain ends.", K8S + "tasks/administer-cluster/safely-drain-node/", _Drains,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC204", "", "rollout-ends", "A rollout ends, and undoing a bad one restores what was.",
            K8S + "concepts/workloads/controllers/deployment/#failed-deployment", _Rollouts, Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC206", "39", "comes-up", "Without any fault, every pod becomes ready.", K8S + "concepts/workloads/pods/pod-lifecycle/", _ComesUp,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC069", "69", "stable-again", "Once faults stop, the desired state is reached and stays.",
            "https://www.usenix.org/conference/osdi24/presentation/sun-xudong", folded(end=_recovered), Guarantee.ALWAYS, liveness=True),
)  # fmt: skip
