"""Faults of the node network: lost overlay packets, stale entries, rules that are not synced, a dead DNS replica, a lost lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.cluster import Cluster
from kchaos.models.network.overlay import BACKEND_DATA, MANAGED, PUBLIC_IP, lease_of
from kchaos.nemesis.fault import Evidence, Kind

READINESS_S = 30.0
"""A replica that is dead is taken out of the DNS Service after three failed probes, ten seconds apart."""
REPLICAS = 2
"""CoreDNS replicas that kubeadm and most distributions run."""


class _OverlayLoss:
    """UDP 8472 to a node is dropped (a firewall rule, a security group): its pods are cut off from those of other nodes."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._network = cluster.network
        self._node = node
        self._network.set_loss(node, True)
        self._lost = sum(1 for other in self._network.peers if other != node and self._network.path(other, node))

    def undo(self) -> None:
        self._network.set_loss(self._node, False)

    def evidence(self) -> Evidence:
        return {"paths_lost": self._lost}


class _StaleEntry:
    """A node's FDB sends the packets for one other node to a third (or to an address that is gone), as after a missed lease event."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._network = cluster.network
        self._node = node
        before = self._network.peers[node]
        macs = list(before.fdb)
        self._changed = 0
        if macs:
            wrong = before.fdb[macs[1]] if len(macs) > 1 else before.fdb[macs[0]] + 200
            self._network.set_peers(node, before._replace(fdb={**before.fdb, macs[0]: wrong}))
            self._changed = sum(1 for other in self._network.peers if other != node and self._network.path(node, other))

    def undo(self) -> None:
        self._network.sync_later(self._node)

    def evidence(self) -> Evidence:
        return {"paths_lost": self._changed}


class _StoppedProxy:
    """kube-proxy of one node writes no rules any more; those that it wrote stay, and grow stale."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node
        self._proxy = cluster.proxies.get(node)
        self._missed = 0
        if self._proxy is not None:
            self._proxy.stopped = True

    def undo(self) -> None:
        self._missed = self._count()
        proxy = self._cluster.proxies.get(self._node)
        if self._proxy is not None and proxy is self._proxy:
            owner = self._cluster.world.processes[f"{self._node}/kube-proxy"].owner
            self._cluster.world.loop.run_as(owner, self._proxy.resume)

    def _count(self) -> int:
        return max(self._missed, len(self._proxy.missed) if self._proxy is not None else 0)

    def evidence(self) -> Evidence:
        return {"services_missed": self._count()}


class _DeadDns:
    """One of two DNS replicas answers nothing; until its readiness probe fails, a part of the lookups runs into it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._since_s = cluster.world.loop.time()
        self._over_s: float | None = None
        self._asked = bool(cluster.traffic.services)
        self._set(1)
        cluster.world.loop.schedule(self._since_s + READINESS_S, self._end, (), None)

    def _end(self) -> None:
        if self._over_s is None:
            self._over_s = self._cluster.world.loop.time()
            self._set(0)

    def _set(self, dead: int) -> None:
        traffic = self._cluster.traffic
        traffic.dns_dead = dead / REPLICAS
        self._cluster.recorder.mark("lookups", dead=dead, replicas=REPLICAS, lost=traffic.unresolved())
        self._cluster.traffic_changed()

    def undo(self) -> None:
        self._end()

    def evidence(self) -> Evidence:
        end = self._over_s if self._over_s is not None else self._cluster.world.loop.time()
        return {"replica_dead_s": round(end - self._since_s, 3) if self._asked else 0}


class _LostLease:
    """The lease of a node goes out of the store: other nodes take their route, ARP and FDB entries to its pods away."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node
        self._lost = 0
        found = cluster.control.store.get("nodes", node)
        notes = (found or {}).get("metadata", {}).get("annotations") or {}
        self._notes = {key: notes[key] for key in (PUBLIC_IP, BACKEND_DATA, MANAGED) if key in notes}
        if self._notes and found is not None and lease_of(found) is not None:
            cluster.network.touched = True
            cluster.user.client._rt.spawn(self._patch(dict.fromkeys(self._notes)), f"lose the lease of {node}")

    async def _patch(self, notes: dict[str, Any]) -> None:
        for _ in range(20):
            try:
                await self._cluster.user.patch("nodes", "", self._node, {"metadata": {"annotations": notes}}, patch_type="merge")
                if not any(notes.values()):
                    self._lost += 1
                return
            except ApiError as error:
                if error.reason == "NotFound":
                    return
                await self._cluster.user.client._rt.sleep(1.0)

    def undo(self) -> None:
        if self._notes:
            self._cluster.user.client._rt.spawn(self._patch(self._notes), f"lease {self._node} again")

    def evidence(self) -> Evidence:
        return {"leases_lost": self._lost}


def _kind(name: str, summary: str, evidence: str, inject: Callable[[Cluster, dict[str, Any]], Any], target: str = "node") -> Kind[Cluster]:
    return Kind(name=name, summary=summary, klass="overlay", target=target, evidence=evidence, inject=inject, level1=False)


KINDS = (
    _kind("overlay-loss", "overlay packets to a node are lost; its pods do not reach those of other nodes", "paths lost",
          lambda cluster, args: _OverlayLoss(cluster, args["target"])),
    _kind("stale-fdb", "a node's forwarding entry for another node points elsewhere", "paths lost",
          lambda cluster, args: _StaleEntry(cluster, args["target"])),
    _kind("proxy-stopped", "kube-proxy of a node syncs no more; its rules grow stale", "changes missed",
          lambda cluster, args: _StoppedProxy(cluster, args["target"])),
    _kind("dns-replica-dead", "one of two DNS replicas answers nothing until its probe fails", "seconds dead",
          lambda cluster, args: _DeadDns(cluster), "cluster"),
    _kind("lease-lost", "a node's pod subnet lease vanishes; the others forget the way to its pods", "leases lost",
          lambda cluster, args: _LostLease(cluster, args["target"])),
)  # fmt: skip
