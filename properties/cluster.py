"""Scheduling, nodes, garbage, namespaces, quotas, volumes, endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import ended, labels, ready, terminating
from kchaos.models.api.quantity import canonical, milli
from kchaos.models.api.resources import BY_PLURAL, by_kind
from kchaos.models.api.selectors import from_map
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.models.apiserver.deletion import FOREGROUND, ORPHAN
from kchaos.models.apiserver.quota import pod_resources
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, everywhere, folded, ident
from kchaos.properties.sight import Sighted


def _garbage(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.actor != "generic-garbage-collector" or entry.prev is None or not begins_deletion(entry):
        return  # an object under deletion goes when the collector takes its finalizer away, whoever owns it
    for ref in entry.prev["metadata"].get("ownerReferences") or ():
        kind = by_kind(ref["apiVersion"], ref["kind"])
        if kind is None:
            continue
        space = entry.prev["metadata"].get("namespace", "")
        owner = context.view.get(kind.plural, f"{space}/{ref['name']}" if kind.namespaced else ref["name"])
        if owner is not None and owner["metadata"]["uid"] == ref["uid"] and not terminating(owner):
            text = f"was collected as garbage while its owner {ref['kind']} {ref['name']} is alive"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="living owner")


class _Collected(Sighted):
    """At rest nothing is left whose owners have all gone, and nothing waits for dependents that are gone."""

    def finish(self, t: float) -> Iterable[Violation]:
        if not self.sighted:
            return
        table = self.context.view.table
        alive = {one["metadata"]["uid"]: None for plural in BY_PLURAL for one in table(plural).values()}
        for plural in BY_PLURAL:
            for one in table(plural).values() if plural not in ("leases", "events") else ():
                refs = one["metadata"].get("ownerReferences") or ()
                known = [ref for ref in refs if by_kind(ref["apiVersion"], ref["kind"]) is not None]
                held = one["metadata"].get("finalizers") or ()
                if refs and len(known) == len(refs) and not any(ref["uid"] in alive for ref in refs) and not terminating(one):
                    text = f"is left although its owner {refs[0]['kind']} {refs[0]['name']} has gone"
                    yield Violation(t=t, object=ident(one), summary=text, root="left over")
                elif terminating(one) and held and all(name in (FOREGROUND, ORPHAN) for name in held):
                    text = f"is still being deleted: nobody took its finalizer {held[0]} away"
                    yield Violation(t=t, object=ident(one), summary=text, root="left over")


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


def _namespaces_go(context: Context, t: float) -> Iterable[Violation]:
    """A namespace under deletion empties and goes, once nothing in it is held by somebody's finalizer."""
    for name, namespace in context.view.table("namespaces").items():
        if not terminating(namespace):
            continue
        left = [(plural, one) for plural in BY_PLURAL for key, one in context.view.table(plural).items() if key.startswith(name + "/")]
        if not any(one["metadata"].get("finalizers") for _, one in left):
            told = f"{len(left)} objects are left in it, such as {ident(left[0][1])}" if left else "nothing is left in it"
            yield Violation(t=t, object=ident(namespace), summary=f"is still being deleted; {told}", root="namespace stays")


