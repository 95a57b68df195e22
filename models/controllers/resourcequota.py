"""Resource quotas: what a namespace uses is counted anew when something goes that was charged, or when the quota changes.

pkg/controller/resourcequota/resource_quota_controller.go (syncResourceQuota, replenishQuota), pkg/quota/v1/evaluator/core.
"""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.models.api.pods import namespace, terminating
from kchaos.models.api.quantity import canonical
from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.quota import counts_for_quota, matches_scopes, usage_of
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.informer import Handler
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.garbagecollector import KINDS

_COUNTED = tuple(kind for kind in KINDS if BY_PLURAL[kind].namespaced)
_PLAIN = ("services", "secrets", "configmaps", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims")


def kind_of(hard: str) -> str:
    """Return the kind whose objects a quota's resource counts; empty if it is not known."""
    if hard.startswith("count/"):
        return hard[6:].partition(".")[0]
    if "storageclass.storage.k8s.io/" in hard or hard == "requests.storage":
        return "persistentvolumeclaims"
    plain = hard.partition(".")[0]
    return plain if plain in _PLAIN else "pods"


def expired(pod: Obj, wall_s: float) -> bool:
    """Tell whether a pod should be gone but is not, as on a lost node: it is not charged (QuotaV1Pod)."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    return terminating(pod) and grace is not None and wall_s > parse(pod["metadata"]["deletionTimestamp"]) + grace


def count(quota: Obj, objects: Iterable[tuple[str, Obj]], wall_s: float) -> dict[str, str]:
    """Return what ``objects`` (kind, object) of the quota's namespace use of each resource that it limits."""
    hard = quota["spec"].get("hard") or {}
    total = dict.fromkeys(hard, 0)
    for kind, obj in objects:
        resource = BY_PLURAL[kind]
        if not matches_scopes(quota, resource, obj):
            continue
        used = {"count/pods": 1000} if kind == "pods" and expired(obj, wall_s) else usage_of(resource, obj)
        for name, amount in used.items():
            if name in total:
                total[name] += amount
    return {name: canonical(amount) for name, amount in total.items()}


class ResourceQuotaController(Controller):
    """The shell."""

    name = "resourcequota-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._quotas = ctx.in_namespace("resourcequotas")
        self._objects = {kind: ctx.informer(kind) for kind in _COUNTED}
        self._pods = ctx.in_namespace("pods")
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch quotas, and what they count."""
        self._quotas.add_handler(self._quota_changed)
        for kind, informer in self._objects.items():
            informer.add_handler(self._follow(kind))
        self.rt.call_later(self.ctx.constants.quota_full_sync_s, self._resync, background=True)
        self._queue.start()

    def _resync(self) -> None:
        self.rt.call_later(self.ctx.constants.quota_full_sync_s, self._resync, background=True)
        for key in self._quotas.items:
            self._queue.add(key)

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and (old is None or old["spec"] != new["spec"]):
            self._queue.add(key_of(new))

    def _follow(self, kind: str) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if old is None:
                return
            if new is not None and not self._frees(kind, old, new):
                return
            for quota in self._quotas.by("namespace", namespace(old)):
                if any(kind_of(hard) == kind for hard in quota["spec"].get("hard") or ()):
                    self._queue.add(key_of(quota))

        return changed

    @staticmethod
    def _frees(kind: str, old: Obj, new: Obj) -> bool:
        """Tell whether an update changes what is charged (quota_monitor.go: UpdateFilter)."""
        if kind == "pods":
            return counts_for_quota(old) and not counts_for_quota(new)
        if kind in ("services", "persistentvolumeclaims"):
            return bool(old["spec"] != new["spec"])
        return False

    async def _sync(self, key: str) -> None:
        quota = self._quotas.get(key)
        if quota is None:
            return
        hard = dict(quota["spec"].get("hard") or {})
        kinds = dict.fromkeys(kind_of(one) for one in hard)
        space = namespace(quota)
        objects: list[tuple[str, Obj]] = []
        for kind in kinds:
            if kind == "pods":
                objects += [(kind, pod) for pod in self._pods.by("namespace", space)]
            elif kind in self._objects:
                objects += [(kind, obj) for obj in self._objects[kind].values() if namespace(obj) == space]
        status = {"hard": hard, "used": count(quota, objects, self.rt.wall())}
        if status["hard"] != get(quota, "status", "hard") or status["used"] != get(quota, "status", "used"):
            await self.api.update("resourcequotas", {**quota, "status": status}, "status")
