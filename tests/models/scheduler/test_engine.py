"""Scores, sampling, determinism and speed of the engine; recorded stories when they are there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kchaos.models.conform.scheduling import run_scheduler_story
from kchaos.models.scheduler.cycle import enough
from kchaos.models.scheduler.nodeinfo import NodeInfo, interleaved
from tests.support import ROOT

ZONE = "topology.kubernetes.io/zone"


def test_least_allocated_and_balanced(lab: Any) -> None:
    lab.node("n1", cpu="4", memory="4Gi")
    lab.node("n2", cpu="8", memory="8Gi")
    assert lab.run(lab.pod("1", "1Gi")) == "n2"
    lab.node("n3", cpu="8", memory="64Gi")
    assert lab.decide(lab.pod("1", "4Gi")).node == "n3"


def test_search_size_and_zone_order() -> None:
    assert [enough(n) for n in (5, 99, 100, 1000, 5000, 10_000)] == [5, 99, 100, 420, 500, 500]
    nodes = []
    for called, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        info = NodeInfo(called)
        info.set_node({"metadata": {"name": called, "labels": {ZONE: zone}}, "spec": {}})
        nodes.append(info)
    assert [info.name for info in interleaved(nodes)] == ["a1", "b1", "a2", "a3"]


def test_large_clusters_are_searched_in_turn(lab: Any) -> None:
    for i in range(200):
        lab.node(f"n{i}")
    assert enough(200) == 100
    placed = [lab.run(lab.pod()) for _ in range(2)]
    assert int(placed[0][1:]) < 100 <= int(placed[1][1:])  # type: ignore[index]


def _sequence(lab: Any) -> list[str | None]:
    for i in range(30):
        lab.node(f"n{i}", labels={ZONE: f"z{i % 3}"})
    return [lab.run(lab.pod("500m", labels={"app": "a"})) for _ in range(60)]


def test_the_seed_decides_ties(make_lab: Any) -> None:
    assert _sequence(make_lab(1)) == _sequence(make_lab(1))
    assert _sequence(make_lab(1)) != _sequence(make_lab(2))


def test_cached_rows_equal_a_fresh_look(make_lab: Any) -> None:
    """What was followed change by change must equal what an engine works out that sees the same cluster for the first time."""
    lab = make_lab(1)
    for i in range(12):
        lab.node(f"n{i}", labels={ZONE: f"z{i % 3}"}, cpu=str(2 + i % 4))
    constraint = [
        {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "a"}}}
    ]
    placed = []
    for step in range(40):
        pod = lab.pod("300m", labels={"app": "ab"[step % 2]}, topologySpreadConstraints=constraint)
        node = lab.run(pod)
        if node is not None:
            placed.append(lab.place(pod, node))
        if step % 5 == 4:
            lab.engine.remove_pod(placed.pop(0))
    fresh = make_lab(1)
    for node in lab.lists.of("nodes").values():
        fresh.engine.changed("nodes", None, node)
    for pod in placed:
        fresh.engine.set_pod(pod)
    probe = lab.pod("300m", labels={"app": "a"}, topologySpreadConstraints=constraint)
    for one in (lab, fresh):
        one.decide(probe)
    old, new = lab.engine._last, fresh.engine._last
    fits = [i for i, refusal in enumerate(old.table.refused) if refusal is None]
    assert old.table.refused == new.table.refused
    assert old.scores(fits) == new.scores(fits)


def test_a_story_end_to_end() -> None:
    nodes = [{"name": n, "zone": None, "capacity": {"cpu": "2", "memory": "8Gi", "pods": "110"}} for n in ("n1", "n2")]

    def entry(called: str, cpu: str, priority: str, place: str | None) -> dict[str, Any]:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        spec = {"containers": [container], "priorityClassName": priority, "terminationGracePeriodSeconds": 0}
        return {"object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": called}, "spec": spec}, "place": place}

    classes = [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": n}, "value": v}
        for n, v in (("low", 1), ("high", 9))
    ]
    pods = [
        entry("a", "1500m", "low", "n1"),
        entry("b", "1500m", "high", "n2"),
        entry("c", "1", "high", "n1"),
        entry("d", "3", "low", None),
    ]
    lines = run_scheduler_story({"objects": classes, "cluster": {"nodes": nodes}, "pods": pods})
    assert lines[1] == {"pod": "b", "node": "n2"}
    assert (lines[2]["nominated"], lines[2]["victims"]) == ("n1", ["a"])
    assert lines[3]["message"].startswith("0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: ")


@pytest.mark.parametrize("story", ["sched-preempt-basic", "sched-spread-policies", "sched-pv-wffc", "sched-random-interpod-02"])
def test_recorded_stories(story: str) -> None:
    recorded = json.loads((ROOT / "fixtures" / "recordings" / f"{story}.json").read_text(encoding="utf-8"))
    for line, entry in zip(run_scheduler_story(recorded), recorded["pods"], strict=True):
        expected = entry["expect"]
        assert line["node"] in expected["nodes"] if "nodes" in expected else True
        for key in ("reason", "message", "nominated", "victims"):
            assert line.get(key) == expected[key] if key in expected else True
