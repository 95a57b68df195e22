"""Preemption: whom it costs, whom it spares, and when it is no use."""

from __future__ import annotations

from typing import Any


def _names(decision: Any) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in decision.victims)


def test_cheapest_victims_and_reprieve(lab: Any) -> None:
    lab.node("n1")
    lab.node("n2")
    lab.place(lab.pod("2", called="low1", priority=1), "n1")
    lab.place(lab.pod("1", called="low2", priority=1), "n1")
    lab.place(lab.pod("4", called="mid", priority=5), "n2")
    high = lab.pod("2", called="high", priority=9)
    decision = lab.decide(high)
    assert (decision.nominated, _names(decision), decision.reason) == ("n1", ["low1"], "Unschedulable")
    assert decision.message == "0/2 nodes are available: 2 Insufficient cpu."


def test_room_is_kept_for_the_nominated_pod(lab: Any) -> None:
    lab.node("n1")
    low = lab.place(lab.pod("4", priority=1), "n1")
    high = lab.pod("3", priority=9)
    assert lab.decide(high).nominated == "n1"
    lab.engine.remove_pod(low)
    assert lab.decide(lab.pod("2", priority=5)).node is None
    assert lab.decide(lab.pod("1", priority=5)).node == "n1"
    assert lab.decide(lab.pod("4", priority=10)).node == "n1", "a more important pod need not care"
    assert lab.run(high) == "n1"


def test_never_equal_and_not_helpful(lab: Any) -> None:
    lab.node("n1")
    lab.node("n2", cpu="1")
    lab.place(lab.pod("4", priority=1), "n1")
    tail = "no new claims to deallocate, preemption: "
    never = lab.decide(lab.pod("2", priority=9, preemptionPolicy="Never"))
    assert never.message.endswith(tail + "not eligible due to preemptionPolicy=Never.")
    equal = lab.decide(lab.pod("2", priority=1))
    assert equal.message.endswith(
        tail + "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    )
    assert (equal.nominated, equal.victims) == (None, ())
    wrong = lab.decide(lab.pod("2", priority=9, nodeSelector={"d": "x"}))
    assert wrong.message.endswith(tail + "0/2 nodes are available: 2 Preemption is not helpful for scheduling.")


def test_disruption_budgets_are_spared(lab: Any) -> None:
    for node, app in (("n1", "kept"), ("n2", "free")):
        lab.node(node)
        lab.place(lab.pod("4", called=app, labels={"app": app}, priority=1 if app == "kept" else 2), node)
    lab.put("poddisruptionbudgets", {
        "metadata": {"name": "b", "namespace": "d"}, "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": 0},
    })  # fmt: skip
    assert _names(lab.decide(lab.pod("2", priority=9))) == ["free"], "although it is the more important one"


def test_anti_affinity_can_be_preempted_and_nothing_is_left_behind(lab: Any) -> None:
    lab.node("n1")
    lab.place(lab.pod(called="web", labels={"app": "web"}, priority=1), "n1")
    lab.place(lab.pod(called="other", priority=1), "n1")
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    pod = lab.pod(priority=9, affinity=affinity)
    assert _names(lab.decide(pod)) == ["web"]
    info = lab.engine.cache.nodes["n1"]
    assert list(info.pods) == ["u1", "u2"]
    assert info.requested == {"cpu": 2000, "memory": 2 * 2**30}
    assert _names(lab.decide(pod)) == ["web"]


def test_a_terminating_victim_is_waited_for(lab: Any) -> None:
    lab.node("n1")
    low = lab.place(lab.pod("4", priority=1), "n1")
    high = lab.pod("3", priority=9)
    lab.decide(high)
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    lab.place({**low, "metadata": {**low["metadata"], "deletionTimestamp": "x"}, "status": {"conditions": [condition]}}, "n1")
    decision = lab.decide(high)
    assert decision.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")
    assert decision.victims == ()
