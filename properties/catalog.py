"""All properties of this version, by id."""

from __future__ import annotations

from kchaos.check.property import Property
from kchaos.properties import api_machinery, availability, cluster, corruption, network, pods, progress, security, statefulsets, workloads

CATALOG: dict[str, Property] = {
    one.id: one
    for module in (api_machinery, pods, workloads, statefulsets, cluster, network, progress, availability, security, corruption)
    for one in module.PROPERTIES
}
