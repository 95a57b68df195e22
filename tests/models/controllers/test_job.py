"""What a Job decides."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.job_decide import (
    FAILURES,
    FINALIZER,
    IGNORED,
    INDEX,
    Backoff,
    failed_indexes,
    finish_s,
    index_verdict,
    inherited_failures,
    parse_indexes,
    pending_indexes,
    per_index,
    pod_failed,
    policy_match,
    show_indexes,
    succeeded_indexes,
    success_policy,
    too_many_restarts,
    verdict,
    wanted_active,
)


def _pod(phase: str, index: int | None = None, code: int = 0, **meta: Any) -> dict[str, Any]:
    notes = {INDEX: str(index)} if index is not None else {}
    state = {"terminated": {"exitCode": code, "finishedAt": "2024-01-01T00:00:10Z"}}
    body = {"name": "p", "namespace": "default", "uid": "u", "annotations": notes, "finalizers": [FINALIZER], **meta}
    return {"metadata": body, "spec": {}, "status": {"phase": phase, "containerStatuses": [{"name": "c", "state": state}]}}


def _job(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j", "namespace": "default"}, "spec": {"parallelism": 2, **spec}}


@pytest.mark.parametrize("text", ["", "0", "0,1", "0-2", "0,2-4,7"])
def test_indexes_read_as_written(text: str) -> None:
    assert show_indexes(parse_indexes(text, 10)) == text


def test_indexes_done_and_pending() -> None:
    job = {**_job(completions=4, completionMode="Indexed"), "status": {"completedIndexes": "1"}}
    assert list(succeeded_indexes(job, [_pod("Succeeded", 3), _pod("Failed", 2), _pod("Succeeded", 9)])) == [1, 3]
    assert pending_indexes(job, [1, 3], 5) == [0, 2]


def test_backoff_doubles_and_success_resets_it() -> None:
    once = Backoff().after([], [100.0])
    assert once.left_s(100.0) == 10.0
    twice = once.after([], [120.0])
    assert twice.left_s(121.0) == 19.0
    assert twice.after([130.0], []).left_s(130.0) == 0.0
    assert Backoff(20, 0.0).left_s(0.0) == 600.0


def test_wanted_pods() -> None:
    assert wanted_active(_job(completions=5), 2, 4) == 1
    assert wanted_active(_job(), 2, 0) == 2
    assert wanted_active(_job(), 1, 1) == 1


def test_policies() -> None:
    codes = {"operator": "In", "values": [42]}
    job = _job(podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": codes}]}, backoffLimit=6)
    found = policy_match(job, _pod("Failed", code=42))
    assert found == ("FailJob", "Container c for pod default/p failed with exit code 42 matching FailJob rule at index 0")
    assert policy_match(job, _pod("Failed", code=1)) is None
    assert verdict(job, [_pod("Failed", code=42)], 1, 0.0) == ("FailureTarget", "PodFailurePolicy", found[1])
    assert verdict(_job(backoffLimit=0), [], 1, 0.0) is not None
    some = _job(completions=4, successPolicy={"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]})
    assert success_policy(some, {1: None}) is None
    assert success_policy(some, {2: None}) == "Matched rules at index 0"


def test_a_deleted_pod_has_failed_unless_only_failed_ones_are_replaced() -> None:
    pod = _pod("Running", deletionTimestamp="2024-01-01T00:00:00Z")
    assert pod_failed(_job(podReplacementPolicy="TerminatingOrFailed"), pod)
    assert not pod_failed(_job(podReplacementPolicy="Failed"), pod)


def _restarted(phase: str, count: int) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": [{"name": "c", "restartCount": count}]}}


def test_restarts_count_under_on_failure() -> None:
    """Of pods that run or are to run; with no limit at all one is too many."""
    template = {"spec": {"restartPolicy": "OnFailure"}}
    job = _job(template=template, backoffLimit=3)
    assert too_many_restarts(job, [_restarted("Running", 2), _restarted("Pending", 1)])
    assert not too_many_restarts(job, [_restarted("Running", 2), _restarted("Failed", 1)])
    assert too_many_restarts(_job(template=template, backoffLimit=0), [_restarted("Running", 1)])
    assert not too_many_restarts(_job(template=template, backoffLimit=0), [_restarted("Running", 0)])
    assert not too_many_restarts(_job(template={"spec": {"restartPolicy": "Never"}}, backoffLimit=0), [_restarted("Running", 1)])


def test_the_limit_is_exceeded_by_one_more() -> None:
    assert verdict(_job(backoffLimit=2), [], 2, 0.0) is None
    assert verdict(_job(backoffLimit=2), [], 3, 0.0) == (
        "FailureTarget",
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert verdict(_job(), [], 6, 0.0) is None
    late = {**_job(activeDeadlineSeconds=10), "status": {"startTime": "1970-01-01T00:00:00Z"}}
    assert verdict(late, [], 0, 9.0) is None
    assert verdict(late, [], 0, 10.0) == ("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")


def test_when_a_pod_ended() -> None:
    """When its last container did; else when it ceased to be ready; else when its deletion was asked for; else now."""
    ended = _pod("Failed")
    other = {"name": "d", "state": {"terminated": {"exitCode": 0, "finishedAt": "1970-01-01T00:00:50Z"}}}
    first = {"name": "c", "state": {"terminated": {"exitCode": 0, "finishedAt": "1970-01-01T00:00:40Z"}}}
    ended["status"]["containerStatuses"] = [first, other]
    assert finish_s(ended, 99.0) == 50.0
    off = {"type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:00:30Z"}
    half = {"metadata": {}, "status": {"containerStatuses": [first, {"name": "d", "state": {}}], "conditions": [off]}}
    assert finish_s(half, 99.0) == 30.0
    going = {"metadata": {"deletionTimestamp": "1970-01-01T00:01:00Z", "deletionGracePeriodSeconds": 40}, "status": {}}
    assert finish_s(going, 99.0) == 20.0
    assert finish_s({"metadata": {}, "status": {"conditions": [{**off, "status": "True"}]}}, 99.0) == 99.0


def _indexed(limit: int | None = 1, **spec: Any) -> dict[str, Any]:
    more = {} if limit is None else {"backoffLimitPerIndex": limit}
    return {**_job(completions=4, completionMode="Indexed", **more, **spec), "status": {"failedIndexes": "3"}}


def test_limits_index_by_index() -> None:
    """An index has failed when its pods failed more often than the limit, or the policy says so; who is counted already is not looked at."""

    def failed(index: int, failures: int, **more: Any) -> dict[str, Any]:
        one = _pod("Failed", index, **more)
        one["metadata"]["annotations"][FAILURES] = str(failures)
        return one

    assert list(failed_indexes(_indexed(), [failed(0, 1), failed(1, 0), _pod("Succeeded", 2)])) == [3, 0]
    assert list(failed_indexes(_indexed(), [failed(0, 1, finalizers=[])])) == [3]
    rules = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]}
    assert list(failed_indexes(_indexed(podFailurePolicy=rules), [_pod("Failed", 1, code=42), _pod("Failed", 2, code=1)])) == [3, 1]
    assert (per_index(_indexed()), per_index(_indexed(None)), per_index(_job(backoffLimitPerIndex=1))) == (True, False, False)


def test_failures_are_inherited() -> None:
    """The pod that takes an index over counts one failure more, or one that the policy ignores."""
    rules = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]}
    before = _pod("Failed", 0, code=1)
    before["metadata"]["annotations"] |= {FAILURES: "2", IGNORED: "1"}
    assert inherited_failures(_indexed(), None) == {FAILURES: "0"}
    assert inherited_failures(_indexed(), before) == {FAILURES: "3", IGNORED: "1"}
    ignored = {**before, "status": _pod("Failed", 0, code=42)["status"]}
    assert inherited_failures(_indexed(podFailurePolicy=rules), ignored) == {FAILURES: "2", IGNORED: "2"}
    assert inherited_failures(_job(), before) == {}


def test_failures_after_a_success_count_alone() -> None:
    record = Backoff(5, 50.0)
    assert record.after([100.0], [90.0, 110.0, 120.0]) == Backoff(2, 120.0)
    assert record.after([100.0], [90.0]) == Backoff(0, 0.0)
    assert record.after([], [70.0, 60.0]) == Backoff(7, 70.0)
    assert record.after([], []) is record


def test_how_a_job_with_limits_by_index_ends() -> None:
    assert index_verdict(_indexed(maxFailedIndexes=1), {}, {0: None}) is None
    found = index_verdict(_indexed(maxFailedIndexes=1), {}, {0: None, 1: None})
    assert found is not None
    assert found[1] == "MaxFailedIndexesExceeded"
    assert index_verdict(_indexed(), {0: None, 1: None}, {2: None}) is None
    found = index_verdict(_indexed(), {0: None, 1: None, 3: None}, {2: None})
    assert found is not None
    assert found[1] == "FailedIndexes"
    assert index_verdict(_indexed(), dict.fromkeys(range(4)), {}) is None
