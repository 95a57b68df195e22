"""Claims and volumes in use are kept; claims of generic ephemeral volumes are made.

pkg/controller/volume/pvcprotection/pvc_protection_controller.go, pkg/controller/volume/pvprotection/pv_protection_controller.go,
pkg/controller/volume/ephemeral/controller.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, ended, name, namespace, terminating, uid
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.volumes import claims_of, ephemeral_claim

PVC_FINALIZER = "kubernetes.io/pvc-protection"
PV_FINALIZER = "kubernetes.io/pv-protection"


def without_finalizer(obj: Obj, finalizer: str) -> Obj:
    """Return ``obj`` without one finalizer."""
    return put(obj, [one for one in obj["metadata"].get("finalizers") or () if one != finalizer], "metadata", "finalizers")


class ClaimProtection(Controller):
    """A claim under deletion stays while a pod that has a node uses it."""

    name = "pvc-protection-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._claims = ctx.informer("persistentvolumeclaims")
        self._pods = ctx.informer("pods")
        self._pods.add_index("claims", claims_of)
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch claims, and pods that end."""
        self._claims.add_handler(self._claim_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and terminating(new) and PVC_FINALIZER in (new["metadata"].get("finalizers") or ()):
            self._queue.add(key_of(new))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or ended(new):
            for key in claims_of(new if new is not None else old or {}):
                found = self._claims.get(key)
                if found is not None and terminating(found):
                    self._queue.add(key)

    async def _sync(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None or not terminating(claim) or PVC_FINALIZER not in (claim["metadata"].get("finalizers") or ()):
            return
        if any(pod["spec"].get("nodeName") for pod in self._pods.by("claims", key)):
            return
        listed = await self.api.list("pods", namespace(claim))  # the cache may be stale: ask the server
        if any(pod["spec"].get("nodeName") and key in claims_of(pod) for pod in listed["items"]):
            return
        await self.api.update("persistentvolumeclaims", without_finalizer(claim, PVC_FINALIZER))


class VolumeProtection(Controller):
    """A volume under deletion stays while it is bound."""

    name = "pv-protection-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._volumes = ctx.informer("persistentvolumes")
        self._queue = ctx.queue(self.name, self._sync, workers=1)

    def start(self) -> None:
        """Watch volumes."""
        self._volumes.add_handler(lambda old, new: self._queue.add(name(new)) if new is not None and terminating(new) else None)
        self._queue.start()

    async def _sync(self, key: str) -> None:
        volume = self._volumes.get(key)
        if volume is None or not terminating(volume) or PV_FINALIZER not in (volume["metadata"].get("finalizers") or ()):
            return
        if get(volume, "status", "phase") != "Bound":
            await self.api.update("persistentvolumes", without_finalizer(volume, PV_FINALIZER))


class EphemeralVolumes(Controller):
    """Makes the claims of generic ephemeral volumes."""

    name = "ephemeral-volume-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._claims = ctx.informer("persistentvolumeclaims")
        self._pods = ctx.informer("pods")
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch pods that have such volumes."""
        self._pods.add_handler(self._pod_changed)
        self._queue.start()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and not terminating(new) and any("ephemeral" in one for one in new["spec"].get("volumes") or ()):
            self._queue.add(key_of(new))

    async def _sync(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or terminating(pod):
            return
        for volume in pod["spec"].get("volumes") or ():
            if "ephemeral" not in volume:
                continue
            body = ephemeral_claim(pod, volume)
            found = self._claims.get(key_of(body))
            if found is None:
                try:
                    await self.api.create("persistentvolumeclaims", namespace(pod), body)
                except ApiError as error:
                    self.event(pod, "Warning", "FailedCreate", f"PVC {name(body)}: {error.message}")
                    raise
                continue
            owner = controller_of(found)
            if owner is None or owner["uid"] != uid(pod):
                self.event(pod, "Warning", "FailedBinding", f"PVC {key_of(body)} was not created for pod {key} (pod is not owner)")
