"""Placement: what the scheduler binds fits, and whom it preempts is of less importance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import ended, labels, terminating, uid
from kchaos.models.api.quantity import canonical, milli
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import get
from kchaos.models.apiserver.quota import pod_resources
from kchaos.models.controllers.daemonset_decide import node_fits
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, folded, ident
from kchaos.properties.sight import Sighted

SCHEDULER = "kube-scheduler"
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class _Fit(BaseMonitor):
    """The sum of requests on a node, kept incrementally; judged when a pod is bound."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._used: dict[str, dict[str, int]] = {}
        self._pods: dict[str, tuple[str, dict[str, int]]] = {}
        for pod in context.view.table("pods").values():
            self._count(pod)

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod}

    def _count(self, pod: Obj) -> dict[str, int]:
        node, key = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
        if not node or ended(pod) or key in self._pods:
            return {}
        asked = {**pod_resources(pod["spec"], "requests"), "pods": 1000}
        self._pods[key] = (node, asked)
        used = self._used.setdefault(node, {})
        for name, amount in asked.items():
            used[name] = used.get(name, 0) + amount
        return asked

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED" or ended(entry.obj):
            gone = self._pods.pop(entry.obj["metadata"]["uid"], None)
            if gone is not None:
                for name, amount in gone[1].items():
                    self._used[gone[0]][name] -= amount
            return
        if entry.obj["spec"].get("nodeName") is None or entry.obj["metadata"]["uid"] in self._pods:
            return
        asked = self._count(entry.obj)
        if entry.actor != "kube-scheduler":
            return
        node = self.context.view.get("nodes", entry.obj["spec"]["nodeName"])
        if node is None:
            return
        free = get(node, "status", "allocatable", default={})
        for name in asked:
            total = self._used[node["metadata"]["name"]][name]
            if name in free and asked[name] and total > milli(free[name]):
                text = f"was bound to {node['metadata']['name']}, which then has {canonical(total)} {name} of {free[name]} requested"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="over-commit")
        for taint in node["spec"].get("taints") or ():
            if taint["effect"] == "NoSchedule" and not _tolerated(entry.obj, taint) and not _fresh(taint):
                text = f"was bound to {node['metadata']['name']} in spite of taint {taint['key']}"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="taint")


def _fresh(taint: Obj) -> bool:
    """The scheduler may not have seen a taint that is just set: taints of the node lifecycle controller are not judged."""
    return str(taint["key"]).startswith("node.kubernetes.io/")


def _tolerated(pod: Obj, taint: Obj) -> bool:
    for one in pod["spec"].get("tolerations") or ():
        if one.get("effect") not in (None, "", taint["effect"]):
            continue
        if one.get("operator") == "Exists" and one.get("key") in (None, "", taint["key"]):
            return True
        if one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


def _bound(entry: Write) -> bool:
    """Tell whether a write is the scheduler's binding of a pod."""
    before = entry.prev["spec"].get("nodeName") if entry.prev is not None else None
    return entry.type == "MODIFIED" and entry.actor == SCHEDULER and bool(entry.obj["spec"].get("nodeName")) and not before


