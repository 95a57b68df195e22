"""Mutants of the API server and of those that watch it."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.tree import Obj
from kchaos.models.apiserver import deletion, registry
from kchaos.models.apiserver.registry import Registry
from kchaos.models.apiserver.watchcache import WatchCache
from kchaos.models.node.machine import PodMachine
from kchaos.scenario import At, Step
from tests.mutants.applications import BATCH, CONSTANT, SLOW_MEMBERS, STORE, WEB
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()


@MUTANTS.caught_by("KC006", BATCH)
def server_ignores_finalizers(patch: Patch) -> None:
    """An object goes only when its last finalizer has gone."""
    mark = registry.mark_deleted

    def at_once(resource: Any, obj: Obj, *more: Any) -> tuple[Obj, bool]:
        new, gone = mark(resource, obj, *more)
        return new, gone or resource.plural != "pods" or not obj["spec"].get("nodeName")

    patch.setattr(registry, "mark_deleted", at_once)


@MUTANTS.caught_by("KC005", WEB)
def server_counts_no_generation(patch: Patch) -> None:
    """metadata.generation grows when spec changes."""
    prepare = registry.prepare_update

    def uncounted(resource: Any, new: Obj, old: Obj, subresource: str) -> Obj:
        out = prepare(resource, new, old, subresource)
        return {**out, "metadata": {**out["metadata"], "generation": old["metadata"].get("generation", 1)}}

    patch.setattr(registry, "prepare_update", uncounted)


@MUTANTS.caught_by("KC005", BATCH)
def server_counts_status_as_generation(patch: Patch) -> None:
    """metadata.generation does not grow by writes of status."""
    prepare = registry.prepare_update

    def counted(resource: Any, new: Obj, old: Obj, subresource: str) -> Obj:
        out = prepare(resource, new, old, subresource)
        if subresource == "status" and resource.plural == "jobs":
            out = {**out, "metadata": {**out["metadata"], "generation": old["metadata"].get("generation", 1) + 1}}
        return out

    patch.setattr(registry, "prepare_update", counted)


@MUTANTS.caught_by("KC004", WEB)
def server_writes_what_has_not_changed(patch: Patch) -> None:
    """A write that changes nothing keeps the version."""

    def write(self: Registry, resource: Any, request: Any, new: Obj, old: Obj) -> Obj:
        return self._store.put(resource.plural, self._key(resource, request), new, request.identity.actor)

    patch.setattr(Registry, "_write", write)


@MUTANTS.caught_by("KC011", STORE)
def server_gives_a_name_its_uid_again(patch: Patch) -> None:
    """A uid is never used again."""
    create = Registry._create

    def named(self: Registry, resource: Any, request: Any) -> Obj:
        meta = request.body["metadata"]
        known = f"{resource.plural}-{request.namespace}-{meta.get('name')}"
        with_uid = patch if meta.get("name") else None
        if with_uid is None:
            return create(self, resource, request)
        own = self._uid
        self.__dict__["_uid"] = lambda: known
        try:
            return create(self, resource, request)
        finally:
            self.__dict__["_uid"] = own

    patch.setattr(Registry, "_create", named)


AGAIN = (step("delete", "Pod/default/store-2"), Step(do="delete", args={"target": "Pod/default/store-2"}, when=At(5.0)))


@MUTANTS.caught_by("KC006", SLOW_MEMBERS, "none", AGAIN)
def server_lengthens_grace(patch: Patch) -> None:
    """A grace period may only be shortened."""
    mark = registry.mark_deleted

    def longer(resource: Any, obj: Obj, now_s: float, policy: str | None, grace_s: int | None) -> tuple[Obj, bool]:
        fresh = {k: v for k, v in obj["metadata"].items() if k not in ("deletionTimestamp", "deletionGracePeriodSeconds")}
        return mark(resource, {**obj, "metadata": fresh}, now_s, policy, grace_s)

    patch.setattr(registry, "mark_deleted", longer)


@MUTANTS.caught_by("KC047", WEB)
def watch_skips_an_event(patch: Patch) -> None:
    """A watch sees every event."""
    feed = WatchCache._feed
    patch.setattr(
        WatchCache,
        "_feed",
        staticmethod(
            lambda watcher, event, touched: None if event.rv % 7 == 0 and event.resource == "pods" else feed(watcher, event, touched)
        ),
    )


PAINT = step("patch", "ConfigMap/default/constant", patch={"data": {"colour": "red"}})


@MUTANTS.caught_by("KC008", CONSTANT, "none", (PAINT,))
def server_lets_immutable_objects_change(patch: Patch) -> None:
    """An immutable ConfigMap never changes."""
    patch.setattr(registry, "validate_update", lambda new, old: [])


@MUTANTS.caught_by("KC025", SLOW_MEMBERS)
def server_forgets_grace(patch: Patch) -> None:
    """A pod's object stays for its grace period, until its node says that it has gone."""
    patch.setattr(deletion, "_pod_grace", lambda pod, asked: 0)


@MUTANTS.caught_by("KC047", WEB, "watch-closed", (step("rollout", "Deployment/default/web"),), triggers=True, more=40)
def watch_misses_what_came_while_it_was_closed(patch: Patch) -> None:
    """A watch that is opened again at the last version seen misses nothing."""
    opened = WatchCache.open
    patch.setattr(WatchCache, "open", lambda self, watcher, since_rv: opened(self, watcher, since_rv)[: 0 if since_rv else None])


@MUTANTS.caught_by("KC012", WEB, "container-kill")
def kubelet_reports_a_phase_that_is_over(patch: Patch) -> None:
    """The phase of a pod only advances."""
    phase = PodMachine.phase
    patch.setattr(
        PodMachine, "phase", lambda self: "Pending" if self.app and self.app[0].state == "terminated" and not self.stopping else phase(self)
    )