class _Used(Sighted):
    """What the pods of a namespace really use, counted at each that is made: a quota's status may be wrong."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._freed: dict[str, float] = {}
        """Quota -> when its controller last lowered what is used: of a pod made just then it may not know."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod, "resourcequotas": self._quota}

    def _quota(self, entry: Write) -> Iterable[Violation]:
        before, after = get(entry.prev, "status", "used", default={}) if entry.prev else {}, get(entry.obj, "status", "used", default={})
        if any(milli(amount) > milli(after.get(name, 0)) for name, amount in before.items()):
            self._freed[entry.key] = entry.t
        return _quota(self.context, entry)

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "ADDED" or not self.sighted:
            return
        space = entry.obj["metadata"]["namespace"] + "/"
        for key, quota in self.context.view.table("resourcequotas").items():
            plain = not quota["spec"].get("scopes") and not quota["spec"].get("scopeSelector")
            if not key.startswith(space) or not plain or entry.t - self._freed.get(key, -SEEN_S - 1.0) <= SEEN_S:
                continue
            pods = [pod for at, pod in self.context.view.table("pods").items() if at.startswith(space) and self._charged(pod, entry.t)]
            total: dict[str, int] = {}
            for pod in (*pods, entry.obj):
                for name, amount in pod_resources(pod["spec"], "requests").items():
                    for told in (name, f"requests.{name}"):
                        total[told] = total.get(told, 0) + amount
            total["pods"] = 1000 * (len(pods) + 1)
            for name, limit in (quota["spec"].get("hard") or {}).items():
                if total.get(name, 0) > milli(limit):
                    text = f"was made, and {name} is then {canonical(total[name])}; quota {quota['metadata']['name']} allows {limit}"
                    yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="quota")

    def _charged(self, pod: Obj, t: float) -> bool:
        """Tell whether a pod counts: it has not ended, nor is it past its grace period (QuotaV1Pod)."""
        now = self.context.facts.get("epoch_s", 0.0) + t
        return not ended(pod) and not (terminating(pod) and parse(pod["metadata"]["deletionTimestamp"]) <= now)


class _Written(Sighted):
    """A slice calls no pod ready that is not, or that goes, as its controller could see it when it wrote."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._unready: dict[str, float] = {}
        """Pod uid -> since when it has not been ready, or has been going; of those that were."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod, "endpointslices": self._slice}

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "DELETED" and ready(entry.obj) and not terminating(entry.obj):
            self._unready.pop(entry.obj["metadata"]["uid"], None)
        elif entry.prev is not None and ready(entry.prev):
            self._unready.setdefault(entry.obj["metadata"]["uid"], entry.t)
        return ()

    def _slice(self, entry: Write) -> Iterable[Violation]:
        service = labels(entry.obj).get("kubernetes.io/service-name")
        space = entry.obj["metadata"]["namespace"]
        found = self.context.view.get("services", f"{space}/{service}")
        if entry.type == "DELETED" or entry.actor != "endpointslice-controller" or not self.sighted or found is None:
            return
        for one in entry.obj.get("endpoints") or () if not found["spec"].get("publishNotReadyAddresses") else ():
            ref = one.get("targetRef") or {}
            if ref.get("kind") != "Pod" or get(one, "conditions", "ready") is not True:
                continue
            pod = self.context.view.get("pods", f"{space}/{ref['name']}")
            same = pod is not None and pod["metadata"]["uid"] == ref["uid"]
            if same and pod is not None and ready(pod) and not terminating(pod):
                continue
            since = self._unready.get(ref["uid"])
            if since is None or entry.t - since > SEEN_S:
                state = "is not ready" if same else "has gone"
                text = f"its endpoints were written with {ref['name']} as ready, which {state}"
                yield Violation(t=entry.t, object=ident(found), summary=text, root="endpoint conditions")


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


K8S = "https://kubernetes.io/docs/concepts/"
PROPERTIES = (
    declare("KC042", "42", "no-living-owner", "A dependent with a living owner is not collected.",
            K8S + "architecture/garbage-collection/", folded(everywhere(_garbage))),
    declare("KC142", "42", "garbage-goes", "An object goes after its last owner has gone; an owner that waits for its dependents goes after them.",
            K8S + "architecture/garbage-collection/", _Collected, Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC043", "43", "terminating-namespace", "A namespace under deletion refuses new objects.",
            K8S + "overview/working-with-objects/namespaces/", folded(everywhere(_namespaces))),
    declare("KC143", "43", "namespace-goes", "A namespace under deletion empties, then goes.",
            K8S + "overview/working-with-objects/namespaces/", folded(end=_namespaces_go), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC044", "44", "quota", "Admission never lets used exceed hard.",
            K8S + "policy/resource-quotas/", _Used),
    declare("KC047", "47", "endpoints-are-ready-pods", "A Service's endpoints become exactly its ready pods.",
            K8S + "services-networking/endpoint-slices/", folded(end=_endpoints), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC147", "47", "endpoint-conditions", "What an EndpointSlice calls ready is a ready pod that stays.",
            K8S + "services-networking/endpoint-slices/#conditions", _Written, Guarantee.AS_SEEN),
)  # fmt: skip
