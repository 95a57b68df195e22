"""Which objects belong to a controller: adopt orphans that match, release what no longer does.

pkg/controller/controller_ref_manager.go. At most one controller owns an object; an owner under deletion adopts nothing, and before
the first adoption it is read fresh from the server, so that a stale cache can't adopt for the dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, labels, name, namespace, owner_reference, terminating, uid
from kchaos.models.api.tree import Obj
from kchaos.models.client.client import Session


async def claim(
    api: Session, owner_resource: str, owner: Obj, resource: str, candidates: Iterable[Obj], matches: Callable[[dict[str, str]], bool]
) -> list[Obj]:
    """Return the candidates that ``owner`` controls after adopting and releasing. Raises ApiError."""
    mine: list[Obj] = []
    checked = False
    for one in candidates:
        ref = controller_of(one)
        if ref is not None:
            if ref["uid"] != uid(owner):
                continue
            if matches(labels(one)):
                mine.append(one)
            elif not terminating(owner):
                await _release(api, owner, resource, one)
            continue
        if terminating(owner) or terminating(one) or not matches(labels(one)):
            continue
        if not checked:
            fresh = await api.get(owner_resource, namespace(owner), name(owner))
            if uid(fresh) != uid(owner) or terminating(fresh):
                return mine
            checked = True
        adopted = await _adopt(api, owner, resource, one)
        if adopted is not None:
            mine.append(adopted)
    return mine


async def _adopt(api: Session, owner: Obj, resource: str, one: Obj) -> Obj | None:
    refs = [*(one["metadata"].get("ownerReferences") or ()), owner_reference(owner)]
    patch = {"metadata": {"ownerReferences": refs, "uid": uid(one)}}
    try:
        return await api.patch(resource, namespace(one), name(one), patch, patch_type="merge")
    except ApiError as error:
        if error.reason == "NotFound":
            return None
        raise


async def _release(api: Session, owner: Obj, resource: str, one: Obj) -> None:
    refs = [ref for ref in one["metadata"].get("ownerReferences") or () if ref["uid"] != uid(owner)]
    patch = {"metadata": {"ownerReferences": refs or None, "uid": uid(one)}}
    try:
        await api.patch(resource, namespace(one), name(one), patch, patch_type="merge")
    except ApiError as error:
        if error.reason not in ("NotFound", "Invalid"):
            raise
