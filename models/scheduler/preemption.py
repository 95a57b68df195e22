"""Whom to evict so that a pod fits (pkg/scheduler/framework/preemption, plugins/defaultpreemption)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.pods import condition, name, namespace
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.scheduler.cache import Cache
from kchaos.models.scheduler.cycle import Cycle
from kchaos.models.scheduler.nodefilters import Refusal
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.podinfo import LATE, PodInfo

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = Refusal(("No preemption victims found for incoming pod",), True)
MIN_CANDIDATES = 100
MIN_PERCENTAGE = 10

Nominated = Callable[[str], list[PodInfo]]


class Candidate(NamedTuple):
    """A node, the pods to evict there (most important first), and how many disruption budgets that breaks."""

    node: NodeInfo
    victims: list[PodInfo]
    violations: int


def not_eligible(info: PodInfo, nominated: NodeInfo | None, refusal: Refusal | None) -> str:
    """Return why the pod may not evict others, empty if it may (PodEligibleToPreemptOthers)."""
    if info.pod["spec"].get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    if nominated is None or (refusal is not None and refusal.final):
        return ""
    for other in nominated.pods.values():
        if other.priority < info.priority and other.terminating:
            found = condition(other.pod, "DisruptionTarget")
            if found is not None and found["status"] == "True" and found.get("reason") == "PreemptionByScheduler":
                return "not eligible due to a terminating pod on the nominated node."
    return ""


def by_importance(pods: list[PodInfo]) -> list[PodInfo]:
    """Return the more important pods first: by priority, then by age (pkg/scheduler/util: MoreImportantPod).

    A pod that has not started counts as started now, asked anew at each comparison, so that such pods end up in reverse order.
    """
    ranked = sorted(enumerate(pods), key=lambda at: (-at[1].priority, at[1].started, -at[0] if at[1].started == LATE else at[0]))
    return [one for _, one in ranked]


def split_by_budget(pods: Iterable[PodInfo], budgets: Iterable[Obj]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Return the pods whose eviction breaks a budget and the others, in order (filterPodsWithPDBViolation)."""
    left = [(one, compile_selector(one["spec"].get("selector"))) for one in budgets]
    allowed = [int(get(one, "status", "disruptionsAllowed", default=0)) for one, _ in left]
    breaking: list[PodInfo] = []
    others: list[PodInfo] = []
    for info in pods:
        broken = False
        for i, (budget, test) in enumerate(left):
            selector = budget["spec"].get("selector") or {}
            if not info.labels or namespace(budget) != info.namespace:
                continue
            if not (selector.get("matchLabels") or selector.get("matchExpressions")) or not test(info.labels):
                continue
            if name(info.pod) in get(budget, "status", "disruptedPods", default={}):
                continue
            allowed[i] -= 1
            broken = broken or allowed[i] < 0
        (breaking if broken else others).append(info)
    return breaking, others


def victims_on(cycle: Cycle, cache: Cache, node: NodeInfo, budgets: list[Obj], nominated: Nominated) -> Candidate | Refusal:
    """Return the fewest and least important pods to evict from a node, or why none will do (SelectVictimsOnNode)."""
    info = cycle.info
    lower = [one for one in node.pods.values() if one.priority < info.priority]
    if not lower:
        return NO_VICTIMS
    off: dict[str, PodInfo] = {}

    def take(one: PodInfo) -> None:
        cache.apply(one, node, -1)
        off[one.uid] = one

    def put_back(one: PodInfo) -> None:
        cache.apply(one, node, 1)
        del off[one.uid]

    def fits() -> Refusal | None:
        cycle.prepare()
        return cycle.refused_with(node, nominated(node.name))

    order = dict.fromkeys(node.pods)
    for one in lower:
        take(one)
    try:
        refusal = fits()
        if refusal is not None:
            return refusal
        lower = by_importance(lower)
        breaking, others = split_by_budget(lower, budgets)
        victims: list[PodInfo] = []
        violations = 0
        for group in (breaking, others):
            for one in group:
                put_back(one)
                if fits() is not None:
                    take(one)
                    victims.append(one)
                    violations += group is breaking
        return Candidate(node, by_importance(victims) if violations else victims, violations)
    finally:
        for one in list(off.values()):
            put_back(one)
        node.pods = {key: node.pods[key] for key in order}
        cycle.prepare()


def pick(candidates: list[Candidate], rng: random.Random) -> Candidate:
    """Return the candidate that hurts least (pickOneNodeForPreemption); among equals any."""
    rules: tuple[Callable[[Candidate], int], ...] = (
        lambda c: c.violations,
        lambda c: c.victims[0].priority,
        lambda c: sum(one.priority + 2**31 for one in c.victims),
        lambda c: len(c.victims),
    )
    left = candidates
    for rule in rules:
        best = min(rule(c) for c in left)
        left = [c for c in left if rule(c) == best]
        if len(left) == 1:
            return left[0]
    latest = max(_first_start(c) for c in left)
    left = [c for c in left if _first_start(c) == latest]
    return left[0] if len(left) == 1 else left[rng.randrange(len(left))]


def _first_start(candidate: Candidate) -> str:
    """Return the earliest start among the victims of the highest priority (GetEarliestPodStartTime)."""
    top = candidate.victims[0].priority
    return min(one.started for one in candidate.victims if one.priority == top)


def search(
    cycle: Cycle, cache: Cache, refusals: Mapping[str, Refusal], budgets: list[Obj], nominated: Nominated, rng: random.Random
) -> tuple[Candidate | None, dict[str, Refusal]]:
    """Return the best candidate among the nodes where evicting could help, and why the others are none."""
    possible = [node for node in cache.order if node.name in refusals and not refusals[node.name].final]
    answers: dict[str, Refusal] = {}
    if not possible:
        return None, answers
    wanted = min(len(possible), max(MIN_CANDIDATES, len(possible) * MIN_PERCENTAGE // 100))
    offset = rng.randrange(len(possible))
    found: list[Candidate] = []
    harmless = False
    for i in range(len(possible)):
        node = possible[(offset + i) % len(possible)]
        answer = victims_on(cycle, cache, node, budgets, nominated)
        if isinstance(answer, Refusal):
            answers[node.name] = answer
        elif answer.victims:
            found.append(answer)
            harmless = harmless or not answer.violations
            if harmless and len(found) >= wanted:
                break
    return (pick(found, rng) if found else None), answers
