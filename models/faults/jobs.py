"""A Job is made anew, so that faults meet it while it runs: as at install, or of a CronJob as for one run (`kubectl create job --from`).

Not a fault by itself: it sets the stage for the one that follows.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.tree import Obj, get
from kchaos.models.cluster import Cluster
from kchaos.models.faults.targets import parts
from kchaos.nemesis.fault import Evidence, Kind

RUN = "run-job"
SUFFIX = "-run"
MANUAL = "cronjob.kubernetes.io/instantiate"
_NAME = 63
"""A Job's name is also a label of its pods."""


def job_of(target: str) -> str:
    """Return the Job that is made of ``Job/namespace/name`` or ``CronJob/namespace/name``: itself, or one named after it."""
    kind, space, name = target.split("/")
    return target if kind == "Job" else f"Job/{space}/{name[: _NAME - len(SUFFIX)]}{SUFFIX}"


def job_from(target: str, given: Obj, stored: Obj | None) -> Obj:
    """Return the Job to create: as it was given, or from a CronJob's template; ``stored`` is the CronJob in the cluster."""
    _, space, name = parts(job_of(target))
    if given["kind"] == "Job":
        return given
    template = given["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    made: Obj = {
        "name": name, "namespace": space, "labels": meta.get("labels") or {}, "annotations": {**(meta.get("annotations") or {}), MANUAL: "manual"},
    }  # fmt: skip
    if stored is not None:
        own = {"apiVersion": "batch/v1", "kind": "CronJob", "name": stored["metadata"]["name"], "uid": stored["metadata"]["uid"]}
        made["ownerReferences"] = [own]  # no controller: a manual run is none of the schedule
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template.get("spec") or {}}


class _Run:
    """Delete what is left of an earlier run, wait until it is gone, create the Job."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self._cluster = cluster
        self._target = target
        self._made = 0
        self._rt = cluster.user.client._rt
        if target in cluster.jobs:
            self._rt.spawn(self._run(), f"{RUN} {target}")

    async def _run(self) -> None:
        user, (_, space, name) = self._cluster.user, parts(job_of(self._target))
        try:
            await user.delete("jobs", space, name, propagation_policy="Foreground")
        except ApiError as error:
            if error.reason != "NotFound":
                self._refused(error)
                return
        while self._cluster.control.store.get("jobs", f"{space}/{name}") is not None:
            await self._rt.sleep(0.5)
        stored = self._cluster.control.store.get("cronjobs", f"{space}/{parts(self._target)[2]}")
        try:
            await user.create("jobs", space, job_from(self._target, self._cluster.jobs[self._target], stored))
            self._made += 1
        except ApiError as error:
            self._refused(error)

    def _refused(self, error: ApiError) -> None:
        self._cluster.recorder.mark("operation", what=RUN, target=self._target, state="refused", why=error.message)

    def undo(self) -> None:
        """It runs to its end."""

    def evidence(self) -> Evidence:
        return {"jobs_made": self._made}


def _run(cluster: Cluster, args: dict[str, Any]) -> _Run:
    return _Run(cluster, args["target"])


KINDS = (
    Kind[Cluster](
        name=RUN, summary="a Job is made anew, as at install or for one run of its CronJob", klass="workload", target="workload",
        planned=True, operation=True, level1=False, evidence="Jobs made", inject=_run,
    ),
)  # fmt: skip


def runs(objects: list[Obj]) -> dict[str, Obj]:
    """Return the Jobs and CronJobs among objects that can be made anew, by target: those with a name that are not suspended."""
    out = {}
    for obj in objects:
        meta = obj["metadata"]
        if obj["kind"] in ("Job", "CronJob") and meta.get("name") and not get(obj, "spec", "suspend"):
            out[f"{obj['kind']}/{meta.get('namespace', 'default')}/{meta['name']}"] = obj
    return out
