"""What users notice: outages, lost requests, quorum, drains and rollouts that never end, pods that find no place.

Severity follows what a careful operator would say: an outage of something that has two or more replicas is an error; the bounded outage of a
single replica is a warning, one for the whole application; requests lost by the race between endpoint removal and SIGTERM likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kchaos.check.property import BaseMonitor, Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark
from kchaos.models.api.pods import condition, ended, ready, terminating
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, declare, folded, workload_of

Handlers = Mapping[str, Callable[[Mark], Iterable[Violation]]]


BEYOND = "more than one fault"
"""Root of what only two faults at once bring about: told, not held against the application."""


TOO_EARLY = "ready too early"
"""Root of what follows from the assumed time to start up where no readinessProbe watches it."""
SORTS = {
    "node-power-loss": "node lost", "node-pause": "node lost", "network-partition": "node lost", "out-of-service": "node lost",
    "rollout": "rollout", "rollback": "rollout", "slow-start": "rollout", "image-pull-failure": "rollout",
    "pod-kill": "crash", "container-kill": "crash", "oom-kill": "crash", "probe-flap": "crash", "scale-up": "scaling", "scale-down": "scaling",
}  # fmt: skip
"""Faults that show one weakness of an application."""


def _fault_words(faults: list[dict[str, Any]]) -> str:
    return " and ".join(f"{one['name']} of {one['args'].get('target', '?')}" for one in faults) or "no fault"


class _Base(BaseMonitor):
    """Knows the phase and which faults were injected."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.phase = "boot"
        self.faults: list[dict[str, Any]] = []
        self.chaos_s = 0.0
        self.heal_s: float | None = None

    def marks(self) -> Handlers:
        return {"phase": self._phase, "fault": self._fault}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        self.phase = mark.data["name"]
        if self.phase == "chaos":
            self.chaos_s = mark.t
        elif self.phase == "heal":
            self.heal_s = mark.t
        return ()

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["action"] == "injected":
            self.faults.append(mark.data)
        return ()

    @property
    def beyond(self) -> bool:
        """Tell whether more happened at once than availability is claimed for: one fault."""
        return len(self.faults) > 1

    @property
    def drains(self) -> bool:
        """Tell whether several nodes were drained, and nothing else."""
        return self.beyond and all(one["name"] == "drain" for one in self.faults)

    @property
    def planned(self) -> bool:
        """Tell whether all that was done is what people mean to do."""
        return bool(self.faults) and all(one["planned"] for one in self.faults)

    def settings_of(self, workload: str) -> dict[str, Any]:
        """Return the user's expectations for a workload (``Kind/namespace/name``)."""
        _, space, owner = workload.split("/")
        table: dict[str, Any] = self.context.settings.get("workloads", {})
        found: dict[str, Any] = table.get(f"{space}/{owner}", {})
        return found

    def was_up(self, workload: str) -> bool:
        """Tell whether any pod of a workload was ready before chaos: of one that never came up, only that is reported."""
        before: dict[str, int] | None = self.context.facts.get("ready_before")
        return before is None or before.get(workload, 0) > 0

    def whole(self, workload: str) -> bool:
        """Tell whether all pods of a workload were ready before chaos; if not, that is what is reported."""
        before: dict[str, int] | None = self.context.facts.get("ready_before")
        return before is None or before.get(workload, 0) >= self.replicas(workload)

    def replicas(self, workload: str) -> int:
        """Return how many pods a workload asks for, as of now."""
        kind, space, owner = workload.split("/")
        plural = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}.get(kind)
        if kind == "ReplicationController":
            plural = "replicationcontrollers"
        if kind == "DaemonSet":
            found = self.context.view.get("daemonsets", f"{space}/{owner}")
            return int(get(found, "status", "desiredNumberScheduled", default=1)) if found else 1
        found = self.context.view.get(plural, f"{space}/{owner}") if plural else None
        return int(found["spec"].get("replicas", 1)) if found is not None else 1


