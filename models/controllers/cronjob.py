"""CronJob: the shell. Each sync settles which jobs are still active, starts the one that is due, and removes old ones.

pkg/controller/cronjob/cronjob_controllerv2.go. Of several missed starts only the latest is made up for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import controller_of, name, namespace, terminating, uid
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers import cronjob_decide as decide
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.cronjob_schedule import Schedule, parse
from kchaos.runtime import Timer


class CronJobController(Controller):
    """The shell."""

    name = "cronjob-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._crons = ctx.informer("cronjobs")
        self._jobs = ctx.owned("jobs")
        self._timers: dict[str, Timer] = {}
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch CronJobs and their jobs."""
        self._crons.add_handler(self._cron_changed)
        self._jobs.add_handler(self._job_changed)
        self._queue.start()

    def _cron_changed(self, old: Obj | None, new: Obj | None) -> None:
        cron = new if new is not None else old
        assert cron is not None
        key = key_of(cron)
        if old is not None and new is not None and any(old["spec"].get(k) != new["spec"].get(k) for k in ("schedule", "timeZone")):
            schedule = self._schedule(new)
            wait = decide.wait_s(new, schedule, self.rt.wall()) if schedule is not None else None
            if wait is not None:
                self._wake(key, wait)
                return
        self._queue.add(key)

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        for job in (old, new):
            ref = controller_of(job) if job is not None else None
            if job is not None and ref is not None and ref["kind"] == "CronJob":
                self._queue.add(f"{namespace(job)}/{ref['name']}")

    def _wake(self, key: str, wait_s: float) -> None:
        """Sync again then: in the background, for a schedule that never ends must not keep a run alive."""
        found = self._timers.pop(key, None)
        if found is not None:
            found.cancel()
        self._timers[key] = self.rt.call_later(wait_s, self._queue.add, key, background=True)

    @staticmethod
    def _schedule(cron: Obj) -> Schedule | None:
        try:
            return parse(cron["spec"]["schedule"], cron["spec"].get("timeZone") or "")
        except ValueError:
            return None

    # -- sync --------------------------------------------------------------------------------------------------------

    async def _sync(self, key: str) -> None:
        cron = self._crons.get(key)
        if cron is None:
            found = self._timers.pop(key, None)
            if found is not None:
                found.cancel()
            return
        jobs = self._jobs.by("controller", uid(cron))
        status = {**(cron.get("status") or {})}
        active = list(status.get("active") or ())
        changed = await self._settle(cron, jobs, status, active)
        failure: ApiError | None = None
        try:
            changed = await self._start_due(cron, status, active) or changed
        except ApiError as error:
            failure = error
        for job in decide.too_old(cron, jobs):
            changed = await self._delete(cron, job, active) or changed
        if changed:
            status["active"] = active
            if not active:
                del status["active"]
            await self.api.update("cronjobs", {**cron, "status": status}, "status")
        if failure is not None:
            raise failure

    async def _settle(self, cron: Obj, jobs: list[Obj], status: Obj, active: list[Obj]) -> bool:
        """Take ended and vanished jobs off the active list; tell whether the status changed."""
        changed = False
        for job in jobs:
            listed = any(one["uid"] == uid(job) for one in active)
            end = decide.finished(job)
            if not listed and not end:
                self.event(cron, "Warning", "UnexpectedJob", f"Saw a job that the controller did not create or forgot: {name(job)}")
            elif listed and end:
                active[:] = [one for one in active if one["uid"] != uid(job)]
                self.event(cron, "Normal", "SawCompletedJob", f"Saw completed job: {name(job)}, condition: {end}")
                changed = True
            done = (job.get("status") or {}).get("completionTime") if end == "Complete" else None
            if done and done > status.get("lastSuccessfulTime", ""):
                status["lastSuccessfulTime"] = done
                changed = True
        known = {uid(job): None for job in jobs}
        for one in [one for one in active if one["uid"] not in known]:
            try:
                await self.api.get("jobs", namespace(cron), one["name"])
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
                self.event(cron, "Normal", "MissingJob", f"Active job went missing: {one['name']}")
                active.remove(one)
                changed = True
        return changed

    async def _start_due(self, cron: Obj, status: Obj, active: list[Obj]) -> bool:
        """Start the job that is due, if any; tell whether the status changed."""
        if terminating(cron):
            return False
        zone = cron["spec"].get("timeZone")
        try:
            ZoneInfo(zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            self.event(cron, "Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": unknown time zone {zone}')
            return False
        if cron["spec"].get("suspend"):
            return False
        schedule = self._schedule(cron)
        if schedule is None:
            text = cron["spec"]["schedule"]
            self.event(cron, "Warning", "UnparseableSchedule", f'unparseable schedule: "{text}"')
            return False
        now = self.rt.wall()
        due = decide.most_recent(cron, schedule, now, deadline=True)
        changed = False
        if due.start_s is not None:
            if due.missed > decide.MANY:
                text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                self.event(cron, "Warning", "TooManyMissedTimes", text)
            changed = await self._start(cron, due.start_s, status, active)
        wait = decide.wait_s({**cron, "status": status}, schedule, now)
        if wait is not None:
            self._wake(key_of(cron), wait)
        return changed

    async def _start(self, cron: Obj, start_s: float, status: Obj, active: list[Obj]) -> bool:
        if decide.too_late(cron, start_s, self.rt.wall()):
            shown = format_datetime(datetime.fromtimestamp(int(start_s), UTC))
            self.event(cron, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {shown}")
            return False
        if any(one["name"] == decide.job_name(cron, start_s) for one in active) or status.get("lastScheduleTime") == stamp(start_s):
            return False
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.event(cron, "Normal", "JobAlreadyActive", text)
            return False
        if policy == "Replace":
            for one in list(active):
                job = await self.api.get("jobs", namespace(cron), one["name"])
                if not await self._delete(cron, job, active):
                    raise ApiError("InternalError", f"could not replace job {one['name']}")
        try:
            job = await self.api.create("jobs", namespace(cron), decide.new_job(cron, start_s))
            self.event(cron, "Normal", "SuccessfulCreate", f"Created job {name(job)}")
        except ApiError as error:
            if error.reason != "AlreadyExists":
                if "because it is being terminated" not in error.message:
                    self.event(cron, "Warning", "FailedCreate", f"Error creating job: {error.message}")
                raise
            job = await self.api.get("jobs", namespace(cron), decide.job_name(cron, start_s))
            ref = controller_of(job)
            if ref is None or ref["uid"] != uid(cron) or decide.finished(job):
                return False
        active.append(decide.reference(job))
        status["lastScheduleTime"] = stamp(start_s)
        return True

    async def _delete(self, cron: Obj, job: Obj, active: list[Obj]) -> bool:
        try:
            await self.api.delete("jobs", namespace(job), name(job), propagation_policy="Background")
        except ApiError as error:
            if error.reason != "NotFound":
                self.event(cron, "Warning", "FailedDelete", f"Deleted job: {error.message}")
                return False
        else:
            self.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {name(job)}")
        active[:] = [one for one in active if one["uid"] != uid(job)]
        return True
