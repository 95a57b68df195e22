"""One node as the scheduler sees it, kept up to date pod by pod (pkg/scheduler/framework/types.go: NodeInfo), and the order of nodes."""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.models.api.pods import labels, name
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.volumes import ZONE
from kchaos.models.scheduler.podinfo import PodInfo, Port, Resources, amounts

REGION = "topology.kubernetes.io/region"


class NodeInfo:
    """A node, what its pods request, and which host ports they hold. ``node`` is None while only its pods are known."""

    __slots__ = ("allocatable", "cpu", "index", "labels", "max_pods", "memory", "name", "node", "pods", "ports", "requested", "taints")

    def __init__(self, node_name: str) -> None:
        self.name = node_name
        self.node: Obj | None = None
        self.index = -1
        self.labels: dict[str, str] = {}
        self.taints: list[Obj] = []
        self.allocatable: Resources = {}
        self.max_pods = 0
        self.requested: Resources = {}
        self.cpu = 0
        self.memory = 0
        self.pods: dict[str, PodInfo] = {}
        self.ports: dict[tuple[str, int], dict[str, int]] = {}

    def set_node(self, node: Obj | None) -> None:
        """Take over the node object."""
        self.node = node
        if node is None:
            return
        self.labels = dict(labels(node))
        self.taints = node["spec"].get("taints") or []
        self.allocatable = amounts(get(node, "status", "allocatable"))
        self.max_pods = self.allocatable.get("pods", 0)

    def add(self, info: PodInfo, sign: int = 1) -> None:
        """Count a pod in (``sign`` 1) or out (-1)."""
        shape = info.shape
        if sign > 0:
            self.pods[info.uid] = info
        else:
            del self.pods[info.uid]
        for key, amount in shape.requests.items():
            self.requested[key] = self.requested.get(key, 0) + sign * amount
        self.cpu += sign * shape.cpu
        self.memory += sign * shape.memory
        for ip, protocol, port in shape.ports:
            held = self.ports.setdefault((protocol, port), {})
            held[ip] = held.get(ip, 0) + sign
            if not held[ip]:
                del held[ip]
            if not held:
                del self.ports[protocol, port]

    def close_gap(self, rank: int) -> None:
        """Move the last pod to where one was taken off, as upstream does: the order decides among equal victims (removeFromSlice)."""
        keys = list(self.pods)
        if rank < len(keys):
            keys.insert(rank, keys.pop())
            self.pods = {key: self.pods[key] for key in keys}

    def port_conflict(self, ports: Iterable[Port]) -> bool:
        """Tell whether one of ``ports`` is taken; 0.0.0.0 conflicts with every address (HostPortInfo.CheckConflict)."""
        for ip, protocol, port in ports:
            held = self.ports.get((protocol, port))
            if held and (ip == "0.0.0.0" or ip in held or "0.0.0.0" in held):
                return True
        return False


def zone_key(node: Obj) -> str:
    """Return region and zone of a node, empty if it has neither (component-helpers/node/topology: GetZoneKey)."""
    tags = labels(node)
    zone = tags.get(ZONE) or tags.get("failure-domain.beta.kubernetes.io/zone") or ""
    region = tags.get(REGION) or tags.get("failure-domain.beta.kubernetes.io/region") or ""
    return f"{region}:\x00:{zone}" if zone or region else ""


def interleaved(nodes: Iterable[NodeInfo]) -> list[NodeInfo]:
    """Return the nodes in the order in which they are tried: one of each zone in turn (pkg/scheduler/backend/cache/node_tree.go)."""
    zones: dict[str, list[NodeInfo]] = {}
    for info in nodes:
        assert info.node is not None
        zones.setdefault(zone_key(info.node), []).append(info)
    out: list[NodeInfo] = []
    rows = max((len(row) for row in zones.values()), default=0)
    for i in range(rows):
        out.extend(row[i] for row in zones.values() if i < len(row))
    return out


def scheduling_change(old: Obj | None, new: Obj | None) -> bool:
    """Tell whether a change of a node can matter to where pods go: not its heartbeats."""
    if old is None or new is None:
        return True
    if old["spec"] != new["spec"] or labels(old) != labels(new) or name(old) != name(new):
        return True
    return bool(get(old, "status", "allocatable") != get(new, "status", "allocatable"))
