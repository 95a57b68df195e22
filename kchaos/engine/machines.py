"""Which machines a run has: from a topology file, from kubectl's own output, from two numbers, or sized by what the pods ask for."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from kchaos.engine.size import NODES
from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.quantity import exact as quantity
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Manifest, Text, load
from kchaos.models.manifests.yamltree import Document, Problem, line_of, parse
from kchaos.models.topology import NodeSpec, Topology, spread_over_zones

ZONES = 3
SIZES = ((8, 32), (16, 64), (32, 128), (64, 256))
"""Machines to choose from: CPUs and GiB; the smallest that holds the largest pod."""
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
_OWN = (
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    ZONE,
    REGION,
)


class Machines(NamedTuple):
    """The topology, objects that come with it (classes, quotas), and in words where it is from."""

    topology: Topology
    objects: tuple[Obj, ...]
    words: str


class TopologyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kchaos' own form: ``nodes: 6`` and ``zones: 3``, or nodes one by one; ``masters``: 1 or 3 API servers."""

    nodes: int | tuple[NodeSpec, ...]
    zones: int = ZONES
    masters: int = 1
    cpu: str = "8"
    memory: str = "32Gi"


def of_numbers(nodes: int | None, zones: int | None, objects: Sequence[Obj]) -> Machines:
    """Return machines for ``--nodes`` and ``--zones``, or by default three zones and nodes enough for the requests, two or more a zone."""
    if any(one is not None and one < 1 for one in (nodes, zones)):
        raise InvalidScenario(f"{nodes} nodes in {zones} zones make no cluster", hint="write 1 or more of each")
    cpu, memory = _size(objects)
    zone_count = zones or (min(ZONES, nodes) if nodes else ZONES)
    count = nodes or max(2 * zone_count, zone_count * math.ceil(_needed(objects, cpu, memory) / zone_count))
    if count > NODES:
        raise InvalidScenario(
            f"the pods request {count:,} nodes of {cpu} CPU and {memory} GiB, more than kchaos simulates (limit {NODES:,})",
            hint="lower replicas or requests, or say with --nodes how many there are",
        )
    if zones and nodes and zones > nodes:
        raise InvalidScenario(f"{zones} zones need at least {zones} nodes, not {nodes}", hint=f"write --nodes {zones}")
    topology = spread_over_zones(count, zone_count, str(cpu), f"{memory}Gi")
    shape = f"{count} nodes of {cpu} CPU and {memory} GiB in {zone_count} zone{'s' if zone_count > 1 else ''}"
    if wants := _selects_masters(objects):
        masters = tuple(_master(index, topology.zones) for index in range(min(3, zone_count)))
        topology = msgspec.structs.replace(topology, nodes=topology.nodes + masters)
        shape += f" and {len(masters)} control-plane node{'s' if len(masters) > 1 else ''} (because {wants} selects them)"
    why = "" if nodes else ", sized by what the pods request (--nodes, --zones or --topology change it)"
    return Machines(topology, (), shape + why)


MASTER = "node-role.kubernetes.io/control-plane"


