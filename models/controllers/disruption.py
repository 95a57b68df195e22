"""Disruption budgets: how many pods may be evicted now.

pkg/controller/disruption/disruption.go. disruptionsAllowed = max(0, healthy - desired); percentages of the owners' scale round up; an
eviction that was granted counts against the budget until its pod is gone, at most two minutes.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import controller_of, ended, labels, name, namespace, ready, set_condition, terminating, uid
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller

DISRUPTED_S = 120.0
_UNSCALED = {"DaemonSet": "daemonsets.apps", "Job": "jobs.batch"}
_OWNERS = {
    "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "ReplicationController": "replicationcontrollers",
    "Deployment": "deployments",
}  # fmt: skip


Scale = Callable[[Obj], tuple[str, int]]
"""Of a pod that has a controller: uid and size of what its replicas are counted by. Raises ValueError if that can't be told."""


def expected(budget: Obj, pods: list[Obj], scale: Scale) -> tuple[int, int, list[str]]:
    """Return (expected pods, desired healthy, names of unmanaged pods) (getExpectedPodCount). Raises what ``scale`` raises."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        count, unmanaged = _owned(pods, scale)
        return count, max(0, count - scaled(spec["maxUnavailable"], count, round_up=True)), unmanaged
    minimum = spec.get("minAvailable", 0)
    if isinstance(minimum, int):
        return len(pods), minimum, []
    count, unmanaged = _owned(pods, scale)
    return count, scaled(minimum, count, round_up=True), unmanaged


def _owned(pods: list[Obj], scale: Scale) -> tuple[int, list[str]]:
    """Return the sum of the owners' sizes, each counted once (a Deployment in a rollout too), and the pods without owner."""
    sizes: dict[str, int] = {}
    unmanaged: list[str] = []
    for pod in pods:
        if controller_of(pod) is None:
            unmanaged.append(name(pod))
            continue
        found, size = scale(pod)
        sizes[found] = size
    return sum(sizes.values()), unmanaged


def unmanaged_text(budget: Obj) -> str:
    """Return the warning about selected pods that have no controller (disruption.go: trySync)."""
    selector = budget["spec"].get("selector") or {}
    marks = "".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    rules = "".join(
        "LabelSelectorRequirement{" + f"Key:{one['key']},Operator:{one['operator']},Values:[{' '.join(one.get('values') or ())}]," + "},"
        for one in selector.get("matchExpressions") or ()
    )
    shown = f"&LabelSelector{{MatchLabels:map[string]string{{{marks}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {shown}) were found to be unmanaged. As a result, the status of the PDB"
        " cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set"
        ' ".spec.minAvailable" field of the PDB to an integer value.'
    )


def healthy(pods: list[Obj], disrupted: dict[str, str], wall_s: float) -> int:
    """Return how many pods are ready and not about to go."""
    return sum(1 for pod in pods if not terminating(pod) and ready(pod) and not _pending(pod, disrupted, wall_s))


def _pending(pod: Obj, disrupted: dict[str, str], wall_s: float) -> bool:
    asked = disrupted.get(name(pod))
    return asked is not None and parse(asked) + DISRUPTED_S > wall_s


