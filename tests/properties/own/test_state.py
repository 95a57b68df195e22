"""The state: rows follow the objects; only what a row shows changes its table; workloads count their ready pods."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context
from kchaos.history.record import Mark, Write
from kchaos.history.view import View
from kchaos.properties.own.state import SOURCES, Endpoints, Fault, State
from tests.properties.objects import deleted, obj, pod, replica_set

DEPLOYMENT = obj("apps/v1", "Deployment", "web", {"replicas": 3}, {"availableReplicas": 2, "updatedReplicas": 1})
OWNED = replica_set(owner=DEPLOYMENT)
SERVICE = obj("v1", "Service", "web", {"selector": {"app": "web"}})
PLURALS = {"Deployment": "deployments", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "Pod": "pods", "Service": "services",
           "EndpointSlice": "endpointslices", "Node": "nodes", "PersistentVolumeClaim": "persistentvolumeclaims"}  # fmt: skip


class Stage:
    """A view and the state over it."""

    def __init__(self, *existing: Any) -> None:
        self.view = View()
        for one in existing:
            self.view.table(PLURALS[one["kind"]])[self._key(one)] = one
        self.state = State(Context(self.view))
        self.state.need(SOURCES)

    @staticmethod
    def _key(one: Any) -> str:
        space = one["metadata"].get("namespace")
        return f"{space}/{one['metadata']['name']}" if space else str(one["metadata"]["name"])

    def put(self, one: Any, gone: bool = False) -> None:
        """Write or remove an object."""
        entry = Write(1.0, "DELETED" if gone else "MODIFIED", PLURALS[one["kind"]], self._key(one), 2, "user", one, None)
        self.state.feed(entry)
        self.state.feed(entry)  # a second property shows it again
        self.view.apply(entry)

    def mark(self, what: str, **data: Any) -> None:
        """Tell of something else."""
        self.state.feed(Mark(1.0, what, data))

    def rows(self, table: str) -> Any:
        """Return the rows."""
        return self.state.tables[table].rows


def web_slice(*ready: bool | None, name: str = "web-1", service: str = "web") -> Any:
    """Return an EndpointSlice with endpoints of these conditions."""
    ends = [{"conditions": {"ready": one}, "targetRef": {"name": f"{name}-{index}"}} for index, one in enumerate(ready)]
    made = obj("discovery.k8s.io/v1", "EndpointSlice", name, labels={"kubernetes.io/service-name": service})
    return {**made, "endpoints": ends}


def test_workloads_count_their_pods() -> None:
    """Ready pods that stay; the Deployment rather than its ReplicaSet; what really serves, as the run tells it."""
    stage = Stage(DEPLOYMENT, OWNED, pod("web-0", ready=True, owner=OWNED), pod("web-1", ready=False, owner=OWNED))
    assert list(stage.rows("workloads")) == ["shop/web"]
    row = stage.rows("workloads")["shop/web"]
    assert (row.kind, row.desired, row.ready, row.serving, row.available, row.updated) == ("Deployment", 3, 1, 0, 2, 1)
    stage.put(pod("web-1", ready=True, owner=OWNED))
    stage.mark("members", workload="Deployment/shop/web", serving=1, ready=2)
    assert (stage.rows("workloads")["shop/web"].ready, stage.rows("workloads")["shop/web"].serving) == (2, 1)
    stage.put(deleted(pod("web-0", ready=True, owner=OWNED), 5))
    assert stage.rows("workloads")["shop/web"].ready == 1 and not stage.rows("pods")["shop/web-0"].ready
    stage.put(pod("web-1", ready=True, owner=OWNED), gone=True)
    assert stage.rows("workloads")["shop/web"].ready == 0 and "shop/web-1" not in stage.rows("pods")
    stage.put(DEPLOYMENT, gone=True)
    assert stage.rows("workloads") == {}


def test_two_kinds_of_one_name() -> None:
    """The second has its kind in its key."""
    stage = Stage(DEPLOYMENT, obj("apps/v1", "StatefulSet", "web", {"replicas": 1}))
    assert {key: row.kind for key, row in stage.rows("workloads").items()} == {
        "shop/web": "Deployment",
        "StatefulSet/shop/web": "StatefulSet",
    }


def test_endpoints() -> None:
    """Of all slices of the Service that is there; a condition that is not false counts."""
    stage = Stage(SERVICE, web_slice(True, None, False))
    assert stage.rows("endpoints") == {"shop/web": Endpoints("web", "shop", 2, ("web-1-0", "web-1-1"))}
    stage.put(web_slice(True, name="web-2"))
    assert stage.rows("endpoints")["shop/web"].ready == 3
    stage.put(web_slice(True, True, True, name="web-1", service="other"))
    assert stage.rows("endpoints")["shop/web"].ready == 1 and "shop/other" not in stage.rows("endpoints")
    stage.put(SERVICE, gone=True)
    stage.put(web_slice(True, True, name="web-2"))
    assert stage.rows("endpoints") == {}
    stage.put(SERVICE)
    assert stage.rows("endpoints")["shop/web"].ready == 2


def test_nodes_and_claims() -> None:
    """Zone, readiness, taints; phase, volume and class."""
    node = obj("v1", "Node", "node-1", {"unschedulable": True, "taints": [{"key": "b"}, {"key": "a"}]}, space="")
    node["metadata"]["labels"] = {"topology.kubernetes.io/zone": "zone-a"}
    claim = obj("v1", "PersistentVolumeClaim", "disk", {"storageClassName": "fast", "volumeName": "pv-1"}, {"phase": "Bound"})
    stage = Stage(node, claim)
    (one,) = stage.rows("nodes").values()
    assert (one.name, one.zone, one.ready, one.schedulable, one.taints) == ("node-1", "zone-a", False, False, ("a", "b"))
    (one,) = stage.rows("claims").values()
    assert (one.name, one.namespace, one.phase, one.volume, one.storage_class) == ("disk", "shop", "Bound", "pv-1", "fast")


def test_faults() -> None:
    """From the injection until it is healed."""
    stage = Stage()
    for step, target in enumerate(("node-1", "node-2")):
        stage.mark("fault", action="injected", name="drain", step=step, args={"target": target})
    assert list(stage.rows("faults").values()) == [Fault("drain", "node-1"), Fault("drain", "node-2")]
    stage.mark("fault", action="healed", name="drain", step=0)
    stage.mark("fault", action="disarmed", name="drain", step=7)
    assert list(stage.rows("faults").values()) == [Fault("drain", "node-2")]


@pytest.mark.parametrize(("change", "versions"), [({"annotations": {"a": "b"}}, (0, 0)), ({"labels": {"a": "b"}}, (1, 0))])
def test_only_what_is_shown_counts(change: Any, versions: tuple[int, int]) -> None:
    """A change of something else is none; one of a field that nobody reads changes the table, not what is shown of it."""
    stage = Stage(pod("web-0", ready=True))
    before, shown = stage.state.tables["pods"].version, stage.state.tables["pods"].shown(("ready",), None)
    stage.put(pod("web-0", ready=True, **change))
    assert (stage.state.tables["pods"].version - before, shown.version) == versions


def test_a_corrupted_store_is_seen() -> None:
    """What changed without a write that a monitor is shown is there with the next entry."""
    stage = Stage(DEPLOYMENT, OWNED, SERVICE, web_slice(True), pod("web-0", ready=True, owner=OWNED))
    stage.mark("corruption", state="begun")
    del stage.view.table("pods")["shop/web-0"]
    stage.view.table("deployments")["shop/web"] = {**DEPLOYMENT, "spec": {"replicas": 9}}
    stage.put(obj("v1", "Node", "node-9", {}, space=""))
    assert stage.rows("pods") == {} and stage.rows("endpoints")["shop/web"].ready == 1
    assert (stage.rows("workloads")["shop/web"].desired, stage.rows("workloads")["shop/web"].ready) == (9, 0)
    stage.put(pod("web-0", ready=True, owner=OWNED))
    assert stage.rows("workloads")["shop/web"].ready == 1
