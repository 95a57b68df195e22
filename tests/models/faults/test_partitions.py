"""Partitions cut what they say, clients go to another API server, and after healing everything is as before."""

from __future__ import annotations

import msgspec
import pytest

from kchaos.engine.kubernetes import Outcome
from kchaos.engine.sweep import sweep
from kchaos.history.record import Mark, Write
from kchaos.models.cluster import Cluster
from kchaos.models.faults.catalog import catalog
from kchaos.models.topology import spread_over_zones
from kchaos.scenario import At, Step
from tests.models.faults.test_symbols import booted, outcome, step

KINDS = (
    "zone-partition",
    "apiserver-partition",
    "apiserver-each",
    "masters-apart",
    "partition-halves",
    "partition-bridge",
    "partition-ring",
)


def _cases() -> list[tuple[str, str, int]]:
    out = []
    for masters in (1, 3):
        plan = sweep(*booted(masters), KINDS)
        out += [(one.do, one.args["target"], masters) for (one,) in plan.level1[1:]]
    return out


def safety(found: Outcome) -> list[str]:
    return [f"{prop.id} {violation.summary}" for prop, violation in found.violations if not prop.id.startswith("KC2")]


@pytest.mark.parametrize(("do", "target", "masters"), _cases())
def test_it_bites_and_heals(do: str, target: str, masters: int) -> None:
    """While a rollout goes on; safety holds throughout."""
    found = outcome(step(do, target), Step(do="rollout", args={"target": "Deployment/default/api"}, when=At(2.0)), masters=masters)
    assert found.steps[0]["status"] == "bit", found.steps[0]
    assert safety(found) == []


def test_what_one_api_server_can_not_show_is_left_out() -> None:
    """With one master, who loses an API server loses all of them, which other faults ask."""
    plan = sweep(*booted(1), KINDS)
    assert {one.do for (one,) in plan.level1[1:]} == {"zone-partition", "partition-halves", "partition-bridge", "partition-ring"}


def ready_turns(found: Outcome, node: str) -> list[str]:
    out: list[str] = []
    for entry in found.run.entries:
        if isinstance(entry, Write) and entry.resource == "nodes" and entry.key == node:
            status = next(c["status"] for c in entry.obj["status"]["conditions"] if c["type"] == "Ready")
            out += [status] if not out or out[-1] != status else []
    return out


@pytest.mark.parametrize(("masters", "args", "lost"), [
    (3, {"masters": "server-of()"}, False), (3, {"masters": "majority()"}, False), (3, {"masters": "minority()"}, False),
    (3, {"masters": "server-of()", "way": "to"}, False), (3, {"masters": "server-of()", "way": "from"}, False), (1, {}, True),
])  # fmt: skip
def test_a_node_goes_to_another_api_server(masters: int, args: dict[str, str], lost: bool) -> None:
    """It renews its Lease there before anybody misses it; only without any other it is taken for dead."""
    found = outcome(Step(do="apiserver-partition", args={"target": "node-2", **args}, for_s=200.0), masters=masters)
    assert ("Unknown" in ready_turns(found, "node-2")) == lost


def test_a_leader_without_quorum_is_followed_by_another() -> None:
    """Its API server answers nothing; it can't renew and steps down."""
    found = outcome(Step(do="masters-apart", args={"target": "leader(kube-scheduler)"}, for_s=120.0), step("drain", "node-1", 60.0))
    assert found.steps[0]["targets"] == ["master-0"]
    drained = [e for e in found.run.entries if isinstance(e, Mark) and e.what == "operation" and e.data["state"] == "done"]
    assert drained and drained[0].t - next(m.t for m in found.run.marks("phase") if m.data["name"] == "chaos") < 200


def test_a_cut_zone_loses_requests_across_its_border() -> None:
    found = outcome(Step(do="zone-partition", args={"target": "zone-a"}, for_s=60.0))
    lost = [m.data["lost"]["timeout"] for m in found.run.marks("traffic") if "timeout" in m.data["lost"]]
    assert max(lost) > 0 and found.steps[0]["evidence"]["ways_cut"] > 0
    assert "Unknown" in ready_turns(found, "node-1") and "Unknown" not in ready_turns(found, "node-2")


def test_a_bridge_is_seen_by_nobody_but_clients() -> None:
    """All nodes reach the master: the control plane sees nothing while requests between the halves are lost."""
    found = outcome(Step(do="partition-bridge", args={"target": "cluster"}, for_s=60.0), masters=1)
    assert [node for node in (f"node-{i}" for i in range(1, 7)) if "Unknown" in ready_turns(found, node)] == []
    assert any(m.data["lost"].get("timeout") for m in found.run.marks("traffic"))


def test_the_only_member_of_a_store_is_its_quorum() -> None:
    (line,) = outcome(step("masters-apart", "leader(kube-scheduler)"), masters=1).steps
    assert line["status"] == "inert"


def test_a_bad_rollout_that_nobody_answered_is_not_begun_later() -> None:
    """Its undoing was due while no API server answered: what comes through then is neither of the two."""
    cut = [Step(do="masters-apart", args={"target": target}, for_s=80.0) for target in ("majority()", "minority()")]
    bad = Step(do="rollback", args={"target": "Deployment/default/api", "after_s": 30.0}, when=At(1.0))
    found = outcome(*cut, bad)
    assert [line["status"] for line in found.steps] == ["bit", "bit", "inert"]
    assert [v.summary for prop, v in found.violations if prop.id in ("KC204", "KC069")] == []
    images = [
        e.obj["spec"]["template"]["spec"]["containers"][0]["image"]
        for e in found.run.entries
        if isinstance(e, Write) and e.resource == "deployments"
    ]
    assert "registry.invalid/kchaos/broken:0" not in images[-1:]


def test_the_user_keeps_an_api_server() -> None:
    """Else no step of the user would come through."""
    assert outcome(step("apiserver-partition", "user"), masters=1).steps[0]["status"] == "inert"
    moves = step("scale-up", "Deployment/default/api", 1.0), step("rollout", "Deployment/default/api", 2.0)
    found = outcome(step("apiserver-partition", "user", masters="majority()"), *moves)
    assert [line["status"] for line in found.steps] == ["bit", "bit", "bit"]


def test_two_faults_on_one_masters_quorum_heal_one_by_one() -> None:
    cluster = Cluster(msgspec.structs.replace(spread_over_zones(3, 3), masters=3))
    kinds = catalog()
    first = kinds.get("masters-apart").inject(cluster, {"target": "master-2"})
    second = kinds.get("partition-halves").inject(cluster, {"target": "cluster"})
    assert dict(cluster.control.hooks.alone) == {"master-2": 2}
    first.undo()
    assert cluster.control.apis["master-2"].frozen
    second.undo()
    assert not cluster.control.hooks.alone and not cluster.control.apis["master-2"].frozen
    cluster.close()
