"""Finished jobs go when their time is over: ttlSecondsAfterFinished.

pkg/controller/ttlafterfinished/ttlafterfinished_controller.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, namespace, terminating, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.controllers.job_decide import finished, job_condition


class TtlAfterFinished(Controller):
    """The shell."""

    name = "ttl-after-finished-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._jobs = ctx.informer("jobs")
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch jobs."""
        self._jobs.add_handler(lambda old, new: self._queue.add(key_of(new)) if new is not None and self._due(new) is not None else None)
        self._queue.start()

    @staticmethod
    def _due(job: Obj) -> float | None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None or terminating(job) or not finished(job):
            return None
        end = job_condition(job, "Complete") or job_condition(job, "Failed")
        return parse(end["lastTransitionTime"]) + ttl if end is not None else None

    async def _sync(self, key: str) -> None:
        job = self._jobs.get(key)
        due = self._due(job) if job is not None else None
        if job is None or due is None:
            return
        left = due - self.rt.wall()
        if left > 1e-9:
            self._queue.add_after(key, left)
            return
        try:
            await self.api.delete("jobs", namespace(job), name(job), uid=uid(job), propagation_policy="Foreground")
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):
                raise
