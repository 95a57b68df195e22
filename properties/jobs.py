"""Jobs and CronJobs: never more pods than parallelism, each success counted once, back-off as asked, and an end that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Severity, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import condition, controller_of, ended, is_true, notes_of, phase, terminating, uid
from kchaos.models.api.tree import get
from kchaos.properties.common import Obj, declare, folded, ident
from kchaos.properties.disruption import BEYOND, Handlers, UnderFaults, fault_words
from kchaos.properties.waits import of_pod, of_start_up, together

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
STUCK_S = 300.0
"""A Job that has not ended this long after it was made is told; one that was made anew is waited for longer (BACKOFF_S of the engine)."""
Writes = Mapping[str, Callable[[Write], Iterable[Violation]]]


def _job_of(context: Context, pod: Obj) -> Obj | None:
    ref = controller_of(pod)
    if ref is None or ref["kind"] != "Job":
        return None
    job: Obj | None = context.view.get("jobs", f"{pod['metadata'].get('namespace', '')}/{ref['name']}")
    return job if job is not None and uid(job) == ref["uid"] else None


def _active(context: Context, job: Obj) -> list[Obj]:
    space = job["metadata"]["namespace"] + "/"
    found = []
    for key, pod in context.view.table("pods").items():
        ref = controller_of(pod) if key.startswith(space) else None
        if ref is not None and ref["uid"] == uid(job) and not ended(pod) and not terminating(pod):
            found.append(pod)
    return found


def _is_made(entry: Write) -> bool:
    """Tell whether a Job's controller makes a pod."""
    return entry.type == "ADDED" and entry.actor == "job-controller"


