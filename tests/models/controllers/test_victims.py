"""Which pods go first when a ReplicaSet scales down: each rule decides only where all before it are equal (ActivePodsWithRanks.Less)."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.times import parse, stamp
from kchaos.models.controllers.replicaset_victims import rank

Obj = dict[str, Any]
NOW_S = parse("2026-01-01T01:00:00Z")


def _pod(
    uid: str, node: str = "n1", phase: str = "Running", ready: bool = True, cost: str | None = None, ready_for_s: float = 100.0,
    restarts: int = 0, age_s: float = 1000.0,
) -> Obj:  # fmt: skip
    notes = {} if cost is None else {"controller.kubernetes.io/pod-deletion-cost": cost}
    since = {"lastTransitionTime": stamp(NOW_S - ready_for_s)} if ready_for_s else {}
    return {
        "metadata": {"name": uid, "uid": uid, "annotations": notes, "creationTimestamp": stamp(NOW_S - age_s)},
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase, "conditions": [{"type": "Ready", "status": str(ready), **since}],
            "containerStatuses": [{"name": "app", "restartCount": restarts}],
        },
    }  # fmt: skip


def _first(*pods: Obj, related: list[Obj] | None = None) -> str:
    """Return who goes first; the order in which they are given changes nothing."""
    beside = list(pods) if related is None else related
    names = [pod["metadata"]["uid"] for pod in rank(pods, beside, NOW_S)]
    assert names == [pod["metadata"]["uid"] for pod in rank(reversed(pods), beside, NOW_S)]
    return str(names[0])


RULES = [
    ("not yet placed", _pod("b", node=""), _pod("a", phase="Pending", ready=False)),
    ("pending", _pod("b", phase="Pending"), _pod("a", phase="Unknown", ready=False)),
    ("unknown", _pod("b", phase="Unknown"), _pod("a", ready=False)),
    ("not ready", _pod("b", ready=False), _pod("a", cost="-100")),
    ("cheaper", _pod("b", cost="-1"), _pod("a")),
    ("cheaper by number", _pod("b", cost="9"), _pod("a", cost="10")),
    ("dearer than none", _pod("b"), _pod("a", cost="1")),
    ("younger readiness", _pod("b", ready_for_s=10), _pod("a", ready_for_s=100)),
    ("ready this very second", _pod("b", ready_for_s=-0.5), _pod("a", ready_for_s=1)),
    ("readiness of unknown time", _pod("b", ready_for_s=0), _pod("a", ready_for_s=1)),
    ("more restarts", _pod("b", restarts=1), _pod("a", age_s=10)),
    ("younger", _pod("b", age_s=10), _pod("a", age_s=1000)),
    ("smaller uid", _pod("a"), _pod("b")),
    ("same readiness by magnitude", _pod("a", ready_for_s=100), _pod("b", ready_for_s=70)),
    ("a cost that is no number is none", _pod("a", cost="much"), _pod("b")),
]


@pytest.mark.parametrize(("victim", "kept"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_who_goes_first(victim: Obj, kept: Obj) -> None:
    assert _first(victim, kept) == victim["metadata"]["uid"]


def test_who_shares_a_node_goes_first() -> None:
    """With pods of all sets of the same owner, before the age of readiness counts."""
    one, two = _pod("b", node="n1", ready_for_s=1000), _pod("a", node="n2", ready_for_s=1)
    assert _first(one, two, related=[one, two, _pod("c", node="n1")]) == "b"
    assert _first(one, two, related=[one, two]) == "a"
    assert _first(one, two, related=[one, two, _pod("c", node=""), _pod("d", node="")]) == "a"


def test_all_are_ranked() -> None:
    pods = [_pod("d"), _pod("c", ready=False), _pod("b", node=""), _pod("a", cost="5")]
    assert [pod["metadata"]["uid"] for pod in rank(pods, pods, NOW_S)] == ["b", "c", "d", "a"]
