"""Inputs of Jobs only: what became of them is the answer."""

from __future__ import annotations

import pytest

from kchaos.engine.settings import Settings
from kchaos.reports.columns import headline
from tests.engine.test_remarks import APP, result_of

JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 1
  template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}
"""
CRON = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}}
"""
QUOTA = "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: none}\nspec: {hard: {pods: 0}}\n"


@pytest.mark.parametrize(
    "text", [JOB, JOB.replace("backoffLimit: 1", "ttlSecondsAfterFinished: 0"), JOB.replace("name: migrate", "generateName: m-")]
)
def test_a_job_that_completes(text: str) -> None:
    """A pass, and what was done is said."""
    result = result_of(text, "drain,pod-kill")
    assert (result.verdict, result.exit_code, [f.id for f in result.findings]) == ("pass", 0, [])
    assert [n.message.endswith(" completed; faults are injected only into what keeps running") for n in result.notes] == [True]
    assert headline(result) == "PASS: no finding, and no fault was tried"


def test_jobs_beside_what_keeps_running() -> None:
    """One remark on all of them."""
    result = result_of(APP + "---\n" + JOB + "---\n" + JOB.replace("migrate", "seed"))
    assert [n.message for n in result.notes] == ["Jobs migrate, seed completed; faults are injected only into what keeps running"]


@pytest.mark.parametrize(
    ("text", "settings", "ident", "says"),
    [
        (JOB.replace("busybox", "busybox, resources: {limits: {memory: 1Mi}}"), Settings(defaults={"memory": "1Gi", "run_s": 30}), "KC321", "OOMKilled"),
        (JOB.replace("busybox", 'busybox, resources: {requests: {cpu: "900"}}'), Settings(), "KC201", "Insufficient cpu"),
        (JOB.replace("backoffLimit: 1", "activeDeadlineSeconds: 2"), Settings(), "KC321", "DeadlineExceeded"),
        (JOB + QUOTA, Settings(), "KC321", "no pod of it is left"),
    ],
)  # fmt: skip
def test_a_job_that_does_not_complete(text: str, settings: Settings, ident: str, says: str) -> None:
    """An error with its cause, at the Job."""
    result = result_of(text, settings=settings)
    assert (result.verdict, result.exit_code) == ("fail", 1)
    assert [(f.id, f.severity.value, f.line) for f in result.findings] == [(ident, "error", 1)]
    assert says in result.findings[0].summary


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CRON, "CronJob nightly makes pods by its schedule only"),
        (JOB.replace("backoffLimit: 1", "suspend: true"), "Job migrate is suspended"),
    ],
)
def test_what_starts_nothing(text: str, says: str) -> None:
    """Unknown, with the reason."""
    result = result_of(text)
    assert (result.verdict, result.exit_code) == ("unknown", 3)
    assert result.reasons[0].startswith(says) and says in headline(result)
