"""Planted bugs of availability: what users notice, and how bad it is said to be."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Severity
from tests.properties.objects import deployment, obj, stateful_set
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
WEB, DB = "Deployment/shop/web", "StatefulSet/shop/db"
Count = tuple[float, int, int]
"""Seconds since chaos began, pods that serve, pods that count as ready."""


def _members(
    *counts: Count, faults: tuple[str, ...] = ("node-power-loss",), workload: str = WEB, owner: Obj | None = None, replicas: int = 3,
    heal_s: float = 60.0, facts: Obj | None = None, **settings: Any,
) -> Found:  # fmt: skip
    """Tell of one workload under faults; all its pods serve when chaos begins."""
    made = owner or (stateful_set(replicas=replicas) if workload == DB else deployment(replicas=replicas))
    told = {"workloads": {workload.partition("/")[2]: settings}}
    history = History(made, settings=told, facts={"ready_before": {workload: replicas}, **(facts or {})})
    history.mark("members", workload=workload, serving=replicas, ready=replicas)
    history.mark("phase", name="chaos")
    begun = history.t
    for index, name in enumerate(faults):
        planned = name in ("drain", "rollout", "scale-down")
        history.mark("fault", step=index, name=name, action="injected", args={"target": f"node-{index}"}, planned=planned)
    healed = False
    for at, serving, ready in counts:
        if at >= heal_s and not healed:
            history.t, healed = begun + heal_s, True
            history.mark("phase", name="heal")
        history.t = begun + at
        history.mark("members", workload=workload, serving=serving, ready=ready)
    history.t = begun + 200.0
    return about(history.end(), "KC202")


# -- nobody serves -----------------------------------------------------------------------------------------------------


@CASES.bug("KC202", f"outage {WEB} node lost")
def nobody_of_three_serves(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0 if bad else 1, 0 if bad else 1), (20.0, 3, 3))


@CASES.bug("KC202", f"outage {WEB} rollout")
def nobody_serves_in_a_rollout(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One that had not all its pods before is told as such."""
    return _members((10.0, 0, 0), (20.0, 3, 3), faults=("rollout",), facts={"ready_before": {WEB: 3 if bad else 2}})


@CASES.bug("KC202", f"outage {WEB} node lost")
def longer_than_accepted(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (41.0 if bad else 40.0, 3, 3), outage_s=30.0)


@CASES.bug("KC202", f"outage {WEB} node lost")
def two_short_outages_make_a_long_one(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (30.0, 3, 3), (40.0, 0, 0), (60.0 if bad else 45.0, 3, 3), outage_s=30.0)


@CASES.bug("KC202", f"no recovery {WEB}")
def nobody_serves_in_the_end(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0 if bad else 1, 0))


@CASES.bug("KC202", f"no recovery {WEB}")
def nobody_serves_after_a_bad_template(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """That a bad template is stuck is told by rollout-ends."""
    return _members((10.0, 0, 0), faults=("rollback",), facts={"rollback_targets": () if bad else (WEB,)})


@CASES.bug("KC202", "more than one fault", Severity.INFO)
def nobody_serves_under_two_faults(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0 if bad else 1, 0), (20.0, 3, 3), faults=("node-power-loss", "node-pause"))


@CASES.bug("KC202", "ready too early", Severity.WARNING)
def nobody_answers_though_all_are_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0 if bad else 1, 3), (20.0, 3, 3), faults=("rollout",))


