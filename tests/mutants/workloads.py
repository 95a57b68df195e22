"""Mutants of the controllers of workloads."""

from __future__ import annotations

import itertools
from typing import Any

from kchaos.models.api.tree import Obj, put
from kchaos.models.controllers import (
    cronjob_decide,
    daemonset,
    daemonset_decide,
    deployment_rolling,
    deployment_status,
    job,
    job_decide,
    replicaset,
    statefulset_decide,
)
from kchaos.models.controllers.cronjob import CronJobController
from kchaos.models.controllers.daemonset import DaemonSetController
from kchaos.models.controllers.deployment import DeploymentController
from kchaos.models.controllers.expectations import Expectations
from kchaos.models.controllers.job import JobController
from kchaos.models.controllers.replicaset import ReplicaSetController
from kchaos.scenario import At, Step
from tests.mutants.applications import AGENT, BATCH, CRON, PARTED, RECREATED, SHORT_MEMORY, STORE, STORE_IN_ONE_ZONE, WEB
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()


# -- Deployment --------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC021", WEB)
def deployment_ignores_max_unavailable(patch: Patch) -> None:
    """A rollout leaves replicas - maxUnavailable pods available."""
    bounds = deployment_rolling.bounds
    patch.setattr(deployment_rolling, "bounds", lambda one: (bounds(one)[0], deployment_rolling.replicas(one)))


@MUTANTS.caught_by("KC021", WEB)
def deployment_ignores_max_surge(patch: Patch) -> None:
    """A rollout asks for no more than replicas + maxSurge pods."""
    patch.setattr(deployment_rolling, "new_size", lambda one, new, others: deployment_rolling.replicas(one))


@MUTANTS.caught_by("KC022", RECREATED)
def deployment_recreates_without_waiting(patch: Patch) -> None:
    """Recreate makes no new pod before the old ones are gone."""
    patch.setattr(DeploymentController, "_recreate", DeploymentController._roll)


@MUTANTS.caught_by("KC023", SHORT_MEMORY)
def deployment_keeps_all_old_sets(patch: Patch) -> None:
    """No more than revisionHistoryLimit old ReplicaSets are kept."""
    patch.setattr(deployment_rolling, "stale_history", lambda one, olds: [])


@MUTANTS.caught_by("KC204", WEB)
def deployment_never_shrinks_old_sets(patch: Patch) -> None:
    """A rollout ends."""
    patch.setattr(deployment_rolling, "plan_olds", lambda one, new, olds: [])


@MUTANTS.caught_by("KC024", SHORT_MEMORY)
def deployment_never_gives_up(patch: Patch) -> None:
    """Progressing turns False after progressDeadlineSeconds without progress."""
    patch.setattr(deployment_status, "timed_out", lambda one, conditions, wall_s: False)


# -- ReplicaSet --------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC020", WEB, "probe-flap,scale-down", more=20)
def replicaset_takes_ready_pods_first(patch: Patch) -> None:
    """A scale-down takes pods that are not ready first."""
    rank = replicaset.rank
    patch.setattr(replicaset, "rank", lambda pods, related, now_s: rank(pods, related, now_s)[::-1])


@MUTANTS.caught_by("KC017", WEB)
def replicaset_overlooks_deleted_pods(patch: Patch) -> None:
    """A ReplicaSet converges to exactly spec.replicas pods: the loss of one makes it look."""
    changed = ReplicaSetController._pod_changed
    patch.setattr(
        ReplicaSetController,
        "_pod_changed",
        lambda self, old, new: changed(self, old, new) if new is not None and not new["metadata"].get("deletionTimestamp") else None,
    )


HELD = Step(do="events-held", args={"target": "pods"}, when=At(0.0), for_s=20.0)
GROWS = Step(do="scale-up", args={"target": "Deployment/default/web"}, when=At(1.0))


@MUTANTS.caught_by("KC117", WEB, "none", (HELD, GROWS))
def replicaset_forgets_expectations(patch: Patch) -> None:
    """A controller that has asked for pods which its cache does not show yet asks for no more."""
    patch.setattr(Expectations, "satisfied", lambda self, key: True)


@MUTANTS.caught_by("KC117", WEB)
def replicaset_makes_one_too_many(patch: Patch) -> None:
    """A ReplicaSet makes no pod beyond spec.replicas."""
    create = ReplicaSetController._create
    patch.setattr(ReplicaSetController, "_create", lambda self, key, owner, count: create(self, key, owner, count + 1))


# -- DaemonSet ---------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC131", AGENT)
def daemonset_updates_all_at_once(patch: Patch) -> None:
    """An update of a DaemonSet takes maxUnavailable pods at a time."""
    patch.setattr(daemonset_decide, "limits", lambda owner, desired: daemonset_decide.Limits(0, desired))


@MUTANTS.caught_by("KC131", AGENT)
def daemon_pods_tolerate_nothing(patch: Patch) -> None:
    """Daemon pods tolerate nodes that are not ready, unreachable or cordoned."""
    patch.setattr(daemonset, "with_tolerations", lambda spec: spec)


@MUTANTS.caught_by("KC031", AGENT)
def daemonset_does_not_replace(patch: Patch) -> None:
    """A DaemonSet runs a pod on every eligible node."""
    apply = DaemonSetController._apply

    async def once(self: DaemonSetController, key: str, owner: Obj, digest: str, nodes: list[str], doomed: list[Obj]) -> Any:
        return await apply(self, key, owner, digest, nodes if len(nodes) > 1 else [], doomed)

    patch.setattr(DaemonSetController, "_apply", once)


