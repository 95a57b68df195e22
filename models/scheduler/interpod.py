"""InterPodAffinity: which nodes other pods allow or make better (plugins/interpodaffinity/{filtering,scoring}.go)."""

from __future__ import annotations

from collections.abc import Mapping

from kchaos.models.scheduler.matches import (
    PREFERRED_AFFINITY,
    PREFERRED_ANTI,
    REQUIRED_AFFINITY,
    REQUIRED_ANTI,
    Group,
    Matches,
    term,
)
from kchaos.models.scheduler.nodefilters import Refusal
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.podinfo import PodInfo

NO_AFFINITY = Refusal(("node(s) didn't match pod affinity rules",), True)
ANTI_AFFINITY = Refusal(("node(s) didn't match pod anti-affinity rules",), False)
EXISTING_ANTI = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), False)

Terms = list[tuple[int, bytes, int]]
Counts = dict[str, int]


def _by_value(by_node: Mapping[str, int], topology: str, nodes: Mapping[str, NodeInfo], into: Counts, factor: int = 1) -> None:
    for name, count in by_node.items():
        node = nodes.get(name)
        value = node.labels.get(topology) if node is not None else None
        if value is not None:
            into[value] = into.get(value, 0) + factor * count


class AffinityFilter:
    """The filter of one decision: ``terms`` are the pod's own, ``groups`` those of placed pods that mean it."""

    def __init__(self, info: PodInfo, terms: Terms, groups: list[Group], matches: Matches, nodes: Mapping[str, NodeInfo]) -> None:
        keys = [key for kind, key, _ in terms if kind == REQUIRED_AFFINITY]
        self._wanted: list[tuple[str, Counts]] = []
        self._unwanted: list[tuple[str, Counts]] = []
        self._existing: dict[str, Counts] = {}
        self._first = False
        if keys:
            by_node = matches.meant(keys)
            for key in keys:
                topology = term(key).topology
                counts: Counts = {}
                _by_value(by_node, topology, nodes, counts)
                self._wanted.append((topology, counts))
            # the first of a group of pods that want each other may go anywhere
            self._first = not any(counts for _, counts in self._wanted) and matches.self_match(keys, info)
        for kind, key, _ in terms:
            if kind == REQUIRED_ANTI:
                counts = {}
                _by_value(matches.meant([key]), term(key).topology, nodes, counts)
                self._unwanted.append((term(key).topology, counts))
        for group in groups:
            if group.kind == REQUIRED_ANTI:
                _by_value(group.by_node, group.term.topology, nodes, self._existing.setdefault(group.term.topology, {}))

    @property
    def idle(self) -> bool:
        """Tell whether no node can be refused."""
        return not self._wanted and not self._unwanted and not self._existing

    def refused(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal of one node."""
        tags = node.labels
        there = True
        for topology, counts in self._wanted:
            value = tags.get(topology)
            if value is None:
                return NO_AFFINITY
            there = there and counts.get(value, 0) > 0
        if not there and not self._first:
            return NO_AFFINITY
        for topology, counts in self._unwanted:
            value = tags.get(topology)
            if value is not None and counts.get(value, 0) > 0:
                return ANTI_AFFINITY
        for topology, counts in self._existing.items():
            value = tags.get(topology)
            if value is not None and counts.get(value, 0) > 0:
                return EXISTING_ANTI
        return None


def affinity_scores(
    terms: Terms, groups: list[Group], matches: Matches, nodes: Mapping[str, NodeInfo], chosen: list[NodeInfo]
) -> list[int] | None:
    """Return the normalised score, 0 to 100, of each node in ``chosen``; None if no term says anything."""
    by_topology: dict[str, Counts] = {}
    for kind, key, weight in terms:
        if kind in (PREFERRED_AFFINITY, PREFERRED_ANTI):
            factor = weight if kind == PREFERRED_AFFINITY else -weight
            by_node = matches.meant([key])
            if by_node:
                _by_value(by_node, term(key).topology, nodes, by_topology.setdefault(term(key).topology, {}), factor)
    for group in groups:
        if group.kind != REQUIRED_ANTI:
            factor = -group.weight if group.kind == PREFERRED_ANTI else group.weight
            _by_value(group.by_node, group.term.topology, nodes, by_topology.setdefault(group.term.topology, {}), factor)
    if not by_topology:
        return None
    raw = [0] * len(chosen)
    for topology, counts in by_topology.items():
        raw = [score + counts.get(node.labels.get(topology, ""), 0) for score, node in zip(raw, chosen, strict=True)]
    low, high = min(raw), max(raw)
    if high == low:
        return [0] * len(chosen)
    return [int(100 * ((score - low) / (high - low))) for score in raw]
