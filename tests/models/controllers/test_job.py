"""What a Job decides."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.job_decide import (
    FINALIZER,
    INDEX,
    Backoff,
    parse_indexes,
    pending_indexes,
    pod_failed,
    policy_match,
    show_indexes,
    succeeded_indexes,
    success_policy,
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
