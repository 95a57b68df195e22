"""Execute a recorded scheduler story: pods one at a time before the real shell, API server and PV controller, in virtual time.

The format is that of the recordings whose names begin with ``sched-``: ``objects``, ``cluster.nodes``, then ``pods``. The result has one
line a pod: ``{"pod", "node"}`` or ``{"pod", "reason", "message", "nominated", "victims"}``.
"""

from __future__ import annotations

from kchaos.models.api.pods import condition, terminating, uid
from kchaos.models.api.request import USER
from kchaos.models.api.resources import by_kind
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import Event
from kchaos.models.controllers.manager import ControllerManager
from kchaos.models.controllers.pvbinder import PersistentVolumeBinder
from kchaos.models.controlplane import MANAGER, ControlPlane
from kchaos.sim.world import EPOCH_S, World

SPACE = "story"
PATIENCE_S = 20.0
"""How long one pod may take to get a result."""


class SchedulerStory:
    """One story under way."""

    def __init__(self, story: Obj, seed: int = 0) -> None:
        self._story = story
        self.world = World(seed)
        self.control = ControlPlane(self.world, masters=1, elect=False, constants=Constants(client_qps=None))
        host = self.control.hosts[0]
        self.control._start_scheduler(host)
        rt = self.world.start(host, MANAGER)
        manager = ControllerManager(
            rt, self.control.servers, 0, self.control.constants, (PersistentVolumeBinder,), lambda *_: None, False, lambda: None
        )
        self.world.loop.soon(manager.start, (), self.world.processes[rt.address].owner)
        self._refused: dict[str, Obj] = {}
        self.control.store.subscribe(self._seen)
        self._user = self.control.client("user", USER)

    def run(self) -> list[Obj]:
        """Run to the end and return one line a pod."""
        for one in ("default", "kube-system", SPACE):
            self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        for obj in self._story["objects"]:
            meta = obj["metadata"]
            self.control.create({**obj, "metadata": {**meta, "namespace": meta.get("namespace", SPACE)}} if self._spaced(obj) else obj)
        self._wait(20.0)
        for spec in self._story["cluster"]["nodes"]:
            self.control.create(self._node(spec))
        self._wait(2.0)
        lines = [self._feed(entry) for entry in self._story["pods"]]
        self.world.close()
        return lines

    @staticmethod
    def _spaced(obj: Obj) -> bool:
        found = by_kind(obj["apiVersion"], obj["kind"])
        return found is not None and found.namespaced

    def _node(self, spec: Obj) -> Obj:
        now = stamp(EPOCH_S + self.world.loop.time())
        tags = {"kubernetes.io/hostname": spec["name"]}
        if spec.get("zone"):
            tags |= {"topology.kubernetes.io/zone": spec["zone"], "topology.kubernetes.io/region": "r1"}
        capacity = {"ephemeral-storage": "100Gi", **(spec.get("capacity") or {})}
        body: Obj = {"taints": spec["taints"]} if spec.get("taints") else {}
        if spec.get("unschedulable"):
            body["unschedulable"] = True
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}
        return {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": spec["name"], "labels": {**tags, **(spec.get("labels") or {})}},
            "spec": body, "status": {"capacity": capacity, "allocatable": capacity, "conditions": [ready]},
        }  # fmt: skip

    def _wait(self, seconds: float) -> None:
        """Let time pass; what terminates by then goes, as there is no kubelet to wait for."""
        self.world.run(self.world.loop.time() + seconds)
        gone = [one for one, pod in self._pods().items() if terminating(pod)]
        for pod in gone:
            self._spawn_delete(pod)
        if gone:
            self.world.run(self.world.loop.time() + 0.25)

    def _pods(self) -> dict[str, Obj]:
        return {pod["metadata"]["name"]: pod for pod in self.control.store.table("pods").values()}

    def _create(self, obj: Obj, node: str = "") -> str:
        spec = {**obj["spec"], "nodeName": node} if node else obj["spec"]
        made = self.control.create({**obj, "metadata": {**obj["metadata"], "namespace": SPACE}, "spec": spec})
        return uid(made)

    def _delete(self, pod: str) -> None:
        self._spawn_delete(pod)
        self._wait(1.0)

    def _spawn_delete(self, pod: str) -> None:
        async def delete() -> None:
            await self._user.delete("pods", SPACE, pod, grace_period_seconds=0)

        self._user.client._rt.spawn(delete(), f"delete {pod}")

    def _feed(self, entry: Obj) -> Obj:
        """Create one pod, wait for its result, and leave it where the recording had it."""
        obj, place = entry["object"], entry.get("place")
        pod = obj["metadata"]["name"]
        before = [one for one, there in self._pods().items() if not terminating(there)]
        self._refused = {}
        self._create(obj)
        end = self.world.loop.time() + PATIENCE_S
        while self.world.loop.time() < end and not self._pods()[pod]["spec"].get("nodeName") and pod not in self._refused:
            self._wait(0.25)
        line = self._refused.get(pod)
        if line is None:
            line = {"pod": pod, "node": self._pods()[pod]["spec"].get("nodeName")}
        else:
            if place is not None or line["nominated"]:
                self._wait(3.0)
            left = [one for one, there in self._pods().items() if not terminating(there)]
            line["victims"] = sorted(one for one in before if one not in left)
        self._settle(obj, pod, place)
        return line

    def _seen(self, event: Event) -> None:
        """Note down the first refusal of a pod, and the node it is nominated to."""
        obj = event.obj
        if event.type == "DELETED" or obj.get("kind") != "Pod":
            return
        found = condition(obj, "PodScheduled")
        if found is not None and found["status"] == "False":
            pod = obj["metadata"]["name"]
            first = {"pod": pod, "node": None, "reason": found["reason"], "message": found.get("message", ""), "nominated": None}
            line = self._refused.setdefault(pod, first)
            line["nominated"] = line["nominated"] or get(obj, "status", "nominatedNodeName")

    def _settle(self, obj: Obj, pod: str, place: str | None) -> None:
        """Put the pod where the recording had it; away if it had it nowhere."""
        if place is None:
            self._delete(pod)
            return
        end = self.world.loop.time() + PATIENCE_S
        while not self._pods()[pod]["spec"].get("nodeName") and self.world.loop.time() < end:
            self._wait(0.5)
        if self._pods()[pod]["spec"].get("nodeName") != place:
            self._delete(pod)
            self._create(obj, place)
            self._wait(1.0)


def run_scheduler_story(story: Obj, seed: int = 0) -> list[Obj]:
    """Run a scheduler story; return its candidate lines."""
    return SchedulerStory(story, seed).run()
