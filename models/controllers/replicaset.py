"""ReplicaSet and ReplicationController: keep exactly spec.replicas pods that are neither ended nor terminating.

pkg/controller/replicaset/replica_set.go. Creation in slow-start batches, at most 500 a sync; expectations keep a stale cache from
acting twice; a ReplicationController is the same with a plain map as selector.
"""

from __future__ import annotations

from typing import NamedTuple

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import (
    active,
    available,
    controller_of,
    labels,
    name,
    namespace,
    owner_reference,
    ready,
    set_condition,
    terminating,
    uid,
)  # fmt: skip
from kchaos.models.api.request import Request
from kchaos.models.api.selectors import Predicate, compile_selector, from_map
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.expectations import Expectations
from kchaos.models.controllers.ownership import claim
from kchaos.models.controllers.podcontrol import BURST, Answer, all_of, pod_from_template, slow_start
from kchaos.models.controllers.replicaset_victims import rank

Counts = tuple[int, int]
"""Of active pods: how many have all labels of the template, how many are ready."""


class Fact(NamedTuple):
    """What is known of one pod object: it needs no claiming, is active, has the template's labels, is ready."""

    pod: Obj
    settled: bool
    active: bool
    labelled: bool
    ready: bool


class ReplicaSetController(Controller):
    """The shell of both kinds."""

    name = "replicaset-controller"
    kind = "ReplicaSet"
    resource = "replicasets"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._sets = ctx.in_namespace(self.resource)
        self._sets.add_index("controller", lambda obj: ((controller_of(obj) or {"uid": ""})["uid"],))
        self._pods = ctx.owned("pods")
        self._pods.add_index("orphan", lambda pod: (pod["metadata"].get("namespace", ""),) if controller_of(pod) is None else ())
        self._expect = Expectations(ctx.rt)
        self._facts: dict[str, tuple[Obj | None, dict[int, Fact]]] = {}
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch sets and pods."""
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()

    def selector(self, owner: Obj) -> Predicate:
        """Return which pods an owner selects."""
        return compile_selector(owner["spec"].get("selector"))

    # -- events ------------------------------------------------------------------------------------------------------

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        key = key_of(obj)
        if new is None:
            self._expect.forget(key)
            self._facts.pop(key, None)
        self._queue.add(key)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            ref = controller_of(old)
            if ref is not None and ref["kind"] == self.kind:
                key = f"{namespace(old)}/{ref['name']}"
                self._expect.deletion_seen(key, uid(old))
                self._queue.add(key)
            return
        ref = controller_of(new)
        before = controller_of(old) if old is not None else None
        if before is not None and before != ref and before["kind"] == self.kind:
            self._queue.add(f"{namespace(new)}/{before['name']}")
        if ref is not None:
            if ref["kind"] != self.kind:
                return
            key = f"{namespace(new)}/{ref['name']}"
            if old is None and not terminating(new):
                self._expect.creation_seen(key)
            if terminating(new):
                self._expect.deletion_seen(key, uid(new))
            self._queue.add(key)
            self._wake_when_available(key, old, new)
            return
        if old is None or labels(old) != labels(new) or before is not None:
            for owner in self._sets.by("namespace", namespace(new)):
                if self.selector(owner)(labels(new)):
                    self._queue.add(key_of(owner))

    def _wake_when_available(self, key: str, old: Obj | None, new: Obj) -> None:
        owner = self._sets.get(key)
        wait = owner["spec"].get("minReadySeconds", 0) if owner is not None else 0
        if wait and ready(new) and (old is None or not ready(old)):
            self._queue.add_after(key, wait + 1)

    # -- sync --------------------------------------------------------------------------------------------------------

    async def _sync(self, key: str) -> None:
        owner = self._sets.get(key)
        if owner is None:
            return
        ready_to_act = self._expect.satisfied(key)
        candidates = [*self._pods.by("controller", uid(owner)), *self._pods.by("orphan", namespace(owner))]
        fits = self.selector(owner)
        mine, counts = self._own(key, owner, candidates, fits)
        if mine is None:
            live = [pod for pod in candidates if active(pod)]
            mine = await claim(self.api, self.resource, owner, "pods", live, fits)
        failure: ApiError | None = None
        if ready_to_act and not terminating(owner):
            failure = await self._manage(key, owner, mine)
        await self._write_status(key, mine, failure, counts)
        if failure is not None:
            raise failure

    def _own(self, key: str, owner: Obj, candidates: list[Obj], fits: Predicate) -> tuple[list[Obj] | None, Counts | None]:
        """Return the active pods if all are surely the owner's, and their counts; (None, None) if some must be claimed or released.

        What is known of an unchanged object is kept (by identity: objects are immutable), so that ten thousand pods cost little.
        """
        spec, known = self._facts.get(key, (None, {}))
        if spec is not owner["spec"] or len(known) > 2 * len(candidates) + 100:
            known = {}
            self._facts[key] = (owner["spec"], known)
        look = known.get
        template = owner["spec"]["template"].get("metadata", {}).get("labels") or {}
        for pod in [pod for pod in candidates if look(id(pod)) is None]:
            up = active(pod)
            ours = controller_of(pod) is not None and fits(labels(pod))
            labelled = up and all(labels(pod).get(k) == v for k, v in template.items())
            known[id(pod)] = Fact(pod, not up or ours, up, labelled, up and ready(pod))
        facts = [known[id(pod)] for pod in candidates]
        if not facts:
            return [], (0, 0)
        pods, settled, live, labels_right, ready_now = zip(*facts, strict=True)
        if False in settled:
            return None, None
        mine = list(pods) if False not in live else [pod for pod, up in zip(pods, live, strict=True) if up]
        return mine, (sum(labels_right), sum(ready_now))

    async def _manage(self, key: str, owner: Obj, mine: list[Obj]) -> ApiError | None:
        missing = owner["spec"].get("replicas", 1) - len(mine)
        if missing > 0:
            return await self._create(key, owner, min(missing, BURST))
        if missing < 0:
            return await self._delete(key, owner, mine, min(-missing, BURST))
        return None

    async def _create(self, key: str, owner: Obj, count: int) -> ApiError | None:
        self._expect.expect_creations(key, count)
        pod = pod_from_template(owner["spec"]["template"], owner_reference(owner), name(owner) + "-")
        request = Request("create", "pods", namespace(owner), body=pod, identity=self.api.identity)
        answered = 0

        def each(_: int, answer: Answer) -> None:
            nonlocal answered
            answered += 1
            obj, error = answer
            if obj is not None:
                self.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name(obj)}")
            else:
                assert error is not None
                if error.reason != "Timeout":  # it may have been created: then the informer will see it
                    self._expect.creation_seen(key)
                self.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")

        _, error = await slow_start(self.rt, self.api, [request] * count, each)
        for _ in range(count - answered):
            self._expect.creation_seen(key)
        if error is not None and error.reason == "Forbidden" and "because it is being terminated" in error.message:
            return None
        return error

    async def _delete(self, key: str, owner: Obj, mine: list[Obj], count: int) -> ApiError | None:
        victims = rank(mine, self._related(owner), self.rt.wall())[:count] if count < len(mine) else list(mine)
        self._expect.expect_deletions(key, [uid(pod) for pod in victims])
        requests = [
            Request("delete", "pods", namespace(pod), name(pod), options={"preconditions": {"uid": uid(pod)}}, identity=self.api.identity)
            for pod in victims
        ]
        failures: list[ApiError] = []

        def each(index: int, answer: Answer) -> None:
            pod, error = victims[index], answer[1]
            if error is None:
                self.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")
                return
            self._expect.deletion_seen(key, uid(pod))
            if error.reason != "NotFound":
                self.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
                failures.append(error)

        await all_of(self.rt, self.api, requests, each)
        return failures[0] if failures else None

    def _related(self, owner: Obj) -> list[Obj]:
        """Return the active pods of all sets that share ``owner``'s controller: for ranking by doubling-up on nodes."""
        above = controller_of(owner)
        sets = self._sets.by("controller", above["uid"]) if above is not None else [owner]
        return [pod for one in sets for pod in self._pods.by("controller", uid(one)) if active(pod)]

    # -- status ------------------------------------------------------------------------------------------------------

    async def _write_status(self, key: str, mine: list[Obj], failure: ApiError | None, counts: Counts | None) -> None:
        owner = self._sets.get(key)
        if owner is None:
            return
        status = decide_status(owner, mine, failure, self.rt.wall(), self.ctx.now(), counts)
        old = owner.get("status") or {}
        if status == old:
            return
        try:
            fresh = await self.api.update(self.resource, {**owner, "status": status}, "status")
        except ApiError as error:
            if error.reason == "NotFound":
                return
            if error.reason != "Conflict":
                raise
            current = await self.api.get(self.resource, namespace(owner), name(owner))
            status = {**status, "observedGeneration": max(owner["metadata"]["generation"], old.get("observedGeneration", 0))}
            fresh = await self.api.update(self.resource, {**current, "status": status}, "status")
        wait = fresh["spec"].get("minReadySeconds", 0)
        if wait and status["readyReplicas"] == fresh["spec"].get("replicas") != status["availableReplicas"]:
            self._queue.add_after(key, wait)


