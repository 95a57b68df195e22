"""What a user's property sees of a cluster: rows of pods, workloads, endpoints, nodes, claims and faults, kept up to date entry by entry.

A row changes only if something that it shows has changed; each :class:`Table` counts its changes, so that whoever looks knows whether to look
again. One state serves all properties of a run, and keeps only the tables that one of them reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Context
from kchaos.history.record import Entry, Mark, Write
from kchaos.models.api.pods import controller_of, is_true, labels, ready, restarts, terminating
from kchaos.models.api.pods import phase as phase_of
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, workload_of

ZONE = "topology.kubernetes.io/zone"
SERVICE = "kubernetes.io/service-name"
KINDS = {
    "deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "replicationcontrollers": "ReplicationController",
    "replicasets": "ReplicaSet",
}  # fmt: skip
"""Resources that are workloads; a ReplicaSet is one if nothing owns it."""


class Undecided(NamedTuple):
    """What a predicate is when it has no value: why, in words."""

    why: str


Value = bool | Undecided


class Pod(msgspec.Struct, frozen=True):
    """A pod as the API server has it."""

    name: str
    namespace: str
    workload: str
    """Key of its workload, ``shop/web``: the Deployment rather than the ReplicaSet; empty if it has none."""
    node: str
    """Empty until it is bound."""
    phase: str
    """Pending, Running, Succeeded, Failed, Unknown."""
    ready: bool
    """Its Ready condition is True and it is not being deleted."""
    terminating: bool
    restarts: int
    labels: dict[str, str]


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, StatefulSet, DaemonSet, ReplicationController, or a ReplicaSet of its own."""

    kind: str
    name: str
    namespace: str
    desired: int
    """How many pods it asks for."""
    ready: int
    """Its pods that are ready and not being deleted."""
    serving: int
    """Its pods that really answer, whatever Kubernetes believes: the node runs, the container has started up and has not stopped."""
    available: int
    """``status.availableReplicas`` (DaemonSet: ``numberAvailable``)."""
    updated: int
    """``status.updatedReplicas`` (DaemonSet: ``updatedNumberScheduled``)."""
    labels: dict[str, str]


class Endpoints(msgspec.Struct, frozen=True):
    """The endpoints of a Service: all of its EndpointSlices."""

    name: str
    namespace: str
    ready: int
    """Endpoints whose ready condition is not false."""
    pods: tuple[str, ...]
    """Names of the pods behind those, sorted."""


class Node(msgspec.Struct, frozen=True):
    """A node as the API server has it."""

    name: str
    zone: str
    ready: bool
    schedulable: bool
    """Not cordoned."""
    taints: tuple[str, ...]
    """Keys of its taints, sorted."""
    labels: dict[str, str]


class Claim(msgspec.Struct, frozen=True):
    """A PersistentVolumeClaim."""

    name: str
    namespace: str
    phase: str
    """Pending, Bound, Lost."""
    volume: str
    storage_class: str


class Fault(msgspec.Struct, frozen=True):
    """A fault or operation from its injection until it is healed."""

    name: str
    target: str


Row = Pod | Workload | Endpoints | Node | Claim | Fault
ROWS: dict[str, type[msgspec.Struct]] = {
    "pods": Pod, "workloads": Workload, "endpoints": Endpoints, "nodes": Node, "claims": Claim, "faults": Fault,
}  # fmt: skip
"""The tables, and what their rows are."""
MAPS = ("workloads", "endpoints")
"""Tables that are looked up by key, ``namespace/name``; the others are lists, sorted by namespace and name."""
SOURCES: dict[str, tuple[str, ...]] = {
    "pods": ("pods",), "workloads": ("pods", *KINDS), "endpoints": ("services", "endpointslices"), "nodes": ("nodes",),
    "claims": ("persistentvolumeclaims",), "faults": (),
}  # fmt: skip
"""Which resources a table is made of."""


class Shown:
    """Some fields of the rows of a table as plain data, of all rows or of some keys; ``version`` counts its changes."""

    def __init__(self, table: Table, fields: Sequence[str], keys: Sequence[str] | None) -> None:
        self._fields = tuple(fields)
        self._keys = keys
        self.version = 0
        self.rows = {key: self._plain(row) for key, row in table.rows.items() if keys is None or key in keys}

    def _plain(self, row: Any) -> dict[str, Any]:
        return {name: list(value) if isinstance(value := getattr(row, name), tuple) else value for name in self._fields}

    def put(self, key: str, row: Row | None) -> None:
        """Take a changed row over."""
        if self._keys is not None and key not in self._keys:
            return
        if row is None:
            del self.rows[key]
            self.version += 1
            return
        plain = self._plain(row)
        if self.rows.get(key) != plain:
            self.rows[key] = plain
            self.version += 1

    def sorted(self) -> list[dict[str, Any]]:
        """Return the rows by key."""
        return [self.rows[key] for key in sorted(self.rows)]


