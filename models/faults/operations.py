"""What users do to a cluster: drain, rollout, rollback, scaling. Planned, so an application should lose nothing.

Each records marks ``operation`` with a state: begun, blocked (with the server's reason), done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, ended, name, namespace, uid
from kchaos.models.api.tree import Obj, get
from kchaos.models.cluster import Cluster
from kchaos.models.faults.targets import owner_of, parts, plural_of, restart
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Evidence, Kind

RETRY_S = 5.0
"""kubectl drain asks again after five seconds when an eviction is refused (k8s.io/kubectl/pkg/drain/drain.go)."""
BROKEN_IMAGE = "registry.invalid/kchaos/broken:0"


class _Drain:
    """`kubectl drain --ignore-daemonsets --delete-emptydir-data --force`: cordon, evict all at once, wait; uncordon at healing."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node
        self._rt = cluster.user.client._rt
        self._evicted = 0
        self._cordoned = 0
        self._refusals = 0
        self._left: dict[str, None] = {}
        self._over = False
        self._rt.spawn(self._run(), f"drain {node}")

    async def _run(self) -> None:
        mark = self._cluster.recorder.mark
        mark("operation", what="drain", target=self._node, state="begun")
        await self._set_unschedulable(True)
        self._cordoned += 1
        listed = await self._cluster.user.list("pods", fields=f"spec.nodeName={self._node}")
        pods = [pod for pod in listed["items"] if not self._skipped(pod)]
        self._left = {uid(pod): None for pod in pods}
        for pod in pods:
            self._rt.spawn(self._evict(pod), f"evict {name(pod)}")
        if not pods:
            mark("operation", what="drain", target=self._node, state="done")

    def _skipped(self, pod: Obj) -> bool:
        ref = controller_of(pod)
        return (ref is not None and ref["kind"] == "DaemonSet") or "kubernetes.io/config.mirror" in (
            pod["metadata"].get("annotations") or {}
        )

    async def _set_unschedulable(self, on: bool) -> None:
        body = {"spec": {"unschedulable": True if on else None}}
        for _ in range(10):
            try:
                await self._cluster.user.patch("nodes", "", self._node, body, patch_type="merge")
                return
            except ApiError:
                await self._rt.sleep(1.0)

    async def _evict(self, pod: Obj) -> None:
        told = ""
        while not self._over:
            try:
                await self._cluster.user.evict(namespace(pod), name(pod))
                self._evicted += 1
                break
            except ApiError as error:
                if error.reason == "NotFound":
                    break
                self._refusals += 1
                why = self._reason(error)
                if why != told:
                    told = why
                    self._cluster.recorder.mark(
                        "operation", what="drain", target=self._node, state="blocked", pod=f"{namespace(pod)}/{name(pod)}",
                        owner=owner_of(self._cluster, pod), why=why,
                    )  # fmt: skip
                await self._rt.sleep(RETRY_S, background=True)
        while not self._over:
            current = self._cluster.control.store.get("pods", f"{namespace(pod)}/{name(pod)}")
            if current is None or uid(current) != uid(pod) or ended(current):
                break
            await self._rt.sleep(1.0, background=True)
        if self._over:
            return
        self._left.pop(uid(pod), None)
        if not self._left:
            self._cluster.recorder.mark("operation", what="drain", target=self._node, state="done")

    @staticmethod
    def _reason(error: ApiError) -> str:
        causes = (error.details or {}).get("causes") or []
        return str(causes[0]["message"]) if causes else error.message

    def undo(self) -> None:
        if self._left:
            pods = sorted(self._left)
            self._cluster.recorder.mark("operation", what="drain", target=self._node, state="given up", left=len(pods))
        self._over = True
        self._rt.spawn(self._set_unschedulable(False), f"uncordon {self._node}")

    def evidence(self) -> Evidence:
        return {"pods_evicted": self._evicted, "refusals": self._refusals}


