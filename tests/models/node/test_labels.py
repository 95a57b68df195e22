"""Nodes come with the labels of the topology, also those that NodeRestriction lets no kubelet give itself."""

from __future__ import annotations

from kchaos.models.cluster import Cluster
from kchaos.models.topology import NodeSpec, Topology


def test_a_node_with_a_role_joins() -> None:
    role = "node-role.kubernetes.io/control-plane"
    nodes = (NodeSpec(name="plain"), NodeSpec(name="ruler", labels={role: "", "example.com/disk": "ssd"}))
    cluster = Cluster(Topology(nodes=nodes))
    cluster.run_for(30.0)
    table = cluster.control.store.table("nodes")
    assert sorted(table) == ["plain", "ruler"]
    assert table["ruler"]["metadata"]["labels"][role] == ""
    cluster.close()
