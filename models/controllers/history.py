"""ControllerRevisions: the past templates of a StatefulSet or DaemonSet (pkg/controller/history/controller_history.go)."""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.hash import revision_data, revision_hash
from kchaos.models.api.pods import controller_of, labels, name, namespace, notes_of, owner_reference, uid
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, put
from kchaos.models.client.client import Session
from kchaos.models.client.informer import Informer
from kchaos.models.controllers.base import Context
from kchaos.models.controllers.ownership import claim

LABEL = "controller-revision-hash"
"""On pods: which revision they are."""


def informer(ctx: Context) -> Informer:
    """Return the informer of revisions, by owner and, without one, by namespace."""
    found = ctx.owned("controllerrevisions")
    found.add_index("orphan", lambda one: (namespace(one),) if controller_of(one) is None else ())
    return found


async def owned(api: Session, owner: Obj, resource: str, revisions: Informer) -> list[Obj]:
    """Return the owner's revisions, after adopting those that an orphaning delete has left behind (adoptOrphanRevisions)."""
    mine = revisions.by("controller", uid(owner))
    fits = compile_selector(owner["spec"].get("selector"))
    orphans = [one for one in revisions.by("orphan", namespace(owner)) if fits(labels(one))]
    if not orphans:
        return mine
    return [*mine, *await claim(api, resource, owner, "controllerrevisions", orphans, fits)]


def ordered(revisions: list[Obj]) -> list[Obj]:
    """Return revisions, the oldest first."""
    return sorted(revisions, key=lambda r: (r["revision"], r["metadata"]["creationTimestamp"], name(r)))


def new_revision(owner: Obj, number: int, collisions: int) -> Obj:
    """Return the revision that the owner's present template makes."""
    data = revision_data(owner)
    digest = revision_hash(data, collisions)
    marks = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}), "controller.kubernetes.io/hash": digest}
    meta: Obj = {
        "name": f"{name(owner)[:223]}-{digest}", "namespace": namespace(owner), "labels": marks,
        "ownerReferences": [owner_reference(owner)],
    }  # fmt: skip
    if notes_of(owner):
        meta["annotations"] = dict(notes_of(owner))
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": data, "revision": number}


async def current_and_update(api: Session, owner: Obj, resource: str, revisions: list[Obj], current_name: str) -> tuple[Obj, Obj, int]:
    """Return (current revision, update revision, collision count), creating or re-using the update revision.

    A template that was there before re-uses its old revision under the next number: that is what a rollback is.
    """
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    past = ordered(revisions)
    number = past[-1]["revision"] + 1 if past else 1
    wanted = new_revision(owner, number, collisions)
    equal = [one for one in past if one["data"] == wanted["data"]]
    if equal and equal[-1] is past[-1]:
        update = past[-1]
    elif equal:
        update = await api.update("controllerrevisions", put(equal[-1], number, "revision"))
    else:
        while True:
            try:
                update = await api.create("controllerrevisions", namespace(owner), wanted)
                break
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
                found = await api.get("controllerrevisions", namespace(owner), wanted["metadata"]["name"])
                if found["data"] == wanted["data"]:
                    update = found
                    break
                collisions += 1
                wanted = new_revision(owner, number, collisions)
    current = next((one for one in past if name(one) == current_name), update)
    return current, update, collisions


async def truncate(api: Session, revisions: list[Obj], live: set[str], limit: int) -> None:
    """Delete the oldest revisions that nothing uses, beyond ``limit``."""
    dead = [one for one in ordered(revisions) if name(one) not in live]
    for one in dead[: max(0, len(dead) - limit)]:
        try:
            await api.delete("controllerrevisions", namespace(one), name(one))
        except ApiError as error:
            if error.reason != "NotFound":
                raise
