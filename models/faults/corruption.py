"""Stored objects that change behind the API server: a flipped bit, a restored backup of the store, a client that writes to etcd itself.

By class of the field, as Mutiny (Barletta and others, DSN 2024) injects them: identity, dependency, count, network. One field of one object
changes by its lowest bit, and nothing that an API write would do happens: no validation, no admission, no generation. Watches tell of it,
as of any change of the store. What somebody has written over is left alone at healing; what nobody has, is put back.

Who is to repair what (``repairs``): a status belongs to its controller or kubelet, which is level-triggered and must make it right again.
What users write (spec.replicas, a Service's selector) is the desired state: nobody can know better, so following it is right, and
only putting it back ends the fault. An EndpointSlice is repaired when its Service or a pod changes, and not before: the controller takes
metadata.generation for the sign that somebody wrote it (k8s.io/endpointslice/util/endpointslice_tracker.go: ShouldSync), which stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kchaos.history.record import CORRUPTION
from kchaos.models.api.pods import active, controller_of, labels
from kchaos.models.api.resources import by_kind
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import Event, Key, Store
from kchaos.models.cluster import Cluster
from kchaos.models.controllers.volumes import claims_of
from kchaos.models.faults.targets import parts
from kchaos.models.members import workload_of
from kchaos.nemesis.fault import Evidence, Kind

Path = tuple[str | int, ...]


class Field(NamedTuple):
    """One field of one stored object."""

    resource: str
    key: Key
    path: Path

    @property
    def words(self) -> str:
        """Return ``status.readyReplicas of deployments default/web``."""
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{path.removeprefix('.')} of {self.resource} {self.key}"


def flipped(value: Any) -> Any:
    """Return a value whose lowest bit has changed: the last character's, of a text."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1
    return f"{value[:-1]}{chr(ord(value[-1]) ^ 1)}"


def changed(obj: Any, path: Path, value: Any) -> Any:
    """Return a copy of ``obj`` with ``value`` at ``path``."""
    if not path:
        return value
    if isinstance(obj, list):
        assert isinstance(path[0], int)
        return [*obj[: path[0]], changed(obj[path[0]], path[1:], value), *obj[path[0] + 1 :]]
    return {**obj, path[0]: changed(obj.get(path[0], {}), path[1:], value)}


def at(obj: Obj | None, path: Path) -> Any:
    """Return what is at ``path``, None if nothing is."""
    found: Any = obj
    for step in path:
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and step < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


# -- which field of a workload -----------------------------------------------------------------------------------------------------


def _pods(store: Store, target: str) -> list[tuple[Key, Obj]]:
    space = parts(target)[1] + "/"
    table = sorted(store.table("pods").items())
    return [(key, pod) for key, pod in table if key.startswith(space) and active(pod) and workload_of(store, pod) == target]


def _plural(kind: str) -> str:
    resource = by_kind(None, kind)
    assert resource is not None
    return resource.plural


def _controller(store: Store, pod: Obj) -> tuple[str, Key, Obj] | None:
    """Return the object that owns a pod: of a Deployment, its ReplicaSet."""
    ref = controller_of(pod)
    if ref is None or by_kind(None, ref["kind"]) is None:
        return None
    key = f"{pod['metadata'].get('namespace', '')}/{ref['name']}"
    found = store.get(_plural(ref["kind"]), key)
    return (_plural(ref["kind"]), key, found) if found is not None else None


def _labels(store: Store, target: str) -> Iterable[Field]:
    for key, pod in _pods(store, target):
        owner = _controller(store, pod)
        wanted = get(owner[2], "spec", "selector", "matchLabels", default={}) if owner is not None else {}
        name = next((one for one in wanted if one in labels(pod) and one != "pod-template-hash"), None)
        if name is not None:
            yield Field("pods", key, ("metadata", "labels", name))


def _uid(store: Store, target: str) -> Iterable[Field]:
    for _, pod in _pods(store, target):
        owner = _controller(store, pod)
        if owner is not None:
            yield Field(owner[0], owner[1], ("metadata", "uid"))


def _owner(store: Store, target: str) -> Iterable[Field]:
    for key, pod in _pods(store, target):
        refs = pod["metadata"].get("ownerReferences") or ()
        for index, ref in enumerate(refs):
            if ref.get("controller"):
                yield Field("pods", key, ("metadata", "ownerReferences", index, "uid"))


def _claim(store: Store, target: str) -> Iterable[Field]:
    for _, pod in _pods(store, target):
        for key in claims_of(pod):
            volume = get(store.get("persistentvolumeclaims", key), "spec", "volumeName", default="")
            if volume and get(store.get("persistentvolumes", volume), "spec", "claimRef", "uid"):
                yield Field("persistentvolumes", volume, ("spec", "claimRef", "uid"))


def _own(*path: str | int) -> Callable[[Store, str], Iterable[Field]]:
    def fields(store: Store, target: str) -> Iterable[Field]:
        kind, space, name = parts(target)
        if isinstance(at(store.get(_plural(kind), f"{space}/{name}"), path), int):
            yield Field(_plural(kind), f"{space}/{name}", path)

    return fields


def _pod_field(*path: str) -> Callable[[Store, str], Iterable[Field]]:
    return lambda store, target: (Field("pods", key, path) for key, pod in _pods(store, target) if get(pod, *path))


def _services(store: Store, target: str) -> Iterable[tuple[Key, Obj]]:
    pods = _pods(store, target)
    for key, service in sorted(store.table("services").items()):
        selector = service["spec"].get("selector")
        if selector and any(pod.startswith(key.partition("/")[0] + "/") and from_map(selector)(labels(obj)) for pod, obj in pods):
            yield key, service


