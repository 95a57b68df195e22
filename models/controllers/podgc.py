"""Pod garbage collection: pods of vanished nodes, of nodes out of service, and pods that were deleted before they got a node.

pkg/controller/podgc/gc_controller.go: a pass every 20 s; a vanished node is in quarantine for 40 s before its pods go. Not modelled:
the limit of 12,500 ended pods.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, is_true, name, namespace, terminating, uid
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.nodehealth import OUT_OF_SERVICE


class PodGarbageCollector(Controller):
    """The shell."""

    name = "pod-garbage-collector"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._nodes = ctx.informer("nodes")
        self._pods = ctx.informer("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"]["nodeName"],) if pod["spec"].get("nodeName") else ())
        self._missing: dict[str, float] = {}
        self._busy = False

    def start(self) -> None:
        """Look at once, and then every 20 s."""
        self._nodes.add_handler(self._node_changed)
        self._tick()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """What the next pass will act upon must keep the run alive until then."""
        taints = get(new, "spec", "taints", default=()) if new is not None else ()
        if (new is None and old is not None and self._pods.by("node", name(old))) or any(t["key"] == OUT_OF_SERVICE for t in taints):
            self.rt.call_later(self.ctx.constants.pod_gc_period_s + 1, _nothing)

    def _tick(self) -> None:
        self.rt.call_later(self.ctx.constants.pod_gc_period_s, self._tick, background=True)
        if not self._busy:
            doomed = self._doomed()
            if doomed:
                self._busy = True
                self.rt.spawn(self._collect(doomed), "collect pods")

    def _doomed(self) -> list[tuple[Obj, str]]:
        now = self.rt.now()
        out: list[tuple[Obj, str]] = []
        unknown: dict[str, None] = {}
        for pod in self._pods.values():
            node_name = pod["spec"].get("nodeName")
            if not node_name:
                if terminating(pod):
                    out.append((pod, ""))
                continue
            node = self._nodes.get(node_name)
            if node is None:
                unknown[node_name] = None
                if now >= self._missing.get(node_name, now + 1) + self.ctx.constants.pod_gc_quarantine_s - 1e-9:
                    out.append((pod, "PodGC: node no longer exists"))
            elif terminating(pod) and not is_true(node, "Ready"):
                doomed = any(t["key"] == OUT_OF_SERVICE for t in node["spec"].get("taints") or ())
                if doomed:
                    out.append((pod, ""))
        for node_name in unknown:
            if node_name not in self._missing:
                self._missing[node_name] = now
                wait = self.ctx.constants.pod_gc_quarantine_s + self.ctx.constants.pod_gc_period_s
                self.rt.call_later(wait + 1, _nothing)
        for node_name in [one for one in self._missing if one not in unknown]:
            del self._missing[node_name]
        return out

    async def _collect(self, doomed: list[tuple[Obj, str]]) -> None:
        for pod, why in doomed:
            try:
                await self._delete(pod, why)
            except ApiError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    break
        self._busy = False

    async def _delete(self, pod: Obj, why: str) -> None:
        if not ended(pod):
            status: Obj = {"phase": "Failed"}
            if why:
                status["conditions"] = [{
                    "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": why,
                    "lastTransitionTime": self.ctx.now(), "lastProbeTime": None,
                }]  # fmt: skip
            await self.api.patch("pods", namespace(pod), name(pod), {"status": status}, subresource="status")
        await self.api.delete("pods", namespace(pod), name(pod), uid=uid(pod), grace_period_seconds=0)


def _nothing() -> None:
    """Keep a run alive until a pass that will do something."""