class _Counts(BaseMonitor):
    """Judges each pod that is made for a Job, and each count that is written of it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._good: dict[str, dict[str, None]] = {}
        """Job uid -> uids of its pods that succeeded."""
        self._before: dict[str, int] = {}
        """Job uid -> successes that were counted when the history began."""
        for job in context.view.table("jobs").values():
            self._before[uid(job)] = int(get(job, "status", "succeeded", default=0))
        for pod in context.view.table("pods").values():
            self._note(pod)

    def writes(self) -> Writes:
        return {"pods": self._pod, "jobs": self._job}

    def _note(self, pod: Obj) -> None:
        ref = controller_of(pod) if phase(pod) == "Succeeded" else None
        if ref is not None and ref["kind"] == "Job":
            self._good.setdefault(ref["uid"], {})[uid(pod)] = None

    def _pod(self, entry: Write) -> Iterable[Violation]:
        self._note(entry.obj)
        return self._made(entry) if _is_made(entry) else ()

    def _made(self, entry: Write) -> Iterable[Violation]:
        job = _job_of(self.context, entry.obj)
        if job is None:
            return
        active, most = _active(self.context, job), int(job["spec"].get("parallelism", 1))
        if len(active) >= most:
            text = f"a pod was made while {len(active)} were active; parallelism is {most}"
            yield Violation(t=entry.t, object=ident(job), summary=text, root="parallelism")
        index = notes_of(entry.obj).get(INDEX)
        if index is not None and any(notes_of(pod).get(INDEX) == index for pod in active):
            yield Violation(t=entry.t, object=ident(job), summary=f"two active pods have the index {index}", root="index")

    def _job(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED":
            return
        job, status = entry.obj, entry.obj.get("status") or {}
        count, had = int(status.get("succeeded", 0)), int(get(entry.prev, "status", "succeeded", default=0)) if entry.prev else 0
        seen = len(self._good.get(uid(job), {})) + self._before.get(uid(job), 0)
        if count < had:
            yield Violation(t=entry.t, object=ident(job), summary=f"status.succeeded falls from {had} to {count}", root="falls")
        if count > seen:
            text = f"status.succeeded is {count}, and only {seen} pods have succeeded"
            yield Violation(t=entry.t, object=ident(job), summary=text, root="counted twice")
        want = job["spec"].get("completions")
        before = entry.prev is not None and is_true(entry.prev, "Complete")
        if is_true(job, "Complete") and not before and want is not None and count < want and not job["spec"].get("successPolicy"):
            yield Violation(t=entry.t, object=ident(job), summary=f"Complete with {count} of {want} completions", root="too few")

    def finish(self, t: float) -> Iterable[Violation]:
        """At rest every pod that has ended was counted: its finalizer has gone (KEP-2307)."""
        for pod in self.context.view.table("pods").values():
            job = _job_of(self.context, pod)
            if job is not None and ended(pod) and FINALIZER in (pod["metadata"].get("finalizers") or ()):
                text = f"{pod['metadata']['name']} has ended and is not counted: it still has the finalizer {FINALIZER}"
                yield Violation(t=t, object=ident(job), summary=text, root="not counted")


def _retries(context: Context, entry: Write) -> Iterable[Violation]:
    return _tried_again(context, entry) if _is_made(entry) else ()


def _tried_again(context: Context, entry: Write) -> Iterable[Violation]:
    """Look at Jobs whose failed pods are counted as a whole, and where no policy tells some of them apart."""
    job = _job_of(context, entry.obj)
    if job is None or job["spec"].get("backoffLimitPerIndex") is not None or job["spec"].get("podFailurePolicy"):
        return
    failed, limit = int(get(job, "status", "failed", default=0)), int(job["spec"].get("backoffLimit", 6))
    if failed > limit:
        yield Violation(
            t=entry.t, object=ident(job), summary=f"a pod was made after {failed} failures; backoffLimit is {limit}", root="retries"
        )


def _gives_up(context: Context, entry: Write) -> Iterable[Violation]:
    job = entry.obj
    found = condition(job, "Failed")
    was = condition(entry.prev, "Failed") if entry.prev is not None else None
    if entry.type == "DELETED" or found is None or found["status"] != "True" or was is not None:
        return
    restarts = get(job, "spec", "template", "spec", "restartPolicy") != "Never"
    if found.get("reason") != "BackoffLimitExceeded" or restarts or job["spec"].get("backoffLimitPerIndex") is not None:
        return
    failed, limit = int(get(job, "status", "failed", default=0)), int(job["spec"].get("backoffLimit", 6))
    if failed <= limit:
        text = f"given up after {failed} failures; backoffLimit is {limit}"
        yield Violation(t=entry.t, object=ident(job), summary=text, root="gives up")


def _runs_of(context: Context, cron_uid: str, space: str) -> Iterator[Obj]:
    for key, job in context.view.table("jobs").items():
        ref = controller_of(job) if key.startswith(space + "/") else None
        if ref is not None and ref["uid"] == cron_uid:
            yield job


def _schedule(context: Context, entry: Write) -> Iterable[Violation]:
    ref = controller_of(entry.obj)
    if entry.type != "ADDED" or ref is None or ref["kind"] != "CronJob":
        return
    space = entry.obj["metadata"].get("namespace", "")
    minute = notes_of(entry.obj).get(SCHEDULED)
    others = [job for job in _runs_of(context, ref["uid"], space) if uid(job) != uid(entry.obj)]
    owner = f"CronJob/{space}/{ref['name']}"
    if minute is not None and any(notes_of(job).get(SCHEDULED) == minute for job in others):
        yield Violation(t=entry.t, object=owner, summary=f"two Jobs were made for {minute}", root="twice")
    cron = context.view.get("cronjobs", f"{space}/{ref['name']}")
    busy = [job for job in others if not (is_true(job, "Complete") or is_true(job, "Failed") or terminating(job))]
    if cron is not None and cron["spec"].get("concurrencyPolicy") == "Forbid" and busy:
        text = f"{entry.obj['metadata']['name']} was made while {busy[0]['metadata']['name']} ran; concurrencyPolicy is Forbid"
        yield Violation(t=entry.t, object=owner, summary=text, root="overlap")


class _Ends(UnderFaults):
    """A Job that was made comes to an end, and one fault does not fail it for good."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._made: dict[str, float] = {}
        self._told: dict[str, str] = {}
        """Pod -> why its volume can't be attached."""

    def marks(self) -> Handlers:
        return {**super().marks(), "operation": self._operation, "event": self._event}

    def _event(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["reason"] == "FailedAttachVolume":
            self._told[f"{mark.data['namespace']}/{mark.data['name']}"] = mark.data["message"]
        return ()

    def writes(self) -> Writes:
        return {"jobs": self._written}

    def _written(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "ADDED":
            self._made[entry.key] = entry.t
        elif entry.type == "DELETED":
            self._made.pop(entry.key, None)
        return ()

    def _operation(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["what"] == "run-job" and mark.data["state"] == "refused":
            text = f"it can't be made anew: {mark.data['why']}"
            yield Violation(
                t=mark.t, object=mark.data["target"], summary=text, severity=Severity.WARNING, root=f"refused {mark.data['target']}"
            )

    def finish(self, t: float) -> Iterable[Violation]:
        for key, since in self._made.items():
            job = self.context.view.get("jobs", key)
            if job is None or terminating(job) or job["spec"].get("suspend") or is_true(job, "Complete"):
                continue
            failed = condition(job, "Failed")
            if failed is not None and failed["status"] == "True":
                yield self._failed(job, failed, since)
            elif t - since > STUCK_S:  # one of the schedule's may just have begun
                yield self._stuck(job, since, t)

    @property
    def _when(self) -> str:
        return f"during {fault_words(self.faults)}" if self.faults else "without any fault"

    def _object(self, job: Obj) -> str:
        """Return the user's own object: the CronJob of a Job that was made from one."""
        refs = job["metadata"].get("ownerReferences") or ()
        owner = next((ref["name"] for ref in refs if ref["kind"] == "CronJob"), None)
        return f"CronJob/{job['metadata']['namespace']}/{owner}" if owner is not None else ident(job)

    def _failed(self, job: Obj, failed: Obj, since: float) -> Violation:
        reason, limit = failed.get("reason", ""), int(job["spec"].get("backoffLimit", 6))
        count = int(get(job, "status", "failed", default=0))
        text = f"the Job fails for good ({reason}) {self._when}: {failed.get('message', '')}"
        advice = "raise activeDeadlineSeconds" if reason == "DeadlineExceeded" else "see what its containers do"
        if reason == "BackoffLimitExceeded":
            text = f"the Job fails for good {self._when}: {count} pod{'s' * (count != 1)} failed, and backoffLimit is {limit}"
            advice = (
                "raise backoffLimit, if it can be repeated; a podFailurePolicy with action: Ignore on condition DisruptionTarget"
                " does not count pods that a drain or a lost node ends"
            )
        severity = Severity.ERROR if not self.faults else Severity.INFO if self.beyond else Severity.WARNING
        root = BEYOND if severity is Severity.INFO else f"fails {self._object(job)}"
        return Violation(t=since, object=self._object(job), summary=text, severity=severity, root=root, advice=advice)

    def _stuck(self, job: Obj, since: float, t: float) -> Violation:
        waits = together((pod["metadata"]["name"], self._why(pod)) for pod in _active(self.context, job))
        left = waits or "no pod of it is there"
        text = f"the Job has not ended {t - since:.0f} s after it was made, {self._when}; {left}"
        return Violation(
            t=since,
            object=self._object(job),
            summary=text,
            severity=Severity.ERROR,
            root=f"stuck {self._object(job)}",
            advice=_advice(waits),
        )

    def _why(self, pod: Obj) -> str:
        found = condition(pod, "PodScheduled")
        if found is not None and found["status"] == "False":
            return str(found.get("message", ""))
        meta = pod["metadata"]
        return self._told.get(f"{meta['namespace']}/{meta['name']}") or of_pod(self.context, pod, ident(pod))


def _advice(waits: str) -> str:
    if "Multi-Attach" in waits:
        return "give its pods a podAffinity to whoever uses the volume, so that they share its node; or a class with ReadWriteMany"
    return of_start_up(waits)


_DOCS = "https://kubernetes.io/docs/concepts/workloads/controllers/"
PROPERTIES = (
    declare("KC032", "32", "job-counts",
            "Never more than parallelism pods of a Job are active, each index once; each success is counted once, and it completes at completions.",
            _DOCS + "job/#parallel-jobs", _Counts),
    declare("KC033", "33", "job-retries", "A Job is given up after more than backoffLimit failures, not before, and makes no pod after that.",
            _DOCS + "job/#pod-backoff-failure-policy", folded({"pods": _retries, "jobs": _gives_up}), Guarantee.AS_SEEN),
    declare("KC034", "34", "cron-once", "A CronJob makes one Job for each scheduled time; with Forbid, none while one runs.",
            _DOCS + "cron-jobs/#concurrency-policy", folded({"jobs": _schedule}), Guarantee.AS_SEEN),
    declare("KC209", "33", "job-ends", "A Job completes, also if one fault meets its pods, or says why it fails.",
            _DOCS + "job/#job-termination-and-cleanup", _Ends, Guarantee.WITHOUT_FAULTS, liveness=True),
)  # fmt: skip
