"""Namespaces under deletion: first the pods go, then everything else, then the namespace itself.

pkg/controller/namespace/namespace_controller.go, deletion/namespaced_resources_deleter.go (ordered deletion, on since 1.33). Not
modelled: failing discovery, namespaces that hold custom resources.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, set_condition, terminating
from kchaos.models.api.request import Request
from kchaos.models.api.resources import RESOURCES
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.controllers.base import Context, Controller

FINALIZER = "kubernetes"
FINALIZER_ESTIMATE_S = 15
"""How long content with finalizers is expected to take (finalizerEstimateSeconds)."""
KINDS = tuple(one.plural for one in RESOURCES if one.namespaced and one.plural not in ("bindings", "events", "pods", "leases"))


def conditions(old: list[Obj], remaining: dict[str, int], finalizers: dict[str, int], failure: str, now: str) -> list[Obj]:
    """Return the namespace's conditions after a pass (status_condition_utils.go): ``remaining`` counts by kind, by finalizer."""
    good = {
        "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
        "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        "NamespaceDeletionContentFailure": ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
        "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    }
    bad: dict[str, tuple[str, str]] = {}
    if failure:
        bad["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", failure)
    if remaining:
        text = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(remaining.items()))
        bad["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {text}")
    if finalizers:
        text = ", ".join(f"{one} in {count} resource instances" for one, count in sorted(finalizers.items()))
        bad["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {text}")
    out = old
    for kind, (reason, message) in good.items():
        status = "False"
        if kind in bad:
            status, (reason, message) = "True", bad[kind]
        out = set_condition(out, {"type": kind, "status": status, "reason": reason, "message": message}, now)
    return out


class NamespaceController(Controller):
    """The shell."""

    name = "namespace-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._namespaces = ctx.informer("namespaces")
        self._queue = ctx.queue(self.name, self._sync, workers=10)

    def start(self) -> None:
        """Watch namespaces; each change of one under deletion is looked at five seconds later."""
        self._namespaces.add_handler(self._changed)
        self._queue.start()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and terminating(new):
            self._queue.add_after(name(new), self.ctx.constants.namespace_delay_s)

    async def _sync(self, key: str) -> None:
        if key not in self._namespaces.items:
            return
        try:
            space = await self.api.get("namespaces", "", key)
        except ApiError as error:
            if error.reason == "NotFound":
                return
            raise
        if not terminating(space) or not get(space, "spec", "finalizers"):
            return
        remaining: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        failure: ApiError | None = None
        estimate = 0
        try:
            estimate = await self._clear("pods", key, {}, {})
            left = await self._left("pods", key)
            if not left:
                for kind in KINDS:
                    estimate = max(estimate, await self._clear(kind, key, remaining, finalizers))
        except ApiError as error:
            failure = error
            left = []
        text = failure.message if failure is not None else ""
        await self._report(space, remaining, finalizers, text)
        if failure is not None:
            raise failure
        if left or estimate:
            self._queue.add_after(key, estimate // 2 + 1)
            return
        await self._finalize(key)

    async def _left(self, kind: str, space: str) -> list[Obj]:
        found: list[Obj] = (await self.api.list(kind, space))["items"]
        return found

    async def _clear(self, kind: str, space: str, remaining: dict[str, int], finalizers: dict[str, int]) -> int:
        """Delete all of one kind; return in how many seconds the rest may be gone, and count the rest."""
        estimate = await self._grace(space) if kind == "pods" else 0
        options: Obj = {"propagation_policy": "Background"}
        await self.api.client.request(Request("deletecollection", kind, space, options=options, identity=self.api.identity))
        left = await self._left(kind, space)
        if not left:
            return 0
        remaining[f"{kind}."] = len(left)
        for one in left:
            for finalizer in one["metadata"].get("finalizers") or ():
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        if estimate:
            return estimate
        if any(one["metadata"].get("finalizers") for one in left):
            return FINALIZER_ESTIMATE_S
        raise ApiError("InternalError", f"unexpected items still remain in namespace: {space} for gvr: {kind}")

    async def _grace(self, space: str) -> int:
        """Return the longest grace that a pod there still has (estimateGracefulTerminationForPods)."""
        longest = 0
        for pod in await self._left("pods", space):
            if get(pod, "status", "phase") in ("Succeeded", "Failed"):
                continue
            grace = int(pod["spec"].get("terminationGracePeriodSeconds", 30))
            if terminating(pod):
                grace = max(1, int(parse(pod["metadata"]["deletionTimestamp"]) - self.rt.wall()))
            longest = max(longest, grace)
        return longest

    async def _report(self, space: Obj, remaining: dict[str, int], finalizers: dict[str, int], failure: str) -> None:
        old = list(get(space, "status", "conditions", default=()))
        new = conditions(old, remaining, finalizers, failure, self.ctx.now())
        if new != old:
            await self.api.update("namespaces", put(space, new, "status", "conditions"), "status")

    async def _finalize(self, key: str) -> None:
        try:
            space = await self.api.get("namespaces", "", key)
            left = [one for one in get(space, "spec", "finalizers", default=()) if one != FINALIZER]
            await self.api.update("namespaces", put(space, left, "spec", "finalizers"), "finalize")
        except ApiError as error:
            if error.reason != "NotFound":
                raise
