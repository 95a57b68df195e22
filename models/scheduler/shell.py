"""kube-scheduler: the queue of pods without a node, one decision at a time, and the binding that follows it.

pkg/scheduler/{schedule_one.go,backend/queue}. Pods wait by priority, then age; one that does not fit waits until an event may help, at
the latest five minutes. An idle scheduler does not let it wait out its back-off (SchedulerPopFromBackoffQ), and decisions take no virtual
time here, so back-off (1 s doubling to 10 s) is left for pods that could not be bound. A decision is assumed at once and bound concurrently.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, is_true, name, namespace, terminating, uid
from kchaos.models.api.request import Request, component
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.client import Client
from kchaos.models.client.informer import Informers
from kchaos.models.client.leaderelection import LeaderElector
from kchaos.models.controllers.base import EventSink
from kchaos.models.controllers.volumes import claims_of
from kchaos.models.scheduler.engine import Decision, Engine
from kchaos.models.scheduler.volumes import VolumeAction
from kchaos.runtime import Runtime

BACKOFF_S = (1.0, 10.0)
FLUSH_S = 300.0
"""An unschedulable pod is tried again after this long, whatever happens (DefaultPodMaxInUnschedulablePodsDuration)."""
VOLUME_WAIT_S = 600.0
"""How long binding waits for claims to be provisioned (--bindTimeoutSeconds of the VolumeBinding plug-in)."""
VOLUME_POLL_S = 1.0
"""It looks at the claims this often, first after one interval (volumebinding/binder.go: BindPodVolumes)."""
IDENTITY = component("kube-scheduler")


class Scheduler:
    """The shell: informers, queue, binding. ``died`` is called when leadership is lost."""

    def __init__(
        self,
        rt: Runtime,
        servers: tuple[str, ...],
        first_server: int,
        constants: Constants,
        events: EventSink,
        elect: bool,
        died: Callable[[], None],
    ) -> None:
        self.rt = rt
        qps = None if constants.client_qps is None else constants.client_qps * 2.5
        self.client = Client(rt, servers, first_server, qps, int(constants.client_burst * 100 / 30))
        self.api = self.client.as_(IDENTITY)
        self.informers = Informers(rt, self.client, IDENTITY)
        self._events = events
        self._elect = elect
        self._elector = LeaderElector(rt, self.client, IDENTITY, "kube-scheduler", self._lead, died)
        self.engine = Engine(self.informers, rt.random("scheduler"))
        self._heap: list[tuple[int, float, int, str]] = []
        self._number = 0
        self._queued: dict[str, None] = {}
        self._unschedulable: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        """Errors in a row, by pod."""
        self._preempting: dict[str, bool] = {}
        """Pods that evict others right now: they are not tried meanwhile; True if something happened since."""
        self._assumed: dict[str, str] = {}
        self._running = False
        self._due = False

    @property
    def leading(self) -> bool:
        """Tell whether this scheduler is the active one."""
        return self._running

    def start(self) -> None:
        """Compete for leadership, or lead at once."""
        if self._elect:
            self._elector.start()
        else:
            self._lead()

    def _lead(self) -> None:
        self.informers.start(self._ready)

    def _ready(self) -> None:
        self._running = True
        for resource in (
            "nodes",
            "persistentvolumes",
            "persistentvolumeclaims",
            "storageclasses",
            "services",
            "replicasets",
            "statefulsets",
        ):
            self.informers.of(resource).add_handler(self._other_changed(resource))
        self.informers.of("pods").add_handler(self._pod_changed)
        self._kick()

    # -- events ------------------------------------------------------------------------------------------------------

    def _other_changed(self, resource: str) -> Callable[[Obj | None, Obj | None], None]:
        def changed(old: Obj | None, new: Obj | None) -> None:
            helps = self.engine.changed(resource, old, new)
            if not helps:
                return
            if resource == "nodes":
                self._move()
            else:
                self._move_claimants(key_of(new) if new is not None and resource == "persistentvolumeclaims" else None)

        return changed

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        key = uid(pod)
        if new is None or ended(new):
            self._drop(key)
            if (old is not None and old["spec"].get("nodeName")) or key in self._assumed:
                self._assumed.pop(key, None)
                self.engine.remove_pod(pod)
                self._move()
            return
        if new["spec"].get("nodeName"):
            self._drop(key)
            self._assumed.pop(key, None)
            self.engine.set_pod(new)
            if old is None or old["spec"].get("nodeName") is None or get(old, "metadata", "labels") != get(new, "metadata", "labels"):
                self._move_affine()
            return
        if terminating(new):
            self._drop(key)
            return
        if key in self._assumed:
            return
        if new["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return
        if new["spec"].get("schedulingGates"):
            return
        if key in self._unschedulable:
            if old is not None and (old["spec"] != new["spec"] or get(old, "metadata", "labels") != get(new, "metadata", "labels")):
                self._requeue(key, new)
            return
        self._push(new)

    def _drop(self, key: str) -> None:
        self._queued.pop(key, None)
        self._unschedulable.pop(key, None)
        self._attempts.pop(key, None)
        self._preempting.pop(key, None)

    # -- queue -------------------------------------------------------------------------------------------------------

    def _push(self, pod: Obj) -> None:
        key = uid(pod)
        if key in self._queued:
            return
        self._queued[key] = None
        self._number += 1
        priority = -int(pod["spec"].get("priority", 0))
        heapq.heappush(self._heap, (priority, self.rt.now(), self._number, key_of(pod)))
        self._kick()

    def _kick(self) -> None:
        if self._running and not self._due and self._heap:
            self._due = True
            self.rt.call_soon(self._run)

    def _move(self) -> None:
        """An event may help: pods that did not fit go back to the queue, each after its back-off."""
        if not self._unschedulable:
            return
        for key in list(self._unschedulable):
            self._requeue(key, None)

    def _move_claimants(self, claim: str | None) -> None:
        """A change of storage can only help pods with claims; that of a claim those that use it."""
        for key in list(self._unschedulable):
            pod = self._pod_by_uid(key)
            used = claims_of(pod) if pod is not None else []
            if used and (claim is None or claim in used):
                self._requeue(key, pod)

    def _move_affine(self) -> None:
        """A new pod on a node can only help pods that want to be near others."""
        if not self._unschedulable:
            return
        for key in list(self._unschedulable):
            pod = self._pod_by_uid(key)
            if pod is not None and (get(pod, "spec", "affinity", "podAffinity") or get(pod, "spec", "topologySpreadConstraints")):
                self._requeue(key, pod)

    def _requeue(self, key: str, pod: Obj | None) -> None:
        """Try a pod again as soon as the scheduler is idle, and its evictions are under way."""
        if key in self._preempting:
            self._preempting[key] = True
            return
        self._unschedulable.pop(key, None)
        self._again(key)

    def _back_off(self, key: str) -> None:
        """Try a pod again after its back-off (podErrorBackoffQ)."""
        self._unschedulable.pop(key, None)
        wait = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** (self._attempts.get(key, 1) - 1))
        self.rt.call_later(wait, self._again, key)

    def _again(self, key: str) -> None:
        pod = self._pod_by_uid(key)
        if pod is not None and key not in self._assumed:
            self._push(pod)

    def _flush(self, key: str, since: float) -> None:
        if self._unschedulable.get(key) == since:
            self._requeue(key, None)

    def _pod_by_uid(self, key: str) -> Obj | None:
        found = self.engine.pending.get(key)
        pod = self.informers.of("pods").get(found) if found is not None else None
        return pod if pod is not None and uid(pod) == key and not pod["spec"].get("nodeName") and not terminating(pod) else None

    # -- one decision ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._due = False
        if not self._running:
            return
        pods = self.informers.of("pods")
        while self._heap:
            _, _, _, key = heapq.heappop(self._heap)
            pod = pods.get(key)
            if pod is None or uid(pod) not in self._queued:
                continue
            del self._queued[uid(pod)]
            self.engine.pending[uid(pod)] = key
            self._schedule(pod)

    def _schedule(self, pod: Obj) -> None:
        key = uid(pod)
        decision = self.engine.decide(pod)
        if decision.node is not None:
            self.engine.assume(pod, decision.node)
            self._assumed[key] = decision.node
            if decision.volumes:
                self.rt.spawn(self._bind_with_volumes(pod, decision.node, decision.volumes), f"bind {name(pod)}")
            else:
                self._bind(pod, decision.node)
            return
        if decision.victims:
            self._preempting[key] = False
        now = self._unschedulable[key] = self.rt.now()
        self.rt.call_later(FLUSH_S, self._flush, key, now, background=True)
        self.rt.spawn(self._report(pod, decision), f"unschedulable {name(pod)}")

    def _bind(self, pod: Obj, node: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name(pod), "uid": uid(pod)},
            "target": {"kind": "Node", "name": node},
        }

        def done(_: Obj | None, error: ApiError | None) -> None:
            if error is None:
                text = f"Successfully assigned {namespace(pod)}/{name(pod)} to {node}"
                self._events("kube-scheduler", pod, "Normal", "Scheduled", text)
                return
            if error.reason in ("Timeout", "ConnectionLost"):
                # the bind may have been carried out: the informer will tell; only if it does not is the pod tried again
                self.rt.call_later(1.0, self._unassume, pod)
                return
            self._unassume(pod)

        self.client.call(Request("create", "pods", namespace(pod), name(pod), "binding", body, identity=IDENTITY), done)

    def _unassume(self, pod: Obj) -> None:
        key = uid(pod)
        if self._assumed.pop(key, None) is None:
            return
        self.engine.forget(pod)
        self._attempts[key] = self._attempts.get(key, 0) + 1
        if self._pod_by_uid(key) is not None:
            self._back_off(key)

    async def _bind_with_volumes(self, pod: Obj, node: str, actions: tuple[VolumeAction, ...]) -> None:
        """Ask for the pod's claims to be bound, wait until they are, then bind the pod (VolumeBinding PreBind)."""
        try:
            for action in actions:
                await self.api.update(action.resource, action.body)
        except ApiError:
            self._unassume(pod)
            return
        deadline = self.rt.now() + VOLUME_WAIT_S
        claims = self.informers.of("persistentvolumeclaims")
        keys = [action.claim for action in actions]
        while True:
            await self.rt.sleep(VOLUME_POLL_S, background=True)
            states = [claims.get(key) for key in keys]
            if all(one is not None and get(one, "status", "phase") == "Bound" for one in states):
                self._bind(pod, node)
                return
            rejected = any(one is not None and not self._selected(one, node) for one in states)
            if rejected or self.rt.now() >= deadline or self._pod_by_uid(uid(pod)) is None:
                self._unassume(pod)
                return

    @staticmethod
    def _selected(claim: Obj, node: str) -> bool:
        """Tell whether a claim still names the node: a provisioner that can't serve it takes the name away."""
        if get(claim, "status", "phase") == "Bound" or claim["spec"].get("volumeName"):
            return True
        return get(claim, "metadata", "annotations", "volume.kubernetes.io/selected-node") in (node, None)

    async def _report(self, pod: Obj, decision: Decision) -> None:
        """Write why a pod is not scheduled, and evict for it if that helps."""
        self._events("kube-scheduler", pod, "Warning", "FailedScheduling", decision.message)
        now = self.stamp()
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": decision.reason,
            "message": decision.message,
            "lastProbeTime": None,
        }
        status: Obj = {}
        old = next((c for c in get(pod, "status", "conditions", default=()) if c["type"] == "PodScheduled"), None)
        if old is None or (old["status"], old.get("reason"), old.get("message")) != ("False", decision.reason, decision.message):
            status["conditions"] = [{**condition, "lastTransitionTime": now}]
        if decision.nominated is not None and get(pod, "status", "nominatedNodeName") != decision.nominated:
            status["nominatedNodeName"] = decision.nominated
        try:
            if status:
                await self.api.patch("pods", namespace(pod), name(pod), {"status": status}, subresource="status")
            for victim in decision.victims:
                await self._evict(victim, pod, now)
        except ApiError as error:
            if (error.code >= 500 or error.code == 0) and uid(pod) in self._unschedulable:
                self._preempting.pop(uid(pod), None)
                self._attempts[uid(pod)] = self._attempts.get(uid(pod), 0) + 1
                self._back_off(uid(pod))
        if self._preempting.pop(uid(pod), False):
            self._requeue(uid(pod), None)

    async def _evict(self, victim: Obj, pod: Obj, now: str) -> None:
        text = f"{self.IDENT}: preempting to accommodate a higher priority pod"
        condition = {
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": text,
            "lastProbeTime": None, "lastTransitionTime": now,
        }  # fmt: skip
        try:
            if not is_true(victim, "DisruptionTarget"):
                body = {"status": {"conditions": [condition]}}
                await self.api.patch("pods", namespace(victim), name(victim), body, subresource="status")
            await self.api.delete("pods", namespace(victim), name(victim))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
        self._events(
            "kube-scheduler", victim, "Normal", "Preempted", f"Preempted by pod {uid(pod)} on node {victim['spec'].get('nodeName')}"
        )

    IDENT = "default-scheduler"

    def stamp(self) -> str:
        """Return the API timestamp of now."""
        from kchaos.models.api.times import stamp

        return stamp(self.rt.wall())
