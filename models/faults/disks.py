"""A node's disk runs full: the kubelet reports DiskPressure, evicts pods and takes no more; what eviction can't free stays full."""

from __future__ import annotations

from functools import partial
from typing import Any

from kchaos.history.record import Entry, Mark
from kchaos.models.cluster import Cluster
from kchaos.models.node.eviction import critical
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.disks import FullDisk
from kchaos.nemesis.fault import Evidence, Kind

HOST, POD = "host", "pod"


class _DiskFull:
    """Files of the host that no eviction frees, or of one pod: then they go with that pod."""

    def __init__(self, cluster: Cluster, node: str, filler: str, free: float) -> None:
        self._cluster = cluster
        self._node = node
        self._evicted = 0
        self._rejected = 0
        self._full = FullDisk(cluster.world, node, free)
        self._uid = self._filler() if filler == POD else ""
        cluster.recorder.listeners.append(self._seen)
        self._look()

    def _filler(self) -> str:
        """Return the uid of the first pod, by name, that runs here and can be evicted; it has written all that is taken."""
        kubelet = self._cluster.kubelets[self._node]
        running = [one for one in kubelet.machines.values() if one.running and not critical(one.pod)]
        best = min(running, key=lambda one: one.key, default=None)
        if best is None:
            return ""
        kubelet.eviction.written[best.uid] = 1 << 62
        return best.uid

    def _look(self) -> None:
        """Let the kubelet see it at its next look; a node without power sees it when it starts."""
        living = self._cluster.world.processes.get(f"{self._node}/kubelet")
        if living is not None and not living.owner.crashed:
            kubelet = self._cluster.kubelets[self._node]
            self._cluster.world.loop.run_as(living.owner, partial(kubelet.rt.call_soon, kubelet.eviction.look))

    def _seen(self, entry: Entry) -> None:
        if isinstance(entry, Mark):
            if self._uid and entry.what == "pod" and entry.data["event"] == "stopped" and entry.data["uid"] == self._uid:
                self._full.undo()
        elif entry.resource == "pods" and entry.actor == "kubelet" and entry.prev is not None and entry.type == "MODIFIED":
            state, before = entry.obj.get("status") or {}, entry.prev.get("status") or {}
            if state.get("reason") == "Evicted" != before.get("reason") and entry.obj["spec"].get("nodeName") == self._node:
                rejected = str(state.get("message", "")).startswith("Pod was rejected")
                self._rejected += rejected
                self._evicted += not rejected

    def undo(self) -> None:
        """Make room; the node takes pods again after the kubelet's transition period."""
        self._full.undo()
        self._cluster.recorder.listeners.remove(self._seen)

    def evidence(self) -> Evidence:
        """Return how many pods were evicted and refused."""
        return {"pods_evicted": self._evicted, "pods_refused": self._rejected}


def _inject(cluster: Cluster, args: dict[str, Any]) -> _DiskFull:
    return _DiskFull(cluster, args["target"], args["filler"], float(args["free"]))


KINDS: tuple[Kind[Cluster], ...] = (
    Kind(
        name="disk-full", summary="a node's disk runs full: its pods are evicted one by one, and it takes no others", klass="disk",
        target="node", evidence="pods evicted or refused", level1=False, inject=_inject,
        arguments=(Argument("filler", HOST, choices=(HOST, POD)), Argument("free", 0.0, high=1.0, usual=(0.0, 0.2))),
    ),
)  # fmt: skip