def decide_status(owner: Obj, mine: list[Obj], failure: ApiError | None, wall_s: float, now: str, counted: Counts | None = None) -> Obj:
    """Return the status of a set whose active pods are ``mine`` (replica_set_utils.go: calculateStatus)."""
    template = owner["spec"]["template"].get("metadata", {}).get("labels") or {}
    wait = owner["spec"].get("minReadySeconds", 0)
    old = owner.get("status") or {}
    if counted is None:
        counted = (sum(all(labels(pod).get(k) == v for k, v in template.items()) for pod in mine), sum(ready(pod) for pod in mine))
    labelled, up = counted
    counts = {
        "replicas": len(mine), "fullyLabeledReplicas": labelled, "readyReplicas": up,
        "availableReplicas": sum(1 for pod in mine if available(pod, wait, wall_s)) if wait else up,
    }  # fmt: skip
    status: Obj = {**counts, "observedGeneration": owner["metadata"].get("generation", 1)}
    conditions = list(old.get("conditions") or ())
    failed = [one for one in conditions if one["type"] == "ReplicaFailure"]
    if failure is not None and not failed:
        reason = "FailedDelete" if len(mine) > owner["spec"].get("replicas", 1) else "FailedCreate"
        new = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": failure.message}
        conditions = set_condition(conditions, new, now)
    elif failure is None and failed:
        conditions = [one for one in conditions if one["type"] != "ReplicaFailure"]
    if conditions:
        status["conditions"] = conditions
    return status


class ReplicationControllerController(ReplicaSetController):
    """ReplicationControllers."""

    name = "replication-controller"
    kind = "ReplicationController"
    resource = "replicationcontrollers"

    def selector(self, owner: Obj) -> Predicate:
        """Return which pods an owner selects: a plain map."""
        return from_map(owner["spec"].get("selector") or {})
