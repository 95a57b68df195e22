"""Which start of a CronJob is due, when the next is, and what its job is called."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.times import parse as at
from kchaos.models.api.times import stamp
from kchaos.models.controllers.cronjob_decide import job_name, most_recent, new_job, too_late, too_old, wait_s
from kchaos.models.controllers.cronjob_schedule import next_s, parse


def cron(**spec: Any) -> dict[str, Any]:
    """Return a CronJob made at 10:00:30 that fires each minute."""
    return {
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "a", "uid": "u", "creationTimestamp": "2026-03-01T10:00:30Z"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"metadata": {"labels": {"app": "t"}}, "spec": {}}, **spec},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("* * * * *", "", "2026-03-01T10:00:00Z", "2026-03-01T10:01:00Z"),
        ("*/15 9-17 * * mon-fri", "", "2026-03-06T17:50:00Z", "2026-03-09T09:00:00Z"),
        ("0 0 31 * *", "", "2026-04-01T00:00:00Z", "2026-05-31T00:00:00Z"),
        ("0 0 13 * fri", "", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"),  # both days restricted: either will do
        ("5/20 * * * *", "", "2026-03-01T10:26:00Z", "2026-03-01T10:45:00Z"),
        ("@daily", "", "2026-03-01T10:00:00Z", "2026-03-02T00:00:00Z"),
        ("@every 90s", "", "2026-03-01T10:00:00Z", "2026-03-01T10:01:30Z"),
        ("30 9 * * *", "Europe/Berlin", "2026-03-01T10:00:00Z", "2026-03-02T08:30:00Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),  # 02:30 does not exist on the 29th
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),  # and exists twice on 25 October
        ("0 0 29 2 *", "", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
    ],
)
def test_next(schedule: str, zone: str, after: str, expected: str) -> None:
    """Fields, names, steps, descriptors, time zones and clock changes."""
    found = next_s(parse(schedule, zone), at(after))
    assert found is not None and stamp(found) == expected


@pytest.mark.parametrize("text", ["* * * *", "60 * * * *", "* * * * 7", "*/0 * * * *", "5-1 * * * *", "@every x", "a * * * *"])
def test_refused(text: str) -> None:
    """What the real parser refuses."""
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_never() -> None:
    """The 31st of February never comes."""
    assert next_s(parse("0 0 31 2 *"), at("2026-01-01T00:00:00Z")) is None


def test_due() -> None:
    """Nothing is due before the first minute; of several missed starts only the latest counts."""
    every = parse("* * * * *")
    assert most_recent(cron(), every, at("2026-03-01T10:00:59Z"), deadline=True).start_s is None
    due = most_recent(cron(), every, at("2026-03-01T10:05:10Z"), deadline=True)
    assert due.start_s == at("2026-03-01T10:05:00Z")
    assert due.missed == 5


def test_deadline() -> None:
    """A start older than startingDeadlineSeconds is not even looked for, and one that is too late is missed."""
    one = cron(startingDeadlineSeconds=10)
    assert most_recent(one, parse("* * * * *"), at("2026-03-01T10:05:20Z"), deadline=True).start_s is None
    assert too_late(one, at("2026-03-01T10:05:00Z"), at("2026-03-01T10:05:11Z"))
    assert not too_late(cron(), at("2026-03-01T10:05:00Z"), at("2026-03-02T10:05:11Z"))


def test_wait() -> None:
    """The controller wakes a tenth of a second after the next start."""
    assert wait_s(cron(), parse("* * * * *"), at("2026-03-01T10:00:40Z")) == pytest.approx(20.1)


def test_job() -> None:
    """A job is named by the minute of its start and says when that was."""
    start = at("2026-03-01T10:05:00Z")
    job = new_job(cron(timeZone="Europe/Berlin"), start)
    assert job["metadata"]["name"] == job_name(cron(), start) == f"tick-{int(start) // 60}"
    assert job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-03-01T11:05:00+01:00"
    assert job["metadata"]["ownerReferences"][0]["controller"] is True


def test_history() -> None:
    """The oldest ended jobs beyond each limit go; the active ones never."""

    def job(name: str, kind: str, minute: int) -> dict[str, Any]:
        conditions = [{"type": kind, "status": "True"}] if kind else []
        return {"metadata": {"name": name}, "status": {"startTime": f"2026-03-01T10:{minute:02}:00Z", "conditions": conditions}}

    jobs = [job("c3", "Complete", 3), job("c1", "Complete", 1), job("f2", "Failed", 2), job("f4", "Failed", 4), job("a0", "", 0)]
    gone = too_old(cron(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0), jobs)
    assert [one["metadata"]["name"] for one in gone] == ["c1", "f2", "f4"]


def test_what_was_missed_is_looked_for_from_the_deadline_on() -> None:
    """Of several missed starts the latest is due; none before the deadline; what is missed is counted."""
    schedule = parse("*/10 * * * *", "")
    cron = {"metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}, "status": {}}
    assert most_recent(cron, schedule, at("2026-01-01T00:09:00Z"), True) == (None, at("2026-01-01T00:00:00Z"), 0)
    assert most_recent(cron, schedule, at("2026-01-01T00:10:00Z"), True)[::2] == (at("2026-01-01T00:10:00Z"), 1)
    assert most_recent(cron, schedule, at("2026-01-01T00:35:00Z"), True)[::2] == (at("2026-01-01T00:30:00Z"), 3)
    assert most_recent(cron, schedule, at("2026-01-01T01:59:00Z"), True)[::2] == (at("2026-01-01T01:50:00Z"), 11)
    late = {**cron, "spec": {"startingDeadlineSeconds": 600}}
    assert most_recent(late, schedule, at("2026-01-01T00:35:00Z"), True) == (at("2026-01-01T00:30:00Z"), at("2026-01-01T00:25:00Z"), 1)
    assert most_recent(late, schedule, at("2026-01-01T00:35:00Z"), False)[2] == 3


def test_jobs_that_have_not_started_go_last() -> None:
    def job(name: str, start: str | None) -> dict[str, Any]:
        status = {"conditions": [{"type": "Complete", "status": "True"}], **({"startTime": start} if start else {})}
        return {"metadata": {"name": name}, "status": status}

    jobs = [job("c", None), job("b", "2026-01-01T00:20:00Z"), job("a", "2026-01-01T00:10:00Z")]
    cron = {"metadata": {"name": "c"}, "spec": {"successfulJobsHistoryLimit": 1}}
    assert [one["metadata"]["name"] for one in too_old(cron, jobs)] == ["a", "b"]
