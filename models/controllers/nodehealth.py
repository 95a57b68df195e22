"""What the health of nodes and zones means: conditions, taints, eviction rates. Pure.

pkg/controller/nodelifecycle/node_lifecycle_controller.go: ComputeZoneState, tryUpdateNodeHealth, doNoScheduleTaintingPass.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from kchaos.models.api.pods import condition
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE.values()}


class ZoneState(StrEnum):
    """How much of a zone is ready."""

    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def zone_state(ready: int, not_ready: int, constants: Constants) -> ZoneState:
    """Return the state of a zone with that many nodes; two lost nodes never make a partial disruption."""
    if ready == 0 and not_ready > 0:
        return ZoneState.FULL
    if not_ready > 2 and not_ready / (ready + not_ready) >= constants.unhealthy_zone_threshold:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def eviction_rate(state: ZoneState, nodes: int, constants: Constants) -> float:
    """Return nodes per second that may be tainted NoExecute in a zone of that state and size."""
    if state is ZoneState.PARTIAL:
        return constants.secondary_eviction_rate if nodes > constants.large_cluster_nodes else 0.0
    return constants.eviction_rate


def zone_of(node: Obj) -> str:
    """Return region and zone as one key."""
    marks = node["metadata"].get("labels") or {}
    return f"{marks.get('topology.kubernetes.io/region', '')}:{marks.get('topology.kubernetes.io/zone', '')}"


def ready_status(node: Obj) -> str:
    """Return True, False or Unknown; Unknown if there is no condition."""
    found = condition(node, "Ready")
    return str(found["status"]) if found is not None else "Unknown"


def silenced(node: Obj, now: str) -> Obj | None:
    """Return the node's status with all conditions Unknown; None if they are already."""
    conditions = list(get(node, "status", "conditions", default=()))
    out: list[Obj] = []
    changed = False
    for one in conditions:
        if one["type"] in CONDITIONS and one["status"] != "Unknown":
            changed = True
            one = {
                **one, "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now,
            }  # fmt: skip
        out.append(one)
    for kind in CONDITIONS:
        if not any(one["type"] == kind for one in conditions):
            changed = True
            out.append({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.", "lastTransitionTime": now,
                "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
            })  # fmt: skip
    return {**node["status"], "conditions": out} if changed else None


def no_schedule_taints(node: Obj) -> dict[str, None]:
    """Return the keys of the NoSchedule taints that the node's conditions and spec ask for."""
    keys: dict[str, None] = {}
    for one in get(node, "status", "conditions", default=()):
        if one["type"] == "Ready":
            if one["status"] == "False":
                keys[NOT_READY] = None
            elif one["status"] == "Unknown":
                keys[UNREACHABLE] = None
        elif one["type"] in _PRESSURE and one["status"] == "True":
            keys[_PRESSURE[one["type"]]] = None
    if node["spec"].get("unschedulable"):
        keys[UNSCHEDULABLE] = None
    return keys


class Swap(NamedTuple):
    """Keys of taints of one effect to add, and to remove: one request each (SwapNodeControllerTaint)."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def no_schedule_swap(node: Obj) -> Swap:
    """Return which of our NoSchedule taints are missing or too many."""
    wanted = no_schedule_taints(node)
    have = {t["key"]: None for t in node["spec"].get("taints") or () if t["effect"] == "NoSchedule" and t["key"] in _OURS}
    return Swap(tuple(key for key in wanted if key not in have), tuple(key for key in have if key not in wanted))


def has_taint(node: Obj, key: str, effect: str) -> bool:
    """Tell whether the node carries that taint."""
    return any(t["key"] == key and t["effect"] == effect for t in node["spec"].get("taints") or ())


def no_execute_swap(node: Obj, status: str) -> Swap:
    """Return the NoExecute taints to add and remove for a Ready ``status``; the two exclude each other."""
    wanted = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(status, "")
    have = [key for key in (UNREACHABLE, NOT_READY) if has_taint(node, key, "NoExecute")]
    return Swap((wanted,) if wanted and wanted not in have else (), tuple(key for key in have if key != wanted))


def with_taints(node: Obj, keys: Iterable[str], effect: str, now: str) -> list[Obj]:
    """Return the node's taints and those of ``keys``."""
    added = [{"key": key, "effect": effect, "timeAdded": now} for key in keys if not has_taint(node, key, effect)]
    return [*(node["spec"].get("taints") or ()), *added]


def without_taints(node: Obj, keys: Iterable[str], effect: str) -> list[Obj]:
    """Return the node's taints but those of ``keys``."""
    gone = dict.fromkeys(keys)
    return [t for t in node["spec"].get("taints") or () if not (t["key"] in gone and t["effect"] == effect)]


class Health(NamedTuple):
    """What the monitor remembers of a node: its heartbeats, and when it last saw them move (nodeHealthData)."""

    heartbeat: str
    renewed: str
    probe_s: float


def observed(before: Health | None, node: Obj, lease: Obj | None, now_s: float) -> Health:
    """Return the record after a look: only what *changed* between two looks is a sign of life (tryUpdateNodeHealth)."""
    found = condition(node, "Ready")
    heartbeat = str((found or {}).get("lastHeartbeatTime") or "") if found is not None else "none"
    renewed = str(get(lease, "spec", "renewTime", default="")) if lease is not None else ""
    if before is None:
        return Health(heartbeat, renewed, now_s)
    moved = heartbeat != before.heartbeat or renewed > before.renewed
    return Health(heartbeat, max(renewed, before.renewed), now_s if moved else before.probe_s)


def excluded(node: Obj) -> bool:
    """Tell whether a node does not count when the state of its zone is told (isNodeExcludedFromDisruptionChecks)."""
    return "node.kubernetes.io/exclude-disruption" in (node["metadata"].get("labels") or {})
