"""The garbage collector: dependents go when their last owner is gone; owners wait for dependents, or let them go, as asked.

pkg/controller/garbagecollector/garbagecollector.go (attemptToDeleteItem, processDeletingDependentsItem, attemptToOrphan). Owners of
kinds that are not served are taken to exist. Not modelled: owners that are custom resources.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, namespace, terminating, uid
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.deletion import FOREGROUND, ORPHAN
from kchaos.models.client.informer import Handler
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.ownergraph import MISPLACED, OwnerGraph, Place, Work, place_of_owner, refs_of, waits

KINDS = (
    "pods", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs", "replicationcontrollers",
    "controllerrevisions", "services", "endpointslices", "endpoints", "configmaps", "secrets", "serviceaccounts",
    "persistentvolumeclaims", "persistentvolumes", "poddisruptionbudgets", "horizontalpodautoscalers", "ingresses", "networkpolicies",
    "roles", "rolebindings", "resourcequotas", "limitranges", "podtemplates", "nodes", "namespaces", "clusterroles",
    "clusterrolebindings", "storageclasses", "volumeattachments", "customresourcedefinitions",
)  # fmt: skip
"""Leases and events are left out: no controller owns any here, and heartbeats would be most of the work."""
WORKERS = 20
"""--concurrent-gc-syncs."""


class GarbageCollector(Controller):
    """The shell; keys are uids."""

    name = "generic-garbage-collector"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._informers = {kind: ctx.informer(kind) for kind in KINDS}
        self._graph = OwnerGraph()
        self._deletions = ctx.queue(self.name, self._attempt, workers=WORKERS)
        self._orphans = ctx.queue(self.name, self._orphan, workers=WORKERS)

    def start(self) -> None:
        """Watch everything; owners first, so that known ones need not be asked for."""
        pending: list[Work] = []
        started = False

        def follow(kind: str) -> Handler:
            def changed(old: Obj | None, new: Obj | None) -> None:
                if old is not None and new is not None and not self._matters(old, new):
                    return
                work = self._graph.changed(kind, old, new)
                if started:
                    self._enqueue(work)
                else:
                    pending.append(work)

            return changed

        for kind, informer in self._informers.items():
            informer.add_handler(follow(kind))
        started = True
        for work in pending:
            self._enqueue(work)
        self._deletions.start()
        self._orphans.start()

    @staticmethod
    def _matters(old: Obj, new: Obj) -> bool:
        one, other = old["metadata"], new["metadata"]
        return any(one.get(field) != other.get(field) for field in ("uid", "ownerReferences", "deletionTimestamp", "finalizers"))

    def _enqueue(self, work: Work) -> None:
        for key in work.attempt:
            self._deletions.add(key)
        for key in work.orphan:
            self._orphans.add(key)

    def _item(self, key: str) -> tuple[Place, Obj] | None:
        place = self._graph.places.get(key)
        found = self._informers[place.resource].get(place.key) if place is not None else None
        return (place, found) if place is not None and found is not None and uid(found) == key else None

    # -- deletion ----------------------------------------------------------------------------------------------------

    async def _attempt(self, key: str) -> None:
        found = self._item(key)
        if found is None:
            return
        place, item = found
        if terminating(item):
            if waits(item, FOREGROUND):
                await self._waiting_for_dependents(place, item)
            return
        if not refs_of(item):
            return
        sorted_refs = await self._classify(place, item)
        if sorted_refs is None:
            return
        solid, dangling, waiting = sorted_refs
        if solid:
            if dangling or waiting:
                await self._set_refs(place, item, [ref for ref in item["metadata"]["ownerReferences"] if ref["uid"] in solid])
            return
        policy = "Background"
        finalizers = item["metadata"].get("finalizers") or ()
        if waiting and self._graph.dependents(key):
            await self._unblock_circle(place, item)
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        elif FOREGROUND in finalizers:
            policy = "Foreground"
        try:
            await self.api.delete(place.resource, namespace(item), name(item), uid=key, propagation_policy=policy)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise

    async def _unblock_circle(self, place: Place, item: Obj) -> None:
        """A dependent that is itself being deleted in the foreground would wait for this item for ever (circles of owners)."""
        for dependent in self._graph.dependents(uid(item)):
            found = self._item(dependent)
            if found is not None and waits(found[1], FOREGROUND):
                await self._set_refs(place, item, [{**ref, "blockOwnerDeletion": False} for ref in item["metadata"]["ownerReferences"]])
                return

    async def _waiting_for_dependents(self, place: Place, item: Obj) -> None:
        blocking = [key for key, blocks in self._graph.dependents(uid(item)).items() if blocks]
        if not blocking:
            await self._without(place, item, FOREGROUND)
        for key in blocking:
            found = self._item(key)
            if found is not None and not terminating(found[1]):
                self._deletions.add(key)

    async def _classify(self, place: Place, item: Obj) -> tuple[dict[str, None], dict[str, None], dict[str, None]] | None:
        """Return (solid, dangling, waiting for dependents) owners; None if an owner can't be one: then nothing is ever done."""
        solid: dict[str, None] = {}
        dangling: dict[str, None] = {}
        waiting: dict[str, None] = {}
        for owner, ref in refs_of(item).items():
            wanted = place_of_owner(ref, namespace(item))
            if wanted == MISPLACED:
                self._say_misplaced(item, ref)
                return None
            if wanted is None:
                solid[owner] = None
                continue
            live = await self._owner(owner, wanted)
            if live is None:
                dangling[owner] = None
                if owner in self._graph.places:
                    self._say_misplaced(item, ref)
            elif waits(live, FOREGROUND):
                waiting[owner] = None
            else:
                solid[owner] = None
        return solid, dangling, waiting

    async def _owner(self, key: str, wanted: Place) -> Obj | None:
        """Return an owner: as the graph knows it if it does, else as the server has it."""
        if self._graph.absent.get(key) == wanted:
            return None
        found = self._item(key)
        if found is not None and found[0] == wanted:
            return found[1]
        space, _, short = wanted.key.rpartition("/")
        try:
            live = await self.api.get(wanted.resource, space, short)
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            live = None
        if live is None or uid(live) != key:
            if key not in self._graph.places:
                self._graph.absent[key] = wanted
            return None
        return live

    def _say_misplaced(self, item: Obj, ref: Obj) -> None:
        text = f"ownerRef [{ref['apiVersion']}/{ref['kind']}, namespace: {namespace(item)}, name: {ref['name']}, uid: {ref['uid']}]"
        self.event(item, "Warning", "OwnerRefInvalidNamespace", f'{text} does not exist in namespace "{namespace(item)}"')

    # -- orphaning ---------------------------------------------------------------------------------------------------

    async def _orphan(self, key: str) -> None:
        found = self._item(key)
        if found is None or not waits(found[1], ORPHAN):
            return
        for dependent in list(self._graph.dependents(key)):
            child = self._item(dependent)
            if child is not None:
                refs = [ref for ref in child[1]["metadata"].get("ownerReferences") or () if ref["uid"] != key]
                await self._set_refs(*child, refs)
        await self._without(*found, ORPHAN)

    # -- writes ------------------------------------------------------------------------------------------------------

    async def _set_refs(self, place: Place, item: Obj, refs: list[Obj]) -> None:
        await self._patch(place, item, {"ownerReferences": refs or None})

    async def _without(self, place: Place, item: Obj, finalizer: str) -> None:
        left = [one for one in item["metadata"].get("finalizers") or () if one != finalizer]
        await self._patch(place, item, {"finalizers": left or None})

    async def _patch(self, place: Place, item: Obj, meta: Obj) -> None:
        body = {"metadata": {**meta, "resourceVersion": item["metadata"]["resourceVersion"], "uid": uid(item)}}
        try:
            await self.api.patch(place.resource, namespace(item), name(item), body, patch_type="merge")
        except ApiError as error:
            if error.reason != "NotFound":
                raise
