"""What the decoder says of types that do not fit, in the server's words; the texts are those of recordings of 1.34 where one has them."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.decode import decode_error, without_null_items


def thing(api_version: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **members}


def pod(**container: Any) -> dict[str, Any]:
    return thing("v1", "Pod", spec={"containers": [{"name": "a"}, {"name": "c", **container}]})


FIELD = "json: cannot unmarshal {} into Go struct field {} of type {}"
QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (thing("apps/v1", "Deployment", spec={"replicas": "x"}), FIELD.format("string", "DeploymentSpec.spec.replicas", "int32")),
        (thing("apps/v1", "Deployment", spec={"replicas": 1.5}), FIELD.format("number 1.5", "DeploymentSpec.spec.replicas", "int32")),
        (thing("v1", "ConfigMap", data={"a.b/c": 5}), FIELD.format("number", "ConfigMap.data", "string")),
        ({**thing("v1", "Service"), "metadata": 5}, FIELD.format("number", "Service.metadata", "v1.ObjectMeta")),
        ({**thing("v1", "Pod"), "metadata": {"labels": "x"}}, FIELD.format("string", "ObjectMeta.metadata.labels", "map[string]string")),
        (thing("rbac.authorization.k8s.io/v1", "Role", rules="x"), FIELD.format("string", "Role.rules", "[]v1.PolicyRule")),
        (pod(ports=[{"containerPort": "x"}]), FIELD.format("string", "ContainerPort.spec.containers.ports.containerPort", "int32")),
        (pod(imagePullPolicy=True), FIELD.format("bool", "Container.spec.containers.imagePullPolicy", "v1.PullPolicy")),
        (pod(resources={"limits": {"cpu": "lots"}}), QUANTITY),
        (pod(resources={"limits": {"cpu": []}}), QUANTITY),
        (thing("v1", "Service", spec={"ports": [{"port": 1, "targetPort": True}]}), "json: cannot unmarshal bool into Go value of type int32"),
        (pod(bogus=1), ""),
        (pod(command=None), ""),
        (thing("example.com/v1", "Shop", spec=5), ""),
    ],
)  # fmt: skip
def test_the_first_value_that_does_not_fit_is_named(obj: dict[str, Any], says: str) -> None:
    """With the innermost struct, the path without indices, and the Go type; unknown fields and kinds are not in the way."""
    assert decode_error(obj) == says


def test_nulls_in_lists_are_zeros() -> None:
    """As Go decodes them; a field that is null stays so, and what has no zero in JSON too."""
    before = thing(
        "v1", "Pod", spec={"containers": [None, {"name": "c", "args": [None, "x"], "command": None}], "nodeSelector": {"a": None}}
    )
    after = without_null_items(before)
    assert after["spec"] == {"containers": [{}, {"name": "c", "args": ["", "x"], "command": None}], "nodeSelector": {"a": ""}}
    assert without_null_items(thing("example.com/v1", "Shop", spec=[None])) == thing("example.com/v1", "Shop", spec=[None])
