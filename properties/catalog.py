"""All properties of this version, by id."""

from __future__ import annotations

from kchaos.check.property import Property
from kchaos.properties import (
    api_machinery,
    availability,
    budgets,
    calls,
    cluster,
    corruption,
    daemonsets,
    jobs,
    network,
    nodes,
    placement,
    pods,
    progress,
    security,
    statefulsets,
    storage,
    webhooks,
    workloads,
)

MODULES = (
    api_machinery, pods, workloads, daemonsets, statefulsets, jobs, budgets, placement, nodes, storage, cluster, network, progress, availability, calls, webhooks,
    security, corruption,
)  # fmt: skip
CATALOG: dict[str, Property] = {one.id: one for module in MODULES for one in module.PROPERTIES}
