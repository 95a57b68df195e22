"""StatefulSets: identity, order, partitions, claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import condition, controller_of, labels, ready, terminating
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.models.apiserver.store import key_of
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, folded, ident, running_at_start

POWER = ("node-power-loss", "zone-power-loss", "out-of-service")
ZONE, OUT_OF_SERVICE = "topology.kubernetes.io/zone", "node.kubernetes.io/out-of-service"


def ordinal(pod: Obj) -> int:
    """Return a StatefulSet pod's ordinal, -1 if its name has none."""
    tail = pod["metadata"]["name"].rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1


def _set_of(context: Context, pod: Obj) -> Obj | None:
    ref = controller_of(pod)
    if ref is None or ref["kind"] != "StatefulSet":
        return None
    found: Obj | None = context.view.get("statefulsets", f"{pod['metadata']['namespace']}/{ref['name']}")
    return found if found is not None and found["metadata"]["uid"] == ref["uid"] else None


def _owns(owner: Obj, one: Obj) -> bool:
    """Tell whether a pod is one of a StatefulSet's: somebody else's pod may have such a name too."""
    ref = controller_of(one)
    return ref is not None and bool(ref["uid"] == owner["metadata"]["uid"])


def _siblings(context: Context, owner: Obj) -> dict[int, Obj]:
    space, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
    start = get(owner, "spec", "ordinals", "start", default=0)
    out: dict[int, Obj] = {}
    for index in range(start, start + 4096):
        pod = context.view.get("pods", f"{space}/{name}-{index}")
        if pod is not None and _owns(owner, pod):
            out[index] = pod
        elif index >= start + owner["spec"].get("replicas", 1):
            above = get(owner, "status", "replicas", default=0)
            if index >= start + max(above, owner["spec"].get("replicas", 1)) + 8:
                break
    return out


def _ordered(context: Context, entry: Write) -> Iterable[Violation]:
    owner = _set_of(context, entry.obj)
    if owner is None or entry.actor != "statefulset-controller":
        return
    mine = ordinal(entry.obj)
    start = get(owner, "spec", "ordinals", "start", default=0)
    in_order = owner["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    if entry.type == "ADDED" and in_order:
        pods = _siblings(context, owner)
        for below in range(start, mine):
            pod = pods.get(below)
            if pod is None or terminating(pod) or not ready(pod):
                state = "does not exist" if pod is None else "is terminating" if terminating(pod) else "is not ready"
                text = f"was created although {owner['metadata']['name']}-{below} {state}"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="create order")
                return
    begins = entry.prev is not None and not terminating(entry.prev) and (terminating(entry.obj) or entry.type == "DELETED")
    if begins and in_order and mine >= start + owner["spec"].get("replicas", 1):
        above = [index for index in _siblings(context, owner) if index > mine]
        if above:
            text = f"was deleted to scale down although {owner['metadata']['name']}-{above[0]} is still there"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="delete order")


def _rolling(context: Context, entry: Write) -> Iterable[Violation]:
    """An update takes the largest ordinal first, one at a time, and none below the partition."""
    if entry.prev is None or terminating(entry.prev) or not (terminating(entry.obj) or entry.type == "DELETED"):
        return
    owner = _set_of(context, entry.obj)
    if owner is None or entry.actor != "statefulset-controller" or get(entry.prev, "status", "phase") in ("Failed", "Succeeded"):
        return
    start, mine = get(owner, "spec", "ordinals", "start", default=0), ordinal(entry.obj)
    if mine >= start + owner["spec"].get("replicas", 1):
        return
    partition = get(owner, "spec", "updateStrategy", "rollingUpdate", "partition", default=0)
    if mine < partition:
        text = f"was replaced by an update although its ordinal is below partition {partition}"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="partition")
    target, pods = _target(context, owner), _siblings(context, owner)
    for index in range(mine + 1, start + owner["spec"].get("replicas", 1)):
        pod = pods.get(index)
        if pod is None or labels(pod).get("controller-revision-hash") != target or terminating(pod) or _unready(context, pod, entry.t):
            text = f"was taken down by an update before {owner['metadata']['name']}-{index} had been updated and was ready"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="update order")
            return


def _target(context: Context, owner: Obj) -> str:
    """Return the newest revision: the status says it only after the first pod has been taken down."""
    mine = [one for one in context.view.table("controllerrevisions").values() if _owns(owner, one)]
    newest = max(mine, key=lambda one: int(one["revision"]), default=None)
    return str(newest["metadata"]["name"] if newest is not None else get(owner, "status", "updateRevision"))


def _unready(context: Context, pod: Obj, t: float) -> bool:
    """Tell whether a pod has been not ready for so long that the controller must have seen it."""
    found = condition(pod, "Ready")
    if found is None:
        return True
    since = parse(found["lastTransitionTime"]) - context.facts.get("epoch_s", 0.0)
    return bool(found["status"] != "True" and t - since > SEEN_S)


