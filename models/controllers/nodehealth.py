"""What the health of nodes and zones means: conditions, taints, eviction rates. Pure.

pkg/controller/nodelifecycle/node_lifecycle_controller.go: ComputeZoneState, tryUpdateNodeHealth, doNoScheduleTaintingPass.
"""

from __future__ import annotations

from enum import StrEnum

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


def with_no_schedule(node: Obj, now: str) -> list[Obj] | None:
    """Return the taints with our NoSchedule ones put right; None if they are."""
    wanted = no_schedule_taints(node)
    taints = list(node["spec"].get("taints") or ())
    have = {t["key"]: None for t in taints if t["effect"] == "NoSchedule" and t["key"] in _OURS}
    if wanted.keys() == have.keys():
        return None
    kept = [t for t in taints if not (t["effect"] == "NoSchedule" and t["key"] in _OURS and t["key"] not in wanted)]
    return kept + [{"key": key, "effect": "NoSchedule", "timeAdded": now} for key in wanted if key not in have]


def with_no_execute(node: Obj, now: str) -> list[Obj] | None:
    """Return the taints with the NoExecute one that the Ready condition asks for; None if they are right."""
    status = ready_status(node)
    wanted = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(status)
    taints = list(node["spec"].get("taints") or ())
    have = [t["key"] for t in taints if t["effect"] == "NoExecute" and t["key"] in (NOT_READY, UNREACHABLE)]
    if have == ([wanted] if wanted else []):
        return None
    kept = [t for t in taints if not (t["effect"] == "NoExecute" and t["key"] in (NOT_READY, UNREACHABLE) and t["key"] != wanted)]
    if wanted and wanted not in have:
        kept.append({"key": wanted, "effect": "NoExecute", "timeAdded": now})
    return kept
