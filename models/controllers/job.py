"""Job: the shell. Each sync counts pods, makes or deletes some, and accounts for those that ended by taking their finalizer away.

pkg/controller/job/job_controller.go. Pod events are batched for a second; a pod's end is first noted in uncountedTerminatedPods, then
its finalizer goes, then the counters move: so nothing is counted twice or lost. Suspending and scaling down do not count as failures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import (
    controller_of,
    name,
    namespace,
    owner_reference,
    phase,
    ready,
    set_condition,
    terminating,
    uid,
)  # fmt: skip
from kchaos.models.api.request import Request
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.workqueue import WorkQueue
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.expectations import Expectations
from kchaos.models.controllers.job_decide import (
    FINALIZER,
    INDEX,
    Backoff,
    Verdict,
    census,
    counts,
    deadline_left_s,
    delayed,
    failed_indexes,
    finish_s,
    finished,
    index_of,
    index_verdict,
    index_wait_s,
    indexed,
    inherited_failures,
    parse_indexes,
    pending_indexes,
    per_index,
    pod_failed,
    show_indexes,
    standing_verdict,
    succeeded_indexes,
    success_policy,
    tracked,
    verdict,
    wanted_active,
)  # fmt: skip
from kchaos.models.controllers.ownership import claim
from kchaos.models.controllers.podcontrol import BURST, Answer, all_of, pod_from_template, slow_start
from kchaos.models.controllers.replicaset_victims import rank

BATCH_S = 1.0
"""syncJobBatchPeriod."""


@dataclass
class _Sync:
    """What one sync has found and decided."""

    job: Obj
    pods: list[Obj]
    skip: dict[str, None]
    live: list[Obj]
    ready: int
    going: int
    succeeded: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    done: dict[int, None] = field(default_factory=dict)
    failed: dict[int, None] = field(default_factory=dict)
    held: dict[int, Obj] = field(default_factory=dict)
    verdict: Verdict | None = None
    active: int = 0


class JobController(Controller):
    """The shell."""

    name = "job-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._jobs = ctx.in_namespace("jobs")
        self._pods = ctx.owned("pods")
        self._pods.add_index("orphan", lambda pod: (namespace(pod),) if controller_of(pod) is None else ())
        self._expect = Expectations(ctx.rt)
        self._backoff: dict[str, Backoff] = {}
        self._freed: dict[str, dict[str, None]] = {}
        self._queue = WorkQueue(ctx.rt, self.name, self._sync, 5, base_s=1.0, max_s=60.0)
        self._orphans = ctx.queue(self.name, self._free_orphan, workers=1)

    def start(self) -> None:
        """Watch jobs and their pods."""
        self._jobs.add_handler(self._job_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()
        self._orphans.start()

    # -- events ------------------------------------------------------------------------------------------------------

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        job = new if new is not None else old
        assert job is not None
        key = key_of(job)
        if new is None:
            self._backoff.pop(key, None)
            self._freed.pop(key, None)
            self._expect.forget(key)
            for pod in self._pods.by("controller", uid(job)):
                if tracked(pod):
                    self._orphans.add(key_of(pod))
        elif old is not None and old["metadata"].get("generation") == new["metadata"].get("generation"):
            self._queue.add_after(key, BATCH_S)
        else:
            self._queue.add(key)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        ref = controller_of(pod)
        if ref is None or ref["kind"] != "Job":
            if new is not None and tracked(new):
                self._orphans.add(key_of(new))
            return
        key = f"{namespace(pod)}/{ref['name']}"
        if new is None or not tracked(new):
            self._freed.get(key, {}).pop(uid(pod), None)
        if new is None or terminating(new):
            self._expect.deletion_seen(key, uid(pod))
        elif old is None:
            self._expect.creation_seen(key)
        if self._jobs.get(key) is None and new is not None and tracked(new):
            self._orphans.add(key_of(new))
        self._queue.add_after(key, BATCH_S)

    async def _free_orphan(self, key: str) -> None:
        """Take the finalizer from a pod whose job is gone (syncOrphanPod)."""
        pod = self._pods.get(key)
        if pod is None or not tracked(pod):
            return
        ref = controller_of(pod)
        if ref is not None and ref["kind"] == "Job":
            job = self._jobs.get(f"{namespace(pod)}/{ref['name']}")
            if job is not None and uid(job) == ref["uid"]:
                return
            try:
                live = await self.api.get("jobs", namespace(pod), ref["name"])
                if uid(live) == ref["uid"]:
                    return
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        await all_of(self.rt, self.api, [self._free_request(pod)], lambda index, answer: None)

    def _free_request(self, pod: Obj) -> Request:
        left = [one for one in pod["metadata"].get("finalizers") or () if one != FINALIZER]
        body = {"metadata": {"finalizers": left or None, "uid": uid(pod)}}
        return Request("patch", "pods", namespace(pod), name(pod), body=body, options={"patch_type": "merge"}, identity=self.api.identity)

    # -- sync --------------------------------------------------------------------------------------------------------

    async def _sync(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is None:
            return
        if finished(job):
            self._backoff.pop(key, None)
            return
        satisfied = self._expect.satisfied(key)
        candidates = [*self._pods.by("controller", uid(job)), *self._pods.by("orphan", namespace(job))]
        pods = await claim(self.api, "jobs", job, "pods", candidates, compile_selector(job["spec"].get("selector")))
        live, up, going = census(pods)
        now = self.rt.wall()
        at = _Sync(job, pods, self._freed.get(key, {}), live, up, going)
        at.active = len(live)
        uncounted = get(job, "status", "uncountedTerminatedPods", default={})
        good, bad = self._newly_ended(at, uncounted)
        at.succeeded = int(get(job, "status", "succeeded", default=0)) + len(good) + len(uncounted.get("succeeded") or ())
        counted = sum(1 for pod in bad if counts(job, pod))
        failures = int(get(job, "status", "failed", default=0)) + counted + len(uncounted.get("failed") or ())
        status = dict(job.get("status") or {})
        if not status.get("startTime") and not job["spec"].get("suspend"):
            status["startTime"] = self.ctx.now()
            job = at.job = {**job, "status": status}
        at.backoff = self._backoff.get(key, Backoff()).after([finish_s(p, now) for p in good], [finish_s(p, now) for p in bad])
        at.verdict = standing_verdict(job) or verdict(job, [p for p in pods if uid(p) not in at.skip], failures, now)
        left = deadline_left_s(job, now)
        if at.verdict is None and left is not None:
            self._queue.add_after(key, left)
        if indexed(job):
            self._judge_indexes(at)
        failure: ApiError | None = None
        conditions = list(status.get("conditions") or ())
        if at.verdict is not None:
            failure = await self._stop(key, at, satisfied)
        else:
            managed = satisfied and not terminating(job)
            if managed:
                failure = await self._manage(key, at)
            completions = job["spec"].get("completions")
            enough = at.succeeded > 0 if completions is None else at.succeeded >= int(completions)
            if enough and at.active == 0:
                at.verdict = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
            elif managed:
                conditions = self._suspension(job, conditions, status)
        status["conditions"] = conditions
        if not conditions:
            del status["conditions"]
        await self._account(key, at, status)
        if failure is not None:
            raise failure

    def _newly_ended(self, at: _Sync, uncounted: Obj) -> tuple[list[Obj], list[Obj]]:
        known = dict.fromkeys([*(uncounted.get("succeeded") or ()), *(uncounted.get("failed") or ()), *at.skip])
        fresh = [pod for pod in at.pods if tracked(pod) and uid(pod) not in known]
        return [pod for pod in fresh if phase(pod) == "Succeeded"], [pod for pod in fresh if pod_failed(at.job, pod)]

    def _judge_indexes(self, at: _Sync) -> None:
        job = at.job
        pods = [pod for pod in at.pods if uid(pod) not in at.skip]
        at.done = succeeded_indexes(job, pods)
        at.succeeded = len(at.done)
        if per_index(job):
            at.failed = failed_indexes(job, pods)
            if at.verdict is None:
                at.verdict = index_verdict(job, at.done, at.failed)
            at.held = delayed(job, at.pods, at.failed, at.skip)
        if at.verdict is None:
            met = success_policy(job, at.done)
            if met is not None:
                at.verdict = ("SuccessCriteriaMet", "SuccessPolicy", met)

    def _suspension(self, job: Obj, conditions: list[Obj], status: Obj) -> list[Obj]:
        """Note that the job is suspended or resumed; a resumed one starts anew."""
        found = next((one["status"] for one in conditions if one["type"] == "Suspended"), "False")
        if job["spec"].get("suspend") and found != "True":
            self.event(job, "Normal", "Suspended", "Job suspended")
            new = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
        elif not job["spec"].get("suspend") and found == "True":
            self.event(job, "Normal", "Resumed", "Job resumed")
            status["startTime"] = self.ctx.now()
            new = {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"}
            left = deadline_left_s({**job, "status": status}, self.rt.wall())
            if left is not None:
                self._queue.add_after(key_of(job), left)
        else:
            return conditions
        return set_condition(conditions, {**new, "lastProbeTime": self.ctx.now()}, self.ctx.now())

    # -- pods --------------------------------------------------------------------------------------------------------

    async def _stop(self, key: str, at: _Sync, satisfied: bool) -> ApiError | None:
        """The job is over: its active pods go."""
        deleted, failure = await self._delete(key, at, at.live)
        if deleted != len(at.live) or not satisfied:
            at.verdict = None
        return failure

    async def _delete(self, key: str, at: _Sync, pods: list[Obj], free: bool = False) -> tuple[int, ApiError | None]:
        """Delete pods; ``free`` takes their finalizer first, so that they do not count as failed. Return (how many went, error)."""
        if not pods:
            return 0, None
        failures: list[ApiError] = []
        if free:
            await self._free(key, pods)
        self._expect.expect_deletions(key, [uid(pod) for pod in pods])
        gone: list[Obj] = []

        def each(index: int, answer: Answer) -> None:
            pod, error = pods[index], answer[1]
            if error is None:
                gone.append(pod)
                self.event(at.job, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")
                return
            self._expect.deletion_seen(key, uid(pod))
            if error.reason != "NotFound":
                failures.append(error)

        requests = [
            Request("delete", "pods", namespace(pod), name(pod), options={"preconditions": {"uid": uid(pod)}}, identity=self.api.identity)
            for pod in pods
        ]
        await all_of(self.rt, self.api, requests, each)
        at.active -= len(gone)
        at.ready -= sum(1 for pod in gone if ready(pod))
        at.going += len(gone)
        return len(gone), failures[0] if failures else None

    async def _free(self, key: str, pods: list[Obj]) -> list[Obj]:
        """Take the pods' finalizer; return those whose finalizer is gone."""
        marks = self._freed.setdefault(key, {})
        marks.update({uid(pod): None for pod in pods})
        freed: list[Obj] = []
        failures: list[ApiError] = []

        def each(index: int, answer: Answer) -> None:
            error = answer[1]
            if error is None or error.reason == "NotFound":
                freed.append(pods[index])
            else:
                marks.pop(uid(pods[index]), None)
                failures.append(error)

        await all_of(self.rt, self.api, [self._free_request(pod) for pod in pods], each)
        return freed

    async def _manage(self, key: str, at: _Sync) -> ApiError | None:
        """Make or delete pods, not both in one sync (manageJob)."""
        job = at.job
        if job["spec"].get("suspend"):
            return (await self._delete(key, at, at.live, free=True))[1]
        going = at.going if job["spec"].get("podReplacementPolicy") == "Failed" else 0
        wanted = wanted_active(job, at.active, at.succeeded)
        doomed = self._too_many(at, max(0, at.active - wanted))[:BURST]
        if doomed:
            return (await self._delete(key, at, doomed, free=True))[1]
        missing = min(BURST, wanted - going - at.active)
        if missing <= 0:
            return None
        wait = 0.0 if per_index(job) else at.backoff.left_s(self.rt.wall())
        indexes: list[int] = []
        if wait == 0 and indexed(job):
            busy = [index_of(job, pod) for pod in at.live] + (
                [index_of(job, pod) for pod in at.pods if terminating(pod) and phase(pod) not in ("Succeeded", "Failed")] if going else []
            )
            taken = [*at.done, *at.failed, *(one for one in busy if one is not None)]
            indexes = pending_indexes(job, taken, missing)
            if per_index(job) and indexes:
                waits = {one: index_wait_s(at.held[one], self.rt.wall()) if one in at.held else 0.0 for one in indexes}
                indexes = [one for one, left in waits.items() if left == 0]
                wait = 0.0 if indexes else min(waits.values())
            missing = len(indexes)
        if wait > 0:
            self._queue.add_after(key, wait)
            at.active = 0  # as manageJob returns it: with other pods ready, the server refuses that status
            return None
        return await self._create(key, at, missing, indexes)

    def _too_many(self, at: _Sync, at_least: int) -> list[Obj]:
        """Return which active pods to delete: of an index all but one first (activePodsForRemoval)."""
        order = rank(at.live, [], self.rt.wall())
        doomed: list[Obj] = []
        if indexed(at.job):
            seen: dict[int, None] = {}
            for pod in reversed(order):
                index = index_of(at.job, pod)
                if index is None or index in seen or index in at.done:
                    doomed.append(pod)
                else:
                    seen[index] = None
        for pod in order:
            if len(doomed) >= at_least:
                break
            if pod not in doomed:
                doomed.append(pod)
        return doomed

    async def _create(self, key: str, at: _Sync, count: int, indexes: list[int]) -> ApiError | None:
        job = at.job
        if count <= 0:
            return None
        self._expect.expect_creations(key, count)
        template = job["spec"]["template"]
        requests: list[Request] = []
        for number in range(count):
            index = indexes[number] if indexes else None
            prefix = f"{name(job)}-" if index is None else f"{name(job)}-{index}-"
            body = pod_from_template(template, owner_reference(job), prefix[:58])
            meta = {**body["metadata"], "finalizers": [*(body["metadata"].get("finalizers") or ()), FINALIZER]}
            if index is not None:
                meta["annotations"] = {**(meta.get("annotations") or {}), INDEX: str(index), **inherited_failures(job, at.held.get(index))}
                meta["labels"] = {**(meta.get("labels") or {}), INDEX: str(index)}
                body["spec"] = {**body["spec"], "hostname": f"{name(job)}-{index}"}
            requests.append(Request("create", "pods", namespace(job), body={**body, "metadata": meta}, identity=self.api.identity))
        answered = 0

        def each(_: int, answer: Answer) -> None:
            nonlocal answered
            answered += 1
            obj, error = answer
            if obj is not None:
                at.active += 1
                self.event(job, "Normal", "SuccessfulCreate", f"Created pod: {name(obj)}")
                return
            assert error is not None
            if error.reason != "Timeout":
                self._expect.creation_seen(key)
            self.event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")

        _, failure = await slow_start(self.rt, self.api, requests, each)
        for _ in range(count - answered):
            self._expect.creation_seen(key)
        if failure is not None and "because it is being terminated" in failure.message:
            return None
        return failure

    # -- accounting --------------------------------------------------------------------------------------------------

    async def _account(self, key: str, at: _Sync, status: Obj) -> None:
        """Note which pods ended, take their finalizers, move the counters, and finish (trackJobStatusAndRemoveFinalizers)."""
        job = at.job
        old = self._jobs.get(key)
        over = at.verdict is not None
        uncounted = status.get("uncountedTerminatedPods") or {}
        good, bad = list(uncounted.get("succeeded") or ()), list(uncounted.get("failed") or ())
        to_free: list[Obj] = []
        present = {uid(pod): None for pod in at.pods if tracked(pod) and uid(pod) not in at.skip}
        status["succeeded"] = status.get("succeeded", 0) + sum(1 for one in good if one not in present)
        status["failed"] = status.get("failed", 0) + sum(1 for one in bad if one not in present)
        good, bad = [one for one in good if one in present], [one for one in bad if one in present]
        failing = at.verdict is not None and at.verdict[0] == "FailureTarget"
        new_done: dict[int, None] = {}
        for pod in at.pods:
            if uid(pod) not in present:
                continue
            failed = pod_failed(job, pod)
            if not (failed or phase(pod) == "Succeeded" or over or terminating(job)):
                continue
            index = index_of(job, pod) if indexed(job) else None
            if failed and not over and index is not None and index in at.held and uid(at.held[index]) == uid(pod):
                continue  # kept until it is replaced
            to_free.append(pod)
            if phase(pod) == "Succeeded" and uid(pod) not in bad:
                if indexed(job):
                    if index is not None:
                        new_done[index] = None
                elif uid(pod) not in good:
                    good.append(uid(pod))
            elif (failed or failing) and uid(pod) not in bad and (not indexed(job) or index is not None) and counts(job, pod):
                bad.append(uid(pod))
        if indexed(job):
            done = {**parse_indexes(status.get("completedIndexes", ""), int(job["spec"].get("completions") or 0)), **new_done}
            status["succeeded"] = len(done)
            if done:
                status["completedIndexes"] = show_indexes(done)
            if per_index(job):
                status["failedIndexes"] = show_indexes(at.failed)
        status.update({"active": at.active, "ready": at.ready, "terminating": at.going})
        status["uncountedTerminatedPods"] = {k: v for k, v in (("succeeded", good), ("failed", bad)) if v}
        if at.verdict is not None:
            status["conditions"] = self._with(status, at.verdict)
        self._backoff[key] = at.backoff
        job = await self._write(old, job, status)
        if to_free:
            freed = {uid(pod): None for pod in await self._free(key, to_free)}
            status = dict(job["status"])
            uncounted = status.get("uncountedTerminatedPods") or {}
            good, bad = uncounted.get("succeeded") or [], uncounted.get("failed") or []
            if not indexed(job):
                status["succeeded"] = status.get("succeeded", 0) + sum(1 for one in good if one in freed)
            status["failed"] = status.get("failed", 0) + sum(1 for one in bad if one in freed)
            left = {"succeeded": [one for one in good if one not in freed], "failed": [one for one in bad if one not in freed]}
            status["uncountedTerminatedPods"] = {k: v for k, v in left.items() if v}
        else:
            status = dict(job["status"])
        final = at.verdict if at.verdict is not None and not status.get("uncountedTerminatedPods") and at.going == 0 else None
        if final is not None:
            kind = "Complete" if final[0] == "SuccessCriteriaMet" else "Failed"
            status["conditions"] = self._with(status, (kind, final[1], final[2]))
            if kind == "Complete":
                status["completionTime"] = self.ctx.now()
        await self._write(job, job, status)
        if final is not None:
            done_well = final[0] == "SuccessCriteriaMet"
            self.event(job, *(("Normal", "Completed", "Job completed") if done_well else ("Warning", final[1], final[2])))

    def _with(self, status: Obj, new: Verdict) -> list[Obj]:
        body = {"type": new[0], "status": "True", "reason": new[1], "message": new[2], "lastProbeTime": self.ctx.now()}
        conditions = list(status.get("conditions") or ())
        if any(one["type"] == new[0] and one["status"] == "True" for one in conditions):
            return conditions
        return set_condition(conditions, body, self.ctx.now())

    async def _write(self, old: Obj | None, job: Obj, status: Obj) -> Obj:
        for counter in ("active", "succeeded", "failed"):
            if not status.get(counter):
                status.pop(counter, None)
        if old is not None and status == (old.get("status") or {}):
            return {**job, "status": status}
        try:
            return await self.api.update("jobs", {**job, "status": status}, "status")
        except ApiError as error:
            if error.reason == "NotFound":
                return {**job, "status": status}
            raise