@CASES.bug("KC202", "outage DaemonSet/shop/agent node lost", Severity.WARNING)
def no_daemon_serves(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Each serves its own node: it is no error that one is away, and hardly one that all are."""
    agent = obj("apps/v1", "DaemonSet", "agent", {}, {"desiredNumberScheduled": 3})
    up = 0 if bad else 2
    return _members((10.0, up, up), (20.0, 3, 3), workload="DaemonSet/shop/agent", owner=agent)


@CASES.bug("KC202", "single replica unplanned", Severity.WARNING)
def the_only_pod_is_lost(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (20.0, 1, 1), replicas=1, outage_s=0.0 if bad else 15.0)


@CASES.bug("KC202", "single replica planned", Severity.WARNING)
def the_only_pod_is_drained(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (20.0, 1, 1), replicas=1, faults=("drain",), outage_s=0.0 if bad else 15.0)


@CASES.bug("KC202", "single StatefulSet replica", Severity.WARNING)
def the_only_member_stays_away_until_healing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (70.0, 1, 1), replicas=1, workload=DB, outage_s=0.0 if bad else 60.0)


@CASES.bug("KC202", "single StatefulSet replica", Severity.WARNING)
def the_only_member_comes_back_by_itself(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """One weakness, however it ends: it is told once."""
    return _members((10.0, 0, 0), (30.0, 1, 1), replicas=1, workload=DB, faults=("out-of-service",), outage_s=0.0 if bad else 30.0)


@CASES.bug("KC202", "single StatefulSet replica", Severity.WARNING)
def the_only_member_crashes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 0, 0), (15.0, 1, 1), replicas=1, workload=DB, faults=("pod-kill",), outage_s=0.0 if bad else 30.0)


@CASES.bug("KC202", "single replica planned", Severity.WARNING)
def the_only_member_has_no_image(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """No node is down: that nothing replaces its pods there is beside the point."""
    return _members((10.0, 0, 0), (70.0, 1, 1), replicas=1, workload=DB, faults=("image-pull-failure",), outage_s=0.0 if bad else 60.0)


@CASES.bug("KC202", "a rollout takes all pods", Severity.WARNING)
def a_rollout_takes_the_only_pod_first(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    owner = deployment(replicas=1, spec={"strategy": {"type": "Recreate"}})
    return _members((10.0, 0, 0), (20.0, 1, 1), replicas=1, owner=owner, faults=("rollout",), outage_s=0.0 if bad else 30.0)


@pytest.mark.parametrize(
    ("fault", "back_s", "held"),
    [("node-power-loss", 60.0, True), ("node-power-loss", 50.0, False), ("slow-start", 60.5, False), ("slow-start", 65.0, True)],
)
def test_until_when(fault: str, back_s: float, held: bool) -> None:
    """What ends with the healing has no end of its own; but a slow start that happens to end then has."""
    for size, workload in ((1, WEB), (3, DB)):
        found = _members((10.0, 0, 0), (back_s, size, size), faults=(fault,), replicas=size, workload=workload)
        assert found and all(("until the fault is healed" in violation.summary) == held for _, violation in found)


# -- quorum ------------------------------------------------------------------------------------------------------------


@CASES.bug("KC202", f"quorum {DB} node lost")
def one_of_three_members_serves(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    up = 1 if bad else 2
    return _members((10.0, up, up), (20.0, 3, 3), workload=DB)


@CASES.bug("KC202", f"quorum {DB} node lost")
def the_quorum_never_comes_back(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    up = 1 if bad else 2
    return _members((10.0, up, up), workload=DB)


@CASES.bug("KC202", f"quorum {WEB} node lost")
def fewer_than_the_quorum_that_was_told(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Of a Deployment no quorum is assumed; kchaos.yaml can tell one."""
    return _members((10.0, 1, 1), (20.0, 3, 3), **({"quorum": 2} if bad else {}))


@CASES.bug("KC202", f"two drains {DB}", Severity.WARNING)
def two_drains_break_the_quorum(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    up = 1 if bad else 2
    return _members((10.0, up, up), (20.0, 3, 3), workload=DB, faults=("drain", "drain"))


@CASES.bug("KC202", "more than one fault", Severity.INFO)
def two_faults_break_the_quorum(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    up = 1 if bad else 2
    return _members((10.0, up, up), (20.0, 3, 3), workload=DB, faults=("drain", "node-pause"))


@CASES.bug("KC202", "more than one fault", Severity.INFO)
def a_cut_through_the_cluster_breaks_the_quorum(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """It takes several nodes at once, and when it heals several members that were given up meanwhile."""
    up = 1 if bad else 2
    return _members((10.0, up, up), (20.0, 3, 3), workload=DB, faults=("partition-ring",))


@CASES.bug("KC202", "ready too early", Severity.WARNING)
def a_quorum_of_members_that_only_count_as_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _members((10.0, 1 if bad else 2, 3), (20.0, 3, 3), workload=DB, faults=("rollout",))


@CASES.bug("KC202", "outage Deployment/default/web node lost")
def all_pods_on_one_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: nothing keeps the pods apart but a rule that this bug takes away."""
    text = (SITUATIONS / "packed-on-one-node.yaml").read_text(encoding="utf-8") if bad else ""
    text = text or (SITUATIONS / "packed-on-one-node.healthy.yaml").read_text(encoding="utf-8")
    system = system_of(text)
    found = [each for index in range(1, 7) for each in one(system, step("node-power-loss", f"node-{index}")).violations]
    return about(found, "KC202")


# -- requests ----------------------------------------------------------------------------------------------------------


def _traffic(
    lost: float = 0.2, seconds: float = 10.0, planned: bool = True, replicas: int = 3, faults: int = 1, phase: str = "chaos",
    behind: int = 3, up: int = 3,
) -> Found:  # fmt: skip
    settings = {"backing": {"shop/web": (WEB,)}, "pods_behind": {"shop/web": behind}, "rates": {"shop/web": 5.0}}
    history = History(deployment(replicas=replicas), settings=settings, facts={"ready_before": {WEB: up}})
    history.mark("phase", name="chaos")
    for index in range(faults):
        history.mark("fault", step=index, name="rollout", action="injected", args={"target": WEB}, planned=planned)
    history.mark("phase", name=phase)
    begun = history.t
    history.wait(seconds)
    history.mark("traffic", service="shop/web", start=begun, end=history.t, lost={"refused": lost} if lost else {}, ready=replicas)
    return about(history.end(), "KC205")


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_in_a_rollout(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(lost=0.2 if bad else 0.0)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_for_long_enough(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Less than half a request is none: 5 a second, a fifth of them lost."""
    return _traffic(seconds=0.6 if bad else 0.4)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_by_what_people_do(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """That a crash loses requests is clear."""
    return _traffic(planned=bad)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_by_a_workload_with_replicas(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(replicas=2 if bad else 1)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_by_a_service_of_several_pods(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(behind=2 if bad else 1)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_under_one_operation(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(faults=1 if bad else 2)


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_after_healing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(phase="settle" if bad else "final")


@CASES.bug("KC205", "requests lost in planned operations", Severity.WARNING)
def requests_refused_by_what_was_up(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _traffic(up=3 if bad else 0)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
