"""The sweep over writes: one operation of a user, and the control plane crashes after each single write that it brings about.

First the operation runs undisturbed and the writes of each controller and of the scheduler are counted. Then it runs once for each of
them, and the process that wrote dies right after the commit, before it hears the answer. A level-triggered control plane ends in the
same state each time (Sieve, OSDI '22, calls this the intermediate-state pattern).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from kchaos.canonical import encode
from kchaos.engine.kubernetes import Boot, Outcome, System, run
from kchaos.engine.sweep import sweep
from kchaos.history.record import Run, Write
from kchaos.models.api.pods import controller_of, phase, ready
from kchaos.models.api.tree import Obj, get
from kchaos.models.controlplane import MANAGER, SCHEDULER
from kchaos.scenario import Nth, Scenario, Step

OTHERS = ("user", "kubelet", "kube-controller-manager", "")
"""Who writes without being a controller; the manager's own writes are to its Lease."""
COMPARED = (
    "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "pods", "services", "endpointslices", "persistentvolumeclaims",
    "persistentvolumes", "poddisruptionbudgets", "nodes",
)  # fmt: skip


class WriteCase(NamedTuple):
    """One crash: after the ``n``-th write of ``actor``."""

    actor: str
    n: int

    @property
    def words(self) -> str:
        """Return ``write 3 of replicaset-controller``."""
        return f"write {self.n} of {self.actor}"

    def step(self) -> Step:
        """Return the fault."""
        process = SCHEDULER if self.actor == SCHEDULER else MANAGER
        return Step(do="leader-crash", args={"target": process}, when=Nth({"on": "commit", "actor": self.actor}, self.n))


class WriteResult(NamedTuple):
    """What one crash came to: ``fired``, whether the end state is the undisturbed one, and what of safety was violated."""

    case: WriteCase
    fired: bool
    same: bool
    differences: tuple[str, ...]
    violations: tuple[str, ...]


def cases(outcome: Outcome) -> list[WriteCase]:
    """Return a case for each write that controllers and scheduler made in an undisturbed run while the operation went on."""
    counts: dict[str, int] = {}
    out = []
    chaos = False
    for entry in outcome.run.entries:
        if not isinstance(entry, Write):
            chaos = entry.data["name"] == "chaos" if entry.what == "phase" else chaos
        elif chaos and entry.actor not in OTHERS and not entry.actor.startswith("csi-"):
            counts[entry.actor] = counts.get(entry.actor, 0) + 1
            out.append(WriteCase(entry.actor, counts[entry.actor]))
    return out


def operations(system: System, booted: Boot, names: list[str] | None = None) -> list[Step]:
    """Return what is tried: a rollout of each workload, a scale-down of each StatefulSet, a drain of the first node with pods.

    ``names``: only these faults and operations, on all their targets.
    """
    if names is not None:
        return sweep(system, booted, names).singles
    steps = sweep(system, booted, ["rollout", "scale-down", "drain"]).singles
    drains = [step for step in steps if step.do == "drain"][:1]
    scaled = [step for step in steps if step.do == "scale-down" and step.args["target"].startswith("StatefulSet/")]
    return [*(step for step in steps if step.do == "rollout"), *scaled, *drains]


def sweep_writes(system: System, booted: Boot, operation: Step, seed: int = 0) -> Iterator[WriteResult]:
    """Yield the result of each crash of one operation."""
    alone = run(system, booted, Scenario(seed=seed, steps=(operation,)))
    wanted = end_state(alone.run)
    for case in cases(alone):
        found = run(system, booted, Scenario(seed=seed, steps=(operation, case.step())))
        got = end_state(found.run)
        different = tuple(sorted(key for key in {*wanted, *got} if wanted.get(key) != got.get(key)))
        bad = tuple(f"{prop.id} {v.object}: {v.summary}" for prop, v in found.violations if not prop.id.startswith("KC2"))
        yield WriteResult(case, found.steps[1]["status"] == "bit", not different, different, bad)


def end_state(run_: Run) -> dict[str, str]:
    """Return what a run ends in, by role: objects without names that were generated, uids, versions and times.

    Objects of one role (the pods of one owner with one template) are counted, so that which of equal pods is which does not matter.
    """
    tables: dict[str, dict[str, Obj]] = {name: dict(table) for name, table in run_.header.initial.items()}
    for entry in run_.entries:
        if isinstance(entry, Write):
            table = tables.setdefault(entry.resource, {})
            if entry.type == "DELETED":
                table.pop(entry.key, None)
            else:
                table[entry.key] = entry.obj
    roles: dict[str, list[str]] = {}
    for resource in COMPARED:
        for key, obj in tables.get(resource, {}).items():
            role, shape = _role(resource, key, obj)
            roles.setdefault(f"{resource} {role}", []).append(hashlib.sha256(encode(shape)).hexdigest()[:12])
    return {role: ",".join(sorted(found)) for role, found in roles.items()}


def _role(resource: str, key: str, obj: Obj) -> tuple[str, Any]:
    ref = controller_of(obj)
    owner = f"of {ref['kind']} {ref['name']}" if ref is not None else key
    if resource == "pods":
        if ref is not None and ref["kind"] == "StatefulSet":
            owner = key
        return owner, {"phase": phase(obj), "ready": ready(obj), "placed": bool(obj["spec"].get("nodeName"))}
    if resource == "endpointslices":
        ends = [get(one, "conditions", default={}) for one in obj.get("endpoints") or ()]
        return owner, {"endpoints": sorted(encode(one).decode() for one in ends), "ports": obj.get("ports")}
    if resource == "nodes":
        return key, {"taints": obj["spec"].get("taints"), "unschedulable": obj["spec"].get("unschedulable", False)}
    if resource in ("persistentvolumes", "persistentvolumeclaims"):
        return (key if resource.endswith("claims") else get(obj, "spec", "claimRef", "name", default="")), get(obj, "status", "phase")
    status = {name: value for name, value in (obj.get("status") or {}).items() if isinstance(value, int) and name != "collisionCount"}
    return key, {"replicas": obj["spec"].get("replicas"), "status": status}