def _selects_masters(objects: Sequence[Obj]) -> str:
    """Return which workload selects control-plane nodes; empty if none does."""
    for obj in objects:
        spec = obj.get("spec") or {} if obj["kind"] == "Pod" else get(obj, "spec", "template", "spec", default={})
        terms = get(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms", default=())
        asked = [e.get("key") for t in terms for e in (t or {}).get("matchExpressions") or () if e.get("operator") in ("Exists", "In")]
        if any(key in (MASTER, "node-role.kubernetes.io/master") for key in [*(spec.get("nodeSelector") or {}), *asked]):
            return f"{obj['kind']} {obj['metadata'].get('name', '')}"
    return ""


def _master(index: int, zones: Sequence[str]) -> NodeSpec:
    return NodeSpec(
        name=f"control-plane-{index + 1}", zone=zones[index % len(zones)], cpu="4", memory="16Gi",
        labels={MASTER: "", "node-role.kubernetes.io/master": ""}, taints=({"key": MASTER, "effect": "NoSchedule"},),
    )  # fmt: skip


def _pods(objects: Sequence[Obj]) -> list[tuple[int, Obj]]:
    out = []
    for obj in objects:
        kind, spec = obj.get("kind"), obj.get("spec") or {}
        if kind == "Pod":
            out.append((1, spec))
        elif kind in ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Job", "DaemonSet"):
            count = spec.get("replicas", spec.get("parallelism", 1))
            out.append((int(count) if isinstance(count, int) else 1, get(spec, "template", "spec", default={})))
    return out


def _request(spec: Obj, name: str) -> float:
    total = 0.0
    for group in (spec.get("containers") or (), spec.get("initContainers") or ()):
        amounts = []
        for c in group:
            found = get(c, "resources", "requests", name, default=get(c, "resources", "limits", name, default=0))
            try:
                amounts.append(float(quantity(found)))
            except (ValueError, TypeError):
                amounts.append(0.0)
        total = max(total, sum(amounts) if group is spec.get("containers") else max(amounts, default=0.0))
    return total


def _size(objects: Sequence[Obj]) -> tuple[int, int]:
    pods = _pods(objects)
    cpu = max((_request(spec, "cpu") for _, spec in pods), default=0.0)
    memory = max((_request(spec, "memory") for _, spec in pods), default=0.0) / 2**30
    for size in SIZES:
        if cpu <= 0.5 * size[0] and memory <= 0.5 * size[1]:
            return size
    return SIZES[-1]


def _needed(objects: Sequence[Obj], cpu: int, memory: int) -> int:
    """Return how many nodes hold all requests at half load, so that the loss of a zone leaves room."""
    pods = _pods(objects)
    by_cpu = sum(count * min(_request(spec, "cpu"), cpu) for count, spec in pods) / (0.5 * cpu)
    by_memory = sum(count * min(_request(spec, "memory"), memory * 2**30) for count, spec in pods) / (0.5 * memory * 2**30)
    by_count = sum(count for count, _ in pods) / 55
    return max(1, math.ceil(max(by_cpu, by_memory, by_count)))


def of_file(path: Path) -> Machines:
    """Return the machines of a topology file: kchaos' own form, or `kubectl get nodes,sc,pc,quota -o yaml`. Raises InvalidScenario."""
    where = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidScenario(f"can't read the topology: {error.strerror}", location=Location(where)) from error
    documents: list[Document] = []
    for item in parse(data.decode("utf-8-sig", "replace")):
        if isinstance(item, Problem):
            if item.fatal:
                raise InvalidScenario(item.message, location=Location(where, item.line), hint=item.hint)
        else:
            documents.append(item)
    if len(documents) == 1 and isinstance(documents[0].value, dict) and "kind" not in documents[0].value:
        return _own(documents[0], where)
    loaded = load([Text(where, data)])
    bad = next((note for note in loaded.notes if note.level == "error"), None)
    if bad is not None:
        raise InvalidScenario(bad.message, location=Location(where, bad.line), hint=bad.hint)
    found = {one.obj["metadata"]["name"]: one for one in loaded.manifests if one.obj["kind"] == "Node" and one.obj["metadata"].get("name")}
    nodes = [one.obj for one in found.values()]
    if not nodes:
        hint = "write `nodes: 6` and `zones: 3`, or give the output of `kubectl get nodes,sc,pc,quota -o yaml`"
        raise InvalidScenario("no nodes in the topology", location=Location(where, 1), hint=hint)
    others = tuple(_clean(one.obj) for one in loaded.manifests if one.obj["kind"] in ("StorageClass", "PriorityClass", "ResourceQuota"))
    workers = [node for node in nodes if not _is_master(node)] or nodes
    specs = []
    for node in workers:
        manifest = found[node["metadata"]["name"]]
        for index, taint in enumerate(get(node, "spec", "taints", default=())):
            _taint(taint, Location(where, manifest.at(f"spec.taints[{index}]")))
        pods = get(node, "status", "allocatable", "pods", default=get(node, "status", "capacity", "pods", default="110"))
        if re.fullmatch(r"\d+", str(pods)) is None:
            at = Location(where, manifest.at("status.allocatable.pods"))
            raise InvalidScenario(f"pods of a node must be a whole number, not {pods}", location=at, hint='write pods: "110"')
        specs.append(_node(node))
        _sane(specs[-1], partial(_field_at, where, manifest))
    topology = Topology(nodes=tuple(specs), masters=3 if len(nodes) - len(workers) >= 3 else 1)
    return Machines(topology, others, f"{len(workers)} nodes {_in_zones(topology)}, from {where}")


def _own(document: Document, where: str) -> Machines:
    try:
        found = msgspec.convert(document.value, TopologyFile)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else ""
        unknown = str(error).partition("unknown field `")[2].partition("`")[0]
        line = line_of(document.node, field or unknown) if field or unknown else document.line
        hint = "write `nodes: 6` and `zones: 3`, or a list of nodes with name and zone"
        if str(error).startswith("Expected `str`"):
            hint = "put it in quotes"
        raise InvalidScenario(f"not a topology: {error}", location=Location(where, line), hint=hint) from error
    if found.masters not in (1, 3):
        raise InvalidScenario(
            "masters must be 1 or 3", location=Location(where, line_of(document.node, "masters")), hint="write masters: 1"
        )
    if isinstance(found.nodes, int):
        if not 1 <= found.nodes <= NODES or not 1 <= found.zones <= found.nodes:
            hint = "write for example `nodes: 6` and `zones: 3`"
            raise InvalidScenario("nodes must be 1 to 5000, with at most as many zones", location=Location(where, document.line), hint=hint)
        topology = msgspec.structs.replace(spread_over_zones(found.nodes, found.zones, found.cpu, found.memory), masters=found.masters)
        _sane(topology.nodes[0], lambda field: Location(where, line_of(document.node, field)))
    else:
        names = [node.name for node in found.nodes]
        double = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if double or not names:
            at = Location(where, line_of(document.node, f"nodes[{len(names) - 1 - names[::-1].index(double)}]" if double else "nodes"))
            hint = "give each its own name" if double else "write nodes: 6, or a list of nodes"
            raise InvalidScenario(f"two nodes are named {double}" if double else "no nodes", location=at, hint=hint)
        _nodes(document, found.nodes, where)
        topology = Topology(nodes=found.nodes, masters=found.masters)
    return Machines(topology, (), f"{len(topology.nodes)} nodes {_in_zones(topology)}, from {where}")


def _in_zones(topology: Topology) -> str:
    without = sum(1 for node in topology.nodes if not node.zone)
    if without == len(topology.nodes):
        return "without zones (no node has the label topology.kubernetes.io/zone)"
    count = len(topology.zones)
    return f"in {count} zone{'s' if count > 1 else ''}" + (f", {without} of them in none" if without else "")


def _field_at(where: str, manifest: Manifest, field: str) -> Location:
    """Return where a Node has what NodeSpec calls ``field``."""
    return Location(where, manifest.at(_FIELDS[field]))


_FIELDS = {
    "name": "metadata.name", "zone": "metadata.labels", "cpu": "status.allocatable.cpu", "memory": "status.allocatable.memory",
    "ephemeral_storage": "status.allocatable.ephemeral-storage",
}  # fmt: skip
"""Where a Node has what NodeSpec has."""


def _nodes(document: Document, nodes: Sequence[NodeSpec], where: str) -> None:
    """Refuse what a list of nodes has and NodeSpec does not know, and what no node can have."""
    known = [field.name for field in msgspec.structs.fields(NodeSpec)]
    for index, node in enumerate(nodes):

        def at(field: str, index: int = index) -> Location:
            return Location(where, line_of(document.node, f"nodes[{index}].{field}"))

        for key in document.value["nodes"][index]:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
                raise InvalidScenario(f"unknown field {key} of a node", location=at(key), hint=hint)
        for number, taint in enumerate(node.taints):
            _taint(taint, at(f"taints[{number}]"))
        _sane(node, at)


def _taint(taint: Obj, at: Location) -> None:
    if not taint.get("key") or taint.get("effect") not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        hint = "write {key: gpu, effect: NoSchedule}; the effect is NoSchedule, PreferNoSchedule or NoExecute"
        raise InvalidScenario("a taint needs its key and effect", location=at, hint=hint)


def _sane(node: NodeSpec, at: Callable[[str], Location]) -> None:
    """Refuse names and amounts that Kubernetes refuses."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", node.name) is None:
        raise InvalidScenario(f"{node.name!r} can't name a node", location=at("name"), hint="write small letters, digits and -")
    if node.zone and re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", node.zone) is None:
        raise InvalidScenario(f"{node.zone!r} can't name a zone", location=at("zone"), hint="write letters, digits and -")
    for field in ("cpu", "memory", "ephemeral_storage"):
        value = getattr(node, field)
        try:
            fits = quantity(value) > 0
        except ValueError:
            fits = False
        if not fits:
            raise InvalidScenario(f"{field} {value!r} is no amount", location=at(field), hint='write for example cpu: "8", memory: 32Gi')


def _is_master(node: Obj) -> bool:
    taints = get(node, "spec", "taints", default=())
    return any(
        t.get("key") in ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master") and t.get("effect") == "NoSchedule"
        for t in taints
    )


def _node(node: Obj) -> NodeSpec:
    labels: dict[str, str] = get(node, "metadata", "labels", default={})
    space: dict[str, Any] = get(node, "status", "allocatable", default={}) or get(node, "status", "capacity", default={})
    known = ("cpu", "memory", "pods", "ephemeral-storage")
    taints = tuple(
        {k: v for k, v in t.items() if k != "timeAdded"}
        for t in get(node, "spec", "taints", default=())
        if not t["key"].startswith("node.kubernetes.io/")
    )
    return NodeSpec(
        name=node["metadata"]["name"], zone=labels.get(ZONE, ""), region=labels.get(REGION, ""),
        cpu=str(space.get("cpu", "8")), memory=str(space.get("memory", "32Gi")), pods=int(str(space.get("pods", "110"))),
        ephemeral_storage=str(space.get("ephemeral-storage", "100Gi")),
        labels={k: v for k, v in labels.items() if k not in _OWN}, taints=taints,
        extended={k: str(v) for k, v in space.items() if k not in known and not k.startswith("hugepages-")},
    )  # fmt: skip


def _clean(obj: Obj) -> Obj:
    """Return an object read from a server without what only a server may set."""
    meta = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "labels", "annotations")}
    return {k: v for k, v in {**obj, "metadata": meta}.items() if k != "status"}