class Table:
    """Rows by key; ``version`` counts the changes."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.version = 0
        self._shown: dict[tuple[tuple[str, ...], tuple[str, ...] | None], Shown] = {}

    def put(self, key: str, row: Row | None) -> None:
        """Set, change or remove (None) a row."""
        if self.rows.get(key) == row:
            return
        if row is None:
            del self.rows[key]
        else:
            self.rows[key] = row
        self.version += 1
        for shown in self._shown.values():
            shown.put(key, row)

    def become(self, rows: dict[str, Any]) -> None:
        """Have exactly these rows."""
        for key in [key for key in self.rows if key not in rows]:
            self.put(key, None)
        for key, row in rows.items():
            self.put(key, row)

    def shown(self, fields: tuple[str, ...], keys: tuple[str, ...] | None) -> Shown:
        """Return some fields of the rows, kept up to date from now on."""
        found = self._shown.get((fields, keys))
        if found is None:
            found = self._shown[fields, keys] = Shown(self, fields, keys)
        return found


class State:
    """The tables of one run. Say what is needed, then feed it each entry of :data:`SOURCES` and each mark of :data:`MARKS`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.tables: dict[str, Table] = {}
        self.phase = context.view.phase
        self.phase_version = 0
        self._last: Entry | None = None
        self._serving: dict[str, int] = {}
        self._doubtful = False
        """A stored object may have changed behind everybody's back: all tables are made anew with each entry."""
        self._forget()

    def _forget(self) -> None:
        self._home: dict[str, str] = {}
        """Pod -> ``Kind/namespace/name`` of its workload."""
        self._ready: dict[str, dict[str, None]] = {}
        self._objects: dict[str, tuple[str, Obj]] = {}
        """Workload -> its key in the table, and the object."""
        self._services: dict[str, dict[str, Obj]] = {}
        """Service -> its EndpointSlices by key; of one that is not there (yet), too."""
        self._takes: dict[str, Callable[[str, Obj | None], None]] = {
            "pods": self._pod, "services": self._service, "endpointslices": self._slice, "nodes": self._node, "persistentvolumeclaims": self._claim,
            **{plural: partial(self._workload, kind) for plural, kind in KINDS.items()},
        }  # fmt: skip

    @classmethod
    def of(cls, context: Context) -> State:
        """Return the state that all properties of a context share."""
        found: State | None = context.shared.get(cls)
        if found is None:
            found = context.shared[cls] = cls(context)
        return found

    def need(self, names: Iterable[str]) -> None:
        """Keep these tables from now on."""
        for name in names:
            if name not in self.tables:
                self.tables[name] = Table()
                self._fill(SOURCES[name])

    def _fill(self, resources: Iterable[str]) -> None:
        for resource in resources:
            for key, obj in self._context.view.table(resource).items():
                self._takes[resource](key, obj)

    def feed(self, entry: Entry) -> None:
        """Take one entry over; one that was taken already changes nothing."""
        if entry is self._last:
            return
        self._last = entry
        if self._doubtful:
            self._again()
        if isinstance(entry, Write):
            self._takes[entry.resource](entry.key, None if entry.type == "DELETED" else entry.obj)
        else:
            self._mark(entry)

    def _again(self) -> None:
        """Make the tables anew from what is stored; rows that are as they were count as unchanged."""
        fresh = State(self._context)
        fresh._serving = self._serving
        fresh.need(self.tables)
        for name, table in self.tables.items():
            if name != "faults":
                table.become(fresh.tables[name].rows)
        self._home, self._ready = fresh._home, fresh._ready
        self._objects, self._services = fresh._objects, fresh._services

    def _mark(self, mark: Mark) -> None:
        data = mark.data
        if mark.what == "phase":
            self.phase = data["name"]
            self.phase_version += 1
        elif mark.what == "members":
            self._serving[data["workload"]] = int(data["serving"])
            self._count(data["workload"])
        elif mark.what == "corruption":
            self._doubtful = True
        elif "faults" in self.tables:
            self._fault(data)

    def _fault(self, data: dict[str, Any]) -> None:
        table, step = self.tables["faults"], f"{data.get('step', -1):06d}/"
        if data["action"] == "injected":
            target = str(data["args"].get("target", ""))
            table.put(step + target, Fault(data["name"], target))
        elif data["action"] == "healed":
            for key in [key for key in table.rows if key.startswith(step)]:
                table.put(key, None)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _pod(self, key: str, pod: Obj | None) -> None:
        home = self._home.get(key)
        if pod is None:
            self._home.pop(key, None)
        elif home is None:
            found = workload_of(self._context, pod)
            home = self._home[key] = "" if found.startswith("Pod/") else found
        able = pod is not None and ready(pod) and not terminating(pod)
        if home and "workloads" in self.tables and able != (key in self._ready.get(home, ())):
            members = self._ready.setdefault(home, {})
            if able:
                members[key] = None
            else:
                del members[key]
            self._count(home)
        if "pods" in self.tables:
            self.tables["pods"].put(key, None if pod is None else Pod(
                name=pod["metadata"]["name"], namespace=pod["metadata"].get("namespace", ""), workload=(home or "").partition("/")[2],
                node=pod["spec"].get("nodeName") or "", phase=phase_of(pod), ready=able, terminating=terminating(pod), restarts=restarts(pod),
                labels=labels(pod),
            ))  # fmt: skip

    def _workload(self, kind: str, key: str, obj: Obj | None) -> None:
        """Take a workload over; a ReplicaSet that another owns is none."""
        if "workloads" not in self.tables or (kind == "ReplicaSet" and obj is not None and controller_of(obj)):
            return
        workload = f"{kind}/{key}"
        known = self._objects.pop(workload, None)
        if obj is not None:
            taken = any(short == key for short, _ in self._objects.values())
            self._objects[workload] = (known[0] if known else workload if taken else key, obj)
            self._count(workload)
        elif known is not None:
            self.tables["workloads"].put(known[0], None)

    def _count(self, workload: str) -> None:
        known = self._objects.get(workload)
        if known is None:
            return
        key, obj = known
        status, daemon = obj.get("status") or {}, obj["kind"] == "DaemonSet"
        desired = status.get("desiredNumberScheduled") or 0 if daemon else get(obj, "spec", "replicas", default=1)
        self.tables["workloads"].put(key, Workload(
            kind=obj["kind"], name=obj["metadata"]["name"], namespace=obj["metadata"].get("namespace", ""), desired=int(desired),
            ready=len(self._ready.get(workload, ())), serving=self._serving.get(workload, 0),
            available=int(status.get("numberAvailable" if daemon else "availableReplicas") or 0),
            updated=int(status.get("updatedNumberScheduled" if daemon else "updatedReplicas") or 0), labels=labels(obj),
        ))  # fmt: skip

    def _service(self, key: str, service: Obj | None) -> None:
        if service is None:
            self.tables["endpoints"].put(key, None)
        elif key not in self.tables["endpoints"].rows:
            space, _, name = key.partition("/")
            self.tables["endpoints"].put(key, Endpoints(name=name, namespace=space, ready=0, pods=()))
            self._reach(key)

    def _slice(self, key: str, one: Obj | None) -> None:
        service = f"{key.partition('/')[0]}/{labels(one).get(SERVICE, '')}" if one is not None else ""
        for other, slices in self._services.items():
            if key in slices and other != service:
                del slices[key]
                self._reach(other)
        if one is not None:
            self._services.setdefault(service, {})[key] = one
            self._reach(service)

    def _reach(self, service: str) -> None:
        before = self.tables["endpoints"].rows.get(service)
        if before is None:
            return  # slices without a Service
        ends = [end for _, one in sorted(self._services.get(service, {}).items()) for end in one.get("endpoints") or ()]
        good = [end for end in ends if get(end, "conditions", "ready") is not False]
        names = tuple(sorted(get(end, "targetRef", "name", default="") for end in good))
        self.tables["endpoints"].put(service, msgspec.structs.replace(before, ready=len(good), pods=names))

    def _node(self, key: str, node: Obj | None) -> None:
        self.tables["nodes"].put(key, None if node is None else Node(
            name=key, zone=labels(node).get(ZONE, ""), ready=is_true(node, "Ready"), schedulable=not node["spec"].get("unschedulable"),
            taints=tuple(sorted(one["key"] for one in node["spec"].get("taints") or ())), labels=labels(node),
        ))  # fmt: skip

    def _claim(self, key: str, claim: Obj | None) -> None:
        self.tables["claims"].put(key, None if claim is None else Claim(
            name=claim["metadata"]["name"], namespace=claim["metadata"].get("namespace", ""), phase=get(claim, "status", "phase", default="Pending"),
            volume=claim["spec"].get("volumeName") or "", storage_class=claim["spec"].get("storageClassName") or "",
        ))  # fmt: skip


MARKS = ("phase", "fault", "members", "corruption")
"""Marks that a state takes."""
