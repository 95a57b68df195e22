"""Jobs: what became of them is the answer, and faults meet their pods when they are made anew."""

from __future__ import annotations

import pytest

from kchaos.engine.booting import boot
from kchaos.engine.kubernetes import run
from kchaos.engine.settings import Settings
from kchaos.engine.sweep import sweep
from kchaos.history.record import Write
from kchaos.reports.columns import headline
from kchaos.scenario import Scenario
from tests.engine.test_remarks import APP, result_of
from tests.support import one, step, system_of

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
    """A pass, and what was done is said; one with a name is made anew, and faults meet its pods."""
    result = result_of(text, "drain,pod-kill")
    assert (result.verdict, result.exit_code, [f.id for f in result.findings]) == ("pass", 0, [])
    anew = "generateName" not in text
    ending = "; made anew, faults met their pods" if anew else "; faults are injected only into what keeps running"
    assert [n.message.endswith(" completed" + ending) for n in result.notes] == [True]
    assert result.examples.level1 == (4 if anew else 1)


def test_jobs_beside_what_keeps_running() -> None:
    """One remark on all of them."""
    result = result_of(APP + "---\n" + JOB + "---\n" + JOB.replace("migrate", "seed"), "pod-kill")
    assert [n.message for n in result.notes] == ["Jobs migrate, seed completed; made anew, faults met their pods"]


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
        (
            CRON.replace("schedule:", "suspend: true, schedule:").replace(
                "spec:\n  suspend: true, schedule", "spec:\n  suspend: true\n  schedule"
            ),
            "CronJob nightly makes pods by its schedule only",
        ),
        (JOB.replace("backoffLimit: 1", "suspend: true"), "Job migrate is suspended"),
    ],
)
def test_what_starts_nothing(text: str, says: str) -> None:
    """Unknown, with the reason."""
    result = result_of(text)
    assert (result.verdict, result.exit_code) == ("unknown", 3)
    assert result.reasons[0].startswith(says) and says in headline(result)


def test_each_fault_meets_a_running_pod() -> None:
    """Of a Job and of a CronJob's: every fault that is tried does something."""
    system = system_of(JOB + "---\n" + CRON)
    booted = boot(system)
    scenarios = [steps for steps in sweep(system, booted).level1 if len(steps) > 1]
    assert len(scenarios) == 20
    for steps in scenarios:
        outcome = run(system, booted, Scenario(steps=steps))
        assert [line["status"] for line in outcome.steps] == ["bit", "bit"], steps
        assert [prop.id for prop, _ in outcome.violations if prop.id != "KC209"] == [], steps


def test_a_run_of_a_cronjob() -> None:
    """Named after it, owned by it, not counted as one of its schedule."""
    system = system_of(CRON)
    outcome = one(system, step("run-job", "CronJob/default/nightly"))
    made = [entry.obj for entry in outcome.run.entries if isinstance(entry, Write) and entry.resource == "jobs" and entry.type == "ADDED"]
    assert [job["metadata"]["name"] for job in made] == ["nightly-run"]
    assert made[0]["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert [ref["kind"] for ref in made[0]["metadata"]["ownerReferences"]] == ["CronJob"]


def test_a_job_that_one_fault_fails_for_good() -> None:
    """A warning with what to change, at its line; with one more try it completes."""
    result = result_of(JOB.replace("backoffLimit: 1", "backoffLimit: 0"), "pod-kill,drain")
    assert [(f.id, f.severity.value, f.line, f.object) for f in result.findings] == [("KC209", "warning", 1, "Job/default/migrate")]
    assert "backoffLimit is 0" in result.findings[0].summary and "podFailurePolicy" in result.findings[0].advice
    assert result_of(JOB, "pod-kill,drain").findings == ()


def test_a_cronjob_is_named_not_its_job() -> None:
    """The finding points to the object in the files."""
    result = result_of(CRON.replace("spec: {template", "spec: {backoffLimit: 0, template"), "pod-kill")
    assert [(f.id, f.object, f.line) for f in result.findings] == [("KC209", "CronJob/default/nightly", 1)]
