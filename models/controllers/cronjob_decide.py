"""What a CronJob does next: which start is due, how long until the next, which old jobs go. Pure.

pkg/controller/cronjob/{cronjob_controllerv2,utils}.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kchaos.models.api.pods import condition, name, owner_reference, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.cronjob_schedule import Schedule, next_s

DELTA_S = 0.1
"""The controller wakes this long after a start is due (nextScheduleDelta)."""
MANY = 100
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Due(NamedTuple):
    """The latest unmet start (None: none), from when it was looked for, and how many were missed."""

    start_s: float | None
    since_s: float
    missed: int


def finished(job: Obj) -> str:
    """Return Complete or Failed, empty if the job is under way."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return kind
    return ""


def most_recent(cron: Obj, schedule: Schedule, now_s: float, deadline: bool) -> Due:
    """Return the latest start not after now (mostRecentScheduleTime). ``deadline``: none before startingDeadlineSeconds."""
    last = get(cron, "status", "lastScheduleTime")
    since = parse(last if last else cron["metadata"]["creationTimestamp"])
    limit = cron["spec"].get("startingDeadlineSeconds")
    if deadline and limit is not None:
        since = max(since, now_s - float(limit))
    first = next_s(schedule, since)
    if first is None or now_s < first:
        return Due(None, since, 0)
    second = next_s(schedule, first)
    if second is None or now_s < second:
        return Due(first, since, 1 if second is not None else 0)
    between = max(1, round(second - first))
    missed = int(now_s - first) // between + 1
    latest: float | None = None
    at = next_s(schedule, first + (missed - 2) * between)
    while at is not None and at <= now_s:
        latest, at = at, next_s(schedule, at)
    return Due(latest, since, missed)


def wait_s(cron: Obj, schedule: Schedule, now_s: float) -> float | None:
    """Return how long until the controller must look again (nextScheduleTimeDuration)."""
    due = most_recent(cron, schedule, now_s, deadline=False)
    begin = due.start_s if due.start_s is not None else due.since_s if due.missed == 0 else now_s
    at = next_s(schedule, begin)
    return max(0.0, at + DELTA_S - now_s) if at is not None else None


def too_late(cron: Obj, start_s: float, now_s: float) -> bool:
    """Tell whether a start is beyond startingDeadlineSeconds."""
    limit = cron["spec"].get("startingDeadlineSeconds")
    return limit is not None and start_s + float(limit) < now_s


def job_name(cron: Obj, start_s: float) -> str:
    """Return the name of the job of a start: by the minute."""
    return f"{name(cron)}-{int(start_s) // 60}"


def new_job(cron: Obj, start_s: float) -> Obj:
    """Return the job of a start (getJobFromTemplate2)."""
    template = cron["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    zone = cron["spec"].get("timeZone")
    shown = datetime.fromtimestamp(int(start_s), ZoneInfo(zone) if zone else UTC).isoformat().replace("+00:00", "Z")
    body: Obj = {
        "name": job_name(cron, start_s), "annotations": {**(meta.get("annotations") or {}), SCHEDULED_AT: shown},
        "ownerReferences": [owner_reference(cron)],
    }  # fmt: skip
    if meta.get("labels"):
        body["labels"] = dict(meta["labels"])
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": body, "spec": template["spec"]}


def too_old(cron: Obj, jobs: Iterable[Obj]) -> list[Obj]:
    """Return the ended jobs beyond the history limits, the oldest first (cleanupFinishedJobs)."""
    out: list[Obj] = []
    ended = [(finished(job), job) for job in jobs]
    for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        keep = cron["spec"].get(limit)
        if keep is None:
            continue
        mine = sorted((job for end, job in ended if end == kind), key=_started)
        out += mine[: max(0, len(mine) - int(keep))]
    return out


def _started(job: Obj) -> tuple[bool, float, str]:
    start = get(job, "status", "startTime")
    return not start, parse(start) if start else 0.0, name(job)


def reference(job: Obj) -> Obj:
    """Return the entry of a job in status.active."""
    return {
        "apiVersion": "batch/v1", "kind": "Job", "name": name(job), "namespace": job["metadata"]["namespace"], "uid": uid(job),
        "resourceVersion": job["metadata"].get("resourceVersion", ""),
    }  # fmt: skip
