"""Disruption budgets: what they grant, and what they count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Write
from kchaos.models.api.pods import condition, labels, phase, ready, terminating
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, ident
from kchaos.properties.sight import Sighted

CONTROLLER = "disruption-controller"


class _Budgets(BaseMonitor):
    """What the API server grants against what budgets allow; and what the controller says that they allow.

    ``_most``: budget -> the most pods that it ever selected at once and that were not going. A controller may look at an old cache, but
    not at one that never was.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._most: dict[str, int] = {}

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod, "poddisruptionbudgets": self._status}

    def _of(self, pod: Obj) -> list[Obj]:
        space = pod["metadata"]["namespace"]
        table = self.context.view.table("poddisruptionbudgets")
        near = [budget for key, budget in table.items() if key.startswith(space + "/")]
        return [budget for budget in near if compile_selector(budget["spec"].get("selector"))(labels(pod))]

    def _living(self, budget: Obj, new: Obj | None = None) -> int:
        """Return how many pods a budget selects, with ``new`` as it is about to be, that are not going."""
        fits, space = compile_selector(budget["spec"].get("selector")), budget["metadata"]["namespace"]
        pods = {pod["metadata"]["name"]: pod for key, pod in self.context.view.table("pods").items() if key.startswith(space + "/")}
        if new is not None:
            pods[new["metadata"]["name"]] = new
        return sum(1 for pod in pods.values() if fits(labels(pod)) and not terminating(pod))

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "ADDED" or (entry.prev is not None and labels(entry.prev) != labels(entry.obj)):
            for budget in self._of(entry.obj):
                key = ident(budget)
                self._most[key] = max(self._most.get(key, 0), self._living(budget, entry.obj))
        elif entry.type == "DELETED" or begins_deletion(entry):
            for budget in self._of(entry.obj):
                key = ident(budget)
                if key not in self._most:
                    self._most[key] = self._living(budget)
        if entry.prev is not None and entry.type == "MODIFIED":
            yield from self._eviction(entry, entry.prev)

    def _eviction(self, entry: Write, prev: Obj) -> Iterable[Violation]:
        """An eviction is granted only while the budget, as its status says, allows one."""
        found, before = condition(entry.obj, "DisruptionTarget"), condition(prev, "DisruptionTarget")
        if found is None or before is not None or found.get("reason") != "EvictionByEvictionAPI":
            return
        for budget in self._of(entry.obj):
            status = budget.get("status") or {}
            if entry.obj["metadata"]["name"] in (status.get("disruptedPods") or {}) or phase(prev) != "Running":
                continue
            healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
            always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            if not ready(prev) and (always or healthy >= wanted > 0):
                continue  # what is not ready takes no availability away (KEP-3017)
            text = f"was evicted although {budget['metadata']['name']} allows {status.get('disruptionsAllowed', 0)} disruptions"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="budget")

    def _status(self, entry: Write) -> Iterable[Violation]:
        if entry.prev is None or entry.type != "MODIFIED" or entry.obj.get("status") == entry.prev.get("status"):
            return ()
        return self._counted(entry) if entry.actor == CONTROLLER else _charged(entry, entry.prev)

    def _counted(self, entry: Write) -> Iterable[Violation]:
        """A pod whose eviction was granted is not healthy any more, until it is seen to go."""
        status = entry.obj["status"]
        healthy, granted = status.get("currentHealthy", 0), len(status.get("disruptedPods") or ())
        most = max(self._most.get(ident(entry.obj), 0), self._living(entry.obj))
        if granted and healthy + granted > most:
            text = f"counts {healthy} healthy pods beside {granted} whose eviction it granted, and there were never more than {most}"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="granted")


class _Counted(Sighted):
    """What a budget's status says of healthy pods is no more than are ready, as the controller could see them."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"poddisruptionbudgets": self._written}

    def _written(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "MODIFIED" or entry.actor != CONTROLLER or not self.sighted:
            return
        status, space = entry.obj.get("status") or {}, entry.obj["metadata"]["namespace"] + "/"
        fits = compile_selector(entry.obj["spec"].get("selector"))
        pods = [pod for key, pod in self.context.view.table("pods").items() if key.startswith(space) and fits(labels(pod))]
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        most = sum(self._well(pod, entry.t) for pod in pods)
        if healthy > most:
            text = f"counts {healthy} healthy pods, and {most} are ready"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="healthy")
        failed = (condition(entry.obj, "DisruptionAllowed") or {}).get("reason") == "SyncFailed"
        right = 0 if failed or not status.get("expectedPods", 0) else max(0, healthy - desired)
        if status.get("disruptionsAllowed", 0) != right:
            text = f"allows {status.get('disruptionsAllowed', 0)} disruptions with {healthy} healthy pods of {desired} that it wants"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="allowed")

    def _well(self, pod: Obj, t: float) -> bool:
        """Tell whether a pod is ready and stays, or was and did a moment ago."""
        now = self.context.facts.get("epoch_s", 0.0) + t
        if terminating(pod):
            meta = pod["metadata"]
            return bool(now - parse(meta["deletionTimestamp"]) + float(meta.get("deletionGracePeriodSeconds") or 0) <= SEEN_S)
        found = condition(pod, "Ready")
        if found is None or found["status"] == "True":
            return found is not None
        since = found.get("lastTransitionTime")
        return bool(since and get(pod, "status", "startTime") != since and now - parse(since) <= SEEN_S)


def _charged(entry: Write, prev: Obj) -> Iterable[Violation]:
    """An eviction that is charged to a budget finds at least one disruption left."""
    before, after = prev.get("status") or {}, entry.obj.get("status") or {}
    fresh = [name for name in after.get("disruptedPods") or () if name not in (before.get("disruptedPods") or {})]
    if fresh and before.get("disruptionsAllowed", 0) < len(fresh):
        text = f"granted the eviction of {', '.join(fresh)} while it allowed {before.get('disruptionsAllowed', 0)} disruptions"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="budget")


PROPERTIES = (
    declare("KC037", "37", "budget-binds-evictions",
            "An eviction is granted only while the disruption budget allows one, and counts against it until the pod is seen to go.",
            "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/", _Budgets, Guarantee.AS_SEEN),
    declare("KC137", "37", "budget-counts", "A budget's status counts no more healthy pods than are ready, and allows what is beyond those it wants.",
            "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/", _Counted, Guarantee.AS_SEEN),
)  # fmt: skip
