"""One attempt to place one pod: which nodes it fits on and which of them is best (pkg/scheduler/schedule_one.go)."""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.models.scheduler.cache import Cache
from kchaos.models.scheduler.interpod import AffinityFilter, affinity_scores
from kchaos.models.scheduler.matches import terms_of
from kchaos.models.scheduler.nodefilters import Refusal, named_nodes
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.nodetable import NodeTable
from kchaos.models.scheduler.podinfo import PodInfo
from kchaos.models.scheduler.spread import HardSpread, constraints_of, default_constraints, soft_scores
from kchaos.models.scheduler.volumefilters import Assumed, VolumeCheck

ALL_BELOW = 100
"""Smaller clusters are searched whole (minFeasibleNodesToFind)."""


def enough(nodes: int) -> int:
    """Return after how many fitting nodes the search ends (numFeasibleNodesToFind with percentageOfNodesToScore 0)."""
    if nodes < ALL_BELOW:
        return nodes
    return max(ALL_BELOW, nodes * max(5, 50 - nodes // 125) // 100)


class Cycle:
    """The filters and scores of one pod."""

    def __init__(self, cache: Cache, info: PodInfo, volumes: Assumed, claims: Assumed) -> None:
        self._cache = cache
        self.info = info
        self._assumed = (volumes, claims)
        self.names = named_nodes(info.shape)
        self.problem = "pod affinity terms conflict" if self.names is not None and not self.names else ""
        """Why no node needs to be looked at (a PreFilter that fails)."""
        self.volumes: VolumeCheck | None = None
        self._table: NodeTable | None = None
        self._spread: HardSpread | None = None
        self._affinity: AffinityFilter | None = None
        self.prepare()
        if self.volumes is not None and not self.problem:
            self.problem = self.volumes.problem

    @property
    def table(self) -> NodeTable:
        """The rows of all nodes for this pod's shape."""
        if self._table is None:
            self._table = self._cache.table(self.info.shape)
        return self._table

    def prepare(self) -> None:
        """Work out what depends on placed pods; again when some were put on or off a node for a trial."""
        cache, info = self._cache, self.info
        if info.claims:
            self.volumes = VolumeCheck(info, cache.informers, *self._assumed, cache.claim_users)
        if info.spread:
            hard = constraints_of(info, "DoNotSchedule")
            if hard:
                self._spread = HardSpread(hard, cache.domains(self.table, hard, True), cache.matches, info.namespace)
        groups = cache.groups(info)
        if info.affinity or groups:
            found = AffinityFilter(info, terms_of(info), groups, cache.matches)
            self._affinity = None if found.idle else found
        else:
            self._affinity = None

    @property
    def depends_on_others(self) -> bool:
        """Tell whether more than the node itself decides."""
        return self.volumes is not None or self._spread is not None or self._affinity is not None

    def refused_by_others(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal by volumes, spread constraints and other pods' and own affinity."""
        refusal: Refusal | None = None
        if self.volumes is not None:
            refusal = self.volumes.refused(node)
        if refusal is None and self._spread is not None:
            refusal = self._spread.refused(node)
        if refusal is None and self._affinity is not None:
            refusal = self._affinity.refused(node)
        return refusal

    def refused(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal of a node by any filter, from the node as it is now."""
        tests = self.table.tests
        return tests.refused_by_node(node) or tests.refused_by_use(node) or self.refused_by_others(node)

    def refused_with(self, node: NodeInfo, nominated: Iterable[PodInfo]) -> Refusal | None:
        """Return the refusal of a node with and without the pods nominated to it (RunFilterPluginsWithNominatedPods)."""
        added = [one for one in nominated if one.uid not in self._cache.placed]
        if added:
            for one in added:
                self._cache.apply(one, node, 1)
            self.prepare()
            refusal = self.refused(node)
            for one in added:
                self._cache.apply(one, node, -1)
            self.prepare()
            if refusal is not None:
                return refusal
        return self.refused(node)

    # -- scores --------------------------------------------------------------------------------------------------------

    def scores(self, chosen: list[int]) -> list[int]:
        """Return the weighted sum of all scores of the nodes in ``chosen`` that can differ."""
        cache, info, table = self._cache, self.info, self.table
        base = table.base
        total = [base[i] for i in chosen]
        if table.taints_vary:
            raw = [table.taints[i] for i in chosen]
            high = max(raw)
            if high:
                total = [t + 3 * (100 - 100 * r // high) for t, r in zip(total, raw, strict=True)]
        if table.affinity_varies:
            raw = [table.preferred[i] for i in chosen]
            high = max(raw)
            if high:
                total = [t + 2 * (100 * r // high) for t, r in zip(total, raw, strict=True)]
        if info.spread:
            soft = constraints_of(info, "ScheduleAnyway")
        else:
            soft = default_constraints(cache.default_selectors(info))
        if soft:
            spread = soft_scores(soft, cache.domains(table, soft, bool(info.spread)), cache.matches, info.namespace, chosen, table)
            total = [t + 2 * s for t, s in zip(total, spread, strict=True)]
        groups = cache.groups(info)
        if info.affinity or groups:
            affine = affinity_scores(terms_of(info), groups, cache.matches, [table.nodes[i] for i in chosen])
            if affine is not None:
                total = [t + 2 * s for t, s in zip(total, affine, strict=True)]
        return total
