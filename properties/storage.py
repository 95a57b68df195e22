"""Claims and volumes: one belongs to the other for ever, disks are attached to one node, and what is used is not taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import ended
from kchaos.models.api.tree import get
from kchaos.properties.common import begins_deletion, declare, folded, ident
from kchaos.properties.sight import Sighted

ONE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")


def _volumes(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type == "DELETED":
        return
    if entry.prev is not None:
        before, after = entry.prev["spec"].get("volumeName"), entry.obj["spec"].get("volumeName")
        if before and before != after:
            yield Violation(t=entry.t, object=ident(entry.obj), summary=f"moved from volume {before} to {after}", root="rebound")
    volume = entry.obj["spec"].get("volumeName")
    if not volume:
        return
    for key, other in context.view.table("persistentvolumeclaims").items():
        if key != entry.key and other["spec"].get("volumeName") == volume:
            text = f"shares volume {volume} with {key}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="shared volume")


def _rebound(context: Context, entry: Write) -> Iterable[Violation]:
    """A volume that belongs to a claim does not pass to another; it must be released by hand first."""
    before, after = get(entry.prev, "spec", "claimRef", default={}), get(entry.obj, "spec", "claimRef", default={})
    if before.get("uid") and after.get("uid") and before["uid"] != after["uid"]:
        text = f"passed from claim {before['name']} to {after['name']}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="rebound")


class _Attached(Sighted):
    """A volume that one node may write is not attached to a second one."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"volumeattachments": self._made}

    def _made(self, entry: Write) -> Iterable[Violation]:
        name = get(entry.obj, "spec", "source", "persistentVolumeName", default="")
        volume = self.context.view.get("persistentvolumes", name)
        if entry.type != "ADDED" or not self.sighted or volume is None:
            return
        if any(mode not in ONE_NODE for mode in volume["spec"].get("accessModes") or ()):
            return
        for other in self.context.view.table("volumeattachments").values():
            there = other["spec"]["nodeName"]
            if get(other, "spec", "source", "persistentVolumeName") == name and there != entry.obj["spec"]["nodeName"]:
                text = f"is to be attached to {entry.obj['spec']['nodeName']} while it is attached to {there}"
                yield Violation(t=entry.t, object=ident(volume), summary=text, root="attached twice")


def _in_use(context: Context, entry: Write) -> Iterable[Violation]:
    """A claim goes after the pods that use it (storage object in use protection)."""
    if entry.type != "DELETED":
        return
    space, _, name = entry.key.partition("/")
    for key, pod in context.view.table("pods").items():
        used = [get(one, "persistentVolumeClaim", "claimName") for one in pod["spec"].get("volumes") or ()]
        if key.startswith(space + "/") and pod["spec"].get("nodeName") and not ended(pod) and name in used:
            text = f"went while {pod['metadata']['name']} uses it"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="in use")
            return


def _retained(context: Context, entry: Write) -> Iterable[Violation]:
    policy = get(entry.prev, "spec", "persistentVolumeReclaimPolicy") if entry.prev is not None else None
    if policy == "Retain" and begins_deletion(entry) and entry.actor != "user":
        yield Violation(
            t=entry.t, object=ident(entry.obj), summary=f"was deleted by {entry.actor}; its reclaim policy is Retain", root="retained"
        )


K8S = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/"
PROPERTIES = (
    declare("KC045", "45", "one-volume-per-claim", "A claim binds one volume and the reverse, for ever.",
            K8S + "#binding", folded({"persistentvolumeclaims": _volumes, "persistentvolumes": _rebound})),
    declare("KC145", "45", "attached-once", "A volume of access mode ReadWriteOnce is attached to one node at a time.",
            K8S + "#access-modes", _Attached, Guarantee.AS_SEEN),
    declare("KC245", "45", "storage-kept", "A claim that a pod uses is not removed; a volume whose policy is Retain is deleted by people only.",
            K8S + "#storage-object-in-use-protection", folded({"persistentvolumeclaims": _in_use, "persistentvolumes": _retained})),
)  # fmt: skip
