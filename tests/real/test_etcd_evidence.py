"""A fault that does nothing never bit, whatever faults come before, after or beside it on a real cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kchaos.engine.etcd import drive as driving
from kchaos.engine.etcd.drive import Load, drive
from kchaos.nemesis.etcd.catalog import catalog
from kchaos.nemesis.etcd.target import Target
from kchaos.nemesis.etcd.traces import Traces
from kchaos.nemesis.fault import Active, Catalog, Evidence, Kind
from kchaos.nemesis.shapes import isolate
from kchaos.real.cluster import Cluster
from kchaos.real.processes import ProcessCluster
from kchaos.scenario import At, Budget, Scenario, Step
from tests.conftest import tool

pytestmark = pytest.mark.needs("etcd", "toxiproxy")
MEMBERS = ("m1", "m2", "m3")
GAP_S = 0.5
ENOUGH = 3
"""How many times nothing must have come for a test to say something; on a slow machine it waits long for a calm cluster, and the time runs out."""


class Nothing:
    """Looks on as a fault of a member's links does, and does nothing to them."""

    def __init__(self, target: Target, member: str, slowed: bool) -> None:
        self._traces = Traces(target, isolate(member, target.cluster.members), slowed, (member,))

    def undo(self) -> None:
        self._traces.close()

    def evidence(self) -> Evidence:
        return self._traces.so_far()


def with_nothing() -> Catalog[Target]:
    known = catalog()
    for name, slowed in (("nothing", False), ("nothing-slow", True)):

        def inject(target: Target, args: dict[str, Any], slowed: bool = slowed) -> Active:
            return Nothing(target, args["target"], slowed)

        known.add(Kind(name=name, summary="nothing", klass="network", target="member", inject=inject))
    return known


@pytest.fixture(params=["etcd", pytest.param("etcd-3.4", marks=[pytest.mark.soak, pytest.mark.needs("etcd-3.4")])])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Return three members of one version; the faults of this test are known to whoever drives them."""
    monkeypatch.setattr(driving, "catalog", with_nothing)
    with ProcessCluster(3, str(tool(request.param)), toxiproxy=str(tool("toxiproxy"))) as made:
        yield made


def step(name: str, who: str, at_s: float, for_s: float, **args: Any) -> Step:
    return Step(do=name, args={"target": who, **args}, when=At(round(at_s, 2)), for_s=for_s)


def evidence(cluster: Cluster, steps: Sequence[Step], chaos_s: float) -> list[tuple[str, str, dict[str, Any]]]:
    """Run steps under load; return name, status and what is not zero of each."""
    budget = Budget(chaos_s=chaos_s, chaos_at_least_s=chaos_s, settle_s=30.0)
    scenario = Scenario(
        name="etcd", system="etcd", seed=1, topology={"backend": "process", "members": list(MEMBERS)}, inputs={"faults": []}, steps=tuple(steps), budget=budget,
    )  # fmt: skip
    run = drive(cluster, scenario, Load(8, 300.0))
    return [(one.data["name"], one.data["status"], {k: v for k, v in one.data["evidence"].items() if v}) for one in run.marks("evidence")]


BEFORE = (("kill", "leader()"), ("isolate", "leader()"), ("pause", "leader()"), ("reset", "leader()"), ("kill-all", "cluster"), ("one-way-from", "leader()"))


@pytest.mark.parametrize("waits", [True, False])
def test_nothing_right_after_a_fault_has_never_bitten(cluster: Cluster, waits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second after the undo; also if nobody waits until the cluster is calm, so that all of the aftermath falls into it."""
    if not waits:
        monkeypatch.setattr(Target, "await_calm", lambda target: False)
    steps, at_s = [], 1.0
    for index, (name, who) in enumerate(BEFORE):
        steps.append(step(name, who, at_s, 1.3))
        steps.append(step(("nothing", "nothing-slow")[index % 2], "follower()" if index % 3 else "leader()", at_s + 1.3 + GAP_S, 2.0))
        at_s += 1.3 + GAP_S + 2.0 + GAP_S
    found = evidence(cluster, steps, at_s + (12.0 if waits else 1.0))
    done = [one for one in found if one[0].startswith("nothing")]
    assert [one for one in done if one[1] == "bit"] == []
    assert len([one for one in done if one[1] == "inert"]) >= ENOUGH
    if waits:
        assert [one for one in found if not one[0].startswith("nothing") and one[1] == "inert"] == []


@pytest.mark.parametrize("first", [True, False])
def test_nothing_beside_a_fault_of_processes_has_never_bitten(cluster: Cluster, first: bool) -> None:
    """Its own member or another, the leader or a follower is killed or paused meanwhile; whichever of the two came first."""
    steps, at_s = [], 1.0
    for index, (name, who) in enumerate((("pause", "m2"), ("kill", "m1"), ("pause", "leader()"), ("kill", "leader()"), ("kill-all", "cluster"))):
        early, late = (at_s, at_s + 0.7)
        steps.append(step(name, who, late if first else early, 2.0))
        steps.append(step(("nothing-slow", "nothing")[index % 2], "m2", early if first else late, 4.0))
        at_s += 6.0
    found = evidence(cluster, steps, at_s + 5.0)
    done = [one for one in found if one[0].startswith("nothing")]
    assert [one for one in done if one[1] == "bit"] == []
    assert len([one for one in done if one[1] == "inert"]) >= ENOUGH
