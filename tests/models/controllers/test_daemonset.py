"""What a DaemonSet decides: where it runs, and how its rolling update goes."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.daemonset_decide import for_node, limits, roll, should_run, target_of, with_tolerations


def _node(taints: list[dict[str, str]], **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints}}


def _pod(called: str, digest: str, ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2024-01-01T00:00:00Z"}]
    meta = {"name": called, "uid": called, "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"controller-revision-hash": digest}}
    return {"metadata": meta, "spec": {"nodeName": called}, "status": {"phase": "Running", "conditions": conditions}}


def _set(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"metadata": {"name": "ds", "uid": "u"}, "spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


@pytest.mark.parametrize(
    ("taint", "expected"),
    [
        ({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, (True, True)),
        ({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}, (True, True)),
        ({"key": "own", "effect": "PreferNoSchedule"}, (True, True)),
        ({"key": "own", "effect": "NoSchedule"}, (False, True)),
        ({"key": "own", "effect": "NoExecute"}, (False, False)),
    ],
)
def test_taints(taint: dict[str, str], expected: tuple[bool, bool]) -> None:
    assert should_run(with_tolerations({"containers": []}), _node([taint])) == expected


def test_node_selector_and_pinning() -> None:
    spec = with_tolerations({"nodeSelector": {"disk": "ssd"}})
    assert should_run(spec, _node([], disk="hdd")) == (False, False)
    assert should_run(spec, _node([], disk="ssd")) == (True, True)
    assert target_of({"spec": for_node(spec, "n9")}) == "n9"
    assert limits(_set(0, 0), 10) == (0, 1)
    assert limits(_set("25%", "0%"), 10) == (3, 0)


def test_rolling_update_counts_unavailable_nodes() -> None:
    pods = {one: [_pod(one, "old")] for one in ("a", "b", "c")}
    assert [pod["metadata"]["name"] for pod in roll(_set(0, 1), pods, "new", 3, 2e9)[0]] == ["a"]
    pods["a"] = [_pod("a", "new", ready=False)]
    assert roll(_set(0, 1), pods, "new", 3, 2e9) == ([], [])
    pods["b"] = [_pod("b", "old", ready=False)]  # an old pod that is not up is replaced whatever the limit
    assert [pod["metadata"]["name"] for pod in roll(_set(0, 1), pods, "new", 3, 2e9)[0]] == ["b"]


def test_surge_makes_the_new_pod_first() -> None:
    pods = {one: [_pod(one, "old")] for one in ("a", "b")}
    assert roll(_set(1, 0), pods, "new", 2, 2e9) == ([], ["a"])
    both = [_pod("a", "old"), _pod("a2", "new", ready=False)]
    assert roll(_set(1, 0), {**pods, "a": both}, "new", 2, 2e9) == ([], [])
    both = [_pod("a", "old"), _pod("a2", "new")]
    doomed, nodes = roll(_set(1, 0), {**pods, "a": both}, "new", 2, 2e9)
    assert ([pod["metadata"]["name"] for pod in doomed], nodes) == (["a"], ["b"])