class DisruptionController(Controller):
    """The shell."""

    name = "disruption-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._budgets = ctx.in_namespace("poddisruptionbudgets")
        self._pods = ctx.in_namespace("pods")
        self._owners = {kind: ctx.informer(plural) for kind, plural in _OWNERS.items()}
        self._queue = ctx.queue(self.name, self._sync, workers=1)

    def start(self) -> None:
        """Watch budgets, pods, and the owners' sizes."""
        self._budgets.add_handler(lambda old, new: self._queue.add(key_of(new if new is not None else old or {})))
        self._pods.add_handler(self._pod_changed)
        for informer in self._owners.values():
            informer.add_handler(self._owner_changed)
        self._queue.start()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and self._facts(old) == self._facts(new):
            return
        for pod in (old, new):
            if pod is not None:
                for budget in self._budgets.by("namespace", namespace(pod)):
                    if compile_selector(budget["spec"].get("selector"))(labels(pod)):
                        self._queue.add(key_of(budget))

    @staticmethod
    def _facts(pod: Obj) -> tuple[object, ...]:
        return labels(pod), ready(pod), terminating(pod), ended(pod), controller_of(pod)

    def _owner_changed(self, old: Obj | None, new: Obj | None) -> None:
        """The size changed: budgets over its pods are counted anew."""
        if new is None or old is None or get(old, "spec", "replicas") == get(new, "spec", "replicas"):
            return
        for budget in self._budgets.by("namespace", namespace(new)):
            self._queue.add(key_of(budget))

    def _scale(self, pod: Obj) -> tuple[str, int]:
        ref = controller_of(pod)
        assert ref is not None
        if ref["kind"] in _UNSCALED:
            raise ValueError(f"{_UNSCALED[ref['kind']]} does not implement the scale subresource")
        owner = self._owners[ref["kind"]].get(f"{namespace(pod)}/{ref['name']}") if ref["kind"] in self._owners else None
        above = controller_of(owner) if owner is not None else None
        if owner is not None and uid(owner) == ref["uid"] and above is not None and above["kind"] == "Deployment":
            owner = self._owners["Deployment"].get(f"{namespace(pod)}/{above['name']}")
            ref = above
        if owner is None or uid(owner) != ref["uid"]:
            raise ValueError(f'found no controllers for pod "{name(pod)}"')
        return uid(owner), int(owner["spec"].get("replicas", 1))

    async def _sync(self, key: str) -> None:
        budget = self._budgets.get(key)
        if budget is None:
            return
        fits = compile_selector(budget["spec"].get("selector"))
        pods = [pod for pod in self._pods.by("namespace", namespace(budget)) if fits(labels(pod))]
        now, wall = self.ctx.now(), self.rt.wall()
        old = budget.get("status") or {}
        conditions = list(old.get("conditions") or ())
        generation = budget["metadata"].get("generation", 1)
        try:
            count, desired, unmanaged = expected(budget, pods, self._scale)
        except ValueError as error:
            failed = {
                "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": str(error),
                "observedGeneration": old.get("observedGeneration", 0),
            }  # fmt: skip
            status = {**old, "disruptionsAllowed": 0, "conditions": set_condition(conditions, failed, now)}
            self.event(budget, "Warning", "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {error}")
            await self._write(budget, status)
            return
        present = {name(pod): pod for pod in pods}
        disrupted = {
            pod: asked
            for pod, asked in (old.get("disruptedPods") or {}).items()
            if pod in present and not terminating(present[pod]) and parse(asked) + DISRUPTED_S > wall
        }
        up = healthy(pods, disrupted, wall)
        allowed = up - desired if count > 0 and up > desired else 0
        good = allowed > 0
        condition = {
            "type": "DisruptionAllowed", "status": "True" if good else "False", "message": "",
            "reason": "SufficientPods" if good else "InsufficientPods", "observedGeneration": generation,
        }  # fmt: skip
        status = {
            "currentHealthy": up, "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": count,
            "observedGeneration": generation, "conditions": set_condition(conditions, condition, now),
        }  # fmt: skip
        if disrupted:
            status["disruptedPods"] = disrupted
            self._queue.add_after(key, min(parse(asked) + DISRUPTED_S - wall for asked in disrupted.values()) + 1)
        if unmanaged:
            self.event(budget, "Warning", "UnmanagedPods", unmanaged_text(budget))
        if not pods:
            self.event(budget, "Normal", "NoPods", "No matching pods found")
        await self._write(budget, status)

    async def _write(self, budget: Obj, status: Obj) -> None:
        if status == (budget.get("status") or {}):
            return
        try:
            await self.api.update("poddisruptionbudgets", {**budget, "status": status}, "status")
        except ApiError as error:
            if error.reason != "NotFound":
                raise
