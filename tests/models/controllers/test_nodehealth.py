"""When a node is silent, and which taints it should have."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.versions import constants
from kchaos.models.controllers.nodehealth import (
    NOT_READY,
    UNREACHABLE,
    Swap,
    ZoneState,
    eviction_rate,
    excluded,
    no_execute_swap,
    no_schedule_swap,
    observed,
    with_taints,
    without_taints,
    zone_state,
)
from kchaos.models.controllers.tainteviction import stay_s, tolerates


def _node(ready: str = "True", beat: str = "2026-01-01T00:00:00Z", taints: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]
    return {
        "metadata": {"name": "n", "labels": {}}, "spec": {"taints": [{"key": key, "effect": effect} for key, effect in taints]},
        "status": {"conditions": conditions},
    }  # fmt: skip


def _lease(renewed: str) -> dict[str, Any]:
    return {"spec": {"renewTime": renewed}}


def test_seen_in_passes() -> None:
    """Only what changed between two passes is a sign of life, and it counts from the later pass."""
    first = observed(None, _node(), _lease("2026-01-01T00:00:01Z"), 5.0)
    assert first.probe_s == 5.0
    same = observed(first, _node(), _lease("2026-01-01T00:00:01Z"), 10.0)
    assert same.probe_s == 5.0
    assert observed(same, _node(), _lease("2026-01-01T00:00:11Z"), 15.0).probe_s == 15.0
    assert observed(same, _node(beat="2026-01-01T00:05:00Z"), None, 15.0).probe_s == 15.0
    assert observed(same, _node(), _lease("2025-12-31T23:59:59Z"), 15.0).probe_s == 5.0  # an older Lease from a stale server


def test_swaps() -> None:
    """The two NoExecute taints exclude each other; a ready node has none; conditions and cordon ask for NoSchedule."""
    assert no_execute_swap(_node(), "Unknown") == Swap((UNREACHABLE,), ())
    assert no_execute_swap(_node(taints=((NOT_READY, "NoExecute"),)), "Unknown") == Swap((UNREACHABLE,), (NOT_READY,))
    assert no_execute_swap(_node(taints=((UNREACHABLE, "NoExecute"),)), "True") == Swap((), (UNREACHABLE,))
    assert no_execute_swap(_node(taints=((UNREACHABLE, "NoExecute"),)), "Unknown") == Swap()
    assert no_schedule_swap(_node("Unknown", taints=((NOT_READY, "NoSchedule"),))) == Swap((UNREACHABLE,), (NOT_READY,))
    mine = _node(taints=(("mine", "NoSchedule"),))
    mine["spec"]["unschedulable"] = True
    assert no_schedule_swap(mine) == Swap(("node.kubernetes.io/unschedulable",), ())


def test_taints() -> None:
    """Other taints stay; one that is there is not added again."""
    node = _node(taints=(("mine", "NoExecute"), (UNREACHABLE, "NoSchedule")))
    assert [t["key"] for t in with_taints(node, [UNREACHABLE], "NoSchedule", "now")] == ["mine", UNREACHABLE]
    assert [t["effect"] for t in with_taints(node, [UNREACHABLE], "NoExecute", "now")] == ["NoExecute", "NoSchedule", "NoExecute"]
    assert [t["key"] for t in without_taints(node, [UNREACHABLE], "NoSchedule")] == ["mine"]


def test_excluded() -> None:
    """A node with that label does not count in its zone."""
    node = _node()
    assert not excluded(node)
    node["metadata"]["labels"]["node.kubernetes.io/exclude-disruption"] = ""
    assert excluded(node)


def test_stay() -> None:
    """Not tolerated is another thing than tolerated for no time: only the former is evicted without a timer."""
    taint = {"key": "k", "effect": "NoExecute"}
    pod = {"spec": {"tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 0}]}}
    assert stay_s(pod, [taint]) == 0.0
    assert stay_s({"spec": {}}, [taint]) == -1.0
    assert stay_s({"spec": {"tolerations": [{"operator": "Exists"}]}}, [taint]) is None


def test_zones() -> None:
    """More than two lost nodes and 55 % of a zone are a partial disruption; nothing ready is a full one."""
    table = constants()
    states = {
        (0, 1): "FullDisruption",
        (0, 0): "Normal",
        (3, 2): "Normal",
        (2, 3): "PartialDisruption",
        (3, 3): "Normal",
        (5, 6): "Normal",
        (9, 11): "PartialDisruption",
    }
    assert {nodes: zone_state(*nodes, table).value for nodes in states} == states
    rates = [eviction_rate(state, nodes, table) for state in ZoneState for nodes in (50, 51)]
    assert rates == [0.1, 0.1, 0.0, 0.01, 0.1, 0.1]


def _tolerates(taint: tuple[str, str, str], **toleration: str) -> bool:
    key, value, effect = taint
    return tolerates(toleration, {"key": key, "value": value, "effect": effect})


def test_tolerations() -> None:
    """Key, effect and value must be those of the taint; what is left out fits all, Exists every value."""
    taint = ("disk", "full", "NoExecute")
    assert _tolerates(taint, key="disk", value="full")
    assert _tolerates(taint, key="disk", value="full", effect="NoExecute", operator="Equal")
    assert not _tolerates(taint, key="disk", value="other")
    assert not _tolerates(taint, key="disk", value="full", effect="NoSchedule")
    assert not _tolerates(taint, key="other", operator="Exists")
    assert _tolerates(taint, key="disk", operator="Exists")
    assert _tolerates(taint, operator="Exists", effect="NoExecute")
    assert not _tolerates(taint, operator="Exists", effect="NoSchedule")
    assert _tolerates(("disk", "", "NoExecute"), key="disk")
