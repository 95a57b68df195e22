"""What to change: words that follow from the objects and from what was seen, so that nobody is told to add what is there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from kchaos.check.property import Context
from kchaos.models.api.intstr import scaled
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.properties.common import workload_of
from kchaos.properties.disruption import THROUGH_ALL, TOO_EARLY

_PLURAL = {
    "Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets",
    "ReplicationController": "replicationcontrollers", "Pod": "pods",
}  # fmt: skip

NODES = {"zone-power-loss", "node-power-loss", "drain", "node-pause", "network-partition", "out-of-service"}
ROLLS = {"rollout", "rollback", "slow-start", "image-pull-failure"}
TWO_AT_ONCE = "two faults at once are more than is claimed"
SEVERAL_NODES = "a cut through the whole cluster takes several nodes at once, which is more than is claimed"
READY_TOO_EARLY = "add a readinessProbe that succeeds only when requests are answered"
PLACEMENT: tuple[tuple[str, str], ...] = (
    ("free ports", "a hostPort lets one pod a node in: run no more replicas than nodes (one less while rolling), or use a Service instead"),
    ("anti-affinity", "make the anti-affinity preferred, or have one node more than replicas (a rollout needs room for one more)"),
    ("topology spread", "whenUnsatisfiable: ScheduleAnyway, or a larger maxSkew, or nodes in every zone the constraint counts"),
    ("volume node affinity", "the volume's zone has no room: use a StorageClass that replicates over zones, or a node more in its zone"),
    ("unbound immediate", "nothing provides its volume: name a StorageClass that exists, or bring a PersistentVolume (--context)"),
    ("persistentvolumeclaim", "bring the claim it names: it is not in these files (--context)"),
    ("untolerated taint", "tolerate the taint, or give nodes without it (--topology)"),
    ("node affinity/selector", "no node has the label it selects: give your nodes (--topology with the output of kubectl get nodes -o yaml)"),
    ("node selector", "no node has the label it selects: give your nodes (--topology with the output of kubectl get nodes -o yaml)"),
    ("nsufficient", "lower its requests, or give more or larger nodes (--nodes, --topology)"),
    ("Too many pods", "give more nodes (--nodes, --topology)"),
)  # fmt: skip
"""What the scheduler's message contains, and what to do about it; the first that fits."""
_PREEMPTION = re.compile(
    r" (?:no new claims to deallocate, )?preemption: .*?(?:scheduling|incoming pod|is not helpful)\.| no new claims to deallocate\.?| not found$"
)
_EXTENDED = re.compile(r"Insufficient ([\w.-]+/[\w.-]+\w)")


def workload_object(context: Context, workload: str) -> Obj | None:
    """Return a workload's object as of now."""
    kind, _, key = workload.partition("/")
    return context.view.get(_PLURAL[kind], key) if kind in _PLURAL else None


def placement(message: str) -> str:
    """Return the scheduler's message without what it says of preemption and of claims for devices: that helps nobody here."""
    return _PREEMPTION.sub("", message)


def of_placement(message: str) -> str:
    """Return what to change for a pod that finds no node, from the scheduler's message."""
    if found := _EXTENDED.search(message):
        return f"no node has {found[1]} to give: say what yours have (--topology with the output of kubectl get nodes -o yaml)"
    return next((advice for part, advice in PLACEMENT if part in message), "")


def _containers(obj: Obj | None) -> list[Obj]:
    spec = get(obj or {}, "spec", "template", "spec") or get(obj or {}, "spec", default={})
    return [one for one in get(spec, "containers", default=()) if isinstance(one, dict)]


def _eligible(daemon: Obj) -> int:
    return int(get(daemon, "status", "desiredNumberScheduled", default=0))


def lets_all_go(context: Context, obj: Obj) -> str:
    """Return what in a rollout's strategy lets all pods go at once; empty if nothing does, or if its volume asks for that."""
    spec = obj["spec"]
    if obj["kind"] == "DaemonSet" and get(spec, "updateStrategy", "type") != "OnDelete":
        value, want = get(spec, "updateStrategy", "rollingUpdate", "maxUnavailable", default=1), _eligible(obj)
        if scaled(value, want, True) >= want > 1:
            return f"maxUnavailable: {value} lets a rollout take all {want} pods at once: write maxUnavailable: 1"
    if obj["kind"] == "Deployment" and not _one_node(context, obj):
        if get(spec, "strategy", "type") == "Recreate":
            return "strategy Recreate takes all pods away before it makes new ones: use RollingUpdate with maxUnavailable: 0"
        value, want = get(spec, "strategy", "rollingUpdate", "maxUnavailable", default="25%"), int(spec.get("replicas", 1))
        if scaled(value, want, False) >= want > 0:
            whom = f"all {want} pods at once" if want > 1 else "its only pod before the new one is ready"
            return f"maxUnavailable: {value} lets a rollout take {whom}: write maxUnavailable: 0 and maxSurge: 1"
    return ""


