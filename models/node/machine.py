"""One pod on its node: which containers exist, in what state; and the status the kubelet reports of it. No timers, no I/O.

pkg/kubelet/kubelet_pods.go (getPhase, convertStatusToAPIStatus), pkg/kubelet/status/generate.go (conditions).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kchaos.models.api.pods import controller_of, is_true
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get
from kchaos.models.node.assumptions import Assumptions
from kchaos.models.node.eviction import End

NEVER = float("inf")
_ORDINARY = ("ContainerCreating", "PodInitializing", "Pulling")
"""Reasons to wait that say nothing of trouble: a container found dead is then still reported as ended."""


@dataclass(slots=True)
class Container:
    """One container's life; times are virtual seconds of the run."""

    name: str
    image: str
    init: bool = False
    sidecar: bool = False
    state: str = "waiting"
    reason: str = "ContainerCreating"
    ready: bool = False
    started: bool = False
    begun_s: float = 0.0
    serves_from_s: float = NEVER
    refuses_from_s: float = NEVER
    ended_s: float = 0.0
    exit_code: int = 0
    restarts: int = 0
    last: Obj | None = None
    backoff_s: float = 0.0
    pull_backoff_s: float = 0.0
    epoch: int = 0
    """Counts starts: timers of an earlier start are stale."""
    found: Obj | None = None
    """How it ended, of a container that the kubelet found dead when the node came back; until it is started again."""

    @property
    def has_run(self) -> bool:
        """Tell whether it has run and ended."""
        return self.state == "terminated" or bool(self.restarts) or self.last is not None or self.found is not None

    def recall(self, before: Obj) -> None:
        """Take over what was reported of it before the node lost power: it has ended meanwhile, and counts as often restarted as it was."""
        state, last = before.get("state") or {}, get(before, "lastState", "terminated")
        self.restarts = int(before.get("restartCount") or 0)
        if state.get("running"):
            began = state["running"].get("startedAt")
            self.found, self.last = {"exitCode": 255, "reason": "Unknown", "startedAt": began, "finishedAt": began}, last
        elif state.get("terminated"):
            self.found, self.last = state["terminated"], last
        else:
            self.found = last

    def stays_dead(self) -> None:
        """It was found dead and is not started again."""
        if self.found is not None and self.state == "waiting":
            self.state, self.exit_code = "terminated", int(self.found.get("exitCode", 255))


