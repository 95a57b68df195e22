"""Who depends on whom, by uid: the memory of the garbage collector, kept from informer events.

pkg/controller/garbagecollector/graph_builder.go (processGraphChanges). Pure but for the dictionaries it keeps.
"""

from __future__ import annotations

from typing import NamedTuple

from kchaos.models.api.pods import namespace, terminating, uid
from kchaos.models.api.resources import by_kind
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.deletion import FOREGROUND, ORPHAN
from kchaos.models.apiserver.store import key_of

MISPLACED = ("", "")
"""Where an owner is that can't be one: namespaced, of a cluster-scoped dependent."""


class Place(NamedTuple):
    """Where an object is stored."""

    resource: str
    key: str


def refs_of(obj: Obj | None) -> dict[str, Obj]:
    """Return the owner references by uid."""
    return {ref["uid"]: ref for ref in obj["metadata"].get("ownerReferences") or ()} if obj is not None else {}


def place_of_owner(ref: Obj, space: str) -> Place | None:
    """Return where the owner of an object in namespace ``space`` must be; None for a kind that is not served."""
    kind = by_kind(ref["apiVersion"], ref["kind"])
    if kind is None:
        return None
    if not kind.namespaced:
        return Place(kind.plural, ref["name"])
    return Place(kind.plural, f"{space}/{ref['name']}") if space else Place(*MISPLACED)


def waits(obj: Obj | None, finalizer: str) -> bool:
    """Tell whether ``obj`` is under deletion and held by ``finalizer`` (deletionStartsWithFinalizer)."""
    return obj is not None and terminating(obj) and finalizer in (obj["metadata"].get("finalizers") or ())


class Work(NamedTuple):
    """Uids to look at after a change: ``attempt`` for deletion, ``orphan`` to let dependents go."""

    attempt: list[str]
    orphan: list[str]


class OwnerGraph:
    """All objects of the watched kinds, and their dependents."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self._dependents: dict[str, dict[str, bool]] = {}
        self.absent: dict[str, Place | None] = {}

    def dependents(self, owner: str) -> dict[str, bool]:
        """Return dependent uid -> whether it blocks the owner's foreground deletion."""
        return self._dependents.get(owner, {})

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> Work:
        """Take a change in; return what follows from it."""
        if new is None:
            assert old is not None
            return self._removed(old)
        key = uid(new)
        attempt: dict[str, None] = {}
        orphan: list[str] = []
        self.places[key] = Place(resource, key_of(new))
        before, after = refs_of(old), refs_of(new)
        if before is not after and before != after:
            for owner, ref in after.items():
                blocking = bool(ref.get("blockOwnerDeletion"))
                self._dependents.setdefault(owner, {})[key] = blocking
                if owner not in before and self.places.get(owner) != place_of_owner(ref, namespace(new)):
                    attempt[key] = None
            for owner, ref in before.items():
                if owner not in after:
                    self._forget(owner, key)
                freed = ref.get("blockOwnerDeletion") and not after.get(owner, {}).get("blockOwnerDeletion")
                if freed and owner in self.places:
                    attempt[owner] = None
        if waits(new, ORPHAN) and not waits(old, ORPHAN):
            orphan.append(key)
        elif waits(new, FOREGROUND) and not waits(old, FOREGROUND):
            attempt.update(dict.fromkeys(self.dependents(key)))
            attempt[key] = None
        return Work(list(attempt), orphan)

    def _removed(self, old: Obj) -> Work:
        key = uid(old)
        place = self.places.pop(key, None)
        attempt = dict.fromkeys(self.dependents(key))
        if attempt:
            self.absent[key] = place
        for owner in refs_of(old):
            self._forget(owner, key)
            if owner in self.places:
                attempt[owner] = None
        return Work(list(attempt), [])

    def _forget(self, owner: str, dependent: str) -> None:
        group = self._dependents.get(owner)
        if group is not None:
            group.pop(dependent, None)
            if not group:
                del self._dependents[owner]
                self.absent.pop(owner, None)
