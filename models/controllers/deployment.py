"""Deployment: one ReplicaSet per pod template, moved from old to new as the strategy says.

pkg/controller/deployment/deployment_controller.go and sync.go; the decisions are in deployment_rolling and deployment_status.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.hash import pod_template_hash
from kchaos.models.api.pods import (
    controller_of,
    labels,
    name,
    namespace,
    notes_of,
    owner_reference,
    phase,
    terminating,
    uid,
)
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, drop, get, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers import deployment_rolling as rolling
from kchaos.models.controllers import deployment_status as progress
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.ownership import claim

HASH = "pod-template-hash"
HISTORY = "deployment.kubernetes.io/revision-history"
NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration", rolling.REVISION, HISTORY, rolling.DESIRED, rolling.MAX,
    "deprecated.deployment.rollback.to",
}  # fmt: skip


class DeploymentController(Controller):
    """The shell."""

    name = "deployment-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._deployments = ctx.in_namespace("deployments")
        self._sets = ctx.owned("replicasets")
        self._sets.add_index("orphan", lambda rs: (namespace(rs),) if controller_of(rs) is None else ())
        self._pods = ctx.owned("pods")
        self._queue = ctx.queue(self.name, self._sync)
        self._hashes: dict[int, tuple[Obj, int | None, str]] = {}

    def start(self) -> None:
        """Watch Deployments, their ReplicaSets, and (for Recreate) deleted pods."""
        self._deployments.add_handler(lambda old, new: self._queue.add(key_of(new if new is not None else old or {})))
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        for rs in (old, new):
            ref = controller_of(rs) if rs is not None else None
            if rs is not None and ref is not None and ref["kind"] == "Deployment":
                self._queue.add(f"{namespace(rs)}/{ref['name']}")
        if new is not None and controller_of(new) is None:
            for one in self._deployments.by("namespace", namespace(new)):
                if compile_selector(one["spec"].get("selector"))(labels(new)):
                    self._queue.add(key_of(one))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A Recreate rollout goes on when the last old pod is gone."""
        if new is not None or old is None:
            return
        ref = controller_of(old)
        rs = self._sets.get(f"{namespace(old)}/{ref['name']}") if ref is not None and ref["kind"] == "ReplicaSet" else None
        above = controller_of(rs) if rs is not None else None
        if above is None:
            return
        deployment = self._deployments.get(f"{namespace(old)}/{above['name']}")
        if deployment is not None and not rolling.is_rolling(deployment):
            self._queue.add(key_of(deployment))

    # -- sync --------------------------------------------------------------------------------------------------------

    async def _sync(self, key: str) -> None:
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        sets = await self._claim(deployment)
        if terminating(deployment):
            await self._plain_status(deployment, sets)
            return
        deployment = await self._paused_conditions(deployment)
        new = self._find_new(deployment, sets)
        if deployment["spec"].get("paused") or rolling.is_scaling_event(deployment, sets):
            if new is not None:
                deployment, new = await self._keep_new(deployment, new, sets)
            olds = [rs for rs in sets if new is None or uid(rs) != uid(new)]
            plan = rolling.plan_scale(deployment, new, olds)
            sets = await self._apply(deployment, plan, sets)
            if deployment["spec"].get("paused"):
                await self._clean(deployment, [rs for rs in sets if new is None or uid(rs) != uid(new)])
            await self._plain_status(deployment, sets)
        elif rolling.is_rolling(deployment):
            await self._roll(deployment, sets)
        else:
            await self._recreate(deployment, sets)

    async def _claim(self, deployment: Obj) -> list[Obj]:
        candidates = [*self._sets.by("controller", uid(deployment)), *self._sets.by("orphan", namespace(deployment))]
        fits = compile_selector(deployment["spec"].get("selector"))
        return rolling.by_age(await claim(self.api, "deployments", deployment, "replicasets", candidates, fits))

    async def _roll(self, deployment: Obj, sets: list[Obj]) -> None:
        deployment, new, sets = await self._ensure_new(deployment, sets)
        olds = [rs for rs in sets if uid(rs) != uid(new)]
        plan = rolling.plan_new(deployment, new, olds) or rolling.plan_olds(deployment, new, olds)
        if plan:
            sets = await self._apply(deployment, plan, sets)
        elif progress.complete(deployment, deployment.get("status") or {}):
            await self._clean(deployment, olds)
        await self._rollout_status(deployment, uid(new), sets)

    async def _recreate(self, deployment: Obj, sets: list[Obj]) -> None:
        new = self._find_new(deployment, sets)
        if new is not None:
            deployment, new = await self._keep_new(deployment, new, sets)
        olds = [rs for rs in sets if new is None or uid(rs) != uid(new)]
        plan = rolling.plan_recreate(olds)
        if plan:
            sets = await self._apply(deployment, plan, sets)
            await self._rollout_status(deployment, uid(new) if new is not None else "", sets)
            return
        left = any(get(rs, "status", "replicas", default=0) for rs in olds)
        if left or any(phase(p) not in ("Succeeded", "Failed") for rs in olds for p in self._pods.by("controller", uid(rs))):
            await self._rollout_status(deployment, uid(new) if new is not None else "", sets)
            return
        deployment, new, sets = await self._ensure_new(deployment, sets)
        if rolling.replicas(new) != rolling.replicas(deployment):
            sets = await self._apply(deployment, [(new, rolling.replicas(deployment))], sets)
        if progress.complete(deployment, deployment.get("status") or {}):
            await self._clean(deployment, olds)
        await self._rollout_status(deployment, uid(new), sets)

    # -- the new ReplicaSet ------------------------------------------------------------------------------------------

    def _find_new(self, deployment: Obj, sets: list[Obj]) -> Obj | None:
        """Return the oldest set whose template is the Deployment's (FindNewReplicaSet)."""
        wanted = deployment["spec"]["template"]
        for rs in sets:
            have = drop(rs["spec"]["template"], "metadata", "labels", HASH)
            if have["spec"] == wanted["spec"] and _same_meta(have.get("metadata"), wanted.get("metadata")):
                return rs
        return None

    def _hash(self, deployment: Obj) -> str:
        template = deployment["spec"]["template"]
        count = get(deployment, "status", "collisionCount")
        found = self._hashes.get(id(template))
        if found is None or found[0] is not template or found[1] != count:
            found = self._hashes[id(template)] = (template, count, pod_template_hash(template, count))
        return found[2]

    @staticmethod
    def _revision(obj: Obj) -> int:
        return int(notes_of(obj).get(rolling.REVISION) or 0)

    async def _keep_new(self, deployment: Obj, new: Obj, sets: list[Obj]) -> tuple[Obj, Obj]:
        """Bring the existing new set's annotations up to date, and the Deployment's revision with it."""
        olds = [rs for rs in sets if uid(rs) != uid(new)]
        revision = max([self._revision(rs) for rs in olds], default=0) + 1
        notes = self._notes(deployment, new, revision, exists=True)
        wait = deployment["spec"].get("minReadySeconds", 0)
        if notes != notes_of(new) or new["spec"].get("minReadySeconds", 0) != wait:
            changed = put(new, notes, "metadata", "annotations")
            if wait or "minReadySeconds" in new["spec"]:
                changed = put(changed, wait, "spec", "minReadySeconds")
            return deployment, await self.api.update("replicasets", changed)  # the Deployment's revision follows in the next sync
        conditions = list(get(deployment, "status", "conditions", default=()))
        if progress.has_deadline(deployment) and progress.find(conditions, "Progressing") is None:
            text = f'Found new replica set "{name(new)}"'
            found = progress.new_condition("Progressing", "True", "FoundNewReplicaSet", text, self.ctx.now())
            conditions = progress.with_condition(conditions, found)
        deployment = await self._note(deployment, notes[rolling.REVISION], conditions)
        return deployment, new

    async def _note(self, deployment: Obj, revision: str, conditions: list[Obj]) -> Obj:
        """Write the Deployment's revision annotation and conditions if they differ."""
        changed = deployment
        if notes_of(deployment).get(rolling.REVISION) != revision:
            changed = put(changed, {**notes_of(deployment), rolling.REVISION: revision}, "metadata", "annotations")
        if conditions != get(deployment, "status", "conditions", default=[]):
            changed = put(changed, conditions, "status", "conditions")
        return deployment if changed is deployment else await self.api.update("deployments", changed, "status")

    def _notes(self, deployment: Obj, rs: Obj, revision: int, exists: bool) -> dict[str, str]:
        """Return the annotations of the new set (SetNewReplicaSetAnnotations)."""
        notes = dict(notes_of(rs))
        notes.update({k: v for k, v in notes_of(deployment).items() if k not in NOT_COPIED})
        old = notes.get(rolling.REVISION)
        if int(old or 0) < revision:
            if old is not None:
                past = [one for one in notes.get(HISTORY, "").split(",") if one]
                notes[HISTORY] = ",".join([*past, old])
            notes[rolling.REVISION] = str(revision)
        if not exists:
            notes.update(_sizes(deployment))
        return notes

    async def _ensure_new(self, deployment: Obj, sets: list[Obj]) -> tuple[Obj, Obj, list[Obj]]:
        """Return (Deployment, its new set, all sets), after creating the new set if need be (getNewReplicaSet)."""
        new = self._find_new(deployment, sets)
        if new is not None:
            deployment, kept = await self._keep_new(deployment, new, sets)
            return deployment, kept, [kept if uid(rs) == uid(kept) else rs for rs in sets]
        body = self._new_set(deployment, sets)
        created = True
        try:
            new = await self.api.create("replicasets", namespace(deployment), body)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                new = await self._collision(deployment, body, error)
                created = False
            elif "because it is being terminated" in error.message:
                raise
            else:
                await self._creation_failed(deployment, body, error)
                raise
        if created and rolling.replicas(new) > 0:
            self._scaled(deployment, name(new), 0, rolling.replicas(new))
        conditions = list(get(deployment, "status", "conditions", default=()))
        if created and progress.has_deadline(deployment):
            text = f'Created new replica set "{name(new)}"'
            made = progress.new_condition("Progressing", "True", "NewReplicaSetCreated", text, self.ctx.now())
            conditions = progress.with_condition(conditions, made)
        deployment = await self._note(deployment, notes_of(new)[rolling.REVISION], conditions)
        return deployment, new, [*[rs for rs in sets if uid(rs) != uid(new)], new]

    def _new_set(self, deployment: Obj, sets: list[Obj]) -> Obj:
        template, digest = deployment["spec"]["template"], self._hash(deployment)
        marks = {**((template.get("metadata") or {}).get("labels") or {}), HASH: digest}
        selector = deployment["spec"]["selector"]
        chosen = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH: digest}}
        spec: Obj = {
            "replicas": rolling.new_size(deployment, None, sets),
            "selector": chosen,
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": marks}},
        }
        if deployment["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
        body: Obj = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": spec,
            "metadata": {
                "name": f"{name(deployment)}-{digest}", "namespace": namespace(deployment), "labels": marks,
                "ownerReferences": [owner_reference(deployment)],
            },
        }  # fmt: skip
        revision = max([self._revision(rs) for rs in sets], default=0) + 1
        return put(body, self._notes(deployment, body, revision, exists=False), "metadata", "annotations")

    async def _collision(self, deployment: Obj, body: Obj, error: ApiError) -> Obj:
        """The name is taken: by this Deployment's own set that the cache does not show yet, or by another (a hash collision)."""
        found = await self.api.get("replicasets", namespace(deployment), body["metadata"]["name"])
        ref = controller_of(found)
        if ref is not None and ref["uid"] == uid(deployment) and self._find_new(deployment, [found]) is not None:
            return found
        count = get(deployment, "status", "collisionCount", default=0) + 1
        await self.api.update("deployments", put(deployment, count, "status", "collisionCount"), "status")
        raise error

    async def _creation_failed(self, deployment: Obj, body: Obj, error: ApiError) -> None:
        text = f'Failed to create new replica set "{body["metadata"]["name"]}": {error.message}'
        self.event(deployment, "Warning", "ReplicaSetCreateError", text)
        if progress.has_deadline(deployment):
            failed = progress.new_condition("Progressing", "False", "ReplicaSetCreateError", text, self.ctx.now())
            conditions = progress.with_condition(list(get(deployment, "status", "conditions", default=())), failed)
            await self._note(deployment, notes_of(deployment).get(rolling.REVISION, ""), conditions)

    # -- scaling, history, status ------------------------------------------------------------------------------------

    async def _apply(self, deployment: Obj, plan: rolling.Plan, sets: list[Obj]) -> list[Obj]:
        """Carry a plan out; return the sets as they are now."""
        current = {uid(rs): rs for rs in sets}
        for planned, size in plan:
            rs = current[uid(planned)]
            before = rolling.replicas(rs)
            notes = {**notes_of(rs), **_sizes(deployment)}
            if size == before and notes == notes_of(rs):
                continue
            changed = put(put(rs, size, "spec", "replicas"), notes, "metadata", "annotations")
            current[uid(rs)] = await self.api.update("replicasets", changed)
            if size != before:
                self._scaled(deployment, name(rs), before, size)
        return list(current.values())

    def _scaled(self, deployment: Obj, replicaset: str, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        text = f"Scaled {way} replica set {replicaset} from {before} to {after}"
        self.event(deployment, "Normal", "ScalingReplicaSet", text)

    async def _clean(self, deployment: Obj, olds: list[Obj]) -> None:
        for rs in rolling.stale_history(deployment, olds):
            try:
                await self.api.delete("replicasets", namespace(rs), name(rs))
            except ApiError as error:
                if error.reason != "NotFound":
                    raise

    async def _paused_conditions(self, deployment: Obj) -> Obj:
        if not progress.has_deadline(deployment):
            return deployment
        conditions = list(get(deployment, "status", "conditions", default=()))
        found = progress.find(conditions, "Progressing")
        if found is not None and found["reason"] == progress.TIMED_OUT:
            return deployment
        noted = found is not None and found["reason"] == progress.PAUSED
        paused = bool(deployment["spec"].get("paused"))
        if paused is noted:
            return deployment
        reason, text = (progress.PAUSED, "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        new = progress.new_condition("Progressing", "Unknown", reason, text, self.ctx.now())
        changed = put(deployment, progress.with_condition(conditions, new), "status", "conditions")
        return await self.api.update("deployments", changed, "status")

    async def _plain_status(self, deployment: Obj, sets: list[Obj]) -> None:
        new = self._find_new(deployment, sets)
        status = progress.calculate(deployment, new, sets, self.ctx.now())
        if status != (deployment.get("status") or {}):
            await self.api.update("deployments", {**deployment, "status": status}, "status")

    async def _rollout_status(self, deployment: Obj, new_uid: str, sets: list[Obj]) -> None:
        new = next((rs for rs in sets if uid(rs) == new_uid), None)
        status = progress.rollout_status(deployment, new, sets, self.ctx.now(), self.rt.wall())
        wait = progress.stuck_for_s(deployment, status, self.rt.wall())
        if wait is not None:
            self._queue.add_after(key_of(deployment), wait)
        if status != (deployment.get("status") or {}):
            await self.api.update("deployments", {**deployment, "status": status}, "status")


def _sizes(deployment: Obj) -> dict[str, str]:
    surge, _ = rolling.bounds(deployment)
    want = rolling.replicas(deployment)
    return {rolling.DESIRED: str(want), rolling.MAX: str(want + surge)}


def _same_meta(one: Obj | None, other: Obj | None) -> bool:
    def bare(meta: Obj | None) -> Obj:
        return {k: v for k, v in (meta or {}).items() if v not in (None, {}, []) and k != "creationTimestamp"}

    return bare(one) == bare(other)
