"""Execute a recorded timeline story on the reference control plane in virtual time; return the log a recorder would have written.

The file format is that of the recordings: ``cluster`` (nodes, the scripted kubelet), ``steps``, ``until_s``. Log lines:
``{"t", "type", "object"}`` per watch event, ``{"t", "actor", "verb", "resource", "name", "code"}`` per write, ``{"t", "step"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from kchaos.errors import InvalidScenario
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, ended, labels, name, namespace, ready, terminating
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get
from kchaos.models.client.recorder import Correlator
from kchaos.models.conform.kubelet import Rules, StoryKubelet
from kchaos.models.controllers.nodehealth import NOT_READY
from kchaos.models.controlplane import ControlPlane, node_object
from kchaos.models.topology import NodeSpec
from kchaos.sim.world import EPOCH_S, World

WARM_UP_S = 29.05
"""Virtual time before the story's t = 0; its fraction puts t = 0 just after a whole second, as recorded."""
NODES_S = 2.5
"""Nodes and their first Leases come this long before t = 0: recorded were 1 to 4 s."""
CHARGED = {"resourcequotas", "poddisruptionbudgets"}
READS = {"get", "list", "watch"}


class Story:
    """One story under way."""

    def __init__(self, story: Obj, seed: int = 0) -> None:
        self._story = story
        second = get(story, "cluster", "second_of_minute_at_t0")
        self._zero = WARM_UP_S if second is None else 60.0 + float(second) + 0.05
        self.world = World(seed)
        self.log: list[Obj] = []
        self.control = ControlPlane(self.world, masters=1, elect=False, events=self._event)
        self._rules = Rules(get(story, "cluster", "kubelet", default={}))
        self._kubelets: dict[str, StoryKubelet] = {}
        self._numbers = 0
        self._user = self.control.client("user", USER)
        self._rt = self._user.client._rt
        self._event_number = 0
        self._correlator = Correlator()

    def _now(self) -> float:
        return round(self.world.loop.time() - self._zero, 6)

    def _event(self, controller: str, regarding: Obj, kind: str, reason: str, message: str) -> None:
        meta = regarding["metadata"]
        told = self._correlator.record(controller, meta.get("uid", meta["name"]), kind, reason, message, self.world.loop.time())
        if told is None or self._now() < 0:
            return
        self._event_number += 1
        involved = {"kind": regarding["kind"], "namespace": meta.get("namespace", ""), "name": meta["name"]}
        body = {
            "kind": "Event", "apiVersion": "v1", "metadata": {"name": f"{meta['name']}.{self._event_number:x}", "uid": f"event-{self._event_number}"},
            "involvedObject": involved, "type": kind, "reason": reason, "message": told, "source": {"component": controller},
        }  # fmt: skip
        self.log.append({"t": self._now(), "type": "ADDED", "object": body})

    def run(self) -> list[Obj]:
        """Run to the story's end and return the log."""
        self._prepare()
        self.world.run(self._zero - NODES_S)
        for spec in self._story["cluster"]["nodes"]:
            self._add_node(spec)
        self.world.run(self._zero)
        self.control.store.subscribe(self._recorded)
        self.control.hooks.on_answer.append(self._answered)
        for index, step in enumerate(self._story["steps"]):
            self._rt.call_later(float(step["at_s"]), self._step, index, step)
        self.world.run(self._zero + float(self._story["until_s"]))
        self.world.close()
        return self.log

    def _recorded(self, event: Any) -> None:
        self.log.append({"t": self._now(), "type": event.type, "object": event.obj})
        if event.actor == "kube-apiserver" and event.resource in CHARGED:  # the server's own write while it serves another request
            self.log.append({
                "t": self._now(), "actor": "apiserver", "verb": "update", "resource": f"{event.resource}/status",
                "name": event.obj["metadata"]["name"], "code": 200,
            })  # fmt: skip

    def _answered(self, request: Request, code: int) -> None:
        if request.verb in READS or request.resource in ("leases", "events"):
            return
        sub = f"/{request.subresource}" if request.subresource else ""
        self.log.append({
            "t": self._now(), "actor": request.identity.actor, "verb": request.verb, "resource": request.resource + sub,
            "name": request.name, "code": code,
        })  # fmt: skip

    def _prepare(self) -> None:
        for one in ("default", "kube-system", "kube-node-lease", "kube-public", get(self._story, "cluster", "namespace", default="story")):
            self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        self.control.start()

    def _add_node(self, spec: Obj, joins: bool = False) -> None:
        """Register a node; one that ``joins`` later comes with the taint of TaintNodesByCondition, which its controller takes away."""
        node = spec["name"]
        capacity = {"cpu": "8", "memory": "32Gi", "pods": "110", **(spec.get("capacity") or {})}
        shape = NodeSpec(
            name=node, zone=spec.get("zone", "zone-1"), region="r1", labels=dict(spec.get("labels") or {}),
            taints=tuple(spec.get("taints") or ()),
        )  # fmt: skip
        body = node_object(shape, {"ephemeral-storage": "100Gi", **capacity}, stamp(EPOCH_S + self.world.loop.time()))
        marks = {k: v for k, v in body["metadata"]["labels"].items() if k != "node.kubernetes.io/instance-type"}
        if not spec.get("zone"):
            marks = {k: v for k, v in marks.items() if not k.startswith("topology.kubernetes.io/")}
        body = {**body, "metadata": {**body["metadata"], "labels": marks}}
        if joins:
            taint = {"key": NOT_READY, "effect": "NoSchedule"}
            body = {**body, "spec": {**body["spec"], "taints": [*(body["spec"].get("taints") or ()), taint]}}
        self.control.create(body)
        if node not in self.world.hosts:
            self.world.add_host(node)
        self._numbers += 1
        kubelet = StoryKubelet(self.world.start(node, "kubelet"), self.control.servers, node, self._rules, self._numbers)
        self._kubelets[node] = kubelet
        kubelet.start()

    # -- steps -------------------------------------------------------------------------------------------------------

    def _step(self, index: int, step: Obj) -> None:
        self.log.append({"t": self._now(), "step": index})
        action = step["do"]
        if action == "stop-node":
            self._kubelets[step["node"]].power(False)
        elif action == "start-node":
            self._kubelets[step["node"]].power(True)
        elif action == "add-node":
            self._add_node(step["node"], joins=True)
        elif action == "set-usage":
            return  # metrics are read by the HPA only, which is not modelled
        else:
            table: dict[str, Callable[[Obj], Coroutine[Any, Any, None]]] = {
                "create": self._create, "patch": self._patch, "delete": self._delete, "evict": self._evict,
                "set-pod": self._set_pod, "delete-node": self._delete_node,
            }  # fmt: skip
            if action not in table:
                raise InvalidScenario(f"step {index}: unknown action {action!r}")
            self._rt.spawn(self._tolerant(table[action](step), step), f"step {index} {action}")

    @staticmethod
    async def _tolerant(action: Coroutine[Any, Any, None], step: Obj) -> None:
        """A recorded step may be refused (``answer`` holds the code); the story goes on."""
        try:
            await action
        except ApiError as error:
            if error.code >= 500:
                raise

    def _namespace(self, step: Obj) -> str:
        return str(step.get("namespace") or get(self._story, "cluster", "namespace", default="story"))

    async def _create(self, step: Obj) -> None:
        refused: ApiError | None = None
        for obj in step["objects"]:
            resource = by_kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                raise InvalidScenario(f"unknown kind {obj['apiVersion']} {obj['kind']}")
            space = (obj["metadata"].get("namespace") or self._namespace(step)) if resource.namespaced else ""
            obj = self._owner_uids(obj, space)
            try:
                await self._user.create(resource.plural, space, obj)
            except ApiError as error:
                refused = error
        if refused is not None:
            raise refused

    def _owner_uids(self, obj: Obj, space: str) -> Obj:
        refs = obj["metadata"].get("ownerReferences")
        if not refs:
            return obj
        filled = []
        for ref in refs:
            if ref.get("uid") == "?":
                kind = by_kind(ref["apiVersion"], ref["kind"])
                key = f"{space}/{ref['name']}" if kind is not None and kind.namespaced else ref["name"]
                owner = self.control.store.get(kind.plural, key) if kind is not None else None
                uid = owner["metadata"]["uid"] if owner else "00000000-0000-0000-0000-000000000000"
                ref = {**ref, "uid": uid}
            filled.append(ref)
        return {**obj, "metadata": {**obj["metadata"], "ownerReferences": filled}}

    def _targets(self, step: Obj) -> list[tuple[str, str, str]]:
        """Return (plural, namespace, name) of what a step acts on."""
        if "name" in step:
            resource = by_kind(None, step.get("kind", "Pod"))
            if resource is None:
                raise InvalidScenario(f"unknown kind {step.get('kind')}")
            return [(resource.plural, self._namespace(step) if resource.namespaced else "", step["name"])]
        return [("pods", namespace(pod), name(pod)) for pod in self._select(step)]

    def _select(self, step: Obj) -> list[Obj]:
        want = step["select"]
        pods = [p for k, p in self.control.store.table("pods").items() if k.startswith(self._namespace(step) + "/")]
        pods = [p for p in pods if not terminating(p) and not ended(p) and self._fits(p, want)]
        youngest = want.get("pick") == "youngest"
        pods.sort(key=name)
        pods.sort(key=lambda p: p["metadata"]["creationTimestamp"], reverse=youngest)
        return pods[: int(want.get("count", 1))]

    @staticmethod
    def _fits(pod: Obj, want: Obj) -> bool:
        if any(labels(pod).get(k) != v for k, v in (want.get("labels") or {}).items()):
            return False
        if "name" in want and name(pod) != want["name"]:
            return False
        if "owner" in want:
            ref = controller_of(pod)
            owner = want["owner"].split("/")[-1].split(":")[-1]
            if ref is None or ref["name"] != owner:
                return False
        if "node" in want and pod["spec"].get("nodeName") != want["node"]:
            return False
        if "ready" in want and ready(pod) != want["ready"]:
            return False
        index = (pod["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index")
        return "index" not in want or index == str(want["index"])

    async def _patch(self, step: Obj) -> None:
        for plural, space, target in self._targets(step):
            await self._user.patch(plural, space, target, step["patch"], patch_type="merge", subresource=step.get("subresource", ""))

    async def _delete(self, step: Obj) -> None:
        for plural, space, target in self._targets(step):
            await self._user.delete(
                plural, space, target,
                propagation_policy=step.get("propagation"), grace_period_seconds=step.get("grace_s"),
            )  # fmt: skip

    async def _evict(self, step: Obj) -> None:
        for _, space, target in self._targets(step):
            await self._user.evict(space, target)

    async def _set_pod(self, step: Obj) -> None:
        for _, space, target in self._targets(step):
            pod = await self._user.get("pods", space, target)
            await self._kubelets[pod["spec"]["nodeName"]].set_ready(pod, bool(step["ready"]))

    async def _delete_node(self, step: Obj) -> None:
        self._kubelets[step["node"]].power(False)
        await self._user.delete("nodes", "", step["node"])
        try:
            await self._user.delete("leases", "kube-node-lease", step["node"])
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def run_story(story: Obj, seed: int = 0) -> list[Obj]:
    """Run a timeline or scheduler story; return its candidate log."""
    if "pods" in story:
        from kchaos.models.conform.scheduling import run_scheduler_story

        return run_scheduler_story(story, seed)
    return Story(story, seed).run()
