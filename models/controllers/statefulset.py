"""StatefulSet: the shell around the decision.

pkg/controller/statefulset/{stateful_set,stateful_set_control,stateful_pod_control}.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, labels, name, namespace, ready, terminating, uid
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers import history
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.ownership import claim
from kchaos.models.controllers.statefulset_decide import Create, Delete, Retain, decide, ordinal_of
from kchaos.models.controllers.statefulset_pod import (
    identity_matches,
    new_claims,
    new_pod,
    retained_refs,
    with_identity,
)


class StatefulSetController(Controller):
    """The shell."""

    name = "statefulset-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._sets = ctx.in_namespace("statefulsets")
        self._pods = ctx.owned("pods")
        self._pods.add_index("orphan", lambda pod: (namespace(pod),) if controller_of(pod) is None else ())
        self._claims = ctx.informer("persistentvolumeclaims")
        self._revisions = history.informer(ctx)
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch sets and their pods."""
        self._sets.add_handler(lambda old, new: self._queue.add(key_of(new if new is not None else old or {})))
        self._pods.add_handler(self._pod_changed)
        self._queue.start()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        ref = controller_of(pod)
        if ref is not None:
            if ref["kind"] == "StatefulSet":
                key = f"{namespace(pod)}/{ref['name']}"
                self._queue.add(key)
                owner = self._sets.get(key)
                wait = int(owner["spec"].get("minReadySeconds") or 0) if owner is not None else 0
                if wait and new is not None and ready(new) and (old is None or not ready(old)):
                    self._queue.add_after(key, wait + 1)
            return
        for owner in self._sets.by("namespace", namespace(pod)):
            if compile_selector(owner["spec"].get("selector"))(labels(pod)):
                self._queue.add(key_of(owner))

    async def _sync(self, key: str) -> None:
        owner = self._sets.get(key)
        if owner is None:
            return
        revisions = await history.owned(self.api, owner, "statefulsets", self._revisions)
        pods = await self._claim_pods(owner)
        before = (owner.get("status") or {}).get("currentRevision", "")
        if terminating(owner):
            past = history.ordered(revisions)
            if not past:
                return
            update = past[-1]
            current = next((one for one in past if name(one) == before), update)
            collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
        else:
            current, update, collisions = await history.current_and_update(self.api, owner, "statefulsets", revisions, before)
        decision = decide(owner, pods, name(current), name(update), collisions, self.rt.wall())
        failure: ApiError | None = None
        for action in decision.actions:
            try:
                if isinstance(action, Create):
                    await self._create(owner, update if action.from_update else current, action.ordinal)
                elif isinstance(action, Delete):
                    await self._delete(owner, action.pod)
                elif isinstance(action, Retain):
                    await self._retain(owner, action.pod, condemned=True)
                else:
                    await self._repair(owner, action.pod)
            except ApiError as error:
                failure = error
                break
        await self._write_status(owner, decision.status)
        if failure is not None:
            raise failure
        live = {name(current), name(update)} | {labels(pod).get(history.LABEL, "") for pod in pods}
        if not terminating(owner):
            limit = owner["spec"].get("revisionHistoryLimit", 10)
            await history.truncate(self.api, [*revisions, *([update] if update not in revisions else [])], live, limit)
        wait = int(owner["spec"].get("minReadySeconds") or 0)
        if wait and decision.status.get("availableReplicas", 0) != owner["spec"].get("replicas", 1):
            self._queue.add_after(key, wait)

    async def _claim_pods(self, owner: Obj) -> list[Obj]:
        fits = compile_selector(owner["spec"].get("selector"))
        orphans = [pod for pod in self._pods.by("orphan", namespace(owner)) if ordinal_of(owner, pod) >= 0]
        candidates = [*self._pods.by("controller", uid(owner)), *orphans]
        return await claim(self.api, "statefulsets", owner, "pods", candidates, fits)

    # -- actions -----------------------------------------------------------------------------------------------------

    async def _create(self, owner: Obj, revision: Obj, ordinal: int) -> None:
        pod = new_pod(owner, revision, ordinal)
        who = f"Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            await self._ensure_claims(owner, pod)
            made = await self.api.create("pods", namespace(owner), pod)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise
            self.event(owner, "Warning", "FailedCreate", f"create {who} failed error: {error.message}")
            raise
        self.event(owner, "Normal", "SuccessfulCreate", f"create {who} successful")
        await self._retain(owner, made, condemned=False)

    async def _ensure_claims(self, owner: Obj, pod: Obj) -> None:
        for body in new_claims(owner, name(pod)):
            found = self._claims.get(key_of(body))
            if found is not None:
                if terminating(found):
                    raise ApiError("Conflict", f"pvc {name(body)} is being deleted")
                continue
            text = f"create Claim {name(body)} Pod {name(pod)} in StatefulSet {name(owner)}"
            try:
                await self.api.create("persistentvolumeclaims", namespace(owner), body)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    continue
                self.event(owner, "Warning", "FailedCreate", f"{text} failed error: {error.message}")
                raise
            self.event(owner, "Normal", "SuccessfulCreate", f"{text} success")

    async def _delete(self, owner: Obj, pod: Obj) -> None:
        who = f"Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            await self.api.delete("pods", namespace(pod), name(pod), uid=uid(pod))
        except ApiError as error:
            if error.reason == "NotFound":
                return
            self.event(owner, "Warning", "FailedDelete", f"delete {who} failed error: {error.message}")
            raise
        self.event(owner, "Normal", "SuccessfulDelete", f"delete {who} successful")

    async def _repair(self, owner: Obj, pod: Obj) -> None:
        if not identity_matches(owner, pod):
            await self.api.update("pods", with_identity(owner, pod))
        if owner["spec"].get("volumeClaimTemplates"):
            await self._ensure_claims(owner, pod)
            await self._retain(owner, pod, condemned=False)

    async def _retain(self, owner: Obj, pod: Obj, condemned: bool) -> None:
        """Bring the claims' owner references in line with the retention policy."""
        for body in new_claims(owner, name(pod)):
            found = self._claims.get(key_of(body))
            if found is None:
                continue
            refs = retained_refs(owner, pod, found, condemned)
            if refs != (found["metadata"].get("ownerReferences") or []):
                await self.api.update("persistentvolumeclaims", put(found, refs, "metadata", "ownerReferences"))

    async def _write_status(self, owner: Obj, status: Obj) -> None:
        old = owner.get("status") or {}
        if all(old.get(k, 0) == v for k, v in status.items()) and all(k in status or not v for k, v in old.items()):
            return
        try:
            await self.api.update("statefulsets", {**owner, "status": status}, "status")
        except ApiError as error:
            if error.reason == "NotFound":
                return
            if error.reason != "Conflict":
                raise
            fresh = await self.api.get("statefulsets", namespace(owner), name(owner))
            await self.api.update("statefulsets", {**fresh, "status": status}, "status")
