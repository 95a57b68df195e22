"""InterPodAffinity: which nodes other pods allow or make better (plugins/interpodaffinity/{filtering,scoring}.go)."""

from __future__ import annotations

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


class AffinityFilter:
    """The filter of one decision: ``terms`` are the pod's own, ``groups`` those of placed pods that mean it."""

    def __init__(self, info: PodInfo, terms: Terms, groups: list[Group], matches: Matches) -> None:
        keys = [key for kind, key, _ in terms if kind == REQUIRED_AFFINITY]
        self._wanted: list[tuple[str, Counts]] = []
        self._unwanted: list[tuple[str, Counts]] = []
        self._existing: list[tuple[str, Counts]] = []
        self._first = False
        if keys:
            counter = matches.meant(keys)
            self._wanted = [(topology, counter.by_value(topology)) for topology in (term(key).topology for key in keys)]
            # the first of a group of pods that want each other may go anywhere
            self._first = not any(counts for _, counts in self._wanted) and matches.self_match(keys, info)
        for kind, key, _ in terms:
            if kind == REQUIRED_ANTI:
                topology = term(key).topology
                self._unwanted.append((topology, matches.meant([key]).by_value(topology)))
        for group in groups:
            if group.kind == REQUIRED_ANTI:
                self._existing.append((group.term.topology, group.by_value(group.term.topology)))

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
        for topology, counts in self._existing:
            value = tags.get(topology)
            if value is not None and counts.get(value, 0) > 0:
                return EXISTING_ANTI
        return None


def affinity_scores(terms: Terms, groups: list[Group], matches: Matches, chosen: list[NodeInfo]) -> list[int] | None:
    """Return the normalised score, 0 to 100, of each node in ``chosen``; None if no term says anything."""
    parts: list[tuple[str, Counts, int]] = []
    for kind, key, weight in terms:
        if kind in (PREFERRED_AFFINITY, PREFERRED_ANTI):
            topology = term(key).topology
            parts.append((topology, matches.meant([key]).by_value(topology), weight if kind == PREFERRED_AFFINITY else -weight))
    for group in groups:
        if group.kind != REQUIRED_ANTI:
            topology = group.term.topology
            parts.append((topology, group.by_value(topology), -group.weight if group.kind == PREFERRED_ANTI else group.weight))
    raw = [0] * len(chosen)
    for topology, counts, factor in parts:
        if counts:
            raw = [score + factor * counts.get(node.labels.get(topology, ""), 0) for score, node in zip(raw, chosen, strict=True)]
    low, high = min(raw), max(raw)
    if high == low:
        return None
    return [int(100 * ((score - low) / (high - low))) for score in raw]