class _Restart:
    """`kubectl rollout restart`."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self._cluster = cluster
        self._target = target
        _, space, owner = parts(target)
        self._key = f"{space}/{owner}"
        self._resource = plural_of(target)
        self._before = self._generation()
        cluster.recorder.mark("operation", what="rollout", target=target, state="begun")
        restart(cluster, target, "rollout")

    def _generation(self) -> int:
        found = self._cluster.control.store.get(self._resource, self._key)
        return int(found["metadata"].get("generation", 0)) if found is not None else 0

    def undo(self) -> None:
        """A rollout stays."""

    def evidence(self) -> Evidence:
        return {"templates_changed": self._generation() - self._before}


class _BadRollout:
    """A rollout of an image that does not exist, and after ``after_s`` its undoing: the template is what it was before."""

    def __init__(self, cluster: Cluster, target: str, after_s: float) -> None:
        self._cluster = cluster
        self._target = target
        _, space, owner = parts(target)
        self._space, self._owner, self._resource = space, owner, plural_of(target)
        self._changed = 0
        self._over = self._reverted = False
        self._image: str | None = None
        """What it was, once the bad one has been sent and answered."""
        self._matches: Callable[[Obj], bool] = lambda pod: any(c.get("image") == BROKEN_IMAGE for c in pod["spec"]["containers"])
        for kubelet in cluster.kubelets.values():
            kubelet.runtime.bad_images.append(self._matches)
        cluster.recorder.mark("operation", what="rollback", target=target, state="begun")
        rt = cluster.user.client._rt
        rt.spawn(self._break(), f"bad rollout {target}")
        rt.call_later(after_s, self._revert)

    async def _break(self) -> None:
        try:
            current = await self._cluster.user.get(self._resource, self._space, self._owner)
        except ApiError as error:
            self._refused(error.message)
            return
        image = get(current, "spec", "template", "spec", "containers", default=())[0].get("image", "")
        if image == BROKEN_IMAGE:  # two at once: the first one undoes it
            self._refused("its image is the broken one already")
            return
        if self._over:  # no server answered until now: who undoes it first does not do it any more
            self._refused("it was undone before any server took it")
            return
        await self._patch(BROKEN_IMAGE)
        self._image = image
        if self._over:
            self._put_back()

    def _refused(self, why: str) -> None:
        self._cluster.recorder.mark("operation", what="rollback", target=self._target, state="refused", why=why)

    async def _patch(self, image: str) -> None:
        change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        try:
            await self._cluster.user.patch(self._resource, self._space, self._owner, change, patch_type="json")
            self._changed += 1
        except ApiError as error:
            self._refused(error.message)

    def _revert(self) -> None:
        self._over = True
        self._put_back()

    def _put_back(self) -> None:
        if self._reverted or self._image is None:
            return
        self._reverted = True
        self._cluster.recorder.mark("operation", what="rollback", target=self._target, state="reverted")
        self._cluster.user.client._rt.spawn(self._patch(self._image), f"undo {self._target}")

    def undo(self) -> None:
        self._revert()

    def evidence(self) -> Evidence:
        return {"templates_changed": self._changed}


class _Scale:
    """Change spec.replicas, and back at healing."""

    def __init__(self, cluster: Cluster, target: str, by: int) -> None:
        self._cluster = cluster
        self._target = target
        _, self._space, self._owner = parts(target)
        self._resource = plural_of(target)
        found = cluster.control.store.get(self._resource, f"{self._space}/{self._owner}")
        self._old = int(found["spec"].get("replicas", 1)) if found is not None else 0
        self._new = max(1 if by < 0 else 0, self._old + by)
        self._scaled = 0
        what = "scale-up" if by > 0 else "scale-down"
        cluster.recorder.mark("operation", what=what, target=target, state="begun", replicas=self._new, before=self._old)
        if self._new != self._old:
            self._set(self._new)

    def _set(self, replicas: int) -> None:
        self._cluster.user.client._rt.spawn(self._patch(replicas), f"scale {self._target}")

    async def _patch(self, replicas: int) -> None:
        try:
            await self._cluster.user.patch(
                self._resource, self._space, self._owner, {"spec": {"replicas": replicas}}, patch_type="merge", subresource="scale"
            )
            self._scaled += 1
        except ApiError as error:
            self._cluster.recorder.mark("operation", what="scale", target=self._target, state="refused", why=error.message)

    def undo(self) -> None:
        if self._new != self._old:
            self._set(self._old)

    def evidence(self) -> Evidence:
        return {"replicas_changed": self._scaled}


def _kind(
    name: str, summary: str, target: str, evidence: str, inject: Callable[[Cluster, dict[str, Any]], Any], *arguments: Argument
) -> Kind[Cluster]:
    return Kind(
        name=name, summary=summary, klass="workload" if target == "workload" else "node", target=target, planned=True, operation=True,
        evidence=evidence, inject=inject, arguments=arguments,
    )  # fmt: skip


KINDS = (
    _kind("drain", "a node is drained as kubectl does it, and uncordoned afterwards", "node", "pods evicted or refused",
          lambda cluster, args: _Drain(cluster, args["target"])),
    _kind("rollout", "a rolling restart of the workload", "workload", "templates changed",
          lambda cluster, args: _Restart(cluster, args["target"])),
    _kind("rollback", "a rollout of an image that does not exist, undone after two minutes", "workload", "templates changed",
          lambda cluster, args: _BadRollout(cluster, args["target"], float(args["after_s"])),
          Argument("after_s", 120.0, usual=(5.0, 300.0))),
    _kind("scale-up", "one replica more, and back", "workload", "scale changed",
          lambda cluster, args: _Scale(cluster, args["target"], args["by"]),
          Argument("by", 1, low=1, whole=True, usual=(1, 3))),
    _kind("scale-down", "one replica less, and back", "workload", "scale changed",
          lambda cluster, args: _Scale(cluster, args["target"], -args["by"]),
          Argument("by", 1, low=1, whole=True, usual=(1, 1))),
)  # fmt: skip
