"""Attaching disks to the nodes whose pods use them, and detaching them when the last such pod is gone.

pkg/controller/volume/attachdetach/{attach_detach_controller.go,reconciler/reconciler.go,util/util.go}. A pod that has ended, or is
terminating without running containers, uses nothing. A disk that only one node may have waits until the other node has let go of it.
A node that is not ready can't say that it has unmounted: its disks are taken by force after six minutes, at once if it is tainted
out-of-service. ``Attacher`` stands for the CSI driver's external-attacher; how long the cloud takes is an assumption.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, is_true, name, terminating
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.nodehealth import OUT_OF_SERVICE
from kchaos.models.controllers.volumes import attachment_name, claim_key, claims_of, driver_of, exclusive, needs_attachment

ATTACH_S = 2.0
"""How long a cloud takes to attach a disk."""
DETACH_S = 2.0
"""How long a cloud takes to detach a disk."""


def uses_volumes(pod: Obj) -> bool:
    """Tell whether a pod with a node still needs its volumes there (DetermineVolumeAction, IsPodTerminated)."""
    if not pod["spec"].get("nodeName") or ended(pod):
        return False
    if not terminating(pod):
        return True
    return any("running" in (one.get("state") or {}) for one in get(pod, "status", "containerStatuses", default=()))


def lets_go_s(node: Obj | None, since_s: float, now_s: float, force_s: float) -> float:
    """Return in how many seconds a disk may be detached from ``node``; unused since ``since_s``."""
    if node is not None and (is_true(node, "Ready") or any(t["key"] == OUT_OF_SERVICE for t in node["spec"].get("taints") or ())):
        return 0.0
    return max(0.0, since_s + force_s - now_s)


class AttachDetachController(Controller):
    """The shell: keys are names of volumes."""

    name = "attachdetach-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._pods = ctx.informer("pods")
        self._pods.add_index("claims", claims_of)
        self._nodes = ctx.informer("nodes")
        self._claims = ctx.informer("persistentvolumeclaims")
        self._volumes = ctx.informer("persistentvolumes")
        self._attachments = ctx.informer("volumeattachments")
        self._attachments.add_index("volume", lambda one: (get(one, "spec", "source", "persistentVolumeName", default=""),))
        self._attachments.add_index("node", lambda one: (one["spec"]["nodeName"],))
        self._unused: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._queue = ctx.queue(self.name, self._sync, workers=100)

    def start(self) -> None:
        """Watch pods, claims, attachments, and nodes that fall ill."""
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(self._claim_changed)
        self._attachments.add_handler(self._attachment_changed)
        self._nodes.add_handler(self._node_changed)
        self._queue.start()

    # -- events ------------------------------------------------------------------------------------------------------

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        if old is not None and new is not None and (uses_volumes(old), terminating(old)) == (uses_volumes(new), terminating(new)):
            return
        for key in claims_of(pod):
            claim = self._claims.get(key)
            if claim is not None and claim["spec"].get("volumeName"):
                self._queue.add(claim["spec"]["volumeName"])

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and get(new, "status", "phase") == "Bound" and (old is None or get(old, "status", "phase") != "Bound"):
            self._queue.add(new["spec"]["volumeName"])

    def _attachment_changed(self, old: Obj | None, new: Obj | None) -> None:
        one = new if new is not None else old
        assert one is not None
        self._queue.add(get(one, "spec", "source", "persistentVolumeName", default=""))
        if new is not None and get(new, "status", "attached") and (old is None or not get(old, "status", "attached")):
            self._say_attached(new)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        node = new if new is not None else old
        assert node is not None
        if old is not None and new is not None:
            taints = [[t["key"] for t in one["spec"].get("taints") or ()] for one in (old, new)]
            if taints[0] == taints[1] and is_true(old, "Ready") == is_true(new, "Ready"):
                return
        for one in self._attachments.by("node", name(node)):
            self._queue.add(get(one, "spec", "source", "persistentVolumeName", default=""))

    def _say_attached(self, attachment: Obj) -> None:
        volume = attachment["spec"]["source"]["persistentVolumeName"]
        for pod in self._users(volume).get(attachment["spec"]["nodeName"], ()):
            self.event(pod, "Normal", "SuccessfulAttachVolume", f'AttachVolume.Attach succeeded for volume "{volume}" ')

    # -- sync --------------------------------------------------------------------------------------------------------

    def _users(self, volume: str) -> dict[str, list[Obj]]:
        """Return node -> pods that use ``volume`` there."""
        found = self._volumes.get(volume)
        out: dict[str, list[Obj]] = {}
        key = claim_key(found) if found is not None else ""
        claim = self._claims.get(key) if key else None
        if claim is None or claim["spec"].get("volumeName") != volume:
            return out
        for pod in self._pods.by("claims", key):
            if uses_volumes(pod) and not self._lost(pod):
                out.setdefault(pod["spec"]["nodeName"], []).append(pod)
        return out

    def _lost(self, pod: Obj) -> bool:
        """Tell whether a pod is to go from a node that does not answer: its disks are forced off in time.

        https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#storage-force-detach-on-timeout
        """
        node = self._nodes.get(pod["spec"]["nodeName"])
        return terminating(pod) and (node is None or not is_true(node, "Ready"))

    async def _sync(self, key: str) -> None:
        volume = self._volumes.get(key)
        users = self._users(key)
        held = {one["spec"]["nodeName"]: one for one in self._attachments.by("volume", key)}
        for node, attachment in held.items():
            mark = f"{key}/{node}"
            if node in users:
                self._unused.pop(mark, None)
            elif not terminating(attachment):
                await self._detach(key, node, attachment)
        for mark in [one for one in self._unused if one.startswith(key + "/") and one[len(key) + 1 :] not in held]:
            del self._unused[mark]
        if volume is None or not needs_attachment(volume):
            return
        for node, pods in users.items():
            if node in held:
                continue
            if exclusive(volume) and held:
                self._refuse(volume, pods, next(iter(held)), users)
                continue
            await self._attach(volume, node)
            held[node] = {"spec": {"nodeName": node}}

    async def _attach(self, volume: Obj, node: str) -> None:
        body = {
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": attachment_name(name(volume), node)},
            "spec": {"attacher": driver_of(volume), "nodeName": node, "source": {"persistentVolumeName": name(volume)}},
        }  # fmt: skip
        try:
            await self.api.create("volumeattachments", "", body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _detach(self, volume: str, node: str, attachment: Obj) -> None:
        mark = f"{volume}/{node}"
        since = self._unused.setdefault(mark, self.rt.now())
        wait = lets_go_s(self._nodes.get(node), since, self.rt.now(), self.ctx.constants.force_detach_s)
        if wait > 0:
            self._queue.add_after(volume, wait)
            return
        try:
            await self.api.delete("volumeattachments", "", name(attachment))
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _refuse(self, volume: Obj, pods: list[Obj], holder: str, users: dict[str, list[Obj]]) -> None:
        """Say once a pod why its disk is not attached (reportMultiAttachError)."""
        others = ", ".join(name(pod) for pod in users.get(holder, ()))
        why = f"Volume is already used by pod(s) {others}" if others else (
            "Volume is already exclusively attached to one node and can't be attached to another"
        )  # fmt: skip
        for pod in pods:
            mark = f"{name(volume)}/{pod['metadata']['uid']}"
            if mark not in self._told:
                self._told[mark] = why
                self.event(pod, "Warning", "FailedAttachVolume", f'Multi-Attach error for volume "{name(volume)}" {why}')


class Attacher(Controller):
    """The CSI drivers' external-attacher: asks the cloud, then says so in the attachment."""

    name = "csi-attacher"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._attachments = ctx.informer("volumeattachments")
        self._queue = ctx.queue(self.name, self._sync, workers=1000)

    def start(self) -> None:
        """Watch attachments."""
        self._attachments.add_handler(lambda old, new: self._queue.add(name(new)) if new is not None else None)
        self._queue.start()

    async def _sync(self, key: str) -> None:
        one = self._attachments.get(key)
        if one is None:
            return
        finalizer = f"external-attacher/{one['spec']['attacher'].replace('/', '-')}"
        finalizers = one["metadata"].get("finalizers") or []
        if terminating(one):
            if finalizer in finalizers:
                await self.rt.sleep(DETACH_S)
                one = self._attachments.get(key)
                if one is not None:
                    left = [other for other in one["metadata"].get("finalizers") or () if other != finalizer]
                    await self.api.update("volumeattachments", put(one, left, "metadata", "finalizers"))
        elif finalizer not in finalizers:
            await self.api.update("volumeattachments", put(one, [*finalizers, finalizer], "metadata", "finalizers"))
        elif not get(one, "status", "attached"):
            await self.rt.sleep(ATTACH_S)
            one = self._attachments.get(key)
            if one is not None and not terminating(one):
                await self.api.update("volumeattachments", {**one, "status": {"attached": True}}, "status")
