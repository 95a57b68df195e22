"""Planted bugs of what StatefulSets do with their claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.tree import put
from tests.properties.objects import deleted, obj, pod, stateful_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about

CASES = Cases()
BY = "statefulset-controller"


def _claim(**meta: object) -> Obj:
    return obj("v1", "PersistentVolumeClaim", "data-db-0", {}, {"phase": "Bound"}, finalizers=["kubernetes.io/pvc-protection"], **meta)


@CASES.bug("KC029", "claims")
def a_claim_deleted_with_its_member(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """It is the request that counts: the claim goes later, when the protection controller takes its finalizer away."""
    history = History(stateful_set(replicas=0), _claim())
    gone = history.put(deleted(_claim(), history.t, 0), by=BY if bad else "user")
    gone = history.put(put(gone, [], "metadata", "finalizers"), by="pvc-protection-controller")
    history.remove(gone, by="pvc-protection-controller")
    return about(history.end(), "KC029")


@CASES.bug("KC029", "claims")
def a_claim_that_nobody_owns_is_collected(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    db = stateful_set(replicas=0)
    claim = _claim(**({} if bad else {"ownerReferences": [owner_reference(db)]}))
    history = History(claim)
    history.put(deleted(claim, history.t, 0), by="generic-garbage-collector")
    return about(history.end(), "KC029")


@CASES.bug("KC029", "claims")
def a_claim_is_made_to_go_with_its_set(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _owned("whenDeleted", "Retain" if bad else "Delete", owner_reference)


@CASES.bug("KC029", "claims")
def a_claim_is_made_to_go_with_its_pod(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _owned("whenScaled", "Retain" if bad else "Delete", lambda db: owner_reference(pod("db-0", "node-0", True, db)))


def _owned(field: str, policy: str, ref: Callable[[Obj], Obj]) -> Found:
    db = stateful_set(replicas=1, spec={"persistentVolumeClaimRetentionPolicy": {field: policy}})
    history = History(db, pod("db-0", "node-0", True, db), _claim())
    history.put(put(_claim(), [ref(db)], "metadata", "ownerReferences"), by=BY)
    return about(history.end(), "KC029")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