@dataclass(slots=True)
class PodMachine:
    """One pod. ``pod`` is the object as last seen."""

    pod: Obj
    key: str
    uid: str
    assumptions: Assumptions
    containers: list[Container] = field(default_factory=list)
    ip: str = ""
    started_s: float = 0.0
    stopping: bool = False
    finished: bool = False
    admitted: bool = False
    ended_by: End | None = None
    """The kubelet ended or refused it: its phase is Failed as soon as nothing of it runs."""
    waiting: str = ""
    """Why the pod's containers are not begun yet, if something out of the ordinary holds them."""

    @classmethod
    def of(cls, pod: Obj, key: str, assumptions: Assumptions) -> PodMachine:
        """Return the machine of a pod that nothing has been done for."""
        spec = pod["spec"]
        containers = [
            Container(c["name"], c.get("image") or "", init=True, sidecar=c.get("restartPolicy") == "Always")
            for c in spec.get("initContainers") or ()
        ]
        containers += [Container(c["name"], c.get("image") or "") for c in spec["containers"]]
        # after a reboot the old containers are found dead, and start again if the restart policy lets them (computePodActions)
        statuses = [*get(pod, "status", "initContainerStatuses", default=()), *get(pod, "status", "containerStatuses", default=())]
        known = {one["name"]: one for one in statuses}
        policy = spec.get("restartPolicy", "Always")
        for one in containers:
            if one.name in known:
                one.recall(known[one.name])
            if policy == "Never" or (policy == "OnFailure" and not one.init and (one.found or {}).get("exitCode") == 0):
                one.stays_dead()
        return cls(pod, key, pod["metadata"]["uid"], assumptions, containers)

    def spec_of(self, container: Container) -> Obj:
        """Return a container's specification."""
        group = "initContainers" if container.init else "containers"
        found: Obj = next(c for c in self.pod["spec"][group] if c["name"] == container.name)
        return found

    @property
    def app(self) -> list[Container]:
        """Return the containers proper."""
        return [c for c in self.containers if not c.init]

    @property
    def policy(self) -> str:
        """Return the restart policy."""
        return str(self.pod["spec"].get("restartPolicy", "Always"))

    @property
    def found_dead(self) -> bool:
        """Tell whether a reboot ended containers that have not been started again."""
        return any(c.found is not None for c in self.containers)

    @property
    def over(self) -> bool:
        """Tell whether all containers proper have ended and none starts again."""
        return self.phase() in ("Succeeded", "Failed")

    @property
    def running(self) -> bool:
        """Tell whether any process of the pod runs."""
        return any(c.state == "running" for c in self.containers)

    def serving(self, now_s: float) -> bool:
        """Tell whether the pod would answer a request now: all its containers run, have started up and still accept."""
        app = self.app
        return bool(app) and all(c.state == "running" and c.serves_from_s <= now_s + 1e-9 and c.refuses_from_s > now_s + 1e-9 for c in app)

    def initialised(self) -> bool:
        """Tell whether all init containers have succeeded (sidecars: have started)."""
        return all(
            (c.state == "running" and c.started) if c.sidecar else (c.state == "terminated" and c.exit_code == 0)
            for c in self.containers
            if c.init
        )

    def next_init(self) -> Container | None:
        """Return the init container whose turn it is."""
        for one in self.containers:
            if not one.init:
                return None
            if one.sidecar:
                if one.state != "running":
                    return one
                if not one.started:
                    return None
            elif not (one.state == "terminated" and one.exit_code == 0):
                return one if one.state == "waiting" else None
        return None

    def phase(self) -> str:
        """Return the phase (getPhase)."""
        if self.ended_by is not None and not self.running:
            return "Failed"
        app = self.app
        failed_init = [c for c in self.containers if c.init and not c.sidecar and c.state == "terminated" and c.exit_code]
        if failed_init and self.policy == "Never":
            return "Failed"
        if not self.initialised() and not any(c.state == "running" or c.has_run for c in app):
            return "Pending"
        if any(c.state == "running" for c in app):
            return "Running"
        if all(c.state == "terminated" for c in app):
            codes = [c.exit_code for c in app]
            if self.stopping or self.policy == "Never":
                return "Failed" if any(codes) else "Succeeded"
            if self.policy == "OnFailure" and not any(codes):
                return "Succeeded"
            return "Running"
        return "Running" if any(c.has_run for c in app) else "Pending"

    # -- status --------------------------------------------------------------------------------------------------------

    def status(self, epoch_s: float, host_ip: str) -> Obj:
        """Return the status to report; ``epoch_s`` is the wall clock at virtual time 0 as the node sees it."""
        phase = self.phase()
        app = self.app
        done = phase in ("Succeeded", "Failed")
        containers_ready = not done and all(c.ready for c in app)
        gates = [g["conditionType"] for g in self.pod["spec"].get("readinessGates") or ()]
        ready = containers_ready and all(is_true(self.pod, gate) for gate in gates)
        reason = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        late = [c.name for c in app if not c.ready]
        message = f"containers with unready status: [{' '.join(late)}]" if late and not done else ""
        off: Obj = {"reason": reason, **({"message": message} if message else {})}
        initialised = self.initialised() or phase != "Pending"
        status: Obj = {
            "phase": phase,
            "conditions": [
                self._condition("PodReadyToStartContainers", self.running or not done, {}, epoch_s),
                self._condition("Initialized", initialised, {"reason": "ContainersNotInitialized"}, epoch_s),
                self._condition("Ready", ready, off if not containers_ready else {"reason": "ReadinessGatesNotReady"}, epoch_s),
                self._condition("ContainersReady", containers_ready, off, epoch_s),
            ],
            "hostIP": host_ip,
            "startTime": stamp(epoch_s + self.started_s),
            "containerStatuses": [self._one(c, epoch_s) for c in app],
        }
        end = self.ended_by
        if end is not None and phase == "Failed":
            status |= {"reason": end.reason, "message": end.message}
            if not end.disrupted:
                del status["containerStatuses"]
                return status
            why = {"reason": "TerminationByKubelet", "message": end.message}
            status["conditions"].append({"type": "DisruptionTarget", "status": "True", **why})
        inits = [self._one(c, epoch_s) for c in self.containers if c.init]
        if inits:
            status["initContainerStatuses"] = inits
        if self.ip and any(c.state != "waiting" for c in self.containers):
            status["podIP"] = self.ip
            status["podIPs"] = [{"ip": self.ip}]
        return status

    def _condition(self, kind: str, true: bool, off: Obj, epoch_s: float) -> Obj:
        return {"type": kind, "status": "True"} if true else {"type": kind, "status": "False", **off}

    @staticmethod
    def _one(c: Container, epoch_s: float) -> Obj:
        last = c.last
        if c.state == "running":
            state: Obj = {"running": {"startedAt": stamp(epoch_s + c.begun_s)}}
        elif c.found is not None and (c.state == "terminated" or c.reason in _ORDINARY):
            state = {"terminated": c.found}
        elif c.state == "terminated":
            state = {"terminated": _ended(c, epoch_s)}
        else:
            state = {"waiting": {"reason": c.reason}}
            last = c.found or last
        out: Obj = {
            "name": c.name, "image": c.image, "ready": c.ready, "started": c.started, "restartCount": c.restarts, "state": state,
        }  # fmt: skip
        if last is not None:
            out["lastState"] = {"terminated": last}
        return out


def _ended(c: Container, epoch_s: float) -> Obj:
    reason = c.reason if c.reason in ("OOMKilled", "Completed", "Error") else ("Completed" if c.exit_code == 0 else "Error")
    return {
        "exitCode": c.exit_code, "reason": reason, "startedAt": stamp(epoch_s + c.begun_s), "finishedAt": stamp(epoch_s + c.ended_s),
    }  # fmt: skip


def ended_state(c: Container, epoch_s: float) -> Obj:
    """Return a terminated container's state, to become its last state."""
    return _ended(c, epoch_s)


def owner_kind(pod: Obj) -> str:
    """Return the kind of the pod's controller, empty if none."""
    ref = controller_of(pod)
    return str(ref["kind"]) if ref is not None else ""


def grace_s(pod: Obj) -> float:
    """Return the seconds a terminating pod has left from its deletion request."""
    return float(get(pod, "metadata", "deletionGracePeriodSeconds", default=30))
