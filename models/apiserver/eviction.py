"""The eviction subresource: delete a pod only if its disruption budget allows.

Source: pkg/registry/core/pod/storage/eviction.go; texts as recorded from a real 1.34 server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kchaos.models.api.errors import ApiError, too_many_requests
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get

if TYPE_CHECKING:
    from kchaos.models.apiserver.store import Store

MAX_DISRUPTED = 2000


def ready(pod: Obj) -> bool:
    """Tell whether the pod's Ready condition is True."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in get(pod, "status", "conditions", default=()))


def budgets_of(store: Store, pod: Obj) -> list[Obj]:
    """Return the disruption budgets that select ``pod``."""
    namespace = pod["metadata"]["namespace"] + "/"
    labels = pod["metadata"].get("labels") or {}
    return [
        budget
        for key, budget in sorted(store.table("poddisruptionbudgets").items())
        if key.startswith(namespace) and compile_selector(budget["spec"].get("selector"))(labels)
    ]


def charge_budget(store: Store, pod: Obj, now_s: float) -> Obj | None:
    """Return the budget after this eviction is charged to it, None if none needs charging. Raises 429 or 500 when refused."""
    if get(pod, "status", "phase") in ("Succeeded", "Failed", "Pending") or pod["metadata"].get("deletionTimestamp"):
        return None
    budgets = budgets_of(store, pod)
    if len(budgets) > 1:
        raise ApiError("InternalError", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    if not budgets:
        return None
    budget = budgets[0]
    status = budget.get("status") or {}
    name = budget["metadata"]["name"]
    policy = budget["spec"].get("unhealthyPodEvictionPolicy")
    if not ready(pod):
        if policy == "AlwaysAllow":
            return None
        healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if healthy >= desired and desired > 0:
            return None
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            [{"reason": "DisruptionBudget", "message": f"The disruption budget {name} is still being processed by the server."}],
            10,
        )
    if status.get("disruptionsAllowed", 0) <= 0:
        message = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods"
            f" and has {status.get('currentHealthy', 0)} currently"
        )
        raise too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            [{"reason": "DisruptionBudget", "message": message}],
        )
    disrupted = {**(status.get("disruptedPods") or {}), pod["metadata"]["name"]: stamp(now_s)}
    after = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
    return {**budget, "status": after}
