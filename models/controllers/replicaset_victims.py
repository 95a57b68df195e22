"""Which pods go first when a ReplicaSet scales down (property 20): one pure ranking.

pkg/controller/controller_utils.go: ActivePodsWithRanks.Less, with LogarithmicScaleDown (KEP-2185) on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cmp_to_key

from kchaos.models.api.pods import condition, notes_of, phase, ready, restarts, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj

_PHASE = {"Pending": 0, "Unknown": 1, "Running": 2}


def _log(age_s: float) -> float:
    return math.floor(math.log2(age_s)) if age_s >= 1 else -1.0


def _cost(pod: Obj) -> int:
    try:
        return int(notes_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0


def rank(pods: Iterable[Obj], related: Iterable[Obj], now_s: float) -> list[Obj]:
    """Return ``pods`` with the first victims first; ``related`` are all active pods of the same owner's sets, for doubling-up."""
    per_node: dict[str, int] = {}
    for pod in related:
        node = pod["spec"].get("nodeName", "")
        if node:
            per_node[node] = per_node.get(node, 0) + 1

    def since(pod: Obj) -> float | None:
        found = condition(pod, "Ready")
        stamp = found.get("lastTransitionTime") if found else None
        return parse(stamp) if stamp else None

    def older(a: float | None, b: float | None) -> int:
        """Compare two times by logarithmic age: younger goes first, an unknown time before all."""
        if a == b:
            return 0
        if a is None or b is None:
            return -1 if a is None else 1
        x, y = _log(now_s - a), _log(now_s - b)
        return -1 if x < y else 1 if x > y else 0

    def less(a: Obj, b: Obj) -> int:
        assigned = (bool(a["spec"].get("nodeName")), bool(b["spec"].get("nodeName")))
        if assigned[0] != assigned[1]:
            return -1 if not assigned[0] else 1
        phases = (_PHASE.get(phase(a), 2), _PHASE.get(phase(b), 2))
        if phases[0] != phases[1]:
            return phases[0] - phases[1]
        if ready(a) != ready(b):
            return -1 if not ready(a) else 1
        costs = (_cost(a), _cost(b))
        if costs[0] != costs[1]:
            return costs[0] - costs[1]
        doubled = (per_node.get(a["spec"].get("nodeName", ""), 0), per_node.get(b["spec"].get("nodeName", ""), 0))
        if doubled[0] != doubled[1]:
            return doubled[1] - doubled[0]
        if ready(a) and ready(b):
            order = older(since(a), since(b))
            if order:
                return order
        again = (restarts(a), restarts(b))
        if again[0] != again[1]:
            return again[1] - again[0]
        made = older(parse(a["metadata"]["creationTimestamp"]), parse(b["metadata"]["creationTimestamp"]))
        if made:
            return made
        return -1 if uid(a) < uid(b) else 1

    return sorted(pods, key=cmp_to_key(less))
