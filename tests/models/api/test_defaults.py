"""Defaulting fills in what a 1.34 server fills in, once, and shares the rest."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.defaults import default_object
from kchaos.models.api.defaults_pod import tag_of
from kchaos.models.api.tree import get
from kchaos.models.api.wire import normalise

TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def thing(api_version: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **members}


def test_a_pod_is_filled_in() -> None:
    """Containers, probes, ports and the spec get their defaults; limits become requests."""
    container = {
        "name": "c", "image": "r.io:5000/app", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}},
        "resources": {"limits": {"cpu": "1000m"}}, "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }  # fmt: skip
    volumes = [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}]
    spec = default_object(thing("v1", "Pod", spec={"containers": [container], "volumes": volumes}))["spec"]
    out = spec["containers"][0]
    assert out["imagePullPolicy"] == "Always"
    assert out["ports"] == [{"protocol": "TCP", "containerPort": 80}]
    assert out["readinessProbe"]["httpGet"] == {"path": "/", "scheme": "HTTP", "port": 80}
    assert out["readinessProbe"]["periodSeconds"] == 10
    assert out["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    assert out["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert spec["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "s", "secret": {"defaultMode": 420, "secretName": "s"}},
    ]
    assert spec["enableServiceLinks"] is True
    assert (spec["dnsPolicy"], spec["securityContext"], spec["schedulerName"]) == (
        "ClusterFirst",
        {},
        "default-scheduler",
    )


def test_requests_come_from_limits_in_pods_only() -> None:
    """A template keeps its limits alone, and has no service links."""
    pods = {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}
    made = default_object(thing("apps/v1", "ReplicaSet", spec={"template": {"spec": pods}}))
    assert get(made, "spec", "template", "spec")["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert "enableServiceLinks" not in made["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("nginx", "latest"),
        ("nginx:1", "1"),
        ("r:5000/nginx", "latest"),
        ("nginx@sha256:ab", ""),
        ("nginx:2@sha256:ab", "2"),
    ],
)
def test_tag_of_an_image(image: str, tag: str) -> None:
    """The tag decides the pull policy; a digest alone is no tag."""
    assert tag_of(image) == tag


CASES: list[tuple[dict[str, Any], tuple[str, ...], Any]] = [
    (thing("apps/v1", "Deployment", spec={"template": TEMPLATE}), ("spec", "strategy", "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"}),
    (thing("apps/v1", "Deployment", spec={"template": TEMPLATE}), ("spec", "progressDeadlineSeconds"), 600),
    (thing("apps/v1", "StatefulSet", spec={"template": TEMPLATE}), ("spec", "updateStrategy"), {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
    (thing("apps/v1", "DaemonSet", spec={"template": TEMPLATE}), ("spec", "updateStrategy", "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0}),
    (thing("v1", "ReplicationController", spec={"template": TEMPLATE}), ("spec", "selector"), {"app": "a"}),
    (thing("batch/v1", "Job", spec={"template": TEMPLATE, "backoffLimitPerIndex": 1}), ("spec", "backoffLimit"), 2147483647),
    (thing("batch/v1", "CronJob", spec={"schedule": "* * * * *"}), ("spec", "failedJobsHistoryLimit"), 1),
    (thing("v1", "Service", spec={"ports": [{"port": 80}]}), ("spec", "ports"), [{"port": 80, "protocol": "TCP", "targetPort": 80}]),
    (thing("v1", "Service", spec={"type": "LoadBalancer"}), ("spec", "externalTrafficPolicy"), "Cluster"),
    (thing("v1", "PersistentVolumeClaim", spec={}), ("spec", "volumeMode"), "Filesystem"),
    (thing("storage.k8s.io/v1", "StorageClass", provisioner="p"), ("volumeBindingMode",), "Immediate"),
    (thing("autoscaling/v2", "HorizontalPodAutoscaler", spec={"maxReplicas": 2}), ("spec", "minReplicas"), 1),
    (thing("networking.k8s.io/v1", "NetworkPolicy", spec={"egress": [{}]}), ("spec", "policyTypes"), ["Ingress", "Egress"]),
    (thing("discovery.k8s.io/v1", "EndpointSlice", ports=[{"port": 1}]), ("ports",), [{"name": "", "protocol": "TCP", "port": 1}]),
    (thing("v1", "Secret", stringData={"a": "b"}), ("data",), {"a": "Yg=="}),
    (thing("v1", "Namespace"), ("metadata", "labels"), {"kubernetes.io/metadata.name": "x"}),
    (thing("v1", "Namespace"), ("spec", "finalizers"), ["kubernetes"]),
    (thing("v1", "LimitRange", spec={"limits": [{"type": "Container", "max": {"cpu": "1"}}]}), ("spec", "limits"),
     [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]),
    (thing("rbac.authorization.k8s.io/v1", "RoleBinding", roleRef={"kind": "Role", "name": "r"}), ("roleRef", "apiGroup"), "rbac.authorization.k8s.io"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "path", "wanted"), CASES)
def test_each_kind(obj: dict[str, Any], path: tuple[str, ...], wanted: Any) -> None:
    """The named member has the server's default."""
    assert get(default_object(obj), *path) == wanted


@pytest.mark.parametrize("obj", [case[0] for case in CASES])
def test_again_changes_nothing(obj: dict[str, Any]) -> None:
    """A defaulted object comes back as the same object, and its input stays as it was."""
    before = repr(obj)
    once = default_object(obj)
    assert default_object(once) is once
    assert repr(obj) == before


def test_a_job_gets_its_selector_from_its_uid() -> None:
    """Selector and pod labels carry the uid; a Job that brings its own selector keeps it."""
    job = thing("batch/v1", "Job", spec={"template": TEMPLATE})
    job["metadata"] = {"name": "x", "uid": "u1"}
    made = default_object(job)
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}}
    assert made["spec"]["template"]["metadata"]["labels"]["job-name"] == "x"
    manual = {**job, "spec": {**job["spec"], "manualSelector": True, "selector": {"matchLabels": {"app": "a"}}}}
    assert default_object(manual)["spec"]["selector"] == {"matchLabels": {"app": "a"}}


def test_written_form() -> None:
    """Nulls and empty members go, zeros that are always written come, quantities turn canonical, unknown members stay."""
    pod = thing(
        "v1",
        "Pod",
        spec={
            "nodeName": "",
            "containers": [{"name": "c", "args": [], "resources": {"requests": {"memory": "0.5Gi"}}}],
            "odd": 1,
        },
    )
    assert normalise(pod) == thing(
        "v1", "Pod",
        spec={"containers": [{"name": "c", "resources": {"requests": {"memory": "512Mi"}}}], "odd": 1}, status={},
    )  # fmt: skip
