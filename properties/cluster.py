"""Scheduling, nodes, garbage, namespaces, quotas, volumes, endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import condition, ended, labels, ready, terminating
from kchaos.models.api.quantity import canonical, milli
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import get
from kchaos.models.apiserver.quota import pod_resources
from kchaos.properties.common import Obj, begins_deletion, declare, everywhere, folded, ident


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
            if taint["effect"] == "NoSchedule" and not _tolerated(entry.obj, taint) and not _fresh(taint, node):
                text = f"was bound to {node['metadata']['name']} in spite of taint {taint['key']}"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="taint")


def _fresh(taint: Obj, node: Obj) -> bool:
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


def _garbage(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.actor != "generic-garbage-collector" or entry.prev is None or not begins_deletion(entry):
        return  # an object under deletion goes when the collector takes its finalizer away, whoever owns it
    from kchaos.models.api.resources import by_kind

    for ref in entry.prev["metadata"].get("ownerReferences") or ():
        kind = by_kind(ref["apiVersion"], ref["kind"])
        if kind is None:
            continue
        space = entry.prev["metadata"].get("namespace", "")
        owner = context.view.get(kind.plural, f"{space}/{ref['name']}" if kind.namespaced else ref["name"])
        if owner is not None and owner["metadata"]["uid"] == ref["uid"] and not terminating(owner):
            text = f"was collected as garbage while its owner {ref['kind']} {ref['name']} is alive"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="living owner")


def _namespaces(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "ADDED" or not entry.obj["metadata"].get("namespace"):
        return
    namespace = context.view.get("namespaces", entry.obj["metadata"]["namespace"])
    if namespace is not None and terminating(namespace):
        text = f"was created by {entry.actor} in a namespace that is being deleted"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="terminating namespace")


def _quota(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type == "DELETED":
        return
    status = entry.obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    before = ((entry.prev or {}).get("status") or {}).get("used") or {}
    for name, limit in hard.items():
        grew = milli(used.get(name, 0)) > milli(before.get(name, 0))
        if grew and milli(used.get(name, 0)) > milli(limit) and entry.actor == "kube-apiserver":
            text = f"{name}: {used[name]} used of {limit}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="quota")


def _volumes(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type == "DELETED":
        return
    if entry.prev is not None:
        before, after = entry.prev["spec"].get("volumeName"), entry.obj["spec"].get("volumeName")
        if before and before != after:
            yield Violation(t=entry.t, object=ident(entry.obj), summary=f"moved from volume {before} to {after}", root="rebound")
    volume = entry.obj["spec"].get("volumeName")
    if not volume:
        return
    for key, other in context.view.table("persistentvolumeclaims").items():
        if key != entry.key and other["spec"].get("volumeName") == volume:
            text = f"shares volume {volume} with {key}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="shared volume")


def _rebound(context: Context, entry: Write) -> Iterable[Violation]:
    """A volume that belongs to a claim does not pass to another; it must be released by hand first."""
    before, after = get(entry.prev, "spec", "claimRef", default={}), get(entry.obj, "spec", "claimRef", default={})
    if before.get("uid") and after.get("uid") and before["uid"] != after["uid"]:
        text = f"passed from claim {before['name']} to {after['name']}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="rebound")


def _endpoints(context: Context, t: float) -> Iterable[Violation]:
    slices: dict[str, list[Obj]] = {}
    for key, one in context.view.table("endpointslices").items():
        service = labels(one).get("kubernetes.io/service-name")
        if service:
            slices.setdefault(f"{key.partition('/')[0]}/{service}", []).append(one)
    for key, service in context.view.table("services").items():
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName" or service["spec"].get("publishNotReadyAddresses"):
            continue
        fits = from_map(selector)
        want = sorted(
            pod["metadata"]["name"]
            for pod_key, pod in context.view.table("pods").items()
            if pod_key.startswith(key.partition("/")[0] + "/") and fits(labels(pod)) and ready(pod) and not terminating(pod)
            and get(pod, "status", "podIP")
        )  # fmt: skip
        have = sorted(
            get(e, "targetRef", "name", default="")
            for one in slices.get(key, ())
            for e in one.get("endpoints") or ()
            if get(e, "conditions", "ready") is not False
        )
        if want != have:
            missing = [name for name in want if name not in have]
            extra = [name for name in have if name not in want]
            text = f"endpoints are not the ready pods: missing {missing or 'none'}, too many {extra or 'none'}"
            yield Violation(t=t, object=ident(service), summary=text, root="endpoints")


def _node_conditions(context: Context, t: float) -> Iterable[Violation]:
    for node in context.view.table("nodes").values():
        found = condition(node, "Ready")
        if found is not None and found["status"] != "True":
            text = f"is still not ready after healing: Ready is {found['status']}"
            yield Violation(t=t, object=ident(node), summary=text, root="node recovery")


K8S = "https://kubernetes.io/docs/concepts/"
PROPERTIES = (
    declare("KC038", "38", "no-overcommit", "The scheduler never binds beyond allocatable nor against a NoSchedule taint.",
            K8S + "scheduling-eviction/kube-scheduler/", _Fit, Guarantee.AS_SEEN),
    declare("KC040", "40", "node-recovers", "A node that renews its Lease again is Ready again.",
            K8S + "architecture/nodes/#heartbeats", folded(end=_node_conditions), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC042", "42", "no-living-owner", "A dependent with a living owner is not collected.",
            K8S + "architecture/garbage-collection/", folded(everywhere(_garbage))),
    declare("KC043", "43", "terminating-namespace", "A namespace under deletion refuses new objects.",
            K8S + "overview/working-with-objects/namespaces/", folded(everywhere(_namespaces))),
    declare("KC044", "44", "quota", "Admission never lets used exceed hard.",
            K8S + "policy/resource-quotas/", folded({"resourcequotas": _quota})),
    declare("KC045", "45", "one-volume-per-claim", "A claim binds one volume and the reverse, for ever.",
            K8S + "storage/persistent-volumes/#binding", folded({"persistentvolumeclaims": _volumes, "persistentvolumes": _rebound})),
    declare("KC047", "47", "endpoints-are-ready-pods", "A Service's endpoints become exactly its ready pods.",
            K8S + "services-networking/endpoint-slices/", folded(end=_endpoints), Guarantee.WITHOUT_FAULTS, liveness=True),
)  # fmt: skip