# -- Job ---------------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC032", BATCH)
def job_runs_more_than_parallelism(patch: Patch) -> None:
    """Never more than parallelism pods of a Job are active."""
    patch.setattr(job, "wanted_active", lambda one, now, done: job_decide.wanted_active(one, now, done) + 1)


@MUTANTS.caught_by("KC032", BATCH)
def job_counts_successes_twice(patch: Patch) -> None:
    """Each success is counted once."""
    write = JobController._write

    async def twice(self: JobController, old: Obj | None, one: Obj, status: Obj) -> Obj:
        more = status.get("succeeded", 0) - (one.get("status") or {}).get("succeeded", 0)
        return await write(self, old, one, {**status, "succeeded": status["succeeded"] + more} if more > 0 else status)

    patch.setattr(JobController, "_write", twice)


FAILS = (
    step("run-job", "Job/default/plain"),
    *(Step(do="container-kill", args={"target": "Job/default/plain"}, when=At(at)) for at in (2.0, 9.0)),
)


@MUTANTS.caught_by("KC033", BATCH, "none", FAILS)
def job_tries_for_ever(patch: Patch) -> None:
    """A Job is given up after more than backoffLimit failures."""
    patch.setattr(job, "verdict", lambda one, pods, failed, now_s: None)


@MUTANTS.caught_by("KC033", BATCH)
def job_gives_up_too_early(patch: Patch) -> None:
    """A Job is not given up before backoffLimit is exceeded."""
    verdict = job_decide.verdict
    patch.setattr(job, "verdict", lambda one, pods, failed, now_s: verdict(one, pods, failed + 2 if failed else 0, now_s))


@MUTANTS.caught_by("KC032", BATCH)
def job_keeps_its_finalizers(patch: Patch) -> None:
    """Each pod that has ended is counted and let go."""

    async def none(self: JobController, key: str, pods: list[Obj]) -> list[Obj]:
        return []

    patch.setattr(JobController, "_free", none)


# -- StatefulSet -------------------------------------------------------------------------------------------------------


@MUTANTS.caught_by("KC026", STORE_IN_ONE_ZONE)
def statefulset_creates_out_of_order(patch: Patch) -> None:
    """OrderedReady: pod k is created when all below it are ready."""
    serve = statefulset_decide._serve
    patch.setattr(statefulset_decide, "_serve", lambda state: serve(state._replace(monotonic=False)))


@MUTANTS.caught_by("KC026", STORE, "scale-down", (step("scale-down", "StatefulSet/default/store", by=2),))
def statefulset_scales_down_from_the_lowest(patch: Patch) -> None:
    """OrderedReady: pod k is deleted when all above it are gone."""
    sort = statefulset_decide._sorted_out

    def reversed_(owner: Obj, pods: list[Obj], wall_s: float) -> Any:
        state = sort(owner, pods, wall_s)
        return state._replace(condemned=state.condemned[::-1])

    patch.setattr(statefulset_decide, "_sorted_out", reversed_)


@MUTANTS.caught_by("KC027", STORE)
def statefulset_keeps_what_is_beyond_replicas(patch: Patch) -> None:
    """No pod beyond spec.replicas is left."""
    patch.setattr(statefulset_decide, "_condemn", lambda state: ([], True))


@MUTANTS.caught_by("KC028", STORE)
def statefulset_updates_all_at_once(patch: Patch) -> None:
    """A rolling update takes one pod at a time."""

    def roll(state: Any, update: str) -> list[Any]:
        old = [pod for pod in state.replicas if pod is not None and pod["metadata"]["labels"].get(statefulset_decide.LABEL) != update]
        return [statefulset_decide.Delete(pod) for pod in old if not pod["metadata"].get("deletionTimestamp")]

    patch.setattr(statefulset_decide, "_roll", roll)


@MUTANTS.caught_by("KC028", STORE)
def statefulset_updates_from_the_lowest(patch: Patch) -> None:
    """A rolling update goes from the largest ordinal down."""
    roll = statefulset_decide._roll
    patch.setattr(statefulset_decide, "_roll", lambda state, update: roll(state._replace(replicas=state.replicas[::-1]), update))


@MUTANTS.caught_by("KC028", PARTED)
def statefulset_ignores_the_partition(patch: Patch) -> None:
    """Ordinals below the partition keep the old revision."""
    roll = statefulset_decide._roll

    def unparted(state: Any, update: str) -> list[Any]:
        owner = state.owner
        spec = {**owner["spec"], "updateStrategy": {"type": "RollingUpdate"}}
        return roll(state._replace(owner={**owner, "spec": spec}), update)

    patch.setattr(statefulset_decide, "_roll", unparted)


# -- CronJob -----------------------------------------------------------------------------------------------------------


LATER = (Step(do="scale-up", args={"target": "Deployment/default/web"}, when=At(150.0)),)


@MUTANTS.caught_by("KC034", CRON, "none", LATER)
def cronjob_ignores_forbid(patch: Patch) -> None:
    """With concurrencyPolicy Forbid no Job is made while one runs."""
    start = CronJobController._start

    async def allow(self: CronJobController, cron: Obj, start_s: float, status: Obj, active: list[Obj]) -> bool:
        return await start(self, put(cron, "Allow", "spec", "concurrencyPolicy"), start_s, status, active)

    patch.setattr(CronJobController, "_start", allow)


@MUTANTS.caught_by("KC034", CRON, "answer-lost", LATER, triggers=True, more=10)
def cronjob_names_its_jobs_at_random(patch: Patch) -> None:
    """The Job of a scheduled time has one name, so that it can't be made twice."""
    made = itertools.count()
    patch.setattr(cronjob_decide, "job_name", lambda cron, start_s: f"{cron['metadata']['name']}-{next(made)}")
