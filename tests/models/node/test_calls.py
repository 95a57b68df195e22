"""API calls of pods: under their service account, through authorisation, while a container runs; what is needed holds the pod."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.engine.booting import boot
from kchaos.engine.settings import Settings
from kchaos.history.record import Mark
from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import USER, Request
from kchaos.models.api.tree import Obj
from kchaos.models.cluster import AssumptionTable, Cluster
from kchaos.models.node.apicall import ApiCall
from kchaos.models.node.assumptions import Assumptions, assume
from kchaos.models.node.callers import state_of
from kchaos.models.topology import spread_over_zones
from tests.engine.test_remarks import APP
from tests.support import one, system_of

LIST: Obj = {"verb": "list", "resource": "pods", "every_s": 2}
ROLE: Obj = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}}
BINDING: Obj = {
    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "robot"}],
}  # fmt: skip


class Node:
    """A node with one pod ``p`` of the service account ``robot``, which may what ``rules`` say."""

    def __init__(self, *calls: Obj, rules: list[Obj] | None = None, probe: Obj | None = None) -> None:
        assumed = assume(Assumptions(), {"calls": list(calls), "start_s": 1.0})
        self.cluster = Cluster(spread_over_zones(1, 1), assumptions=AssumptionTable(default=assumed))
        self.marks: list[Mark] = []
        self.audit: list[Obj] = []
        self.cluster.recorder.listeners.append(self._heard)
        self.cluster.run_for(3.0)
        self.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
        if rules:
            self.create("roles", {**ROLE, "rules": rules})
            self.create("rolebindings", BINDING)
        container = {"name": "c", "image": "app", **({"readinessProbe": probe} if probe else {})}
        self.create("pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeName": "node-1", "serviceAccountName": "robot", "containers": [container]},
        })  # fmt: skip

    def _heard(self, entry: Any) -> None:
        if isinstance(entry, Mark) and entry.what == "call":
            self.marks.append(entry)
        elif isinstance(entry, Mark) and entry.what == "audit" and entry.data["user"] == "system:serviceaccount:default:robot":
            self.audit.append(entry.data)

    def create(self, resource: str, body: Obj) -> None:
        self.cluster.execute(Request("create", resource, "default", body=body, identity=USER))

    def delete(self, resource: str, name: str, **options: Any) -> None:
        self.cluster.execute(Request("delete", resource, "default", name, options=options, identity=USER))

    def run(self, seconds: float) -> list[str]:
        """Go on; return the states of the calls that were told meanwhile."""
        before = len(self.marks)
        self.cluster.run_for(seconds)
        return [mark.data["state"] for mark in self.marks[before:]]

    @property
    def serves(self) -> bool:
        return self.cluster.kubelets["node-1"].serving("default/p")

    @property
    def ready(self) -> bool:
        pod = self.cluster.control.store.get("pods", "default/p")
        assert pod is not None
        return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def rule(*verbs: str, resource: str = "pods", group: str = "") -> Obj:
    """Return one rule."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def test_sent_under_the_service_account() -> None:
    """As often as it says, allowed by its role, and told only if refused."""
    node = Node(LIST, rules=[rule("list")])
    assert node.run(21.0) == []
    assert [(one["verb"], one["resource"], one["stage"], one["code"]) for one in node.audit] == [("list", "pods", "complete", 200)] * 10


@pytest.mark.parametrize(
    ("call", "rules", "state"),
    [
        (LIST, [], ["forbidden"]),
        (LIST, [rule("get")], ["forbidden"]),
        ({**LIST, "namespace": "*"}, [rule("list")], ["forbidden"]),
        ({**LIST, "namespace": "kube-system"}, [rule("list")], ["forbidden"]),
        ({"verb": "watch", "resource": "pods"}, [rule("list")], ["forbidden"]),
        ({"verb": "watch", "resource": "pods"}, [rule("watch")], []),
        ({"verb": "watch", "resource": "pods", "name": "p"}, [{**rule("watch"), "resourceNames": ["p"]}], []),
        ({"verb": "watch", "resource": "pods", "name": "q"}, [{**rule("watch"), "resourceNames": ["p"]}], ["forbidden"]),
        ({"verb": "list", "resource": "things", "apiGroup": "x.io"}, [rule("list", resource="things", group="x.io")], []),
        ({"verb": "list", "resource": "things", "apiGroup": "x.io"}, [rule("list", resource="things")], ["forbidden"]),
        ({"verb": "get", "resource": "pods", "subresource": "log", "name": "p"}, [rule("get")], ["forbidden"]),
        ({"verb": "get", "resource": "pods", "subresource": "log", "name": "p"}, [rule("get", resource="pods/log")], []),
        ({"verb": "get", "resource": "configmaps", "name": "x"}, [rule("get", resource="configmaps")], ["missing"]),
        ({"verb": "update", "resource": "configmaps", "name": "x"}, [rule("update", resource="configmaps")], []),
        ({"verb": "create", "resource": "pods", "subresource": "eviction", "name": "p"}, [rule("create", resource="pods/eviction")], []),
        ({"verb": "delete", "resource": "pods", "name": "p"}, [rule("delete")], []),
        ({"verb": "deletecollection", "resource": "pods"}, [rule("deletecollection")], []),
        ({"verb": "patch", "resource": "pods", "name": "p"}, [rule("update")], ["forbidden"]),
        ({"verb": "create", "resource": "configmaps"}, [rule("create", resource="configmaps")], []),
    ],
)  # fmt: skip
def test_what_roles_allow(call: Obj, rules: list[Obj], state: list[str]) -> None:
    """Verb, group, subresource, name and namespace count; a write changes nothing."""
    node = Node(call, rules=rules)
    store = node.cluster.control.store
    node.run(5.0)
    before = {resource: dict(store.table(resource)) for resource in ("pods", "configmaps")}
    node.run(25.0)
    assert [mark.data["state"] for mark in node.marks] == state
    assert {resource: store.table(resource) for resource in before} == before


