"""What no pod comes of is told with its reason: refused pods, paused Deployments, objects exported from another cluster."""

from __future__ import annotations

import pytest

from tests.engine.test_remarks import APP, result_of

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {nodeName: gone, containers: [{name: c, image: a}]}\n"
QUOTA = "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: %d}}\n"
STRICT = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}\n"
OWNED = APP.replace("{name: web}", "{name: web, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: shop, uid: a-b}]}")


@pytest.mark.parametrize(
    ("text", "level", "line", "says"),
    [
        (APP.replace("spec:\n", "spec:\n  paused: true\n", 1), "info", 5, "Deployment web is paused"),
        (APP.replace("spec:\n", "spec:\n  replicas: 0\n", 1), "info", 5, "Deployment web asks for 0 replicas"),
        (OWNED, "warning", 3, "names an owner by its uid, Deployment shop, which is not in the cluster"),
        (POD, "warning", 4, "Pod x is bound to node gone, which is not in the cluster"),
    ],
)
def test_nothing_comes_of_it(text: str, level: str, line: int, says: str) -> None:
    """The verdict is unknown, and says why."""
    result = result_of(text)
    assert [(n.rule, n.level, n.line) for n in result.notes] == [("KC323", level, line)]
    assert says in result.notes[0].message and says in result.reasons[0]
    assert result.verdict == "unknown"


def test_an_export_of_another_cluster() -> None:
    """What a Deployment of the input makes by itself is no finding."""
    owner = "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: a-b, controller: true}]"
    old = APP.replace("kind: Deployment", "kind: ReplicaSet").replace("{name: web}", "{name: web-abc, %s}" % owner)  # noqa: UP031
    result = result_of(APP + "---\n" + old)
    assert [(n.rule, n.level) for n in result.notes] == [("KC323", "info")]
    assert [f.id for f in result.findings] == [] and result.verdict == "pass"


@pytest.mark.parametrize(
    ("text", "space", "says"),
    [
        (APP + QUOTA % 0, "default", "0 of 1 pods are made, without any fault: exceeded quota: q"),
        (
            APP.replace("spec:", "spec:\n  replicas: 2", 1) + QUOTA % 1,
            "default",
            "1 of 2 pods are made, without any fault: exceeded quota: q",
        ),
        (APP.replace("spec: {c", "spec: {priorityClassName: top, c"), "default", "no PriorityClass with name top was found"),
        (APP.replace("{name: web}", "{name: web, namespace: shop}") + STRICT % "shop", "shop", "violates PodSecurity"),
        (APP + STRICT % "default", "default", "violates PodSecurity"),
    ],
)
def test_pods_that_are_refused(text: str, space: str, says: str) -> None:
    """A workload without its pods is an error, also where the retries never end."""
    result = result_of(text)
    assert [(f.id, f.severity.value, f.object) for f in result.findings] == [("KC206", "error", f"Deployment/{space}/web")]
    assert says in result.findings[0].summary and result.findings[0].advice
    assert (result.verdict, result.reasons) == ("fail", ()) or "no pod comes" in result.reasons[0]


def test_a_namespace_that_can_not_be() -> None:
    """Each object in it is refused, at the line that names it."""
    result = result_of(APP.replace("{name: web}", "{name: web, namespace: Prod_1}"))
    assert [(f.id, f.line) for f in result.findings] == [("KC309", 3)]
    assert "metadata.namespace: Invalid value" in result.findings[0].summary


def test_a_rollout_without_room_for_its_replica_set() -> None:
    """The old pods are all up to date with the old template: that the new one was never taken up is what counts."""
    quota = "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/replicasets.apps: 1}}\n"
    result = result_of(APP + quota, "rollout", budget="2")
    assert [(f.id, f.severity.value) for f in result.findings if f.severity.value == "error"] == [("KC204", "error")]
    told = result.findings[0]
    assert "no ReplicaSet of the new template is made" in told.summary and "exceeded quota: q" in told.summary
    assert "revisionHistoryLimit" in told.advice
