"""Mutants of the controllers of the cluster: budgets, endpoints, garbage, namespaces, quotas, volumes."""

from __future__ import annotations

from kchaos.models.api.pods import name, owner_reference, terminating
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver import admission, registry
from kchaos.models.controllers import attachdetach, disruption, endpointslice, pvbinder, statefulset, volumeprotection
from kchaos.models.controllers.endpointslice import EndpointSliceController
from kchaos.models.controllers.garbagecollector import GarbageCollector
from kchaos.models.controllers.namespace import NamespaceController
from kchaos.models.controllers.pvbinder import PersistentVolumeBinder
from kchaos.models.controllers.resourcequota import ResourceQuotaController
from kchaos.models.controllers.volumeprotection import ClaimProtection
from kchaos.scenario import At, Step
from tests.mutants.applications import BATCH, QUOTA, ROBUST, SHOP, STORE, STORE_IN_ONE_ZONE, VOLUMES, WEB
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()
GONE = Step(do="delete", args={"target": "PersistentVolumeClaim/default/data-store-0"}, when=At(30.0))


# -- budgets -----------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC037", ROBUST, "drain")
def eviction_ignores_the_budget(patch: Patch) -> None:
    """An eviction is granted only while the disruption budget allows one."""
    patch.setattr(registry, "charge_budget", lambda store, pod, now_s: None)


@MUTANTS.caught_by("KC037", ROBUST, "drain")
def eviction_is_not_charged(patch: Patch) -> None:
    """A granted eviction is charged to the budget."""
    charge = registry.charge_budget

    def uncharged(store: object, pod: Obj, now_s: float) -> None:
        charge(store, pod, now_s)

    patch.setattr(registry, "charge_budget", uncharged)


@MUTANTS.caught_by("KC137", ROBUST)
def budget_counts_pods_that_are_not_ready(patch: Patch) -> None:
    """What a budget allows are the ready pods beyond those that it wants."""
    patch.setattr(disruption, "healthy", lambda pods, disrupted, wall_s: len(pods))


# -- endpoints ---------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC147", WEB)
def endpoints_take_every_pod_for_ready(patch: Patch) -> None:
    """Endpoints are the ready pods."""
    patch.setattr(endpointslice, "ready", lambda pod: True)


@MUTANTS.caught_by("KC147", ROBUST)
def endpoints_keep_terminating_pods(patch: Patch) -> None:
    """A pod that is terminating is not ready as an endpoint."""
    patch.setattr(endpointslice, "terminating", lambda obj: False)


@MUTANTS.caught_by("KC147", WEB)
def endpoints_keep_dead_pods(patch: Patch) -> None:
    """The endpoint of a pod that has gone goes too."""
    bring = EndpointSliceController._bring

    async def keep(self: EndpointSliceController, service: Obj, ports: list[Obj], wanted: dict[str, Obj], mine: list[Obj]) -> None:
        old = {e["targetRef"]["uid"]: e for one in mine for e in one.get("endpoints") or ()}
        await bring(self, service, ports, {**old, **wanted}, mine)

    patch.setattr(EndpointSliceController, "_bring", keep)


@MUTANTS.caught_by("KC047", WEB)
def endpoints_miss_new_pods(patch: Patch) -> None:
    """A Service's endpoints become exactly its ready pods."""
    changed = EndpointSliceController._pod_changed
    patch.setattr(EndpointSliceController, "_pod_changed", lambda self, old, new: changed(self, old, new) if new is None else None)


# -- garbage -----------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC042", WEB)
def garbage_collector_deletes_with_a_living_owner(patch: Patch) -> None:
    """A dependent with a living owner is not collected."""

    async def nobody(self: GarbageCollector, key: str, wanted: object) -> None:
        return None

    patch.setattr(GarbageCollector, "_owner", nobody)


@MUTANTS.caught_by("KC142", BATCH)
def garbage_collector_collects_nothing(patch: Patch) -> None:
    """A dependent goes after its last owner has gone."""

    async def nothing(self: GarbageCollector, key: str) -> None:
        return None

    patch.setattr(GarbageCollector, "_attempt", nothing)


# -- namespaces and quotas -----------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC043", SHOP, "none", (step("delete", "Namespace/shop"),))
def namespace_takes_objects_while_it_is_deleted(patch: Patch) -> None:
    """A namespace under deletion refuses new objects."""
    patch.setattr(admission, "CREATE", tuple(one for one in admission.CREATE if one is not admission.namespace_lifecycle))


@MUTANTS.caught_by("KC044", QUOTA)
def quota_is_not_charged(patch: Patch) -> None:
    """Used never exceeds hard."""
    patch.setattr(admission, "LAST", tuple(one for one in admission.LAST if one is not admission.resource_quota))


@MUTANTS.caught_by("KC143", SHOP, "none", (step("delete", "Namespace/shop"),))
def namespace_never_ends(patch: Patch) -> None:
    """A namespace under deletion empties, then goes."""

    async def nothing(self: NamespaceController, key: str) -> None:
        return None

    patch.setattr(NamespaceController, "_finalize", nothing)


@MUTANTS.caught_by("KC204", QUOTA)
def quota_gives_nothing_back(patch: Patch) -> None:
    """What is deleted is no longer charged."""

    async def nothing(self: ResourceQuotaController, key: str) -> None:
        return None

    patch.setattr(ResourceQuotaController, "_sync", nothing)


# -- storage -----------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC145", STORE_IN_ONE_ZONE)
def disks_are_attached_twice(patch: Patch) -> None:
    """A volume of access mode ReadWriteOnce is attached to one node at a time."""
    patch.setattr(attachdetach, "exclusive", lambda volume: False)


@MUTANTS.caught_by("KC245", STORE, "none", (step("delete", "PersistentVolumeClaim/default/data-store-0"),))
def claims_go_while_they_are_used(patch: Patch) -> None:
    """A claim that a pod uses stays until the pod has gone."""

    async def let_go(self: ClaimProtection, key: str) -> None:
        claim = self._claims.get(key)
        if claim is not None and terminating(claim):
            await self.api.update("persistentvolumeclaims", volumeprotection.without_finalizer(claim, volumeprotection.PVC_FINALIZER))

    patch.setattr(ClaimProtection, "_sync", let_go)


@MUTANTS.caught_by("KC045", VOLUMES, "scale-up")
def binder_takes_volumes_of_others(patch: Patch) -> None:
    """A volume that belongs to a claim does not pass to another."""
    patch.setattr(pvbinder, "best_match", lambda claim, volumes, delayed: min(volumes, key=name, default=None))
    patch.setattr(pvbinder, "claim_key", lambda volume: "")


@MUTANTS.caught_by("KC245", VOLUMES, "none", (step("scale", "StatefulSet/default/store", replicas=0), GONE))
def volumes_to_retain_are_deleted(patch: Patch) -> None:
    """A volume whose reclaim policy is Retain outlives its claim."""

    async def delete(self: PersistentVolumeBinder, volume: Obj) -> None:
        await self.api.delete("persistentvolumes", "", name(volume))

    patch.setattr(PersistentVolumeBinder, "_reclaim", delete)


@MUTANTS.caught_by("KC029", STORE)
def statefulset_deletes_claims(patch: Patch) -> None:
    """Claims survive a scale-down unless the retention policy says otherwise."""
    patch.setattr(statefulset, "retained_refs", lambda owner, pod, claim, condemned: [owner_reference(owner)])
