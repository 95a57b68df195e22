"""Taint eviction: deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.

pkg/controller/tainteviction/taint_eviction.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import is_true, name, namespace, uid
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.runtime import Timer


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Tell whether a toleration covers a taint (k8s.io/api/core/v1/toleration.go)."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def stay_s(pod: Obj, taints: list[Obj]) -> float | None:
    """Return how long a pod may stay on a node with these NoExecute taints; None for ever, -1 not at all."""
    used: list[Obj] = []
    for taint in taints:
        fitting = [one for one in pod["spec"].get("tolerations") or () if tolerates(one, taint)]
        if not fitting:
            return -1.0
        used.append(fitting[0])
    limits = [max(0.0, float(one["tolerationSeconds"])) for one in used if one.get("tolerationSeconds") is not None]
    return min(limits) if limits else None


class TaintEvictionController(Controller):
    """The shell: one timer per pod that must go."""

    name = "node-controller"  # it runs under that service account

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._nodes = ctx.informer("nodes")
        self._pods = ctx.informer("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"]["nodeName"],) if pod["spec"].get("nodeName") else ())
        self._due: dict[str, Timer] = {}
        self._gone: dict[str, None] = {}
        """Pods whose eviction has been asked for."""

    def start(self) -> None:
        """Watch nodes' taints and pods' placement."""
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    @staticmethod
    def _taints(node: Obj | None) -> list[Obj]:
        return [t for t in get(node, "spec", "taints", default=()) if t["effect"] == "NoExecute"] if node is not None else []

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        taints = self._taints(new)
        if taints == self._taints(old):
            return
        for pod in self._pods.by("node", name(new)):
            self._consider(pod, taints)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self._cancel(old)
            return
        node = new["spec"].get("nodeName")
        if not node:
            return
        if old is not None and old["spec"].get("nodeName") == node and old["spec"].get("tolerations") == new["spec"].get("tolerations"):
            return
        taints = self._taints(self._nodes.get(node))
        if taints:
            self._consider(new, taints)

    def _consider(self, pod: Obj, taints: list[Obj]) -> None:
        if not taints:
            self._cancel(pod)
            return
        wait = stay_s(pod, taints)
        if wait is None or wait < 0:
            self._cancel(pod)
            if wait is not None:
                self._evict(pod)
            return
        if uid(pod) in self._due or uid(pod) in self._gone:
            return  # an eviction once begun is never brought forward by another taint (processPodOnNode)
        self._due[uid(pod)] = self.rt.call_later(wait, self._evict, pod)

    def _cancel(self, pod: Obj) -> None:
        self._gone.pop(uid(pod), None)
        found = self._due.pop(uid(pod), None)
        if found is not None:
            found.cancel()
            self.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {namespace(pod)}/{name(pod)}")

    def _evict(self, pod: Obj) -> None:
        self._due.pop(uid(pod), None)
        self._gone[uid(pod)] = None
        self.rt.spawn(self._delete(pod), f"evict {name(pod)}")

    async def _delete(self, pod: Obj) -> None:
        self.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace(pod)}/{name(pod)}")
        condition = {
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": self.ctx.now(), "lastProbeTime": None,
        }  # fmt: skip
        for attempt in range(5):
            current = self._pods.get(key_of(pod))
            if current is None or uid(current) != uid(pod):
                return
            try:
                if not is_true(current, "DisruptionTarget"):
                    patch = {"metadata": {"uid": uid(pod)}, "status": {"conditions": [condition]}}
                    await self.api.patch("pods", namespace(pod), name(pod), patch, subresource="status")
                await self.api.delete("pods", namespace(pod), name(pod), uid=uid(pod))
                return
            except ApiError as error:
                if error.reason in ("NotFound", "Conflict"):
                    return
                await self.rt.sleep(0.01 * 2**attempt)
        # the server could not be reached five times in a row: the next change of the node or pod brings it up again
        self._gone.pop(uid(pod), None)
        self._due[uid(pod)] = self.rt.call_later(10.0, self._evict, pod)