class _Rules(Sighted):
    """What a pod asks of its node and of its neighbours holds when it is bound, as the scheduler could see it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cordoned = {key: 0.0 for key, node in context.view.table("nodes").items() if node["spec"].get("unschedulable")}
        self._left: list[tuple[float, Obj]] = []
        """Pods that went a moment ago, and when: the scheduler may count them or not."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod, "nodes": self._node}

    def _node(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "DELETED" and entry.obj["spec"].get("unschedulable"):
            self._cordoned.setdefault(entry.key, entry.t)
        else:
            self._cordoned.pop(entry.key, None)
        return ()

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if begins_deletion(entry) and entry.obj["spec"].get("nodeName"):
            self._left = [*((t, one) for t, one in self._left if entry.t - t <= SEEN_S), (entry.t, entry.obj)]
        if not self.sighted or not _bound(entry):
            return
        pod = entry.obj
        node = self.context.view.get("nodes", pod["spec"]["nodeName"])
        if node is None:
            return
        found = (*self._own(pod, node, entry.t), *self._ports(pod, node), *self._apart(pod, node), *self._spread(pod, node))
        for root, why in found:
            text = f"was bound to {node['metadata']['name']}, {why}"
            yield Violation(t=entry.t, object=ident(pod), summary=text, root=root)

    def _own(self, pod: Obj, node: Obj, t: float) -> Iterator[tuple[str, str]]:
        """Yield what the node object itself speaks against."""
        name = node["metadata"]["name"]
        if t - self._cordoned.get(name, t) > SEEN_S and not _tolerated(pod, CORDON):
            yield "cordon", "which is cordoned"
        if not node_fits(pod["spec"], node):
            yield "node affinity", "which its nodeSelector or node affinity excludes"
        for volume in self._volumes(pod):
            required = get(volume, "spec", "nodeAffinity", "required")
            if required and not node_fits({"affinity": {"nodeAffinity": {REQUIRED: required}}}, node):
                yield "volume", f"which its volume {volume['metadata']['name']} can't reach"

    def _volumes(self, pod: Obj) -> Iterator[Obj]:
        space = pod["metadata"]["namespace"]
        for one in pod["spec"].get("volumes") or ():
            claim = self.context.view.get("persistentvolumeclaims", f"{space}/{get(one, 'persistentVolumeClaim', 'claimName')}")
            volume = self.context.view.get("persistentvolumes", get(claim, "spec", "volumeName", default="")) if claim else None
            if volume is not None:
                yield volume

    def _placed(self) -> Iterator[tuple[Obj, Obj]]:
        """Yield the pods that are on a node, with it."""
        for pod in self.context.view.table("pods").values():
            node = self.context.view.get("nodes", pod["spec"].get("nodeName") or "")
            if node is not None and not ended(pod):
                yield pod, node

    def _ports(self, pod: Obj, node: Obj) -> Iterator[tuple[str, str]]:
        """Yield which of its host ports are taken."""
        wanted = dict.fromkeys(_host_ports(pod))
        for other, where in self._placed() if wanted else ():
            taken = [one for one in _host_ports(other) if one in wanted] if where is node and uid(other) != uid(pod) else []
            if taken:
                yield "host port", f"whose port {taken[0][1]}/{taken[0][0]} {other['metadata']['name']} has"

    def _apart(self, pod: Obj, node: Obj) -> Iterator[tuple[str, str]]:
        """Yield whom the pod does not want near; only terms of one namespace are looked at."""
        for term in get(pod, "spec", "affinity", "podAntiAffinity", REQUIRED, default=()):
            if term.keys() & {"namespaces", "namespaceSelector", "matchLabelKeys", "mismatchLabelKeys"}:
                continue
            here, fits = labels(node).get(term["topologyKey"]), compile_selector(term.get("labelSelector"))
            for other, where in self._placed() if here is not None else ():
                same = other["metadata"]["namespace"] == pod["metadata"]["namespace"] and uid(other) != uid(pod)
                if same and labels(where).get(term["topologyKey"]) == here and fits(labels(other)):
                    yield "anti-affinity", f"near {other['metadata']['name']}, which its anti-affinity excludes"
                    break

    def _spread(self, pod: Obj, node: Obj) -> Iterator[tuple[str, str]]:
        """Yield broken constraints; those with options that change what counts are not looked at."""
        for one in pod["spec"].get("topologySpreadConstraints") or ():
            plain = not one.keys() & {"minDomains", "nodeAffinityPolicy", "nodeTaintsPolicy", "matchLabelKeys"}
            if one["whenUnsatisfiable"] != "DoNotSchedule" or not plain:
                continue
            key, fits = one["topologyKey"], compile_selector(one.get("labelSelector"))
            nodes = [n for n in self.context.view.table("nodes").values() if key in labels(n) and node_fits(pod["spec"], n)]
            counts = dict.fromkeys((labels(n)[key] for n in nodes), 0)
            space = pod["metadata"]["namespace"]
            for other, where in self._placed():
                value = labels(where).get(key)
                if value in counts and not terminating(other) and other["metadata"]["namespace"] == space and fits(labels(other)):
                    counts[value] += uid(other) != uid(pod)
            mine = counts.get(labels(node).get(key, ""), 0) + 1
            for _, gone in self._left:  # still there for who has not seen them go
                where_gone = self.context.view.get("nodes", gone["spec"]["nodeName"])
                value = labels(where_gone).get(key) if where_gone is not None else None
                if value in counts and gone["metadata"]["namespace"] == space and fits(labels(gone)):
                    counts[value] += 1
            if mine - min(counts.values(), default=0) > one["maxSkew"]:
                yield (
                    "spread",
                    f"where {mine} of its kind are then in one {key}, and {min(counts.values())} in another (maxSkew {one['maxSkew']})",
                )


def _host_ports(pod: Obj) -> Iterator[tuple[str, int]]:
    for container in pod["spec"].get("containers", ()):
        for port in container.get("ports") or ():
            if port.get("hostPort") and not port.get("hostIP"):
                yield port.get("protocol", "TCP"), port["hostPort"]


def _gates(context: Context, entry: Write) -> Iterable[Violation]:
    if _bound(entry) and entry.obj["spec"].get("schedulingGates"):
        text = f"was bound although gate {entry.obj['spec']['schedulingGates'][0]['name']} is closed"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="gates")


def _preempted(context: Context, entry: Write) -> Iterable[Violation]:
    """Whom the scheduler deletes makes room for a pod of higher priority that waits."""
    yield from _gates(context, entry)
    if entry.actor != SCHEDULER or not begins_deletion(entry):
        return
    mine = int(entry.obj["spec"].get("priority") or 0)
    waiting = [
        int(pod["spec"].get("priority") or 0)
        for pod in context.view.table("pods").values()
        if not pod["spec"].get("nodeName") and not terminating(pod)
    ]
    if not any(priority > mine for priority in waiting):
        text = f"was preempted (priority {mine}), and no pod of a higher priority waits"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="preemption")


K8S = "https://kubernetes.io/docs/concepts/scheduling-eviction/"
PROPERTIES = (
    declare("KC038", "38", "no-overcommit", "The scheduler never binds beyond allocatable nor against a NoSchedule taint.",
            K8S + "kube-scheduler/", _Fit, Guarantee.AS_SEEN),
    declare("KC138", "38", "bound-where-it-may-run",
            "A pod is bound to no cordoned node, and only where its node affinity, volumes, host ports, anti-affinity and hard spreading allow.",
            K8S + "assign-pod-node/", _Rules, Guarantee.AS_SEEN),
    declare("KC039", "39", "preemption", "Preemption takes pods of lower priority only; a gated pod is not bound.",
            K8S + "pod-priority-preemption/", folded({"pods": _preempted}), Guarantee.AS_SEEN),
)  # fmt: skip
