"""Which nodes a DaemonSet's pods belong on, which are too many, and which the rolling update replaces next. Pure.

pkg/controller/daemon/daemon_controller.go (NodeShouldRunDaemonPod, podsShouldBeOnNode, updateDaemonSetStatus), update.go
(rollingUpdate), util/daemonset_util.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import available, labels, name, notes_of, phase, ready, terminating
from kchaos.models.api.selectors import requirement
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.history import LABEL
from kchaos.models.controllers.tainteviction import tolerates

GENERATION_LABEL = "pod-template-generation"
GENERATION_NOTE = "deprecated.daemonset.template.generation"
_PREFIX = "node.kubernetes.io/"
_TOLERATED = (
    ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"), ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
)  # fmt: skip


def with_tolerations(spec: Obj) -> Obj:
    """Return a pod spec that tolerates what every daemon pod does (AddOrUpdateDaemonPodTolerations)."""
    wanted = [*_TOLERATED, *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])]
    added = [{"key": _PREFIX + key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return {**spec, "tolerations": [*(one for one in spec.get("tolerations") or () if one not in added), *added]}


def for_node(spec: Obj, node: str) -> Obj:
    """Return a pod spec that only ``node`` fits (ReplaceDaemonSetPodNodeNameNodeAffinity)."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.get("affinity") or {}
    required = {**(affinity.get("nodeAffinity") or {}), "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {**spec, "affinity": {**affinity, "nodeAffinity": required}}


def target_of(pod: Obj) -> str:
    """Return the node that a daemon pod is on or for (GetTargetNodeName)."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    path = ("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for term in get(pod, *path, default=()):
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field["operator"] == "In" and len(field["values"]) == 1:
                return str(field["values"][0])
    return ""


def _term_fits(term: Obj, node: Obj) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    marks = labels(node)
    if not all(requirement(one["key"], one["operator"], tuple(one.get("values") or ()))(marks) for one in expressions):
        return False
    named = {"metadata.name": name(node)}
    return all(requirement(one["key"], one["operator"], tuple(one.get("values") or ()))(named) for one in fields)


def node_fits(spec: Obj, node: Obj) -> bool:
    """Tell whether nodeSelector and required node affinity of a pod spec admit ``node``."""
    if any(labels(node).get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    terms = get(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    return terms is None or any(_term_fits(term, node) for term in terms)


def should_run(spec: Obj, node: Obj) -> tuple[bool, bool]:
    """Return (a daemon pod of this spec should be made on ``node``, one that is there may stay)."""
    if spec.get("nodeName") and spec["nodeName"] != name(node):
        return False, False
    if not node_fits(spec, node):
        return False, False
    hard = [taint for taint in node["spec"].get("taints") or () if taint["effect"] in ("NoSchedule", "NoExecute")]
    bad = [taint for taint in hard if not any(tolerates(one, taint) for one in spec.get("tolerations") or ())]
    return not bad, not any(taint["effect"] == "NoExecute" for taint in bad)


def by_age(pods: Iterable[Obj]) -> list[Obj]:
    """Return pods that have a node first, then the oldest first, then by name (podByCreationTimestampAndPhase)."""
    return sorted(pods, key=lambda pod: (not pod["spec"].get("nodeName"), pod["metadata"]["creationTimestamp"], name(pod)))


def updated(pod: Obj, digest: str, owner: Obj) -> bool:
    """Tell whether a pod is of the present template."""
    generation = notes_of(owner).get(GENERATION_NOTE)
    return labels(pod).get(LABEL) == digest or (generation is not None and labels(pod).get(GENERATION_LABEL) == generation)


class Limits(NamedTuple):
    """How far a rolling update may go now."""

    surge: int
    unavailable: int


def limits(owner: Obj, desired: int) -> Limits:
    """Return maxSurge and maxUnavailable in pods: percentages round up; both 0 means one unavailable."""
    rolling = get(owner, "spec", "updateStrategy", "rollingUpdate", default={})
    surge = scaled(rolling.get("maxSurge", 0), desired, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 1), desired, round_up=True)
    return Limits(surge, unavailable if surge or unavailable else 1)


def surges(owner: Obj) -> bool:
    """Tell whether the update strategy makes new pods before old ones go."""
    return get(owner, "spec", "updateStrategy", "type") == "RollingUpdate" and limits(owner, 100).surge > 0


def excess(owner: Obj, running: list[Obj], digest: str, wall_s: float) -> list[Obj]:
    """Return which of a node's running daemon pods are too many."""
    if len(running) <= 1:
        return []
    ordered = by_age(running)
    if not surges(owner):
        return ordered[1:]
    new = old = None
    out: list[Obj] = []
    for pod in ordered:
        if labels(pod).get(LABEL) == digest and new is None:
            new = pod
        elif labels(pod).get(LABEL) != digest and old is None:
            old = pod
        else:
            out.append(pod)
    if new is not None and old is not None and (not ready(old) or available(new, owner["spec"].get("minReadySeconds", 0), wall_s)):
        out.append(old)
    return out


def _pair(owner: Obj, pods: list[Obj], digest: str) -> tuple[Obj | None, Obj | None] | None:
    """Return (new pod, old pod) of a node; None if there are several of one sort (findUpdatedPodsOnNode)."""
    new = [pod for pod in pods if not terminating(pod) and updated(pod, digest, owner)]
    old = [pod for pod in pods if not terminating(pod) and not updated(pod, digest, owner)]
    return (new[0] if new else None, old[0] if old else None) if len(new) <= 1 and len(old) <= 1 else None


def roll(owner: Obj, by_node: Mapping[str, list[Obj]], digest: str, desired: int, wall_s: float) -> tuple[list[Obj], list[str]]:
    """Return (pods to delete, nodes to make new pods on) of this step of the rolling update."""
    limit = limits(owner, desired)
    wait = owner["spec"].get("minReadySeconds", 0)
    up: Callable[[Obj], bool] = lambda pod: available(pod, wait, wall_s)  # noqa: E731
    delete: list[Obj] = []
    candidates: list[Obj] = []
    create: list[str] = []
    candidate_nodes: list[str] = []
    busy = 0  # nodes that are unavailable, or surging
    for node, pods in by_node.items():
        pair = _pair(owner, pods, digest)
        if pair is None:
            busy += 1
            continue
        new, old = pair
        if limit.surge == 0:
            if (new is None) == (old is None) or (new is not None and not up(new)):
                busy += 1
            elif old is not None:
                (candidates if up(old) else delete).append(old)
        elif old is not None and new is None:
            (candidate_nodes if up(old) else create).append(node)
        elif old is not None and new is not None:
            if up(new):
                delete.append(old)
            else:
                busy += 1
    if limit.surge == 0:
        return delete + candidates[: max(0, limit.unavailable - busy)], []
    return delete, create + candidate_nodes[: max(0, limit.surge - busy)]


def status_of(
    owner: Obj, nodes: Iterable[tuple[str, bool]], by_node: Mapping[str, list[Obj]], digest: str, wall_s: float, observed: bool
) -> Obj:
    """Return the status; ``nodes`` are (name, should run). ``observed``: this generation has been acted upon."""
    old = owner.get("status") or {}
    wait = owner["spec"].get("minReadySeconds", 0)
    desired = current = wrong = up = fresh = usable = 0
    for node, wanted in nodes:
        pods = by_node.get(node)
        if not wanted:
            wrong += 1 if pods else 0
            continue
        desired += 1
        if not pods:
            continue
        current += 1
        first = by_age(pods)[0]
        up += ready(first)
        usable += ready(first) and available(first, wait, wall_s)
        fresh += updated(first, digest, owner)
    status: Obj = {
        "desiredNumberScheduled": desired, "currentNumberScheduled": current, "numberMisscheduled": wrong, "numberReady": up,
    }  # fmt: skip
    status.update({key: value for key, value in (
        ("updatedNumberScheduled", fresh), ("numberAvailable", usable), ("numberUnavailable", desired - usable),
    ) if value})  # fmt: skip
    generation = owner["metadata"].get("generation", 1) if observed else old.get("observedGeneration", 0)
    if generation:
        status["observedGeneration"] = generation
    for kept in ("collisionCount", "conditions"):
        if kept in old:
            status[kept] = old[kept]
    return status


def failed(pod: Obj) -> bool:
    """Tell whether a daemon pod has failed."""
    return phase(pod) == "Failed"
