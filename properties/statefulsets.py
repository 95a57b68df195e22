"""StatefulSets: identity, order, partitions, claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import controller_of, labels, ready, terminating
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, declare, folded, ident


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


def _siblings(context: Context, owner: Obj) -> dict[int, Obj]:
    space, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
    start = get(owner, "spec", "ordinals", "start", default=0)
    out: dict[int, Obj] = {}
    for index in range(start, start + 4096):
        pod = context.view.get("pods", f"{space}/{name}-{index}")
        if pod is not None:
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
    target = get(owner, "status", "updateRevision")
    for index, pod in _siblings(context, owner).items():
        late = labels(pod).get("controller-revision-hash") != target or terminating(pod)
        if index > mine and index < start + owner["spec"].get("replicas", 1) and late:
            text = f"was taken down by an update before {pod['metadata']['name']} had been updated"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="update order")
            return


class _Identity(BaseMonitor):
    """Never two processes of one ordinal: judged by what really runs, not by what the API says."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._running: dict[str, dict[str, str]] = {}
        self._forced: set[str] = set()

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"pod": self._mark, "fault": self._fault}

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] in ("out-of-service", "force-delete") and mark.data["action"] == "injected":
            self._forced.add(mark.data["name"])
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
        if others and not self._forced:
            text = f"runs on {data['node']} while another pod of the same name still runs on {others[0]}"
            yield Violation(t=mark.t, object=f"Pod/{data['pod']}", summary=text, root="two of one ordinal")


def _claims(context: Context, entry: Write) -> Iterable[Violation]:
    """A claim of a StatefulSet is deleted only if its retention policy, or its namespace's end, says so."""
    if entry.type != "DELETED" or entry.actor in ("user", "namespace-controller", "pvc-protection-controller"):
        return
    refs = entry.obj["metadata"].get("ownerReferences") or ()
    if not refs and entry.actor != "user" and not entry.prev:
        return
    if not refs:
        text = f"was deleted by {entry.actor} although nothing owns it"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="claims")


def _converge(context: Context, t: float) -> Iterable[Violation]:
    for owner in context.view.table("statefulsets").values():
        if terminating(owner):
            continue
        start, want = get(owner, "spec", "ordinals", "start", default=0), owner["spec"].get("replicas", 1)
        extra = [i for i in _siblings(context, owner) if not start <= i < start + want]
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
