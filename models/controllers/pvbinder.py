"""Binding of claims and volumes: pre-bound, static match, waiting for the first consumer, handing over to a provisioner; reclaiming.

pkg/controller/volume/persistentvolume/pv_controller.go (syncClaim, syncVolume). Claims that nothing happens to are looked at again
every 15 s (--pvclaimbinder-sync-period): that is how a pending claim finds a volume that is created after it. Not modelled: expansion,
the Recycle policy, VolumeAttributesClass changes.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, notes_of, terminating, uid
from kchaos.models.api.tree import Obj, drop, get, put
from kchaos.models.apiserver.admission import newest_default_class
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.volumes import (
    BETA_CLASS,
    BETA_STORAGE_PROVISIONER,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    best_match,
    bound_claim,
    bound_status,
    bound_volume,
    claim_key,
    claims_of,
    class_of,
    reserved_for,
    unfit,
)

DEFAULT_PROVISIONER = "kchaos.io/zonal-disk"


def default_storage_class() -> Obj:
    """Return the default class of a cluster whose manifests bring none: zonal disks, made where the pod is placed."""
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": DEFAULT_PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
    }  # fmt: skip


def waits_for_consumer(claim: Obj, storage_class: Obj | None) -> bool:
    """Tell whether a claim is not to be bound before a pod that uses it is placed (IsDelayBindingMode, shouldDelayBinding)."""
    if SELECTED_NODE in notes_of(claim):
        return False
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


class PersistentVolumeBinder(Controller):
    """The shell. Both queues have one worker each: two claims can't take the same volume."""

    name = "persistent-volume-binder"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._claims = ctx.informer("persistentvolumeclaims")
        self._claims.add_index("unbound", lambda claim: ("",) if BIND_COMPLETED not in notes_of(claim) else ())
        self._volumes = ctx.informer("persistentvolumes")
        self._volumes.add_index("free", lambda volume: (class_of(volume),) if not claim_key(volume) else ())
        self._volumes.add_index("claim", lambda volume: (claim_key(volume),) if claim_key(volume) else ())
        self._classes = ctx.informer("storageclasses")
        self._pods = ctx.informer("pods")
        self._pods.add_index("claims", claims_of)
        self._written: dict[str, Obj] = {}
        self._started_s = 0.0
        self._claim_queue = ctx.queue(self.name, self._sync_claim, workers=1)
        self._volume_queue = ctx.queue(self.name, self._sync_volume, workers=1)

    def start(self) -> None:
        """Watch claims, volumes and classes."""
        self._started_s = self.rt.now()
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)
        self._classes.add_handler(lambda old, new: self._resync() if new is not None else None)
        self._claim_queue.start()
        self._volume_queue.start()

    # -- events ------------------------------------------------------------------------------------------------------

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        claim = new if new is not None else old
        assert claim is not None
        if new is not None:
            self._claim_queue.add(key_of(new))
        elif claim["spec"].get("volumeName"):
            self._volume_queue.add(claim["spec"]["volumeName"])
        else:
            for volume in self._volumes.by("claim", key_of(claim)):
                self._volume_queue.add(name(volume))

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        volume = new if new is not None else old
        assert volume is not None
        if new is None:
            self._written.pop(name(volume), None)
            if claim_key(volume):
                self._claim_queue.add(claim_key(volume))
            return
        if old is not None and old["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]:
            return
        self._volume_queue.add(name(new))
        if get(new, "status", "phase") == "Available" and (old is None or get(old, "status", "phase") != "Available"):
            self._resync()

    def _resync(self) -> None:
        """Look at unbound claims at the next tick of the resync period; nothing is due while there are none."""
        period = self.ctx.constants.pv_binder_sync_s
        wait = period - (self.rt.now() - self._started_s) % period
        for claim in self._claims.by("unbound", ""):
            self._claim_queue.add_after(key_of(claim), wait)

    def _volume(self, key: str) -> Obj | None:
        """Return a volume as last written by us or last seen, whichever is newer."""
        seen, mine = self._volumes.get(key), self._written.get(key)
        if seen is not None and mine is not None and uid(seen) == uid(mine):
            newer = int(mine["metadata"]["resourceVersion"]) > int(seen["metadata"]["resourceVersion"])
            return mine if newer else seen
        return seen

    async def _write(self, volume: Obj, subresource: str = "") -> Obj:
        fresh = await self.api.update("persistentvolumes", volume, subresource)
        self._written[name(volume)] = fresh
        return fresh

    # -- claims ------------------------------------------------------------------------------------------------------

    async def _sync_claim(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        if BIND_COMPLETED in notes_of(claim):
            await self._sync_bound(claim)
        elif claim["spec"].get("volumeName"):
            await self._sync_named(claim)
        else:
            await self._sync_unbound(claim)

    async def _sync_unbound(self, claim: Obj) -> None:
        if claim["spec"].get("storageClassName") is None and BETA_CLASS not in notes_of(claim):
            chosen = newest_default_class(self._classes.values())
            if chosen is not None:  # assignDefaultStorageClass: a default that appears later counts too
                await self.api.update("persistentvolumeclaims", put(claim, name(chosen), "spec", "storageClassName"))
                return
        kind = class_of(claim)
        storage_class = self._classes.get(kind) if kind else None
        delayed = waits_for_consumer(claim, storage_class)
        found = [*self._volumes.by("claim", key_of(claim)), *self._volumes.by("free", kind)]
        current = [one for one in (self._volume(name(volume)) for volume in found) if one is not None]
        volume = best_match(claim, current, delayed)
        if volume is not None:
            await self._bind(volume, claim)
            return
        if delayed:
            self._say_waiting(claim)
        elif kind:
            await self._provision(claim, kind, storage_class)
        else:
            self.event(claim, "Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")

    def _say_waiting(self, claim: Obj) -> None:
        waiting = [name(pod) for pod in self._pods.by("claims", key_of(claim)) if not pod["spec"].get("nodeName")]
        if waiting:
            self.event(claim, "Normal", "WaitForPodScheduled", f"waiting for pod {waiting[0]} to be scheduled")
        else:
            self.event(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")

    async def _provision(self, claim: Obj, kind: str, storage_class: Obj | None) -> None:
        """Hand a claim over to its class's provisioner (provisionClaim, setClaimProvisioner)."""
        if storage_class is None:
            self.event(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{kind}" not found')
            return
        provisioner = storage_class["provisioner"]
        if provisioner == NO_PROVISIONER:
            self.event(claim, "Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
            return
        notes = notes_of(claim)
        if notes.get(STORAGE_PROVISIONER) != provisioner:
            marks = {**notes, STORAGE_PROVISIONER: provisioner, BETA_STORAGE_PROVISIONER: provisioner}
            await self.api.update("persistentvolumeclaims", put(claim, marks, "metadata", "annotations"))
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
            "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        )
        self.event(claim, "Normal", "ExternalProvisioning", text)

    async def _sync_named(self, claim: Obj) -> None:
        """The claim asks for one volume by name."""
        volume = self._volume(claim["spec"]["volumeName"])
        if volume is None:
            return
        if not volume["spec"].get("claimRef"):
            why = unfit(volume, claim)
            if why:
                self.event(claim, "Warning", "VolumeMismatch", f'Cannot bind to requested volume "{name(volume)}": {why}')
                return
            await self._bind(volume, claim)
        elif reserved_for(volume, claim):
            await self._bind(volume, claim)
        elif BOUND_BY_CONTROLLER not in notes_of(claim):
            self.event(claim, "Warning", "FailedBinding", f'volume "{name(volume)}" already bound to a different claim.')

    async def _sync_bound(self, claim: Obj) -> None:
        wanted = claim["spec"].get("volumeName")
        volume = self._volume(wanted) if wanted else None
        if volume is None:
            lost = "its PersistentVolume" if wanted else "reference to PersistentVolume"
            await self._lose(claim, "ClaimLost", f"Bound claim has lost {lost}. Data on the volume is lost!")
        elif not volume["spec"].get("claimRef") or reserved_for(volume, claim):
            await self._bind(volume, claim)
        else:
            await self._lose(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")

    async def _lose(self, claim: Obj, reason: str, message: str) -> None:
        if get(claim, "status", "phase") == "Lost":
            return
        status = {key: value for key, value in claim["status"].items() if key not in ("accessModes", "capacity")}
        await self.api.update("persistentvolumeclaims", {**claim, "status": {**status, "phase": "Lost"}}, "status")
        self.event(claim, "Warning", reason, message)

    async def _bind(self, volume: Obj, claim: Obj) -> None:
        """Point both at each other, the volume first; each write that is already done is skipped."""
        reserved = bound_volume(volume, claim)
        if reserved is not volume:
            volume = await self._write(reserved)
        volume = await self._phase(volume, "Bound")
        bound = bound_claim(claim, volume)
        if bound is not claim:
            claim = await self.api.update("persistentvolumeclaims", bound)
        status = bound_status(claim, volume)
        if status != claim.get("status"):
            await self.api.update("persistentvolumeclaims", {**claim, "status": status}, "status")

    # -- volumes -----------------------------------------------------------------------------------------------------

    async def _sync_volume(self, key: str) -> None:
        volume = self._volume(key)
        if volume is None:
            return
        ref = volume["spec"].get("claimRef")
        if not ref or not ref.get("uid"):
            await self._phase(volume, "Available")
            return
        claim = self._claims.get(claim_key(volume))
        if claim is None or uid(claim) != ref["uid"]:
            claim = await self._claim_now(volume, ref["uid"])
        if claim is None:
            if get(volume, "status", "phase") not in ("Released", "Failed"):
                volume = await self._phase(volume, "Released")
            await self._reclaim(volume)
        elif not claim["spec"].get("volumeName"):
            self._claim_queue.add(key_of(claim))
        elif claim["spec"]["volumeName"] == name(volume):
            await self._phase(volume, "Bound")
        elif PROVISIONED_BY in notes_of(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            await self._reclaim(await self._phase(volume, "Released"))
        elif BOUND_BY_CONTROLLER in notes_of(volume):
            free = drop(drop(volume, "spec", "claimRef"), "metadata", "annotations", BOUND_BY_CONTROLLER)
            await self._phase(await self._write(free), "Available")

    async def _claim_now(self, volume: Obj, wanted: str) -> Obj | None:
        """Read a claim that the cache does not know as the server has it: it may be new."""
        ref = volume["spec"]["claimRef"]
        try:
            found = await self.api.get("persistentvolumeclaims", ref.get("namespace", ""), ref["name"])
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            return None
        return found if uid(found) == wanted else None

    async def _phase(self, volume: Obj, phase: str) -> Obj:
        if get(volume, "status", "phase") == phase:
            return volume
        status: Obj = {**(volume.get("status") or {}), "phase": phase, "lastPhaseTransitionTime": self.ctx.now()}
        return await self._write({**volume, "status": status}, "status")

    async def _reclaim(self, volume: Obj) -> None:
        """Delete keeps nothing, Retain everything; what no provisioner made can't be deleted (reclaimVolume)."""
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete" or terminating(volume):
            return
        if PROVISIONED_BY in notes_of(volume):
            return  # its provisioner deletes it
        if get(volume, "status", "phase") != "Failed":
            await self._phase(volume, "Failed")
            why = "error getting deleter volume plugin for volume: no deletable volume plugin matched"
            self.event(volume, "Warning", "VolumeFailedDelete", why)


def has_default(classes: list[Obj]) -> bool:
    """Tell whether one of ``classes`` is marked as the default."""
    return newest_default_class(classes) is not None
