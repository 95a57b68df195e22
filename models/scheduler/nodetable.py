"""What nodes are to pods of one shape: whether they fit and how they score, re-evaluated only for nodes that changed."""

from __future__ import annotations

from kchaos.models.scheduler.nodefilters import (
    CORDON,
    NO_PORTS,
    TAINTED,
    UNAFFINE,
    UNSCHEDULABLE,
    Refusal,
    preferred_affinity,
    refused_resources,
    required_affinity,
    resource_score,
    soft_taints,
    taints_tolerated,
    tolerates,
)
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.podinfo import Shape


class ShapeTests:
    """The compiled rules of one shape."""

    __slots__ = ("_cordon", "affinity", "preferred", "shape")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._cordon = tolerates(shape.tolerations, CORDON)
        self.affinity = required_affinity(shape)
        self.preferred = preferred_affinity(shape)

    def affine(self, node: NodeInfo) -> bool:
        """Tell whether selector and required affinity match."""
        return self.affinity is None or self.affinity(node.labels, node.name)

    def refused_by_node(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal by what the node object says, whatever runs there."""
        assert node.node is not None
        if node.node["spec"].get("unschedulable") and not self._cordon:
            return UNSCHEDULABLE
        if not taints_tolerated(self.shape, node):
            return TAINTED
        if self.affinity is not None and not self.affinity(node.labels, node.name):
            return UNAFFINE
        return None

    def refused_by_use(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal by what runs on the node."""
        if self.shape.ports and node.port_conflict(self.shape.ports):
            return NO_PORTS
        return refused_resources(self.shape, node)

    def preference(self, node: NodeInfo) -> int:
        """Return the sum of the weights of preferred terms that match (NodeAffinity Score)."""
        return sum(weight for weight, test in self.preferred if test(node.labels, node.name))


class NodeTable:
    """One row a node, in the order of ``nodes``: refusal or None, resource score, raw taint and affinity scores."""

    __slots__ = (
        "_by_node", "affinity_varies", "base", "nodes", "object_version", "position", "preferred", "refused", "taints", "taints_vary",
        "tests",
    )  # fmt: skip

    def __init__(self, shape: Shape, nodes: list[NodeInfo], position: int) -> None:
        self.tests = ShapeTests(shape)
        self.nodes = nodes
        self.position = position
        """How far the log of changes has been followed."""
        self.object_version = 0
        size = len(nodes)
        self._by_node: list[Refusal | None] = [None] * size
        self.refused: list[Refusal | None] = [None] * size
        self.base = [0] * size
        self.taints = [0] * size
        self.preferred = [0] * size
        self.taints_vary = self.affinity_varies = False
        for i in range(size):
            self._object(i)
            self._use(i)

    def _object(self, i: int) -> None:
        node, tests = self.nodes[i], self.tests
        self._by_node[i] = tests.refused_by_node(node)
        self.taints[i] = soft_taints(tests.shape, node)
        self.taints_vary = self.taints_vary or self.taints[i] > 0
        if tests.preferred:
            self.preferred[i] = tests.preference(node)
            self.affinity_varies = True
        self.object_version += 1

    def _use(self, i: int) -> None:
        refusal = self._by_node[i]
        if refusal is None:
            refusal = self.tests.refused_by_use(self.nodes[i])
            if refusal is None:
                self.base[i] = resource_score(self.tests.shape, self.nodes[i])
        self.refused[i] = refusal

    def follow(self, log: list[int]) -> None:
        """Re-evaluate the nodes in ``log`` beyond the last position; ``~i`` stands for a change of the node object itself."""
        if self.position == len(log):
            return
        done: dict[int, None] = {}
        for one in log[self.position :]:
            if one < 0:
                self._object(~one)
                one = ~one
            done[one] = None
        for i in done:
            self._use(i)
        self.position = len(log)
