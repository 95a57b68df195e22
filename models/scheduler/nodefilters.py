"""Filters and raw scores that look at one node only.

pkg/scheduler/framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity,nodeports,noderesources}. A filter returns None
if the pod fits, else the reasons and whether evicting pods could help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from kchaos.canonical import encode
from kchaos.models.api.selectors import requirement
from kchaos.models.api.tree import Obj
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.podinfo import Shape


class Refusal(NamedTuple):
    """Why a node is out; ``final``: no eviction can change that (UnschedulableAndUnresolvable)."""

    reasons: tuple[str, ...]
    final: bool


def _final(reason: str) -> Refusal:
    return Refusal((reason,), True)


UNSCHEDULABLE = _final("node(s) were unschedulable")
TAINTED = _final("node(s) had untolerated taint(s)")
UNAFFINE = _final("node(s) didn't match Pod's node affinity/selector")
NO_PORTS = Refusal(("node(s) didn't have free ports for the requested pod ports",), False)
CORDON: Obj = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}

NodeTest = Callable[[Mapping[str, str], str], bool]
"""Called with a node's labels and its name."""


# -- taints --------------------------------------------------------------------------------------------------------------


def tolerates(tolerations: Iterable[Obj], taint: Obj) -> bool:
    """Tell whether a taint is tolerated (component-helpers/scheduling/corev1: ToleratesTaint)."""
    for one in tolerations:
        if one.get("effect") and one["effect"] != taint["effect"]:
            continue
        if one.get("key") and one["key"] != taint["key"]:
            continue
        operator = one.get("operator") or "Equal"
        if operator == "Exists":
            return True
        if one.get("key") and operator == "Equal" and (one.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def taints_tolerated(shape: Shape, node: NodeInfo) -> bool:
    """Tell whether all taints that keep pods away are tolerated (TaintToleration Filter)."""
    return all(tolerates(shape.tolerations, taint) for taint in node.taints if taint["effect"] in ("NoSchedule", "NoExecute"))


def soft_taints(shape: Shape, node: NodeInfo) -> int:
    """Return the number of PreferNoSchedule taints not tolerated (TaintToleration Score)."""
    if not node.taints:
        return 0
    fitting = [one for one in shape.tolerations if one.get("effect") in (None, "", "PreferNoSchedule")]
    return sum(1 for taint in node.taints if taint["effect"] == "PreferNoSchedule" and not tolerates(fitting, taint))


# -- node affinity -------------------------------------------------------------------------------------------------------


def _term(term: Obj) -> NodeTest:
    """Return one nodeSelectorTerm; one without any requirement matches no node."""
    tests = [requirement(e["key"], e["operator"], tuple(e.get("values") or ())) for e in term.get("matchExpressions") or ()]
    fields = [requirement(e["key"], e["operator"], tuple(e.get("values") or ())) for e in term.get("matchFields") or ()]
    if not tests and not fields:
        return lambda tags, node: False

    def matches(tags: Mapping[str, str], node: str) -> bool:
        return all(test(tags) for test in tests) and all(test({"metadata.name": node}) for test in fields)

    return matches


@lru_cache(maxsize=4096)
def _compiled(text: bytes) -> NodeTest:
    terms = [_term(term) for term in msgspec.json.decode(text)]
    if len(terms) == 1:
        return terms[0]
    return lambda tags, node: any(term(tags, node) for term in terms)


def node_terms(terms: list[Obj]) -> NodeTest:
    """Return the predicate of ORed nodeSelectorTerms (component-helpers/scheduling/corev1/nodeaffinity)."""
    return _compiled(encode(terms))


def required_affinity(shape: Shape) -> NodeTest | None:
    """Return the predicate of nodeSelector and required node affinity, None if the pod has neither (GetRequiredNodeAffinity)."""
    selector = shape.required["nodeSelector"]
    required = shape.required["required"]
    test = node_terms(required.get("nodeSelectorTerms") or []) if required else None
    if not selector:
        return test
    pairs = tuple(selector.items())

    def matches(tags: Mapping[str, str], node: str) -> bool:
        return all(tags.get(k) == v for k, v in pairs) and (test is None or test(tags, node))

    return matches


def named_nodes(shape: Shape) -> list[str] | None:
    """Return the names that required affinity pins the pod to, None if it does not (NodeAffinity PreFilter)."""
    required = shape.required["required"]
    if not required:
        return None
    names: dict[str, None] = {}
    for term in required.get("nodeSelectorTerms") or ():
        found: list[str] | None = None
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name" and one["operator"] == "In":
                values = one.get("values") or []
                found = list(values) if found is None else [v for v in found if v in values]
        if found is None:
            return None
        names.update(dict.fromkeys(found))
    return list(names)


def preferred_affinity(shape: Shape) -> list[tuple[int, NodeTest]]:
    """Return weights and predicates of the preferred terms; an empty preference matches every node."""
    out: list[tuple[int, NodeTest]] = []
    for one in shape.preferred:
        term = one.get("preference") or {}
        if not one.get("weight"):
            continue
        empty = not term.get("matchExpressions") and not term.get("matchFields")
        out.append((int(one["weight"]), (lambda tags, node: True) if empty else _term(term)))
    return out


# -- resources -----------------------------------------------------------------------------------------------------------


def refused_resources(shape: Shape, node: NodeInfo) -> Refusal | None:
    """Return which resources are missing; final if more is asked than the node has at all (noderesources/fit.go: fitsRequest)."""
    reasons: list[str] = []
    final = False
    if len(node.pods) + 1 > node.max_pods:
        reasons.append("Too many pods")
    requested, allocatable = node.requested, node.allocatable
    for key, amount in shape.requests.items():
        if amount > 0:
            there = allocatable.get(key, 0)
            if amount > there - requested.get(key, 0):
                reasons.append(f"Insufficient {key}")
                final = final or amount > there
    return Refusal(tuple(reasons), final) if reasons else None


def resource_score(shape: Shape, node: NodeInfo) -> int:
    """Return LeastAllocated plus BalancedAllocation, each 0 to 100 (noderesources/{least_allocated,balanced_allocation}.go)."""
    cpu, memory = node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)
    least = parts = 0
    for asked, there in ((node.cpu + shape.cpu, cpu), (node.memory + shape.memory, memory)):
        if there:
            parts += 1
            least += (there - asked) * 100 // there if asked <= there else 0
    if parts:
        least //= parts
    own_cpu, own_memory = shape.requests.get("cpu", 0), shape.requests.get("memory", 0)
    if not own_cpu and not own_memory:
        return least
    deviation = 0.0
    if cpu and memory:
        one = min(1.0, (node.requested.get("cpu", 0) + own_cpu) / cpu)
        other = min(1.0, (node.requested.get("memory", 0) + own_memory) / memory)
        deviation = abs((one - other) / 2)
    return least + int((1 - deviation) * 100)
