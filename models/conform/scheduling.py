"""Execute a recorded scheduler story: pods fed one at a time to the scheduler, each verdict noted; no kubelets.

The recorder's way (README of the recordings): objects first, then nodes, then pods in order; deleted pods vanish at once; a pod that cannot be
scheduled is deleted before the next is fed; ``place`` says where the pod must be taken to be before the next.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.pods import condition
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.apiserver.store import Event, key_of
from kchaos.models.controllers.pvbinder import PersistentVolumeBinder
from kchaos.models.controlplane import ControlPlane, node_object
from kchaos.models.topology import NodeSpec
from kchaos.sim.world import EPOCH_S, World

SPACE = "story"
PATIENCE_S = 4.0
"""How long a verdict may take; a pod with a volume is scheduled after its claim is bound."""


class _Feeder:
    def __init__(self, story: Obj, seed: int) -> None:
        self._story = story
        self._world = World(seed)
        self._control = ControlPlane(self._world, masters=1, elect=False, controllers=(PersistentVolumeBinder,))
        self._deleted: list[str] = []

    def run(self) -> list[Obj]:
        control, world = self._control, self._world
        for one in ("default", "kube-system", SPACE):
            control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        for obj in self._story.get("objects") or ():
            self._create(obj)
        for spec in self._story["cluster"]["nodes"]:
            self._node(spec)
        control.start()
        control.store.subscribe(self._seen)
        world.run(2.0)
        out = [self._feed(pod) for pod in self._story["pods"]]
        world.close()
        return out

    def _create(self, obj: Obj) -> Obj:
        resource = by_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None, obj["kind"]
        if resource.namespaced and not obj["metadata"].get("namespace"):
            obj = put(obj, SPACE, "metadata", "namespace")
        space = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        if resource.plural == "namespaces" and self._control.store.get("namespaces", obj["metadata"]["name"]) is not None:
            return obj
        made = self._control.create(obj)
        if obj.get("status") and resource.has_status:
            name = made["metadata"]["name"]
            api = next(iter(self._control.apis.values()))
            made = api.execute(
                Request("update", resource.plural, space, name, body={**made, "status": obj["status"]}, subresource="status", identity=USER)
            )
        return made

    def _node(self, spec: Obj) -> None:
        labels = dict(spec.get("labels") or {})
        shape = NodeSpec(name=spec["name"], zone=spec.get("zone") or "", region="r1", labels=labels, taints=tuple(spec.get("taints") or ()))
        body = node_object(shape, {"ephemeral-storage": "100Gi", **(spec.get("capacity") or {})}, stamp(EPOCH_S))
        kept = {"kubernetes.io/hostname": spec["name"], **labels}
        if spec.get("zone"):
            kept |= {"topology.kubernetes.io/zone": spec["zone"], "topology.kubernetes.io/region": "r1"}
        body = put(body, kept, "metadata", "labels")
        if spec.get("unschedulable"):
            body = put(body, True, "spec", "unschedulable")
        self._control.create(body)

    def _seen(self, event: Event) -> None:
        """A pod asked to go is gone: no kubelet has to confirm it."""
        if (
            event.resource == "pods"
            and event.type == "MODIFIED"
            and event.obj["metadata"].get("deletionTimestamp")
            and event.key not in self._deleted
        ):
            self._deleted.append(event.key)
            self._world.loop.soon(self._remove, (event.key,), None)

    def _remove(self, key: str) -> None:
        if self._control.store.get("pods", key) is not None:
            api = next(iter(self._control.apis.values()))
            options = {"grace_period_seconds": 0}
            api.execute(Request("delete", "pods", SPACE, key.partition("/")[2], options=options, identity=USER))

    def _feed(self, pod: Obj) -> Obj:
        world, store = self._world, self._control.store
        made = self._create(pod["object"])
        key, name = key_of(made), made["metadata"]["name"]
        self._deleted = []
        first: Any = None
        nominated: Any = None
        end = world.loop.time() + PATIENCE_S
        while world.loop.time() < end:
            world.run(world.loop.time() + 0.05)
            now = store.get("pods", key)
            if now is None:
                break
            nominated = nominated or get(now, "status", "nominatedNodeName")
            if now["spec"].get("nodeName"):
                break
            found = condition(now, "PodScheduled")
            if found is not None and found["status"] == "False":
                first = first or found
                if not nominated and world.loop.time() > end - PATIENCE_S + 1.0:
                    break
        now = store.get("pods", key)
        node = now["spec"].get("nodeName") if now is not None else None
        victims = [one.partition("/")[2] for one in self._deleted if one != key]
        line: Obj = {"pod": name}
        if first is not None:
            line |= {"reason": first.get("reason"), "message": first.get("message"), "nominated": nominated, "victims": victims}
        if node and first is None:
            line["node"] = node
        self._settle(pod, key, node)
        return line

    def _settle(self, pod: Obj, key: str, node: str | None) -> None:
        """Leave the pod where the recording had it before the next is fed."""
        place = pod.get("place")
        if place and place != node:
            made = self._control.store.get("pods", key)
            if made is not None:
                self._remove(key)
                self._world.run(self._world.loop.time() + 0.1)
            self._create(put(pod["object"], place, "spec", "nodeName"))
        elif node is None:
            self._remove(key)
        self._world.run(self._world.loop.time() + 0.2)


def run_scheduler_story(story: Obj, seed: int = 0) -> list[Obj]:
    """Run a scheduler story; return a line for each pod: node, or reason and message, nominated node and victims."""
    return _Feeder(story, seed).run()
