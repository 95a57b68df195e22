"""Ordinary users on a whole cluster: the history tells of their requests, and the properties judge them."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context, Monitors
from kchaos.history.view import View
from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import USER, Identity, Request
from kchaos.models.cluster import Cluster
from kchaos.models.security.seams import Security
from kchaos.models.topology import spread_over_zones
from kchaos.properties.security import PROPERTIES

ANN = Identity("ann", ("red", "system:authenticated"), "ann")
GROUP = "rbac.authorization.k8s.io"
READER = {
    "apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "default"},
    "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
        {"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["create"]},
    ],
}  # fmt: skip
BINDING = {
    "apiVersion": f"{GROUP}/v1", "kind": "RoleBinding", "metadata": {"name": "red-reads", "namespace": "default"},
    "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "reader"}, "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": "red"}],
}  # fmt: skip


def _story() -> tuple[list[int], set[str]]:
    """Return the codes that ann got, and the properties that found something."""
    cluster = Cluster(spread_over_zones(1, 1), elect=False)
    cluster.run_for(20.0)
    codes = []

    def ask(verb: str, plural: str, body: Any = None) -> None:
        try:
            cluster.execute(Request(verb, plural, "default", body=body, identity=ANN))
            codes.append(200)
        except ApiError as error:
            codes.append(error.code)
        cluster.run_for(5.0)

    wide = {
        **READER,
        "metadata": {"name": "wide", "namespace": "default"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
    ask("list", "configmaps")
    cluster.control.create(READER)
    cluster.control.create(BINDING)
    ask("list", "configmaps")
    ask("list", "secrets")
    ask("create", "roles", wide)
    cluster.execute(Request("delete", "rolebindings", "default", "red-reads", identity=USER))
    cluster.run_for(5.0)
    ask("list", "configmaps")
    cluster.close()
    monitors = Monitors(PROPERTIES, Context(View(), None, {}))
    for entry in cluster.recorder.entries:
        monitors.feed(entry)
    return codes, {prop.id for prop, _ in monitors.finish(cluster.world.loop.time())}


def test_a_user_has_what_a_role_gives_it() -> None:
    """Nothing before the binding, nothing beyond it, nothing after; and the properties agree."""
    assert _story() == ([403, 200, 403, 403, 403], set())


@pytest.mark.parametrize(
    ("safeguard", "found"), [("authorise", {"KC057"}), ("confirm", {"KC056"})], ids=["not authorised", "escalation not checked"]
)
def test_a_server_without_a_safeguard_is_found_out(safeguard: str, found: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Security, safeguard, lambda *_: None)
    assert _story()[1] == found


def test_components_need_their_roles() -> None:
    """Without its binding the controller can't work: nothing in the cluster is allowed for nothing."""
    cluster = Cluster(spread_over_zones(1, 1), elect=False)
    cluster.run_for(5.0)
    cluster.execute(Request("delete", "clusterrolebindings", "", "system:controller:replicaset-controller", identity=USER))
    body: Any = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}},
                 "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    }  # fmt: skip
    cluster.control.create(body)
    cluster.run_for(20.0)
    assert not cluster.control.store.table("pods")
    cluster.close()
