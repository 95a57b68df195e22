"""What is advised follows from the objects: nobody is told to add what is there."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context
from kchaos.history.view import View
from kchaos.properties.advice import of_drain, of_lost_requests, of_no_recovery, of_outage, of_placement, of_rollout

ROLLOUT = [{"name": "rollout", "args": {}}]
NODE = [{"name": "node-power-loss", "args": {}}]
PROBE = {"readinessProbe": {"httpGet": {"port": 80}}}
HOOK = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}


def deployment(strategy: dict[str, Any] | None = None, container: dict[str, Any] | None = None, claim: str = "") -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    spec = {"containers": [{"name": "c", **(container or {})}], "volumes": volumes}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "strategy": strategy or {}, "template": {"spec": spec}},
    }


def context(obj: dict[str, Any]) -> Context:
    return Context(View({"deployments": {"shop/web": obj}}), {}, {})


@pytest.mark.parametrize(
    ("strategy", "container", "words"),
    [
        ({"type": "Recreate"}, PROBE, "use RollingUpdate"),
        ({"rollingUpdate": {"maxUnavailable": "100%"}}, PROBE, "maxUnavailable: 100% lets a rollout take all 3"),
        ({"rollingUpdate": {"maxUnavailable": 3}}, {}, "maxUnavailable: 3 lets a rollout take all 3"),
        ({"rollingUpdate": {"maxUnavailable": 1}}, {}, "add a readinessProbe"),
        ({"rollingUpdate": {"maxUnavailable": 1}}, PROBE, "maxUnavailable: 0, and minReadySeconds"),
    ],
)
def test_a_rollout_that_takes_all(strategy: dict[str, Any], container: dict[str, Any], words: str) -> None:
    assert words in of_outage(context(deployment(strategy, container)), "Deployment/shop/web", ROLLOUT)


@pytest.mark.parametrize(
    ("modes", "words"), [(["ReadWriteOnce"], "share the ReadWriteOnce claim data"), (["ReadWriteMany"], "spread the pods over nodes")]
)
def test_a_shared_claim_can_not_be_spread(modes: list[str], words: str) -> None:
    claim = {"spec": {"accessModes": modes}}
    found = Context(View({"deployments": {"shop/web": deployment(claim="data")}, "persistentvolumeclaims": {"shop/data": claim}}), {}, {})
    assert words in of_outage(found, "Deployment/shop/web", NODE)


@pytest.mark.parametrize(
    ("container", "wanted", "unwanted"),
    [
        ({}, "preStop hook `sleep: {seconds: 5}` and a readinessProbe", "longer"),
        (PROBE, "preStop", "readinessProbe"),
        (HOOK, "readinessProbe", "preStop"),
        ({**PROBE, **HOOK}, "longer preStop", "readinessProbe"),
    ],
)
def test_only_what_is_missing_is_asked_for(container: dict[str, Any], wanted: str, unwanted: str) -> None:
    advice = of_lost_requests(context(deployment({"rollingUpdate": {"maxUnavailable": 0}}, container)), ["Deployment/shop/web"])
    assert wanted in advice and unwanted not in advice


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.", "hostPort"),
        ("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.", "anti-affinity preferred"),
        ("0/3 nodes are available: 3 Insufficient cpu.", "lower its requests"),
        ("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "StorageClass that exists"),
        ("something else", ""),
    ],
)
def test_placement(message: str, words: str) -> None:
    advice = of_placement(message)
    assert words in advice if words else advice == ""


@pytest.mark.parametrize(
    ("spec", "status", "ready", "words"),
    [
        ({"minAvailable": 3}, {"desiredHealthy": 3, "expectedPods": 3}, 3, "minAvailable: 3) allows no disruption of 3 pods"),
        ({"maxUnavailable": 1}, {"desiredHealthy": 2, "expectedPods": 3}, 2, "mend what keeps 1"),
        ({"maxUnavailable": 1}, {"desiredHealthy": 2, "expectedPods": 3}, 3, "drain one node at a time"),
        ({"minAvailable": 1}, {"desiredHealthy": 1, "expectedPods": 1}, 1, "two or more replicas"),
    ],
)
def test_a_budget_that_blocks(spec: dict[str, Any], status: dict[str, Any], ready: int, words: str) -> None:
    pod = {"metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}}
    meta = {"name": "b", "namespace": "shop"}
    budget = {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status}
    other = {"metadata": {**meta, "name": "a"}, "spec": {"selector": {"matchLabels": {"app": "db"}}, "minAvailable": 1}, "status": {}}
    found = Context(View({"poddisruptionbudgets": {"shop/a": other, "shop/b": budget}}), {}, {})
    assert words in of_drain(found, pod, ready)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ('pods "web" is forbidden: exceeded quota: q', "raise the ResourceQuota"),
        ("Multi-Attach error for volume", "strategy: {type: Recreate}"),
        ("3 node(s) didn't have free ports", "let one pod go first"),
        ("", "what the new pods wait for"),
    ],
)
def test_a_stuck_rollout(cause: str, words: str) -> None:
    assert words in of_rollout(cause, deployment())


def test_a_bare_pod_is_not_made_again() -> None:
    assert "bare Pod" in of_no_recovery("Pod/shop/web")
    assert of_no_recovery("Deployment/shop/web") == ""
