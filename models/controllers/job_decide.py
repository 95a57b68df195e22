"""What a Job's pods mean: failed or not, which indexes are done, how long to wait, whether it has failed or succeeded. Pure.

pkg/controller/job/{job_controller,indexed_job_utils,pod_failure_policy,success_policy,backoff_utils}.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kchaos.models.api.pods import active, condition, ended, notes_of, phase, ready, terminating, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
BACKOFF_S = (10.0, 600.0)
FINAL = ("Complete", "Failed")
Verdict = tuple[str, str, str]
"""A condition to set: type, reason, message."""


def job_condition(job: Obj, kind: str) -> Obj | None:
    """Return the job's condition of that type if it is True."""
    found = condition(job, kind)
    return found if found is not None and found["status"] == "True" else None


def finished(job: Obj) -> bool:
    """Tell whether a job is Complete or Failed."""
    return any(job_condition(job, kind) is not None for kind in FINAL)


def tracked(pod: Obj) -> bool:
    """Tell whether the job has yet to account for the pod."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def indexed(job: Obj) -> bool:
    """Tell whether each completion has an index."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def per_index(job: Obj) -> bool:
    """Tell whether failures are limited index by index."""
    return indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None


def index_of(job: Obj, pod: Obj) -> int | None:
    """Return a pod's completion index if it is one of the job's."""
    text = notes_of(pod).get(INDEX, "")
    return int(text) if text.isdecimal() and int(text) < int(job["spec"].get("completions") or 0) else None


def pod_failed(job: Obj, pod: Obj) -> bool:
    """Tell whether a pod counts as failed: a terminating one too, unless only failed pods are replaced (isPodFailed)."""
    if phase(pod) == "Failed":
        return True
    if job["spec"].get("podReplacementPolicy") == "Failed":
        return False
    return terminating(pod) and phase(pod) != "Succeeded"


def finish_s(pod: Obj, now_s: float) -> float:
    """Return when a pod ended (getFinishedTime)."""
    statuses = get(pod, "status", "containerStatuses", default=())
    ends = [get(one, "state", "terminated", "finishedAt") for one in statuses]
    if ends and all(ends):
        return max(parse(one) for one in ends)
    found = condition(pod, "Ready")
    if found is not None and found["status"] == "False" and found.get("lastTransitionTime"):
        return parse(found["lastTransitionTime"])
    if terminating(pod):
        return parse(pod["metadata"]["deletionTimestamp"]) - float(pod["metadata"].get("deletionGracePeriodSeconds", 0))
    return now_s


# -- indexes -------------------------------------------------------------------------------------------------------------


def parse_indexes(text: str, completions: int) -> dict[int, None]:
    """Return the indexes in ``0,2-4``."""
    out: dict[int, None] = {}
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        out.update(dict.fromkeys(range(int(first), min(int(last or first), completions - 1) + 1)))
    return out


