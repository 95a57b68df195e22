"""Faults of whole nodes and zones: power, freezing, the network to the control plane, the out-of-service taint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.cluster import Cluster
from kchaos.models.controllers.nodehealth import OUT_OF_SERVICE
from kchaos.nemesis.fault import Evidence, Kind


class _Power:
    """One or more nodes without power; back on at healing."""

    def __init__(self, cluster: Cluster, nodes: list[str]) -> None:
        self._cluster = cluster
        self._nodes = nodes
        up = [node for node in nodes if cluster.world.hosts[node].up]
        self._pods = sum(1 for node in up for m in cluster.kubelets[node].machines.values() if m.running)
        self._off = len(up)
        for node in nodes:
            cluster.world.power_off(node)
        cluster.disturbed()
        cluster.traffic_changed()

    def undo(self) -> None:
        for node in self._nodes:
            self._cluster.world.power_on(node)
        self._cluster.disturbed()
        self._cluster.traffic_changed()

    def evidence(self) -> Evidence:
        return {"nodes_off": self._off, "pods_lost": self._pods}


def _nodes_of_zone(cluster: Cluster, zone: str) -> list[str]:
    return [node.name for node in cluster.topology.nodes if node.zone == zone]


class _Pause:
    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node
        self._pods = sum(1 for m in cluster.kubelets[node].machines.values() if m.running)
        cluster.world.pause(node)
        cluster.disturbed()
        cluster.traffic_changed()

    def undo(self) -> None:
        self._cluster.world.resume(self._node)
        self._cluster.disturbed()
        self._cluster.traffic_changed()

    def evidence(self) -> Evidence:
        return {"pods_frozen": self._pods, "nodes_frozen": 1}


class _Cut:
    """No connection between a node and the masters; pods go on and reach each other."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = node
        self._before = self._held()
        cluster.disturbed()
        for master in cluster.control.hosts:
            cluster.world.network.cut(node, master)
            cluster.world.network.cut(master, node)

    def _held(self) -> int:
        network = self._cluster.world.network
        return sum(
            network.link(a, b).held_total for master in self._cluster.control.hosts for a, b in ((self._node, master), (master, self._node))
        )

    def undo(self) -> None:
        for master in self._cluster.control.hosts:
            self._cluster.world.network.heal(self._node, master)
            self._cluster.world.network.heal(master, self._node)
        self._cluster.disturbed()

    def evidence(self) -> Evidence:
        return {"messages_held": self._held() - self._before}


class _OutOfService:
    """Power loss, and as soon as the node is seen to be unreachable an operator sets the out-of-service taint (KEP-2268)."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._power = _Power(cluster, [node])
        self._node = node
        self._tainted = 0
        self._done = False
        cluster.user.client._rt.spawn(self._wait(), f"out-of-service {node}")

    async def _wait(self) -> None:
        rt = self._cluster.user.client._rt
        while not self._done:
            node = self._cluster.control.store.get("nodes", self._node)
            ready = next((c for c in (node or {}).get("status", {}).get("conditions", ()) if c["type"] == "Ready"), None)
            if ready is not None and ready["status"] == "Unknown":
                await rt.sleep(10.0)
                await self._taint(True)
                return
            await rt.sleep(5.0)

    async def _taint(self, on: bool) -> None:
        user = self._cluster.user
        for _ in range(20):
            try:
                node = await user.get("nodes", "", self._node)
                taints = [t for t in node["spec"].get("taints") or () if t["key"] != OUT_OF_SERVICE]
                if on:
                    taints.append({"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"})
                body = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}, "spec": {"taints": taints or None}}
                await user.patch("nodes", "", self._node, body, patch_type="merge")
                self._tainted += on
                return
            except ApiError:
                await user.client._rt.sleep(1.0)

    def undo(self) -> None:
        self._done = True
        self._power.undo()
        self._cluster.user.client._rt.spawn(self._taint(False), f"back in service {self._node}")

    def evidence(self) -> Evidence:
        return {**self._power.evidence(), "taints_set": self._tainted}


def _kind(
    name: str, summary: str, klass: str, target: str, evidence: str, inject: Callable[[Cluster, dict[str, Any]], Any]
) -> Kind[Cluster]:
    return Kind(name=name, summary=summary, klass=klass, target=target, evidence=evidence, inject=inject)


KINDS = (
    _kind("node-power-loss", "a node loses power; its disk keeps what was synced", "node", "node", "pods lost",
          lambda cluster, args: _Power(cluster, [args["target"]])),
    _kind("zone-power-loss", "all nodes of a zone lose power", "zone", "zone", "nodes off",
          lambda cluster, args: _Power(cluster, _nodes_of_zone(cluster, args["target"]))),
    _kind("node-pause", "a node freezes (hung hypervisor) and goes on later", "node", "node", "pods frozen",
          lambda cluster, args: _Pause(cluster, args["target"])),
    _kind("network-partition", "a node loses its connection to the control plane; its pods run on", "network", "node",
          "messages held", lambda cluster, args: _Cut(cluster, args["target"])),
    _kind("out-of-service", "a node loses power for good; an operator sets the out-of-service taint", "node", "node",
          "taint set", lambda cluster, args: _OutOfService(cluster, args["target"])),
)  # fmt: skip