class _Outage(_Base):
    """Times in which nobody, or less than a quorum, of a workload really served."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._serving: dict[str, int] = {}
        self._down: dict[str, float] = {}
        self._below: dict[str, float] = {}
        self._wanted: dict[str, int] = {}
        self._outages: dict[str, list[tuple[float, float]]] = {}
        self._lost_quorum: dict[str, tuple[float, float, int, int]] = {}
        self._empty: dict[str, None] = {}
        """Workloads that had a time without any pod that even counted as ready."""
        self._short: dict[str, None] = {}
        """Workloads of which, for a time, fewer than a quorum even counted as ready."""

    def marks(self) -> Handlers:
        return {**super().marks(), "members": self._members}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        super()._phase(mark)
        if self.phase == "chaos":
            for workload, count in self._serving.items():
                self._wanted[workload] = self.replicas(workload)
                if count == 0:  # it was down before: that is what the run without faults reports
                    self._down.pop(workload, None)
        return ()

    def _quorum(self, workload: str) -> int | None:
        kind = workload.partition("/")[0]
        asked = self.settings_of(workload).get("quorum")
        if asked is not None:
            return int(asked)
        want = self._wanted.get(workload, 0)
        return want // 2 + 1 if kind == "StatefulSet" and want >= 3 else None

    def _members(self, mark: Mark) -> Iterable[Violation]:
        workload, count = mark.data["workload"], int(mark.data["serving"])
        before = self._serving.get(workload, 0)
        self._serving[workload] = count
        if self.phase not in ("chaos", "heal", "settle") or workload not in self._wanted or self._wanted[workload] == 0:
            return ()
        if int(mark.data["ready"]) == 0:
            self._empty[workload] = None
        if int(mark.data["ready"]) < (self._quorum(workload) or 0):
            self._short[workload] = None
        if count == 0 and before > 0:
            self._down[workload] = mark.t
        elif count > 0 and workload in self._down:
            self._outages.setdefault(workload, []).append((self._down.pop(workload), mark.t))
        quorum = self._quorum(workload)
        if quorum is not None and count < quorum <= before:
            self._below[workload] = mark.t
        elif quorum is not None and count >= quorum and workload in self._below:
            self._close_quorum(workload, mark.t, quorum)
        return ()

    def _close_quorum(self, workload: str, t: float, quorum: int) -> None:
        start = self._below.pop(workload)
        known = self._lost_quorum.get(workload)
        length = t - start + (known[1] if known else 0.0)
        self._lost_quorum[workload] = (known[0] if known else start, length, quorum, self._wanted[workload])

    def finish(self, t: float) -> Iterable[Violation]:
        never = dict(self._down)
        for workload, start in self._down.items():
            self._outages.setdefault(workload, []).append((start, t))
        for workload in list(self._below):
            self._close_quorum(workload, t, self._quorum(workload) or 0)
        for workload, spans in self._outages.items():
            if not self.whole(workload):
                continue
            yield from self._judge(workload, spans, workload in never)
        for workload, (start, length, quorum, want) in self._lost_quorum.items():
            if (workload in self._outages and self._wanted[workload] < 2) or not self.whole(workload):
                continue
            text = f"fewer than {quorum} of {want} members served for {length:.0f} s during {_fault_words(self.faults)}"
            severity, root = Severity.ERROR, f"quorum {workload} {self._class()}"
            if self.drains:
                severity, root = Severity.WARNING, f"two drains {workload}"
            elif self.beyond:
                severity, root = Severity.INFO, BEYOND
            elif workload not in self._short:
                severity, root = Severity.WARNING, TOO_EARLY
                text += ", though Kubernetes took enough of them for ready: nothing tells it when a container has started up"
            yield Violation(
                t=start, object=workload, summary=text, severity=severity, root=root,
                figures={"outage_s": round(length, 1), "quorum": quorum}, advice=_quorum_advice(self.faults),
            )  # fmt: skip

    def _class(self) -> str:
        return "+".join(sorted({SORTS.get(one["name"], one["name"]) for one in self.faults}))

    def _judge(self, workload: str, spans: list[tuple[float, float]], never: bool) -> Iterable[Violation]:
        total = sum(end - start for start, end in spans)
        allowed = float(self.settings_of(workload).get("outage_s", 0.0))
        if total <= allowed + 1e-6:
            return
        want = self._wanted[workload]
        # an outage that lasts until the fault is healed has no end of its own
        held = self.heal_s is not None and any(start < self.heal_s <= end for start, end in spans)
        words = _fault_words(self.faults)
        figures = {"outage_s": round(total, 1), "unbounded": held or never}
        if never and workload in self.context.facts.get("rollback_targets", ()):
            return  # that a bad template is stuck is told by rollout-ends
        if never:
            text = f"no pod serves at the end, {total:.0f} s after {words} and its healing"
            yield Violation(
                t=spans[-1][0], object=workload, summary=text, root=f"no recovery {workload}", figures=figures,
                severity=Severity.ERROR,
            )  # fmt: skip
            return
        ends = "until the fault is healed" if held else f"for {total:.0f} s"
        if self.beyond:
            yield Violation(
                t=spans[0][0], object=workload, summary=f"no pod of {want} served {ends} during {words}", severity=Severity.INFO,
                root=BEYOND, figures=figures,
                advice="two faults at once are more than is claimed; a PodDisruptionBudget keeps two drains apart",
            )  # fmt: skip
            return
        if want >= 2 and workload not in self._empty:
            text = (
                f"no pod of {want} answered {ends} during {words}, though Kubernetes took them for ready: nothing tells it"
                " when a container has started up"
            )
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures, root=TOO_EARLY,
                advice="add a readinessProbe that succeeds only when requests are answered",
            )  # fmt: skip
        elif want >= 2:
            text = f"no pod of {want} served {ends} during {words}"
            daemon = workload.startswith("DaemonSet/")  # each serves its own node; whoever lets all go at once says so
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING if daemon else Severity.ERROR, figures=figures,
                root=f"outage {workload} {self._class()}", advice=_outage_advice(self.faults),
            )  # fmt: skip
        elif workload.startswith("StatefulSet/") and held and not self.planned:
            text = f"its only pod was away {ends} during {words}: nothing replaces a StatefulSet's pod on a node that does not answer"
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures, root="single StatefulSet replica",
                advice="run three or more replicas; or, once the node is surely off, taint it node.kubernetes.io/out-of-service or delete it",
            )  # fmt: skip
        elif workload.startswith(("Deployment/", "StatefulSet/", "ReplicaSet/", "ReplicationController/", "Pod/")):
            manner = "planned" if self.planned else "unplanned"
            text = f"its only pod was away {ends} during {words}"
            yield Violation(
                t=spans[0][0], object=workload, summary=text, severity=Severity.WARNING, figures=figures,
                root=f"single replica {manner}", advice="run two or more replicas, spread over nodes, or accept this in kchaos.yaml",
            )  # fmt: skip


def _outage_advice(faults: list[dict[str, Any]]) -> str:
    names = {one["name"] for one in faults}
    if names & {"node-power-loss", "drain", "node-pause", "network-partition", "out-of-service"}:
        return "spread the pods over nodes: topologySpreadConstraints on kubernetes.io/hostname with whenUnsatisfiable DoNotSchedule"
    if "zone-power-loss" in names:
        return "spread the pods over zones: topologySpreadConstraints on topology.kubernetes.io/zone"
    if names & {"rollout", "slow-start", "rollback"}:
        return "add a readinessProbe, and let a rollout keep pods: maxUnavailable 0"
    return ""


def _quorum_advice(faults: list[dict[str, Any]]) -> str:
    if any(one["name"] == "zone-power-loss" for one in faults):
        return "spread the members over three zones"
    return "add a PodDisruptionBudget with maxUnavailable 1 and spread the members over nodes"


class _LostRequests(_Base):
    """Requests lost in planned operations by workloads that have replicas enough."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lost: dict[str, dict[str, float]] = {}

    def marks(self) -> Handlers:
        return {**super().marks(), "traffic": self._traffic}

    def _traffic(self, mark: Mark) -> Iterable[Violation]:
        if self.phase in ("chaos", "heal", "settle"):
            start = max(mark.data["start"], self.chaos_s)
            length = mark.data["end"] - start
            rates: dict[str, float] = self.context.settings.get("rates", {})
            rate = float(rates.get(mark.data["service"], 10.0))
            table = self._lost.setdefault(mark.data["service"], {})
            for reason, share in mark.data["lost"].items():
                if length > 0:
                    table[reason] = table.get(reason, 0.0) + share * rate * length
        return ()

    def finish(self, t: float) -> Iterable[Violation]:
        if not self.planned or self.beyond:
            return
        for service, table in self._lost.items():
            total = sum(table.values())
            sizes = [self.replicas(one) for one in self.context.settings.get("backing", {}).get(service, ())]
            backing = self.context.settings.get("backing", {}).get(service, ())
            if total < 0.5 or not sizes or max(sizes) < 2 or not any(self.was_up(one) for one in backing):
                continue
            if self.context.settings.get("pods_behind", {}).get(service, 2) < 2:
                continue  # a Service of one pod is away with it
            reasons = ", ".join(f"{count:.0f} {reason}" for reason, count in sorted(table.items()) if count >= 0.5)
            text = f"{total:.0f} requests lost ({reasons}) during {_fault_words(self.faults)}"
            yield Violation(
                t=self.chaos_s, object=f"Service/{service}", summary=text, severity=Severity.WARNING,
                root="requests lost in planned operations", figures={"lost_requests": round(total, 1)},
                advice="keep serving while endpoints are taken away: a preStop hook `sleep: {seconds: 5}`, and a readinessProbe",
            )  # fmt: skip