def test_a_revocation_is_seen() -> None:
    """The next call after a binding is gone is forbidden, and allowed once it is back."""
    node = Node(LIST, rules=[rule("list")])
    node.run(5.0)
    node.delete("rolebindings", "b")
    assert node.run(3.0) == ["forbidden"]
    node.create("rolebindings", BINDING)
    assert node.run(3.0) == ["answered"]


def test_a_service_account_that_is_replaced() -> None:
    """The token that a pod holds is of the account that is gone."""
    node = Node(LIST, rules=[rule("list")])
    node.run(5.0)
    node.delete("serviceaccounts", "robot")
    node.create("serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    assert node.run(3.0) == ["unauthorized"]


@pytest.mark.parametrize("call", [{**LIST, "needed": True}, {"verb": "watch", "resource": "pods", "needed": True}])
def test_without_an_answer_it_does_not_serve(call: Obj) -> None:
    """An API server that is away takes a pod that needs it out of service, and its readiness probe fails after three tries."""
    node = Node(call, rules=[rule("list", "watch")], probe={"httpGet": {"port": 80}, "periodSeconds": 2})
    node.run(10.0)
    assert node.serves and node.ready
    machine = node.cluster.kubelets["node-1"].machine_of("default/p")
    assert machine is not None
    node.cluster.control.exited("master-0", "kube-apiserver")
    assert "unanswered" in node.run(3.0)
    assert not node.serves
    assert machine.app[0].ready, "the kubelet has not given up yet"
    node.cluster.run_for(5.0)
    assert not machine.app[0].ready and node.ready, "nobody could be told"
    assert node.run(60.0)[-1] == "answered"
    assert node.serves and node.ready


def test_what_is_not_needed_holds_nothing() -> None:
    """A pod without leave to list serves; one that needs it does not, and is not ready if a probe asks."""
    assert (free := Node(LIST)).run(10.0) == ["forbidden"] and free.serves and free.ready
    held = Node({**LIST, "needed": True}, probe={"httpGet": {"port": 80}, "periodSeconds": 2})
    assert held.run(20.0) == ["forbidden"] and not held.serves and not held.ready


def test_calls_end_with_the_containers() -> None:
    """A pod that is gone asks no more."""
    node = Node(LIST, {"verb": "watch", "resource": "pods"}, rules=[rule("list", "watch")])
    node.run(5.0)
    node.delete("pods", "p", grace_period_seconds=0)
    node.run(3.0)
    before = len(node.audit)
    assert node.run(20.0) == [] and len(node.audit) == before
    assert not any(watcher.address == "node-1/pods" for watcher in node.cluster.control.apis["master-0"].cache.watchers())


def test_they_cost_nothing_where_there_are_none() -> None:
    """No process, no request; and a cluster whose pods only ask comes to rest all the same."""
    system = system_of(APP)
    cluster = Cluster(system.topology, assumptions=system.assumptions, image=boot(system).image)
    assert not any(address.endswith("/pods") for address in cluster.world.processes)
    asking = Settings(workloads={"default/web": {"calls": [LIST]}})
    assert boot(system_of(APP, settings=asking)).at_rest


def test_running_pods_go_on_asking_in_each_example() -> None:
    """Containers that run in the image ask from the start of an example."""
    outcome = one(system_of(APP, settings=Settings(workloads={"default/web": {"calls": [LIST]}})))
    told = list(outcome.run.marks("call"))
    assert {mark.data["state"] for mark in told} == {"forbidden"} and all(mark.t - told[0].t < 1.0 for mark in told)


@pytest.mark.parametrize(
    ("verb", "error", "state"),
    [
        ("get", ApiError("NotFound", "x"), "missing"), ("update", ApiError("NotFound", "x"), "answered"),
        ("create", ApiError("AlreadyExists", "x"), "answered"), ("create", ApiError("Invalid", "x"), "answered"),
        ("create", ApiError("Forbidden", "exceeded quota: q"), "refused"),
        ("create", ApiError("Forbidden", 'pods is forbidden: User "u" cannot create resource "pods"'), "forbidden"),
        ("list", ApiError("TooManyRequests", "x"), "unanswered"), ("list", ApiError("ConnectionRefused", "x", code=0), "unanswered"),
        ("list", ApiError("InternalError", "x"), "unanswered"), ("list", None, "answered"),
    ],
)  # fmt: skip
def test_what_answers_mean(verb: Any, error: ApiError | None, state: str) -> None:
    """A dry run that is refused for what was sent has been answered."""
    assert state_of(ApiCall(verb=verb, resource="pods"), error) == state
