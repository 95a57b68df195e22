"""The API's own promises: versions, generations, deletion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Violation
from kchaos.history.record import Write
from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.properties.common import declare, everywhere, folded, ident


class _Versions(BaseMonitor):
    """Versions over all kinds strictly increase."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._last = 0

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return dict.fromkeys(BY_PLURAL, self._check)

    def _check(self, entry: Write) -> Iterable[Violation]:
        if entry.rv <= self._last:
            text = f"resourceVersion went from {self._last} to {entry.rv}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="versions")
        self._last = entry.rv
        if entry.type == "MODIFIED" and entry.prev is not None:
            before = {**entry.prev, "metadata": {**entry.prev["metadata"], "resourceVersion": ""}}
            after = {**entry.obj, "metadata": {**entry.obj["metadata"], "resourceVersion": ""}}
            if before == after:
                text = f"{entry.actor} wrote it without changing anything, and its version rose"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root=f"no-op {entry.resource}")


def _generation(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "MODIFIED" or entry.prev is None or not BY_PLURAL[entry.resource].has_generation:
        return
    old, new = entry.prev, entry.obj
    grown = new["metadata"].get("generation", 0) - old["metadata"].get("generation", 0)
    spec = new.get("spec") != old.get("spec")
    noted = entry.resource == "deployments" and new["metadata"].get("annotations") != old["metadata"].get("annotations")
    deleted = bool(new["metadata"].get("deletionTimestamp")) and not old["metadata"].get("deletionTimestamp")
    if spec and new.get("status") != old.get("status") and not deleted:
        text = f"one write by {entry.actor} changed spec and status"
        yield Violation(t=entry.t, object=ident(new), summary=text, root="spec and status")
    # the controller writes its revision annotation through the status, which counts nothing; everybody else's annotations count
    counts = noted and entry.actor != "deployment-controller" and new.get("status") == old.get("status")
    expected = 1 if spec or deleted or counts else 0
    if grown != expected and not (noted and grown == 1):
        text = f"metadata.generation grew by {grown}, expected {expected} (written by {entry.actor})"
        yield Violation(t=entry.t, object=ident(new), summary=text, root="generation")


def _deletion(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.prev is None:
        return
    before, after = entry.prev["metadata"], entry.obj["metadata"]
    if entry.type == "DELETED":
        held = [
            *(after.get("finalizers") or ()),
            *(get(entry.obj, "spec", "finalizers", default=()) if entry.resource == "namespaces" else ()),
        ]
        if held:
            text = f"removed by {entry.actor} while finalizers were left: {', '.join(held)}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="finalizers")
        return
    old, new = before.get("deletionTimestamp"), after.get("deletionTimestamp")
    if old and not new:
        yield Violation(t=entry.t, object=ident(entry.obj), summary="deletion was taken back", root="undeleted")
    elif old and new and parse(new) > parse(old):
        text = f"the grace period was lengthened from {old} to {new}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="grace")


def _immutable(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "MODIFIED" or entry.prev is None or entry.prev.get("immutable") is not True:
        return
    changed = [field for field in ("data", "binaryData", "stringData", "immutable") if entry.prev.get(field) != entry.obj.get(field)]
    if changed:
        text = f"is immutable, and {entry.actor} changed its {changed[0]}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="immutable")


class _Uids(BaseMonitor):
    """A uid names one object for ever."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._gone: dict[str, str] = {}

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return everywhere_bound(self._check)

    def _check(self, entry: Write) -> Iterable[Violation]:
        uid = entry.obj["metadata"].get("uid", "")
        if entry.type == "DELETED":
            self._gone[uid] = ident(entry.obj)
        elif uid in self._gone:
            text = f"uid {uid} was used before by {self._gone[uid]}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="uid")


def everywhere_bound(
    check: Callable[[Write], Iterable[Violation]],
) -> dict[str, Callable[[Write], Iterable[Violation]]]:
    """Return ``check`` for every kind but leases."""
    return {plural: check for plural in BY_PLURAL if plural not in ("leases", "events")}


CONCEPTS = "https://kubernetes.io/docs/reference/using-api/api-concepts/"
PROPERTIES = (
    declare("KC004", "4", "versions-increase", "resourceVersion strictly increases per write; a write that changes nothing keeps it.",
            CONCEPTS + "#resource-versions", _Versions),
    declare("KC005", "5", "generation-counts-spec",
            "metadata.generation grows by one when spec changes (Deployments also on annotations; deletion too), never by status writes;"
            " a status write never touches spec nor the reverse.",
            "https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#metadata",
            folded(everywhere(_generation))),
    declare("KC006", "6", "finalizers-hold", "An object goes only when its last finalizer has gone; grace may only be shortened.",
            "https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/", folded(everywhere(_deletion))),
    declare("KC008", "8", "immutable-stays", "An immutable ConfigMap or Secret never changes, nor becomes mutable.",
            "https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-immutable",
            folded({"configmaps": _immutable, "secrets": _immutable})),
    declare("KC011", "11", "uid-unique", "A name freed by deletion can be used again; a uid is never reused.",
            "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#uids", _Uids),
)  # fmt: skip