class _Drains(_Base):
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
        elif data["state"] == "given up" and data["target"] in self._blocked:
            blocked = self._blocked.pop(data["target"])
            owner = blocked.data["owner"]
            first = next((one["args"].get("target") for one in self.faults if one["name"] == "drain"), data["target"])
            others = f" (after {first} had been drained)" if first != data["target"] else ""
            text = f"the drain of {data['target']}{others} never ends: {blocked.data['pod']} can't be evicted. {blocked.data['why']}"
            severity = Severity.WARNING if self.drains else Severity.INFO if self.beyond else Severity.ERROR
            yield Violation(
                t=blocked.t, object=owner, summary=text, severity=severity, root=BEYOND if severity is Severity.INFO else f"drain {owner}",
                advice="let the PodDisruptionBudget allow one disruption: maxUnavailable: 1, with two or more replicas",
            )  # fmt: skip


class _Rollouts(_Base):
    """A rollout ends, and one that is undone leaves things as they were."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._begun: dict[str, tuple[str, float]] = {}
        self._refused: dict[str, str] = {}

    def marks(self) -> Handlers:
        return {**super().marks(), "operation": self._operation, "event": self._event}

    def _operation(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["what"] in ("rollout", "rollback") and mark.data["state"] == "begun":
            self._begun[mark.data["target"]] = (mark.data["what"], mark.t)
        return ()

    def _event(self, mark: Mark) -> Iterable[Violation]:
        told = mark.data["type"] == "Warning" and mark.data["reason"] in ("FailedCreate", "FailedScheduling")
        if told and "already exists" not in mark.data["message"]:
            self._refused[mark.data["reason"]] = mark.data["message"]
        return ()

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
            cause = " ".join(self._refused.values())
            if what == "rollback" and kind == "StatefulSet":
                text = f"a bad template was undone, yet the StatefulSet is stuck: {why}. The broken pod must be deleted by hand"
                yield Violation(
                    t=begun, object=target, summary=text, severity=Severity.WARNING, root="stuck after a bad template",
                    advice="podManagementPolicy: Parallel, or delete the broken pod after undoing a template",
                )  # fmt: skip
            else:
                text = f"the {what} never ends: {why}." + (f" {cause}" if cause else "")
                yield Violation(
                    t=begun, object=target, summary=text, severity=Severity.ERROR, root=f"{what} {target}",
                    advice="leave room for one pod more, or let one go first: maxUnavailable: 1 and maxSurge: 0",
                )  # fmt: skip


def _unfinished(obj: Obj) -> str | None:
    """Return in words what a workload's rollout still waits for, None if it is complete."""
    status, want = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    if obj["kind"] == "DaemonSet":
        want = status.get("desiredNumberScheduled", 0)
        have, up = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        have, up = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        if obj["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
            have = status.get("currentReplicas", 0)
    if obj["kind"] == "StatefulSet" and get(obj, "spec", "updateStrategy", "type") == "OnDelete":
        return None
    if have < want:
        return f"{have} of {want} pods are of the new template"
    if up < want:
        return f"{up} of {want} pods are available"
    return None


class _Placed(_Base):
    """Every pod finds a node: at the end of the run without faults, and again after healing; and while a fault lasts, if it can."""

    def marks(self) -> Handlers:
        return {"phase": self._phase, "fault": self._fault}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        super()._phase(mark)
        if self.phase == "heal" and self.faults and not self.planned and not self.beyond:
            for pod in _unplaced(self.context):
                yield from self._stranded(mark.t, pod)

    def _stranded(self, t: float, pod: Obj) -> Iterable[Violation]:
        """Say that a lost pod's replacement finds no place; where others serve on, that is how Kubernetes means it."""
        text, owner = self._text(pod), workload_of(self.context, pod)
        if not self.whole(owner):
            return
        volume = "volume" in text.lower()
        alone = self.replicas(owner) < 2
        yield Violation(
            t=t, object=owner, summary=f"its replacement can't be placed while {_fault_words(self.faults)} lasts: {text}",
            severity=Severity.WARNING if volume and alone else Severity.INFO, root="zonal volume" if volume else f"no place {owner}",
            advice="use a StorageClass that replicates over zones, or run members with own volumes in three zones" if volume else
            "have one node more than the replicas that must not share one, or make the rule a preference",
        )  # fmt: skip

    @staticmethod
    def _text(pod: Obj) -> str:
        found = condition(pod, "PodScheduled")
        return str(found.get("message", "not scheduled")) if found is not None else "not scheduled"

    def finish(self, t: float) -> Iterable[Violation]:
        if self.faults:
            return
        for pod in _unplaced(self.context):
            summary = f"{pod['metadata']['name']} can't be placed: {self._text(pod)}"
            owner = workload_of(self.context, pod)
            yield Violation(t=t, object=owner, summary=summary, severity=Severity.ERROR, root=f"placement {owner}")


class _ComesUp(_Base):
    """Without any fault, every pod is ready in the end."""

    def finish(self, t: float) -> Iterable[Violation]:
        if self.faults:
            return
        counts: dict[str, list[int]] = {}
        for pod in self.context.view.table("pods").values():
            if terminating(pod) or ended(pod):
                continue
            owner = workload_of(self.context, pod)
            row = counts.setdefault(owner, [0, 0])
            row[0] += ready(pod)
            row[1] += 1
        placed = {workload_of(self.context, pod) for pod in _unplaced(self.context)}
        for owner, (up, all_) in counts.items():
            if up < all_ and owner not in placed:
                waits = _waits(self.context, owner)
                text = f"{up} of {all_} pods are ready, without any fault" + (f"; still waiting: {waits}" if waits else "")
                yield Violation(t=t, object=owner, summary=text, severity=Severity.ERROR, root=f"comes up {owner}")


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
    size = _Base(context)
    for workload, want in before.items():
        if now.get(workload, 0) < want and workload not in stuck and size.whole(workload):
            waits = _waits(context, workload)
            text = f"{now.get(workload, 0)} of {want} pods are ready after healing" + (f"; still waiting: {waits}" if waits else "")
            yield Violation(t=t, object=workload, summary=text, severity=Severity.ERROR, root=f"recovery {workload}")


def _waits(context: Context, workload: str) -> str:
    """Return in words what the pods of a workload that are not ready wait for."""
    out = []
    for pod in context.view.table("pods").values():
        if ready(pod) or workload_of(context, pod) != workload:
            continue
        found = condition(pod, "PodScheduled")
        if terminating(pod):
            out.append(f"{pod['metadata']['name']} is terminating on {pod['spec'].get('nodeName', 'no node')}")
        elif found is not None and found["status"] == "False":
            out.append(f"{pod['metadata']['name']}: {found.get('message', '')}")
        else:
            reasons = [(c.get("state") or {}).get("waiting", {}).get("reason") for c in get(pod, "status", "containerStatuses", default=())]
            out.append(f"{pod['metadata']['name']}: {next((r for r in reasons if r), 'not ready')}")
    return "; ".join(out[:3])


K8S = "https://kubernetes.io/docs/"
PROPERTIES = (
    declare("KC201", "39", "placed", "Every pod finds a node.", K8S + "concepts/scheduling-eviction/", _Placed,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC202", "", "no-outage", "Somebody answers: a workload with replicas always has one that serves, and its quorum.",
            K8S + "concepts/workloads/pods/disruptions/", _Outage, Guarantee.WITHOUT_FAULTS),
    declare("KC203", "", "drain-ends", "A drain ends.", K8S + "tasks/administer-cluster/safely-drain-node/", _Drains,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC204", "", "rollout-ends", "A rollout ends, and undoing a bad one restores what was.",
            K8S + "concepts/workloads/controllers/deployment/#failed-deployment", _Rollouts, Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC205", "", "no-lost-requests", "A planned operation on a replicated workload loses no request.",
            K8S + "tutorials/services/pods-and-endpoint-termination-flow/", _LostRequests, Guarantee.WITHOUT_FAULTS),
    declare("KC206", "39", "comes-up", "Without any fault, every pod becomes ready.", K8S + "concepts/workloads/pods/pod-lifecycle/", _ComesUp,
            Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC069", "69", "stable-again", "Once faults stop, the desired state is reached and stays.",
            "https://www.usenix.org/conference/osdi24/presentation/sun-xudong", folded(end=_recovered), Guarantee.ALWAYS, liveness=True),
)  # fmt: skip