def _one_node(context: Context, obj: Obj) -> str:
    """Return the claim that all pods of a Deployment share and that one node only can use; empty if there is none."""
    if obj["kind"] == "StatefulSet":
        return ""
    for volume in get(obj, "spec", "template", "spec", "volumes", default=()):
        name = get(volume, "persistentVolumeClaim", "claimName")
        claim = context.view.get("persistentvolumeclaims", f"{obj['metadata'].get('namespace', '')}/{name}") if name else None
        if claim is not None and not any(mode.endswith("Many") for mode in claim["spec"].get("accessModes") or ()):
            return str(name)
    return ""


def of_outage(context: Context, workload: str, faults: Iterable[dict[str, Any]]) -> str:
    """Return what to change for a workload of two or more of which none served."""
    names = {one["name"] for one in faults}
    obj = workload_object(context, workload)
    if obj is not None and names & ROLLS:
        probes = all("readinessProbe" in one for one in _containers(obj))
        if (why := lets_all_go(context, obj)) or probes:
            keep = "let a rollout keep all pods: maxUnavailable: 0, and " if obj["kind"] == "Deployment" else "give them time: "
            return why or f"{keep}minReadySeconds longer than they need to warm up"
        if obj["kind"] != "Deployment":
            return READY_TOO_EARLY
        return "add a readinessProbe, and let a rollout keep pods: maxUnavailable: 0"
    if obj is not None and names & NODES and (claim := _one_node(context, obj)):
        return f"its pods share the ReadWriteOnce claim {claim}, and so one node: a StatefulSet with a claim for each pod, or ReadWriteMany"
    if "zone-power-loss" in names:
        return "spread the pods over zones: topologySpreadConstraints on topology.kubernetes.io/zone"
    if names & {"node-power-loss", "drain", "node-pause", "network-partition", "out-of-service"}:
        return "spread the pods over nodes: topologySpreadConstraints on kubernetes.io/hostname with whenUnsatisfiable: DoNotSchedule"
    return ""


def of_single(context: Context, workload: str, faults: Iterable[dict[str, Any]], held: bool) -> tuple[str, str]:
    """Return what to change for a workload of one pod that did not serve, and the weakness it shows: empty if it is that there is only one.

    ``held``: it did not serve again before the fault was healed.
    """
    obj, names = workload_object(context, workload), {one["name"] for one in faults}
    if obj is not None and names & ROLLS and (why := lets_all_go(context, obj)):
        return why, "a rollout takes all pods"
    if (
        held
        and obj is not None
        and "slow-start" in names
        and any("livenessProbe" in one and "startupProbe" not in one for one in _containers(obj))
    ):
        return "a livenessProbe kills what starts slowly, again and again: add a startupProbe that waits for it", "killed while it starts"
    probed = all("readinessProbe" in one for one in _containers(obj))
    if obj is not None and obj["kind"] == "Deployment" and names & ROLLS and not probed and not _one_node(context, obj):
        return READY_TOO_EARLY, TOO_EARLY  # with one, a rollout would keep the old pod
    if obj is not None and names & NODES and (claim := _one_node(context, obj)):
        more = f"two replicas that share the ReadWriteOnce claim {claim} run on one node: give each a claim of its own (StatefulSet), or ReadWriteMany"
        return f"{more}; or accept this in kchaos.yaml", ""
    if workload.startswith("Pod/"):
        return "let a Deployment or StatefulSet make it, with two or more replicas", ""
    return "run two or more replicas, spread over nodes, or accept this in kchaos.yaml", ""


def of_quorum(faults: list[dict[str, Any]]) -> str:
    """Return what to change for a workload of which fewer than a quorum served."""
    names = {one["name"] for one in faults}
    if names & set(THROUGH_ALL):
        return SEVERAL_NODES
    if len(faults) > 1 and names != {"drain"}:
        return TWO_AT_ONCE
    if "zone-power-loss" in names:
        return "spread the members over three zones: topologySpreadConstraints on topology.kubernetes.io/zone with DoNotSchedule"
    return "add a PodDisruptionBudget with maxUnavailable 1 and spread the members over nodes"


def of_two(faults: list[dict[str, Any]], want: int) -> str:
    """Return what to change where only two faults at once take all of ``want`` pods."""
    if any(one["name"] in THROUGH_ALL for one in faults):
        return SEVERAL_NODES
    if want >= 2 and all(one["name"] == "drain" for one in faults):
        return f"{TWO_AT_ONCE}; a PodDisruptionBudget keeps two drains apart"
    return TWO_AT_ONCE


def of_no_recovery(workload: str) -> str:
    """Return what to change for a workload that does not come back."""
    if workload.startswith("Pod/"):
        return "nothing makes a bare Pod again: let a Deployment or StatefulSet make it"
    return ""


def of_lost_requests(context: Context, workloads: Iterable[str]) -> str:
    """Return what to change for a Service that loses requests in a planned operation."""
    wants: dict[str, None] = {}
    for workload in workloads:
        obj = workload_object(context, workload)
        if obj is None:
            continue
        if why := lets_all_go(context, obj):
            return why
        containers = _containers(obj)
        if not any(get(one, "lifecycle", "preStop") for one in containers):
            wants["a preStop hook `sleep: {seconds: 5}`"] = None
        if not any("readinessProbe" in one for one in containers):
            wants["a readinessProbe"] = None
    if wants:
        return f"keep serving while endpoints are taken away: {' and '.join(wants)}"
    return "keep pods serving for longer than endpoints take to go: a longer preStop sleep within terminationGracePeriodSeconds"


