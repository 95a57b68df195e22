"""What a run comes to, by role: its end state, and what its controllers destroyed on the way.

A role is what an object is for, without what is generated: the pods of one ReplicaSet are one role, a StatefulSet's pods are each their
own. So that two runs can be compared in which names, uids and times differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kchaos.canonical import encode
from kchaos.history.record import Run, Write
from kchaos.models.api.pods import controller_of, labels, phase, ready, terminating
from kchaos.models.api.tree import Obj, get, leaves
from kchaos.models.controllers.daemonset_decide import target_of
from kchaos.models.controllers.history import LABEL as REVISION
from kchaos.models.controllers.statefulset_decide import ordinal_of, start_of
from kchaos.properties.common import begins_deletion

COMPARED = (
    "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "pods", "services", "endpointslices", "persistentvolumeclaims",
    "persistentvolumes", "poddisruptionbudgets", "nodes",
)  # fmt: skip
FIELDS = 3
"""That are told of an object which differs."""
OWNERS = ("replicasets", "replicationcontrollers", "jobs", "statefulsets")
"""Who say which pods there are to be."""
CATCH_UP_S = 1.0
"""A server that was stale tells of each kind by itself: for a moment its clients see new pods of an old ReplicaSet, in real clusters too. That
is no consistent view, and what is deleted for it is not counted."""
NOT_CONTROLLERS = ("user", "kubelet", "")


def role_of(resource: str, key: str, obj: Obj) -> str:
    """Return ``pods of ReplicaSet web-5d4f``, ``pods default/store-0``, ``deployments default/web``."""
    ref = controller_of(obj)
    if resource in ("pods", "endpointslices") and ref is not None and ref["kind"] != "StatefulSet":
        node = f" on {target_of(obj)}" if ref["kind"] == "DaemonSet" else ""
        return f"{resource} of {ref['kind']} {ref['name']}{node}"
    if resource == "persistentvolumes":
        return f"{resource} {get(obj, 'spec', 'claimRef', 'name', default='')}"
    return f"{resource} {key}"


State = Mapping[str, Sequence[str]]
"""By role, what its objects are, as canonical JSON."""


def end_state(run: Run) -> State:
    """Return the state of the objects of each role, without names that were generated, uids, versions and times."""
    tables: dict[str, dict[str, Obj]] = {name: dict(table) for name, table in run.header.initial.items()}
    for entry in run.entries:
        if isinstance(entry, Write):
            table = tables.setdefault(entry.resource, {})
            if entry.type == "DELETED":
                table.pop(entry.key, None)
            else:
                table[entry.key] = entry.obj
    roles: dict[str, list[str]] = {}
    for resource in COMPARED:
        for key, obj in tables.get(resource, {}).items():
            roles.setdefault(role_of(resource, key, obj), []).append(encode(_shape(resource, obj)).decode())
    return {role: sorted(found) for role, found in roles.items()}


def different(wanted: State, got: State) -> tuple[str, ...]:
    """Return the roles in which two end states differ, and in what: ``deployments default/web (status.readyReplicas 2 instead of 3)``."""
    roles = sorted(role for role in {**wanted, **got} if wanted.get(role) != got.get(role))
    return tuple(f"{role} ({_difference(wanted.get(role, ()), got.get(role, ()))})" for role in roles)


def _difference(wanted: Sequence[str], got: Sequence[str]) -> str:
    """Say how many there are, if not as many; else the fields that differ at the first object that is not the same."""
    if len(wanted) != len(got):
        return f"{len(got)} instead of {len(wanted)}"
    odd = [min((Counter(one) - Counter(other)).elements()) for one, other in ((wanted, got), (got, wanted))]
    before, after = (dict(leaves(msgspec.json.decode(one))) for one in odd)
    fields = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    told = [f"{name} {_words(after.get(name))} instead of {_words(before.get(name))}".strip() for name in fields[:FIELDS]]
    return ", ".join(told) + (f" and {len(fields) - FIELDS} more" if len(fields) > FIELDS else "")


def _words(value: Any) -> str:
    return "none" if value is None else encode(value).decode().strip('"')


def _shape(resource: str, obj: Obj) -> Any:
    if resource == "pods":
        return {"phase": phase(obj), "ready": ready(obj), "placed": bool(obj["spec"].get("nodeName"))}
    if resource == "endpointslices":
        ends = [get(one, "conditions", default={}) for one in obj.get("endpoints") or ()]
        return {"endpoints": sorted(encode(one).decode() for one in ends), "ports": obj.get("ports")}
    if resource == "nodes":
        return {"taints": obj["spec"].get("taints"), "unschedulable": obj["spec"].get("unschedulable", False)}
    if resource in ("persistentvolumes", "persistentvolumeclaims"):
        return get(obj, "status", "phase")
    history = ("collisionCount", "observedGeneration")  # generations count writes: in how many steps an end was reached does not matter
    known = obj.get("status") or {}
    status = {name: value for name, value in known.items() if isinstance(value, int) and name not in history}
    observed = known.get("observedGeneration", 0) == obj["metadata"].get("generation", 0) if "observedGeneration" in known else None
    return {"replicas": obj["spec"].get("replicas"), "status": status, "observed": observed}


def destructions(run: Run) -> dict[str, int]:
    """Return how often controllers deleted of each role what was still wanted, as a fresh view would have shown them.

    Of a ReplicaSet's or Job's pods that is what leaves fewer than its spec asks for, of a StatefulSet's those that have its newest
    template; of anything else every deletion, which an undisturbed run may well have, too: two runs are to be compared.
    """
    level: dict[str, int] = {}
    owners: dict[str, Obj] = {}
    for resource in run.header.initial:
        for key, obj in run.header.initial[resource].items():
            if resource in OWNERS:
                owners[f"{obj['kind']} {key}"] = obj
            if resource in COMPARED:
                role = role_of(resource, key, obj)
                level[role] = level.get(role, 0) + (not terminating(obj))
    out: dict[str, int] = {}
    mixed_until = 0.0
    for entry in run.entries:
        if not isinstance(entry, Write):
            if entry.what == "fault" and entry.data["name"] == "stale-apiserver" and entry.data["action"] == "healed":
                mixed_until = entry.t + CATCH_UP_S
            continue
        if entry.resource in OWNERS:
            owners[f"{entry.obj['kind']} {entry.key}"] = entry.obj
        if entry.resource not in COMPARED:
            continue
        role = role_of(entry.resource, entry.key, entry.obj)
        if entry.type == "ADDED":
            level[role] = level.get(role, 0) + 1
        elif begins_deletion(entry):
            if entry.t >= mixed_until and entry.actor not in NOT_CONTROLLERS and _wanted(entry.obj, owners, level.get(role, 0)):
                out[role] = out.get(role, 0) + 1
            level[role] = level.get(role, 0) - 1
    return out


def _wanted(obj: Obj, owners: dict[str, Obj], level: int) -> bool:
    """Tell whether an object is one that its owner asks for now; ``level``: how many of its role there are."""
    ref = controller_of(obj)
    space = obj["metadata"].get("namespace", "")
    owner = owners.get(f"{ref['kind']} {space}/{ref['name']}") if ref is not None else None
    if owner is None:
        return True
    if terminating(owner):
        return False
    if owner["kind"] == "StatefulSet":
        newest = get(owner, "status", "updateRevision") == labels(obj).get(REVISION)
        inside = 0 <= ordinal_of(owner, obj) - start_of(owner) < int(owner["spec"].get("replicas", 1))
        return newest and inside and phase(obj) != "Failed"
    return level <= int(owner["spec"].get("parallelism" if owner["kind"] == "Job" else "replicas", 1))


def destroyed(wanted: dict[str, int], got: dict[str, int]) -> tuple[str, ...]:
    """Return the roles of which more was destroyed than in the undisturbed run."""
    return tuple(sorted(role for role, count in got.items() if count > wanted.get(role, 0)))
