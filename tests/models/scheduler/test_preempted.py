"""Whom preemption takes first, and from which node: the pure choices (pkg/scheduler/framework/preemption, util)."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from kchaos.models.scheduler.podinfo import LATE
from kchaos.models.scheduler.preemption import Candidate, by_importance, pick, split_by_budget


def _pod(name: str, priority: int = 0, started: str = "2026-01-01T00:00:00Z", app: str = "web") -> Any:
    pod = {"metadata": {"name": name, "namespace": "shop"}}
    return SimpleNamespace(name=name, pod=pod, priority=priority, started=started, labels={"app": app}, namespace="shop")


def _names(pods: list[Any]) -> list[str]:
    return [one.name for one in pods]


def test_the_more_important_come_first() -> None:
    """By priority, then the older; pods that have not started come last, in reverse."""
    pods = [_pod("low", 1), _pod("young", 5, "2026-01-02T00:00:00Z"), _pod("old", 5), _pod("x", 5, LATE), _pod("y", 5, LATE)]
    assert _names(by_importance(pods)) == ["old", "young", "y", "x", "low"]


def _budget(allowed: int, disrupted: tuple[str, ...] = (), app: str = "web") -> dict[str, Any]:
    status = {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:00:00Z")}
    meta = {"name": "budget", "namespace": "shop"}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": app}}}, "status": status}


def test_pods_beyond_a_budget_are_told_apart() -> None:
    """Each takes one of what is allowed, but for those that are going already; who is not selected takes none."""
    pods = [_pod("a"), _pod("b"), _pod("c"), _pod("d", app="other")]
    breaking, others = split_by_budget(pods, [_budget(2)])
    assert (_names(breaking), _names(others)) == (["c"], ["a", "b", "d"])
    breaking, others = split_by_budget(pods, [_budget(1, disrupted=("a",))])
    assert (_names(breaking), _names(others)) == (["c"], ["a", "b", "d"])
    assert _names(split_by_budget(pods, [_budget(2), _budget(0)])[0]) == ["a", "b", "c"]


def _candidate(name: str, *victims: Any, violations: int = 0) -> Candidate:
    return Candidate(SimpleNamespace(name=name), list(victims), violations)  # type: ignore[arg-type]  # only its name is looked at


def _picked(*candidates: Candidate) -> str:
    return str(pick(list(candidates), random.Random(0)).node.name)


def test_the_node_that_loses_least() -> None:
    """Fewest budgets broken, lowest first victim, smallest sum of priorities, fewest victims, latest start: in this order."""
    assert _picked(_candidate("a", _pod("x", 1), violations=1), _candidate("b", _pod("x", 9))) == "b"
    assert _picked(_candidate("a", _pod("x", 9)), _candidate("b", _pod("x", 1), _pod("y", 1))) == "b"
    assert _picked(_candidate("a", _pod("x", 5), _pod("y", 5)), _candidate("b", _pod("x", 5), _pod("y", 1))) == "b"
    assert _picked(_candidate("a", _pod("x", -5), _pod("y", -5)), _candidate("b", _pod("x", -5))) == "b"
    assert _picked(_candidate("a", _pod("x")), _candidate("b", _pod("x", started="2026-01-02T00:00:00Z"))) == "b"
    assert {pick([_candidate(n, _pod("x")) for n in "ab"], random.Random(seed)).node.name for seed in range(20)} == {"a", "b"}