def show_indexes(indexes: Iterable[int]) -> str:
    """Return ``0,2-4``; two neighbours are written one by one."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def succeeded_indexes(job: Obj, pods: Iterable[Obj]) -> dict[int, None]:
    """Return which indexes have succeeded, by status and by pods not yet accounted for."""
    done = parse_indexes(get(job, "status", "completedIndexes", default=""), int(job["spec"].get("completions") or 0))
    for pod in pods:
        index = index_of(job, pod)
        if index is not None and phase(pod) == "Succeeded" and tracked(pod):
            done[index] = None
    return done


def failed_indexes(job: Obj, pods: Iterable[Obj]) -> dict[int, None]:
    """Return which indexes have failed for good (calculateFailedIndexes)."""
    done = parse_indexes(get(job, "status", "failedIndexes", default=""), int(job["spec"].get("completions") or 0))
    limit = int(job["spec"]["backoffLimitPerIndex"])
    for pod in pods:
        index = index_of(job, pod)
        if index is None or not tracked(pod) or not pod_failed(job, pod):
            continue
        action = policy_match(job, pod)
        if (action is not None and action[0] == "FailIndex") or int(notes_of(pod).get(FAILURES, "0")) >= limit:
            done[index] = None
    return done


def delayed(job: Obj, pods: Iterable[Obj], failed: dict[int, None], skip: dict[str, None]) -> dict[int, Obj]:
    """Return index -> the failed pod that keeps its finalizer until it is replaced: it carries the count of failures."""
    out: dict[int, Obj] = {}
    replaced: dict[int, int] = {}
    for pod in pods:
        index = index_of(job, pod)
        if index is None:
            continue
        count = int(notes_of(pod).get(FAILURES, "0"))
        if active(pod) or phase(pod) == "Succeeded" or not tracked(pod) or uid(pod) in skip:
            replaced[index] = max(replaced.get(index, -1), count)
        elif pod_failed(job, pod) and index not in failed:
            before = out.get(index)
            if before is None or int(notes_of(before).get(FAILURES, "0")) < count:
                out[index] = pod
    return {i: pod for i, pod in out.items() if replaced.get(i, -1) <= int(notes_of(pod).get(FAILURES, "0")) and i not in replaced}


def pending_indexes(job: Obj, busy: Iterable[int], count: int) -> list[int]:
    """Return the first ``count`` indexes that nothing is done for."""
    taken = dict.fromkeys(busy)
    out: list[int] = []
    for index in range(int(job["spec"].get("completions") or 0)):
        if len(out) >= count:
            break
        if index not in taken:
            out.append(index)
    return out


# -- policies ------------------------------------------------------------------------------------------------------------


def policy_match(job: Obj, pod: Obj) -> tuple[str, str] | None:
    """Return (action, message) of the first rule of podFailurePolicy that a failed pod matches."""
    for number, rule in enumerate(get(job, "spec", "podFailurePolicy", "rules", default=())):
        codes = rule.get("onExitCodes")
        if codes:
            for group in ("containerStatuses", "initContainerStatuses"):
                for one in get(pod, "status", group, default=()):
                    code = get(one, "state", "terminated", "exitCode")
                    if not code or codes.get("containerName") not in (None, one["name"]):
                        continue
                    if (code in codes["values"]) == (codes["operator"] == "In"):
                        who = f"Container {one['name']} for pod {key_of(pod)} failed with exit code {code}"
                        return rule["action"], f"{who} matching {rule['action']} rule at index {number}"
        for pattern in rule.get("onPodConditions") or ():
            found = condition(pod, pattern["type"])
            if found is not None and found["status"] == pattern.get("status", "True"):
                who = f"Pod {key_of(pod)} has condition {pattern['type']}"
                return rule["action"], f"{who} matching {rule['action']} rule at index {number}"
    return None


def counts(job: Obj, pod: Obj) -> bool:
    """Tell whether a failed pod counts: all do but those that the policy ignores."""
    found = policy_match(job, pod)
    return found is None or found[0] != "Ignore"


def success_policy(job: Obj, done: dict[int, None]) -> str | None:
    """Return the message of the rule of successPolicy that the succeeded indexes meet."""
    for number, rule in enumerate(get(job, "spec", "successPolicy", "rules", default=())):
        wanted: dict[int, None] | None = None
        if rule.get("succeededIndexes") is not None:
            wanted = parse_indexes(rule["succeededIndexes"], int(job["spec"].get("completions") or 0))
        have = len([one for one in done if wanted is None or one in wanted])
        need = rule.get("succeededCount", len(wanted) if wanted is not None else 0)
        if have >= need:
            return f"Matched rules at index {number}"
    return None


def too_many_restarts(job: Obj, pods: Iterable[Obj]) -> bool:
    """Tell whether the containers of OnFailure pods were restarted too often (pastBackoffLimitOnFailure)."""
    if get(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    total = 0
    for pod in pods:
        if phase(pod) in ("Running", "Pending"):
            for group in ("containerStatuses", "initContainerStatuses"):
                total += sum(int(one.get("restartCount", 0)) for one in get(pod, "status", group, default=()))
    limit = job["spec"].get("backoffLimit", 6)
    return total > 0 if limit == 0 else total >= limit


# -- back-off ------------------------------------------------------------------------------------------------------------


class Backoff(NamedTuple):
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    last_s: float = 0.0

    def after(self, succeeded: Iterable[float], failed: Iterable[float]) -> Backoff:
        """Return the record with more pods ended, at these times (newBackoffRecord)."""
        ends, bad = list(succeeded), sorted(failed)
        if ends:
            since = max(ends)
            bad = [one for one in bad if one > since]
            return Backoff(len(bad), bad[-1] if bad else 0.0)
        return Backoff(self.failures + len(bad), bad[-1]) if bad else self

    def left_s(self, now_s: float) -> float:
        """Return how long pods may not be made yet."""
        if self.failures == 0:
            return 0.0
        return max(0.0, self.last_s + min(BACKOFF_S[1], BACKOFF_S[0] * 2.0 ** min(self.failures - 1, 30)) - now_s)


def index_wait_s(pod: Obj, now_s: float) -> float:
    """Return how long the index of a failed pod may not be tried again."""
    failures = int(notes_of(pod).get(FAILURES, "0")) + int(notes_of(pod).get(IGNORED, "0")) + 1
    return Backoff(failures, finish_s(pod, now_s)).left_s(now_s)


def inherited_failures(job: Obj, before: Obj | None) -> dict[str, str]:
    """Return the annotations that count an index's failures for a new pod; ``before`` is the one that it replaces."""
    if not per_index(job):
        return {}
    failures = int(notes_of(before).get(FAILURES, "0")) if before is not None else 0
    ignored = int(notes_of(before).get(IGNORED, "0")) if before is not None else 0
    if before is not None and counts(job, before):
        failures += 1
    elif before is not None:
        ignored += 1
    return {FAILURES: str(failures), **({IGNORED: str(ignored)} if ignored else {})}


