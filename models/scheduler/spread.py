"""PodTopologySpread: hard constraints as a filter, soft and default ones as a score (plugins/podtopologyspread)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj
from kchaos.models.controllers.volumes import HOSTNAME, ZONE
from kchaos.models.scheduler.matches import Matches, merged_selector
from kchaos.models.scheduler.nodefilters import Refusal, taints_tolerated
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.nodetable import NodeTable, ShapeTests
from kchaos.models.scheduler.podinfo import PodInfo

SKEWED = Refusal(("node(s) didn't match pod topology spread constraints",), False)
NO_LABEL = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",), True)
NOWHERE = 2**31 - 1
"""The lowest count when no domain is eligible (newCriticalPaths)."""


class Constraint(NamedTuple):
    """One constraint, with its selectors complete."""

    key: str
    max_skew: int
    min_domains: int
    selectors: list[Obj | None]
    affinity: bool
    """Count only nodes that the pod's node affinity matches (nodeAffinityPolicy Honor)."""
    taints: bool
    """Count only nodes whose taints are tolerated (nodeTaintsPolicy Honor)."""
    self_match: int


DEFAULTS = (("kubernetes.io/hostname", 3), (ZONE, 5))
"""The system's own soft constraints (plugins/podtopologyspread/plugin.go: systemDefaultConstraints)."""


def constraints_of(info: PodInfo, when: str) -> list[Constraint]:
    """Return the pod's constraints with that ``whenUnsatisfiable``."""
    out = []
    for one in info.spread:
        if one.get("whenUnsatisfiable", "DoNotSchedule") != when:
            continue
        selector = merged_selector(one.get("labelSelector"), info.labels, one.get("matchLabelKeys") or [], [])
        out.append(
            Constraint(
                one["topologyKey"], int(one["maxSkew"]), int(one.get("minDomains") or 1), [selector],
                one.get("nodeAffinityPolicy", "Honor") == "Honor", one.get("nodeTaintsPolicy", "Ignore") == "Honor",
                int(compile_selector(selector)(info.labels)),
            )
        )  # fmt: skip
    return out


def default_constraints(selectors: list[Obj | None]) -> list[Constraint]:
    """Return the soft constraints of a pod without its own; none if nothing selects it (buildDefaultConstraints)."""
    return [Constraint(key, skew, 1, selectors, True, False, 1) for key, skew in DEFAULTS] if selectors else []


class Domains:
    """The topology values of one list of constraints on the cluster's nodes; built again when a node object changes."""

    __slots__ = ("counted", "eligible", "values")

    def __init__(self, constraints: list[Constraint], table: NodeTable, all_keys: bool) -> None:
        tests = table.tests
        self.values: list[list[str | None]] = []
        """Per constraint and node: the value of its label."""
        self.counted: list[dict[str, str]] = []
        """Per constraint: the value for each node whose pods count."""
        self.eligible: list[bool] = []
        """Per node: whether it has all the labels."""
        labels = [node.labels for node in table.nodes]
        self.eligible = [not all_keys or all(c.key in tags for c in constraints) for tags in labels]
        for one in constraints:
            self.values.append([tags.get(one.key) for tags in labels])
            counted: dict[str, str] = {}
            for node, complete in zip(table.nodes, self.eligible, strict=True):
                if complete and _included(one, node, tests):
                    counted[node.name] = node.labels.get(one.key, "")
            self.counted.append(counted)


def _included(constraint: Constraint, node: NodeInfo, tests: ShapeTests) -> bool:
    """Tell whether the policies let a node count (matchNodeInclusionPolicies)."""
    if constraint.affinity and not tests.affine(node):
        return False
    return not constraint.taints or taints_tolerated(tests.shape, node)


class HardSpread:
    """The filter of one decision."""

    def __init__(self, constraints: list[Constraint], domains: Domains, matches: Matches, space: str) -> None:
        self._rules: list[tuple[str, int, dict[str, int], int]] = []
        for one, counted in zip(constraints, domains.counted, strict=True):
            counts = dict.fromkeys(counted.values(), 0)
            for node, count in matches.selected(space, one.selectors).items():
                value = counted.get(node)
                if value is not None:
                    counts[value] += count
            lowest = min(counts.values(), default=NOWHERE)
            if len(counts) < one.min_domains:
                lowest = 0
            self._rules.append((one.key, one.max_skew - one.self_match, counts, lowest))

    def refused(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal of one node."""
        for key, slack, counts, lowest in self._rules:
            value = node.labels.get(key)
            if value is None:
                return NO_LABEL
            if counts.get(value, 0) - lowest > slack:
                return SKEWED
        return None


def soft_scores(
    constraints: list[Constraint], domains: Domains, matches: Matches, space: str, chosen: list[int], table: NodeTable
) -> list[int]:
    """Return the normalised score, 0 to 100, of each node in ``chosen`` (plugins/podtopologyspread/scoring.go)."""
    eligible = domains.eligible
    scored = chosen if all(map(eligible.__getitem__, chosen)) else [i for i in chosen if eligible[i]]
    if not scored:
        return [0] * len(chosen)
    sums = [0.0] * len(scored)
    for one, values, counted in zip(constraints, domains.values, domains.counted, strict=True):
        by_node = matches.selected(space, one.selectors)
        skew = one.max_skew - 1
        if one.key == HOSTNAME:
            weight = math.log(len(scored) + 2)
            nodes = table.nodes
            part: Mapping[str | None, float]
            own = [by_node.get(nodes[i].name, 0) * weight + skew if values[i] is not None else 0.0 for i in scored]
            sums = [s + one_node for s, one_node in zip(sums, own, strict=True)]
            continue
        mine = [values[i] for i in scored]
        counts: dict[str, int] = {value or "": 0 for value in dict.fromkeys(mine)}
        weight = math.log(len(counts) + 2)
        for node, count in by_node.items():
            value = counted.get(node)
            if value is not None and value in counts:
                counts[value] += count
        part = {value: count * weight + skew for value, count in counts.items()}
        sums = [s + (part[value] if value is not None else 0.0) for s, value in zip(sums, mine, strict=True)]
    raw = [int(s + 0.5) for s in sums]
    low, high = min(raw), max(raw)
    final = {one: 100 * (high + low - one) // high if high else 100 for one in dict.fromkeys(raw)}
    if scored is chosen:
        return [final[one] for one in raw]
    by_index = {i: final[one] for i, one in zip(scored, raw, strict=True)}
    return [by_index.get(i, 0) for i in chosen]
