"""Validation names the field, the rule and the value in the server's words."""
# ruff: noqa: E501 (tables: one case a line)

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.defaults import default_object
from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.tree import put
from kchaos.models.api.validation import FieldError, status_error, validate_create, validate_update
from kchaos.models.api.validation.batch import schedule_error

CONTAINER = {"name": "c", "image": "i:1"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}


def thing(api_version: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **members}


def pod(**spec: Any) -> dict[str, Any]:
    return thing("v1", "Pod", spec={"containers": [CONTAINER], **spec})


def container(**members: Any) -> dict[str, Any]:
    return pod(containers=[{**CONTAINER, **members}])


def deployment(**spec: Any) -> dict[str, Any]:
    return thing("apps/v1", "Deployment", spec={"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE, **spec})


def messages(obj: dict[str, Any]) -> list[str]:
    return [error.message() for error in validate_create(default_object(obj))]


SERVICE = {"ports": [{"port": 80}]}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.mark.parametrize(
    "obj",
    [
        pod(), deployment(), thing("v1", "Service", spec=SERVICE), thing("v1", "PersistentVolumeClaim", spec=CLAIM),
        thing("v1", "ConfigMap", data={"a": "b"}), thing("batch/v1", "CronJob", spec={
            "schedule": "*/5 1-3 * jan mon", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [CONTAINER]}}}}}),
    ],
)  # fmt: skip
def test_good_objects_pass(obj: dict[str, Any]) -> None:
    """Nothing is wrong with a plain object."""
    assert messages(obj) == []


@pytest.mark.parametrize(
    ("obj", "wanted"),
    [
        (pod(containers=[]), "spec.containers: Required value"),
        (container(image=""), "spec.containers[0].image: Required value"),
        (container(imagePullPolicy="No"), 'spec.containers[0].imagePullPolicy: Unsupported value: "No": supported values: "Always", "IfNotPresent", "Never"'),
        (container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        (container(ports=[{"containerPort": 70000}]), "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        (container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), 'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        (container(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
        (pod(tolerations=[{"operator": "Equal"}]), 'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"'),
        (deployment(selector=None), "spec.selector: Required value"),
        (deployment(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (deployment(selector={"matchLabels": {"app": "b"}}), 'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'),
        (deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
        (thing("v1", "Service", spec={"ports": []}), "spec.ports: Required value"),
        (thing("v1", "PersistentVolumeClaim", spec={**CLAIM, "accessModes": []}), "spec.accessModes: Required value: at least 1 access mode is required"),
        (thing("policy/v1", "PodDisruptionBudget", spec={"minAvailable": "200%"}), 'spec.minAvailable: Invalid value: "200%": must not be greater than 100%'),
        (thing("v1", "ConfigMap", data={"a": "b"}, binaryData={"a": "Yg=="}), 'data[a]: Invalid value: "a": duplicate of key present in binaryData'),
        (thing("networking.k8s.io/v1", "Ingress", spec={}), "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
        (thing("rbac.authorization.k8s.io/v1", "Role", rules=[{"apiGroups": [""], "resources": ["pods"]}]), "rules[0].verbs: Required value: verbs must contain at least one value"),
    ],
)  # fmt: skip
def test_one_wrong_field(obj: dict[str, Any], wanted: str) -> None:
    """The one thing that is wrong is named as the real server names it."""
    assert wanted in messages(obj)


def test_names() -> None:
    """A name is checked by its kind's rule, and a missing one is said to be missing."""
    bad = put(pod(), "Bad_Name", "metadata", "name")
    assert messages(bad)[0].startswith('metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of')
    assert messages({**pod(), "metadata": {"namespace": "n"}}) == ["metadata.name: Required value: name or generateName is required"]


def updated(obj: dict[str, Any], value: Any, *path: str) -> list[str]:
    old = default_object(obj)
    return [error.message() for error in validate_update(default_object(put(old, value, *path)), old)]


def test_what_may_not_change() -> None:
    """Selectors, roles, frozen data and most of a pod's spec stay as they were created."""
    kept = updated(deployment(), {"matchLabels": {"app": "b"}}, "spec", "selector")
    assert kept[-1] == 'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable'
    frozen = thing("v1", "ConfigMap", data={"a": "b"}, immutable=True)
    assert updated(frozen, "c", "data", "a") == ["data: Forbidden: field is immutable when `immutable` is set"]
    assert updated(pod(), "other", "spec", "nodeName")[0].startswith("spec: Forbidden: pod updates may not change fields other than")
    assert updated(pod(), [{**CONTAINER, "image": "i:2"}], "spec", "containers") == []
    same = default_object(pod())
    assert validate_update(same, same) == []


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("*/5 * * * *", None), ("@hourly", None), ("@every 5m", None), ("0 0 1,15 * sun", None),
        ("bad", "expected exactly 5 fields, found 1: [bad]"), ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"), ("@x", "unrecognized descriptor: @x"),
    ],
)  # fmt: skip
def test_schedules(schedule: str, wanted: str | None) -> None:
    """A cron schedule is read as the real parser reads it."""
    assert schedule_error(schedule) == wanted


def test_the_status() -> None:
    """One error stands alone, several in brackets; equal messages are said once."""
    one, two = FieldError("a", "Required value"), FieldError("b", "Invalid value", "is odd", 3)
    deployments = BY_PLURAL["deployments"]
    assert status_error(deployments, "x", [one])["message"] == 'Deployment.apps "x" is invalid: a: Required value'
    status = status_error(deployments, "x", [one, two, one])
    assert status["message"] == 'Deployment.apps "x" is invalid: [a: Required value, b: Invalid value: 3: is odd]'
    assert status["details"]["causes"][1] == {
        "reason": "FieldValueInvalid",
        "message": "Invalid value: 3: is odd",
        "field": "b",
    }
    assert (status["code"], status["reason"]) == (422, "Invalid")
