"""The machines of a cluster, as data: nodes with zones and capacity, control-plane hosts, storage classes."""

from __future__ import annotations

import msgspec

from kchaos.models.api.tree import Obj


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One worker: quantities as Kubernetes writes them; ``extended`` are further resources by name."""

    name: str
    zone: str = "zone-a"
    region: str = "region-1"
    cpu: str = "8"
    memory: str = "32Gi"
    pods: int = 110
    ephemeral_storage: str = "100Gi"
    labels: dict[str, str] = {}
    taints: tuple[Obj, ...] = ()
    extended: dict[str, str] = {}


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster's machines. ``masters`` 1 or 3: each runs an API server, a controller manager and a scheduler."""

    nodes: tuple[NodeSpec, ...]
    masters: int = 1

    @property
    def zones(self) -> tuple[str, ...]:
        """Return the zones of the workers, sorted; a node may be in none."""
        return tuple(sorted({node.zone: None for node in self.nodes if node.zone}))


def default_labels(node: NodeSpec) -> dict[str, str]:
    """Return the labels that a kubelet and a cloud provider put on a real node, then the user's own."""
    return {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "simulated",
        **({"topology.kubernetes.io/region": node.region} if node.region else {}),
        **({"topology.kubernetes.io/zone": node.zone} if node.zone else {}),
        **node.labels,
    }


def capacity(node: NodeSpec) -> dict[str, str]:
    """Return the node's capacity, which is also what is allocatable."""
    return {
        "cpu": node.cpu,
        "ephemeral-storage": node.ephemeral_storage,
        "memory": node.memory,
        "pods": str(node.pods),
        **node.extended,
    }


def zone_name(index: int, zones: int) -> str:
    """Return ``zone-a`` …; with more zones than letters ``zone-1`` …."""
    return f"zone-{chr(ord('a') + index)}" if zones <= 26 else f"zone-{index + 1}"


def spread_over_zones(nodes: int, zones: int, cpu: str = "8", memory: str = "32Gi") -> Topology:
    """Return ``nodes`` equal workers named ``node-1`` …, dealt over the zones in turn."""
    return Topology(
        nodes=tuple(NodeSpec(name=f"node-{i + 1}", zone=zone_name(i % zones, zones), cpu=cpu, memory=memory) for i in range(nodes))
    )