class _Identity(BaseMonitor):
    """Never two processes of one ordinal: judged by what really runs, not by what the API says.

    A user who force-deletes a pod says that its process is gone; so does who sets the out-of-service taint or deletes the node.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._running: dict[str, dict[str, str]] = {}
        for pod in running_at_start(context):
            if (controller_of(pod) or {}).get("kind") == "StatefulSet":
                self._running.setdefault(key_of(pod), {})[pod["metadata"]["uid"]] = pod["spec"]["nodeName"]

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._write}

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"pod": self._mark, "fault": self._fault}

    def _write(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED" and entry.key in self._running and (entry.actor == "user" or self._given_up(entry.obj)):
            self._running[entry.key].pop(entry.obj["metadata"]["uid"], None)
        return ()

    def _given_up(self, pod: Obj) -> bool:
        node = self.context.view.get("nodes", pod["spec"].get("nodeName", ""))
        return node is None or any(taint["key"] == OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        """Without power nothing runs, and nobody is left to say so."""
        if mark.data["action"] == "injected" and mark.data["name"] in POWER:
            target = mark.data["args"]["target"]
            off = {name for name, node in self.context.view.table("nodes").items() if labels(node).get(ZONE) == target} | {target}
            for here in self._running.values():
                for key in [key for key, node in here.items() if node in off]:
                    del here[key]
        return ()

    def _mark(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        if data.get("owner") != "StatefulSet":
            return
        here = self._running.setdefault(data["pod"], {})
        if data["event"] == "stopped":
            here.pop(data["uid"], None)
            return
        if data["event"] != "started":
            return
        others = [node for uid, node in here.items() if uid != data["uid"]]
        here[data["uid"]] = data["node"]
        if others:
            pod = self.context.view.get("pods", data["pod"])
            owner = _set_of(self.context, pod) if pod is not None else None
            text = f"{data['pod'].rpartition('/')[2]} runs on {data['node']} while another pod of the same name still runs on {others[0]}"
            advice = ""
            if owner is not None and get(owner, "spec", "template", "spec", "terminationGracePeriodSeconds") == 0:
                text += ": with a grace period of 0 a pod is deleted without asking its node"
                advice = "write terminationGracePeriodSeconds: 30, or leave it out: 0 is unsafe in a StatefulSet"
            yield Violation(
                t=mark.t, object=ident(owner) if owner is not None else f"Pod/{data['pod']}", summary=text, root="two of one ordinal",
                advice=advice,
            )  # fmt: skip


def _claims(context: Context, entry: Write) -> Iterable[Violation]:
    """A claim is deleted only by a user, with its namespace, or as garbage; and a StatefulSet owns it only if its policy says so."""
    if entry.actor == "statefulset-controller" and entry.type != "DELETED":
        known = {ref["uid"] for ref in (entry.prev or {"metadata": {}})["metadata"].get("ownerReferences") or ()}
        for ref in entry.obj["metadata"].get("ownerReferences") or ():
            owner = _set_behind(context, entry.obj, ref)
            field = "whenScaled" if ref["kind"] == "Pod" else "whenDeleted"
            if owner is None or ref["uid"] in known:
                continue
            if get(owner, "spec", "persistentVolumeClaimRetentionPolicy", field, default="Retain") != "Delete":
                text = f"was made to go with {ref['kind']} {ref['name']}, although {owner['metadata']['name']} retains its claims"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="claims")
    if entry.prev is None or not begins_deletion(entry) or entry.actor in ("user", "namespace-controller"):
        return
    if not entry.prev["metadata"].get("ownerReferences"):
        text = f"was deleted by {entry.actor} although nothing owns it"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="claims")


def _set_behind(context: Context, claim: Obj, ref: Obj) -> Obj | None:
    """Return the StatefulSet that an owner of a claim is, or that an owning pod belongs to."""
    space = claim["metadata"]["namespace"]
    if ref["kind"] == "Pod":
        pod = context.view.get("pods", f"{space}/{ref['name']}")
        return _set_of(context, pod) if pod is not None else None
    found: Obj | None = context.view.get("statefulsets", f"{space}/{ref['name']}") if ref["kind"] == "StatefulSet" else None
    return found


def _converge(context: Context, t: float) -> Iterable[Violation]:
    for owner in context.view.table("statefulsets").values():
        if terminating(owner):
            continue
        start, want = get(owner, "spec", "ordinals", "start", default=0), owner["spec"].get("replicas", 1)
        mine = [ordinal(pod) for pod in context.view.table("pods").values() if _owns(owner, pod)]
        extra = [i for i in sorted(mine) if not start <= i < start + want]
        if extra:
            text = f"pod {owner['metadata']['name']}-{extra[0]} is left although replicas is {want}"
            yield Violation(t=t, object=ident(owner), summary=text, root="extra ordinals")


DOCS = "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/"
PROPERTIES = (
    declare("KC025", "25", "one-per-ordinal", "For each ordinal at most one pod runs at any time, cluster-wide.",
            "https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod/", _Identity, Guarantee.UNTIL_FORCED),
    declare("KC026", "26", "ordered-ready", "OrderedReady: pod k is created only when all below are ready, deleted only when all above are gone.",
            DOCS + "#deployment-and-scaling-guarantees", folded({"pods": _ordered}), Guarantee.AS_SEEN),
    declare("KC027", "27", "ordinals-converge", "No pod outside the ordinals of spec.replicas is left.",
            DOCS + "#parallel-pod-management", folded(end=_converge), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC028", "28", "update-order", "A rolling update goes from the largest ordinal down, one at a time, not below the partition.",
            DOCS + "#rolling-updates", folded({"pods": _rolling}), Guarantee.AS_SEEN),
    declare("KC029", "29", "claims-kept", "Claims survive scale-down and deletion unless the retention policy says otherwise.",
            DOCS + "#persistentvolumeclaim-retention", folded({"persistentvolumeclaims": _claims})),
)  # fmt: skip