REFUSALS = (
    (
        "failed calling webhook",
        "let the webhook leave its own pods' namespace out (namespaceSelector), run two replicas of what answers it, or failurePolicy: Ignore",
    ),
    ("exceeded quota", "raise the ResourceQuota, or ask for less"),
    ("must specify", "the ResourceQuota wants every container to say that: write it, or give the namespace a LimitRange with defaults"),
    ("violates PodSecurity", "write into securityContext what it misses, or give the namespace another pod-security.kubernetes.io/enforce"),
    ("no PriorityClass", "bring the PriorityClass: it is not in these files (--context)"),
    ("serviceaccount", "bring the ServiceAccount: it is not in these files (--context)"),
    ("usage per", "keep to the bounds of the namespace's LimitRange"),
    ("63 characters", "give it a shorter name: what is made of it gets a longer one"),
    ("253 characters", "give it a shorter name: what is made of it gets a longer one"),
)
"""What the API server says of pods that it does not take, and what to do about it; the first that fits."""


def of_refusal(cause: str) -> str:
    """Return what to change for pods that can't be made, from what was told of it."""
    return next((advice for part, advice in REFUSALS if part in cause), "")


def of_rollout(cause: str, obj: Obj) -> str:
    """Return what to change for a rollout that never ends, from what was told of it."""
    if "exceeded quota" in cause and "replicasets" in cause:
        return "raise the ResourceQuota: a rollout needs a ReplicaSet more, and old ones count too (revisionHistoryLimit)"
    if "exceeded quota" in cause:
        return "raise the ResourceQuota by the room of one pod, or let one go first: maxUnavailable: 1 and maxSurge: 0"
    if "Multi-Attach" in cause:
        return "a ReadWriteOnce volume can't be on two nodes: strategy: {type: Recreate}, or a StatefulSet with a claim for each pod"
    if advice := of_placement(cause):
        room = ", or let one pod go first: maxUnavailable: 1 and maxSurge: 0" if obj["kind"] == "Deployment" else ""
        return advice + room
    if advice := of_refusal(cause):
        return advice
    if any("readinessProbe" in one for one in _containers(obj)):
        return "new pods never become ready: see what their readinessProbe asks for, and when (initialDelaySeconds, failureThreshold)"
    return "see what the new pods wait for"


def _ready_before(context: Context, budget: Obj) -> int:
    """Return how many pods of the workloads under a budget are ready without any fault."""
    fits, space = compile_selector(budget["spec"].get("selector") or {}), budget["metadata"].get("namespace", "")
    pods = [pod for pod in context.view.table("pods").values() if pod["metadata"].get("namespace", "") == space]
    behind = dict.fromkeys(workload_of(context, pod) for pod in pods if fits(pod["metadata"].get("labels") or {}))
    before: dict[str, int] = context.facts.get("ready_before", {})
    return sum(before.get(one, 0) for one in behind)


def of_drain(context: Context, pod: Obj | None) -> str:
    """Return what to change for a drain that a budget blocks."""
    if pod is None:
        return ""
    space, labels = pod["metadata"].get("namespace", ""), pod["metadata"].get("labels") or {}
    budgets = [
        one
        for one in context.view.table("poddisruptionbudgets").values()
        if one["metadata"].get("namespace", "") == space and compile_selector(one["spec"].get("selector") or {})(labels)
    ]
    if len(budgets) > 1:
        names = " and ".join(one["metadata"]["name"] for one in budgets)
        return f"budgets {names} select the same pod, and no eviction works then: leave one of them, or let each select its own pods"
    return _of_budget(context, budgets[0]) if budgets else ""


def _of_budget(context: Context, budget: Obj) -> str:
    name, spec, status = budget["metadata"]["name"], budget["spec"], budget.get("status") or {}
    want, expected = int(status.get("desiredHealthy", 0)), int(status.get("expectedPods", 0))
    ready = _ready_before(context, budget)
    if expected > ready and want < expected:
        return (
            f"budget {name} would allow it if all {expected} pods were ready: mend what keeps {expected - ready} from it; "
            "unhealthyPodEvictionPolicy: AlwaysAllow lets broken pods go"
        )
    if want >= expected:
        key = "minAvailable" if "minAvailable" in spec else "maxUnavailable"
        value = spec.get(key)
        more = "" if expected > 1 else ", with two or more replicas"
        if isinstance(value, int) and value > expected and key == "minAvailable":
            return f"budget {name} asks for {value} pods and there are {expected}: write maxUnavailable: 1, or a percentage in quotes{more}"
        return f"budget {name} ({key}: {value}) allows no disruption of {expected} pods: write maxUnavailable: 1{more}"
    lost = math.ceil(expected - want)
    return f"budget {name} allows {lost} of {expected} pods to be away, and they are: drain one node at a time, or run more replicas"