def standing_verdict(job: Obj) -> Verdict | None:
    """Return what an earlier sync has decided."""
    for kind in ("SuccessCriteriaMet", "FailureTarget"):
        found = job_condition(job, kind)
        if found is not None:
            return kind, found["reason"], found["message"]
    return None


def deadline_left_s(job: Obj, now_s: float) -> float | None:
    """Return how long the job may still take; None if it may take for ever."""
    limit, start = job["spec"].get("activeDeadlineSeconds"), get(job, "status", "startTime")
    if limit is None or not start or job["spec"].get("suspend"):
        return None
    return max(0.0, parse(start) + float(limit) - now_s)


def verdict(job: Obj, pods: list[Obj], failed: int, now_s: float) -> Verdict | None:
    """Return why the job has failed, by the order in which syncJob looks; indexes aside."""
    for pod in pods:
        if tracked(pod) and pod_failed(job, pod):
            found = policy_match(job, pod)
            if found is not None and found[0] == "FailJob":
                return "FailureTarget", "PodFailurePolicy", found[1]
    if failed > job["spec"].get("backoffLimit", 6) or too_many_restarts(job, pods):
        return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if deadline_left_s(job, now_s) == 0.0:
        return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def index_verdict(job: Obj, done: dict[int, None], failed: dict[int, None]) -> Verdict | None:
    """Return why a job with limits per index has failed."""
    most = job["spec"].get("maxFailedIndexes")
    if most is not None and len(failed) > most:
        return "FailureTarget", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    if failed and len(failed) + len(done) >= int(job["spec"].get("completions") or 0):
        return "FailureTarget", "FailedIndexes", "Job has failed indexes"
    return None


def wanted_active(job: Obj, active_now: int, succeeded: int) -> int:
    """Return how many pods should run (manageJob)."""
    parallelism, completions = int(job["spec"].get("parallelism", 1)), job["spec"].get("completions")
    if completions is None:
        return active_now if succeeded else parallelism
    return max(0, min(int(completions) - succeeded, parallelism))


def census(pods: Iterable[Obj]) -> tuple[list[Obj], int, int]:
    """Return (active pods, how many of them are ready, how many pods are terminating)."""
    live: list[Obj] = []
    going = 0
    for pod in pods:
        if active(pod):
            live.append(pod)
        elif terminating(pod) and not ended(pod):
            going += 1
    return live, sum(1 for pod in live if ready(pod)), going
