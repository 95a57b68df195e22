"""What a DaemonSet decides: where it runs, and how its rolling update goes."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.controllers.daemonset_decide import (
    GENERATION_LABEL,
    GENERATION_NOTE,
    excess,
    for_node,
    limits,
    roll,
    should_run,
    status_of,
    target_of,
    updated,
    with_tolerations,
)


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


def test_node_affinity_and_names() -> None:
    """A pod that names its node belongs on no other; terms are alternatives, an empty one fits nothing."""

    def term(**more: Any) -> dict[str, Any]:
        return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [more, {}]}}}}

    ssd = [{"key": "disk", "operator": "In", "values": ["ssd"]}]
    assert should_run({"nodeName": "n2"}, _node([])) == (False, False)
    assert should_run({"nodeName": "n1"}, _node([])) == (True, True)
    assert should_run(term(matchExpressions=ssd), _node([], disk="ssd")) == (True, True)
    assert should_run(term(matchExpressions=ssd), _node([], disk="hdd")) == (False, False)
    assert should_run(term(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n1"]}]), _node([])) == (True, True)
    assert should_run(term(matchFields=[{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]), _node([])) == (False, False)


def test_what_is_of_the_present_template() -> None:
    """By the revision's hash, or by the generation that the annotation of the set tells."""
    owner = {"metadata": {"name": "ds", "annotations": {GENERATION_NOTE: "7"}}}
    by_generation = {"metadata": {"labels": {GENERATION_LABEL: "7"}}}
    assert updated(_pod("a", "new"), "new", {"metadata": {}})
    assert not updated(_pod("a", "old"), "new", owner)
    assert updated(by_generation, "new", owner)
    assert not updated(by_generation, "new", {"metadata": {}})
    assert not updated({"metadata": {"labels": {GENERATION_LABEL: "6"}}}, "new", owner)


def _names(pods: list[dict[str, Any]]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]


def test_too_many_on_a_node() -> None:
    """The oldest stays; with a surge one of each template, and the old one only until the new one is available."""
    assert excess(_set(0, 1), [_pod("a", "old")], "new", 2e9) == []
    assert _names(excess(_set(0, 1), [_pod("b", "old"), _pod("a", "new"), _pod("c", "new")], "new", 2e9)) == ["b", "c"]
    surging = _set(1, 0)
    assert _names(excess(surging, [_pod("a", "old"), _pod("b", "new")], "new", 2e9)) == ["a"]
    assert _names(excess(surging, [_pod("a", "old"), _pod("b", "new", ready=False)], "new", 2e9)) == []
    assert _names(excess(surging, [_pod("a", "old", ready=False), _pod("b", "new", ready=False)], "new", 2e9)) == ["a"]
    assert _names(excess(surging, [_pod("a", "old"), _pod("b", "old")], "new", 2e9)) == ["b"]
    assert _names(excess(surging, [_pod("a", "new"), _pod("b", "new")], "new", 2e9)) == ["b"]


def test_a_surge_is_bounded_and_the_old_pod_goes_at_last() -> None:
    pods = {one: [_pod(one, "old")] for one in ("a", "b", "c")}
    pods["a"] = [_pod("a", "old"), _pod("x", "new", ready=False)]
    assert roll(_set(1, 0), pods, "new", 3, 2e9) == ([], [])
    assert roll(_set(2, 0), pods, "new", 3, 2e9) == ([], ["b"])
    pods["a"] = [_pod("a", "old"), _pod("x", "new")]
    assert (_names(roll(_set(1, 0), pods, "new", 3, 2e9)[0]), roll(_set(1, 0), pods, "new", 3, 2e9)[1]) == (["a"], ["b"])
    pods["c"] = [_pod("c", "old", ready=False)]
    assert roll(_set(1, 0), pods, "new", 3, 2e9)[1] == ["c", "b"]
    pods["a"] = [_pod("a", "old"), _pod("y", "old")]  # two of one sort: the node counts as busy
    assert roll(_set(1, 0), pods, "new", 3, 2e9) == ([], ["c"])


def test_status() -> None:
    """Of each node the oldest pod counts; what was observed stays until a sync has acted."""
    owner = {**_set(0, 1), "status": {"observedGeneration": 3, "collisionCount": 1}}
    owner["metadata"] = {"name": "ds", "generation": 4}
    nodes = [("a", True), ("b", True), ("c", True), ("d", False), ("e", False)]
    by_node = {"a": [_pod("a", "new")], "b": [_pod("b", "old", ready=False)], "d": [_pod("d", "new")]}
    assert status_of(owner, nodes, by_node, "new", 2e9, observed=False) == {
        "desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberMisscheduled": 1, "numberReady": 1, "updatedNumberScheduled": 1,
        "numberAvailable": 1, "numberUnavailable": 2, "observedGeneration": 3, "collisionCount": 1,
    }  # fmt: skip
    assert status_of(owner, nodes, by_node, "new", 2e9, observed=True)["observedGeneration"] == 4
