"""The external provisioner of every storage class: makes a disk for a claim, and deletes it when the claim is gone.

Source: sigs.k8s.io/sig-storage-lib-external-provisioner/controller/controller.go and kubernetes-csi/external-provisioner. Each
provisioner name but kubernetes.io/no-provisioner is taken to work. How long a disk takes to make is an assumption (``PROVISION_S``).
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import labels, name, notes_of, terminating
from kchaos.models.api.tree import Obj, drop, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.volumes import (
    NO_PROVISIONER,
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE_PROVISIONER,
    ZONE,
    class_of,
    provisioned,
    topology_of,
)

PROVISION_S = 2.0
"""How long a cloud's disk takes to be made or deleted."""


class Provisioner(Controller):
    """The shell."""

    name = "csi-provisioner"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._claims = ctx.informer("persistentvolumeclaims")
        self._volumes = ctx.informer("persistentvolumes")
        self._classes = ctx.informer("storageclasses")
        self._nodes = ctx.informer("nodes")
        self._queue = ctx.queue(self.name, self._make, workers=100)
        self._deletions = ctx.queue(self.name, self._delete, workers=100)

    def start(self) -> None:
        """Watch claims handed over to a provisioner, and volumes released."""
        self._claims.add_handler(lambda old, new: self._queue.add(key_of(new)) if new is not None and self._wanted(new) else None)
        self._volumes.add_handler(lambda old, new: self._deletions.add(name(new)) if new is not None and self._released(new) else None)
        self._queue.start()
        self._deletions.start()

    def _wanted(self, claim: Obj) -> bool:
        """Tell whether a disk is to be made now (shouldProvision)."""
        provisioner = notes_of(claim).get(STORAGE_PROVISIONER)
        if not provisioner or provisioner == NO_PROVISIONER or claim["spec"].get("volumeName") or terminating(claim):
            return False
        found = self._classes.get(class_of(claim))
        if found is None or found["provisioner"] != provisioner:
            return False
        return found.get("volumeBindingMode") != "WaitForFirstConsumer" or SELECTED_NODE in notes_of(claim)

    @staticmethod
    def _released(volume: Obj) -> bool:
        if PROVISIONED_BY not in notes_of(volume) or get(volume, "status", "phase") != "Released":
            return False
        return bool(volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete") and not terminating(volume)

    async def _make(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None or not self._wanted(claim):
            return
        storage_class = self._classes.get(class_of(claim))
        assert storage_class is not None
        self.event(claim, "Normal", "Provisioning", f'External provisioner is provisioning volume for claim "{key}"')
        await self.rt.sleep(PROVISION_S)
        node = None
        if SELECTED_NODE in notes_of(claim) and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            node = self._nodes.get(notes_of(claim)[SELECTED_NODE])
            if node is None:
                await self._give_back(claim, f'failed to get target node: nodes "{notes_of(claim)[SELECTED_NODE]}" not found')
                return
        zones = sorted({zone for zone in (labels(one).get(ZONE) for one in self._nodes.values()) if zone})
        topology = topology_of(claim, storage_class, node, zones)
        if topology is False:
            await self._give_back(claim, f'failed to provision volume with StorageClass "{name(storage_class)}": topology not allowed')
            return
        assert topology is None or isinstance(topology, tuple)
        try:
            made = await self.api.create("persistentvolumes", "", provisioned(claim, storage_class, topology))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return
        self.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name(made)}")

    async def _give_back(self, claim: Obj, why: str) -> None:
        """Take the chosen node away, so that the scheduler chooses anew (rescheduleProvisioning)."""
        self.event(claim, "Warning", "ProvisioningFailed", why)
        await self.api.update("persistentvolumeclaims", drop(claim, "metadata", "annotations", SELECTED_NODE))

    async def _delete(self, key: str) -> None:
        await self.rt.sleep(PROVISION_S)
        volume = self._volumes.get(key)
        if volume is None or not self._released(volume):
            return
        try:
            await self.api.delete("persistentvolumes", "", key)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