def _endpoints(store: Store, target: str) -> Iterable[Field]:
    for key, _ in _services(store, target):
        space, _, name = key.partition("/")
        for own, piece in sorted(store.table("endpointslices").items()):
            mine = own.startswith(f"{space}/") and labels(piece).get("kubernetes.io/service-name") == name
            if mine and at(piece, ("endpoints", 0, "addresses", 0)):
                yield Field("endpointslices", own, ("endpoints", 0, "addresses", 0))


def _selector(store: Store, target: str) -> Iterable[Field]:
    for key, service in _services(store, target):
        yield Field("services", key, ("spec", "selector", min(service["spec"]["selector"])))


class _Class(NamedTuple):
    """A fault: the class of its field, who has to repair it (empty: nobody can), where the field is."""

    name: str
    group: str
    summary: str
    repairs: str
    fields: Callable[[Store, str], Iterable[Field]]


CLASSES = {
    one.name: one
    for one in (
        _Class("corrupt-labels", "identity", "a label of one pod changes: its controller loses it", "", _labels),
        _Class("corrupt-uid", "identity", "the uid of the pods' owner changes: they have no owner any more", "", _uid),
        _Class("corrupt-owner", "dependency", "the owner reference of one pod changes: it has no owner any more", "", _owner),
        _Class("corrupt-claim", "dependency", "a volume's reference to its claim changes", "", _claim),
        _Class("corrupt-replicas", "count", "the number of replicas that are asked for changes", "", _own("spec", "replicas")),
        _Class("corrupt-status", "count", "the number of replicas that are reported changes", "its controller", _own("status", "replicas")),
        _Class("corrupt-generation", "count", "status.observedGeneration changes", "its controller", _own("status", "observedGeneration")),
        _Class("corrupt-pod-ip", "network", "the address of one pod, as reported, changes", "its kubelet", _pod_field("status", "podIP")),
        _Class("corrupt-endpoints", "network", "an address behind a Service changes", "", _endpoints),
        _Class("corrupt-selector", "network", "a Service's selector changes: it finds no pods", "", _selector),
        _Class("corrupt-node", "network", "the node of one pod changes", "", _pod_field("spec", "nodeName")),
    )
}  # fmt: skip


def applies(fault: str, target: str, store: Store) -> bool:
    """Tell whether a workload has the field that a fault changes."""
    return next(iter(CLASSES[fault].fields(store, target)), None) is not None


class _Corrupted:
    """One field of one object is another until somebody writes it, or healing puts it back."""

    def __init__(self, cluster: Cluster, kind: _Class, target: str) -> None:
        self._store = cluster.control.store
        self._now = cluster.world.loop.time
        self._field = next(iter(kind.fields(self._store, target)), None)
        self._target, self._repairs = target, kind.repairs
        self._healed = False
        self._by = ""
        self._restored = 0
        if self._field is None:
            return
        resource, key, path = self._field
        obj = self._store.get(resource, key)
        assert obj is not None
        self._before = at(obj, path)
        self._wrong = flipped(self._before)
        self._since_s = self._now()
        self._after_s = 0.0
        cluster.recorder.mark(
            "corruption", state="begun", fault=kind.name, target=target, resource=resource, key=key, field=self._field.words, before=self._before,
            after=self._wrong, repairs=kind.repairs,
        )  # fmt: skip
        self._mark = cluster.recorder.mark
        self._store.subscribe(self._seen)
        self._store.put(resource, key, changed(obj, path, self._wrong), CORRUPTION)
        cluster.disturbed()

    def _seen(self, event: Event) -> None:
        """Look for the first write that is not ours and leaves another value."""
        if self._field is None or self._by or self._healed or event.actor == CORRUPTION:
            return
        if (event.resource, event.key) == self._field[:2]:
            gone = event.type == "DELETED"
            if gone or at(event.obj, self._field.path) != self._wrong:
                self._by, self._after_s = event.actor or "the API server", self._now() - self._since_s
                self._mark(
                    "corruption", state="gone" if gone else "repaired", resource=event.resource, key=event.key, field=self._field.words,
                    by=self._by,
                )  # fmt: skip

    def undo(self) -> None:
        """Put the value back, if it is still the wrong one."""
        self._healed = True
        if self._field is None:
            return
        obj = self._store.get(self._field.resource, self._field.key)
        if obj is not None and at(obj, self._field.path) == self._wrong and not self._by:
            self._restored = 1
            self._mark(
                "corruption",
                state="restored",
                target=self._target,
                repairs=self._repairs,
                resource=self._field.resource,
                key=self._field.key,
                field=self._field.words,
            )
            self._store.put(self._field.resource, self._field.key, changed(obj, self._field.path, self._before), CORRUPTION)

    def evidence(self) -> Evidence:
        """Return which field changed, who made it another, and after how long."""
        if self._field is None:
            return {"fields_changed": 0}
        found: Evidence = {"fields_changed": 1, "field": self._field.words}
        return {**found, "written_by": self._by, "after_s": round(self._after_s, 3)} if self._by else {**found, "restored": self._restored}


def _kind(one: _Class) -> Kind[Cluster]:
    def inject(cluster: Cluster, args: dict[str, Any]) -> _Corrupted:
        return _Corrupted(cluster, one, args["target"])

    return Kind(
        name=one.name, summary=one.summary, klass="corruption", target="workload", evidence="fields changed", inject=inject, level1=False
    )  # fmt: skip


KINDS = tuple(_kind(one) for one in CLASSES.values())
