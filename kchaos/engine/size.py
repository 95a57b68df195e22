"""Is it small enough to simulate: counted before anything is, so that a slip of the pen is told at once."""

from __future__ import annotations

from collections.abc import Sequence

from kchaos.errors import InvalidScenario, Location
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Manifest
from kchaos.models.topology import NodeSpec, default_labels

PODS = 20_000
"""More take longer to boot than anybody waits (about 20 s for these, and as long again for each example)."""
NODES = 5_000


def _number(value: object, default: int) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else default


def pods_of(obj: Obj, nodes: Sequence[NodeSpec]) -> tuple[int, str]:
    """Return how many pods come of an object at once, and which field says so."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind == "Pod":
        return 1, "kind"
    if kind in ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"):
        return _number(spec.get("replicas"), 1), "spec.replicas"
    if kind in ("Job", "CronJob"):
        prefix = "spec" if kind == "Job" else "spec.jobTemplate.spec"
        job = spec if kind == "Job" else get(spec, "jobTemplate", "spec", default={})
        parallel = _number(job.get("parallelism"), 1)
        return min(parallel, _number(job.get("completions"), parallel)), f"{prefix}.parallelism"
    if kind == "DaemonSet":
        wanted = (get(spec, "template", "spec", "nodeSelector", default={}) or {}).items()
        return sum(1 for node in nodes if wanted <= default_labels(node).items()), "spec"
    return 0, ""


def refuse_too_many(manifests: Sequence[Manifest], nodes: Sequence[NodeSpec] = ()) -> None:
    """Raise InvalidScenario, at the object that makes most of them, if more pods come of the objects than can be simulated."""
    counts = [(*pods_of(one.obj, nodes), one) for one in manifests]
    total = sum(count for count, _, _ in counts)
    if total <= PODS:
        return
    most, path, one = max(counts, key=lambda row: row[0])
    label = f"{one.obj['kind']} {one.obj['metadata'].get('name', '')}"
    share = "" if most == total else f", {most:,} of them of {label}"
    hint = "use fewer nodes" if path == "spec" else f"lower {path.rpartition('.')[2]}"
    raise InvalidScenario(
        f"{total:,} pods are more than kchaos simulates (limit {PODS:,}){share}", location=Location(one.file, one.at(path)), hint=hint
    )
