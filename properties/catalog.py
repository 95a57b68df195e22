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
    jobs,
    network,
    pods,
    progress,
    security,
    statefulsets,
    webhooks,
    workloads,
)

MODULES = (
    api_machinery, pods, workloads, statefulsets, jobs, budgets, cluster, network, progress, availability, calls, webhooks, security, corruption,
)  # fmt: skip
CATALOG: dict[str, Property] = {one.id: one for module in MODULES for one in module.PROPERTIES}
