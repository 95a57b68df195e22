"""All faults and user operations that speak Kubernetes, in one catalog."""

from __future__ import annotations

from kchaos.models.cluster import Cluster
from kchaos.models.faults import containers, controlplane, links, network, nodes, operations, partitions, requests, watches, webhooks
from kchaos.models.faults.symbols import resolve
from kchaos.nemesis.fault import Catalog


def catalog() -> Catalog[Cluster]:
    """Return the catalog."""
    out: Catalog[Cluster] = Catalog(resolve)
    for module in (nodes, containers, operations, controlplane, requests, webhooks, watches, links, partitions, network):
        for kind in module.KINDS:
            out.add(kind)
    return out
