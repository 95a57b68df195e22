"""Planted bugs of Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Severity
from kchaos.models.api.pods import owner_reference
from kchaos.models.controllers import job as jobs
from kchaos.models.controllers import job_decide
from tests.engine.test_jobs import JOB
from tests.properties.objects import condition, obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import one, step, system_of

CASES = Cases()
BY = "job-controller"
DONE = {"phase": "Succeeded"}


def job(status: Obj | None = None, **spec: Any) -> Obj:
    """Return a Job of two pods at once."""
    return obj("batch/v1", "Job", "work", {"parallelism": 2, "completions": 3, "backoffLimit": 1, **spec}, status or {})


def worker(name: str, owner: Obj, index: int | None = None, **status: Any) -> Obj:
    """Return a pod of a Job."""
    notes = {"annotations": {"batch.kubernetes.io/job-completion-index": str(index)}} if index is not None else {}
    return pod(name, owner=owner, status=status or None, **notes)


@CASES.bug("KC032", "parallelism")
def one_pod_too_many(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = job()
    history = History(owner, worker("work-0", owner), *([worker("work-1", owner)] if bad else []), worker("work-2", owner, **DONE))
    history.put(worker("work-3", owner), by=BY)
    return about(history.end(), "KC032")


@CASES.bug("KC032", "index")
def an_index_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = job(completionMode="Indexed")
    history = History(owner, worker("work-0-a", owner, 0))
    history.put(worker("work-0-b", owner, 0 if bad else 1), by=BY)
    return about(history.end(), "KC032")


@CASES.bug("KC032", "counted twice")
def a_success_counted_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = job()
    history = History(owner, worker("work-0", owner))
    history.put(worker("work-0", owner, **DONE), by="kubelet")
    history.put(job({"succeeded": 2 if bad else 1}), by=BY)
    return about(history.end(), "KC032")


@CASES.bug("KC032", "falls")
def a_success_is_forgotten(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(job({"succeeded": 2}))
    history.put(job({"succeeded": 1 if bad else 2}), by=BY)
    return about(history.end(), "KC032")


@CASES.bug("KC032", "too few")
def complete_too_early(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(job({"succeeded": 2 if bad else 3}))
    history.put(job({"succeeded": 2 if bad else 3, "conditions": [condition("Complete", True)]}), by=BY)
    return about(history.end(), "KC032")


@CASES.bug("KC033", "retries")
def a_try_after_the_last(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = job({"failed": 2 if bad else 1})
    history = History(owner)
    history.put(worker("work-3", owner), by=BY)
    return about(history.end(), "KC033")


@CASES.bug("KC033", "gives up")
def given_up_too_early(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the first failure is taken for the last."""
    if bad:
        real = job_decide.verdict
        patch.setattr(jobs, "verdict", lambda job, pods, failed, now_s: real(job, pods, failed + 9 if failed else 0, now_s))
    steps = (step("run-job", "Job/default/migrate"), step("pod-kill", "Job/default/migrate"))
    late = steps[1].__class__(do="pod-kill", args=steps[1].args, when=steps[0].when.__class__(3.0))
    return about(one(system_of(JOB), steps[0], late).violations, "KC033")


def run_of(name: str, minute: int, status: Obj | None = None) -> Obj:
    """Return a Job of a CronJob."""
    cron = obj("batch/v1", "CronJob", "nightly")
    notes = {"batch.kubernetes.io/cronjob-scheduled-timestamp": f"2026-01-01T00:0{minute}:00Z"}
    return obj("batch/v1", "Job", name, {}, status or {}, annotations=notes, ownerReferences=[owner_reference(cron)])


@CASES.bug("KC034", "twice")
def a_minute_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(run_of("nightly-1", 1))
    history.put(run_of("nightly-2", 1 if bad else 2), by="cronjob-controller")
    return about(history.end(), "KC034")


@CASES.bug("KC034", "overlap")
def forbidden_and_made_all_the_same(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    before = run_of("nightly-1", 1, None if bad else {"conditions": [condition("Complete", True)]})
    history = History(obj("batch/v1", "CronJob", "nightly", {"concurrencyPolicy": "Forbid"}), before)
    history.put(run_of("nightly-2", 2), by="cronjob-controller")
    return about(history.end(), "KC034")


@CASES.bug("KC209", "stuck Job/shop/work")
def a_job_that_does_not_end(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    history.put(job())
    history.wait(400.0 if bad else 100.0)
    return about(history.end(), "KC209")


@CASES.bug("KC209", "fails CronJob/shop/nightly")
def a_run_that_fails_without_a_fault(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    history.put(run_of("nightly-1", 1))
    kind = "Failed" if bad else "Complete"
    history.put(run_of("nightly-1", 1, {"conditions": [condition(kind, True, reason="DeadlineExceeded", message="too slow")]}), by=BY)
    return about(history.end(), "KC209")


@CASES.bug("KC209", "refused Job/shop/work", Severity.WARNING)
def a_job_that_is_refused(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    history.mark("operation", what="run-job", target="Job/shop/work", state="refused" if bad else "done", why="quota")
    return about(history.end(), "KC209")


@CASES.bug("KC032", "not counted")
def a_pod_that_has_ended_is_not_counted(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    job = obj("batch/v1", "Job", "work", {"parallelism": 1, "completions": 1}, {"succeeded": 1})
    held = {"finalizers": ["batch.kubernetes.io/job-tracking"]} if bad else {}
    return about(History(job, pod("work-1", "node-1", owner=job, status={"phase": "Succeeded"}, **held)).end(), "KC032")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug is found, and nothing in its twin."""
    case.check(bad, monkeypatch)
