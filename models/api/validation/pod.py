"""Pod specs: containers, ports, volumes and their mounts, probes, resources (pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

import re
from typing import Any

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import FieldError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an"
    " alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def validate_pod_spec(spec: Obj, path: str) -> list[FieldError]:
    """Return what is wrong with a defaulted PodSpec."""
    errors: list[FieldError] = []
    volumes: list[str] = []
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"{path}.volumes[{index}]"
        name = volume.get("name")
        if not name:
            errors.append(FieldError(f"{where}.name", "Required value"))
        elif not _LABEL.fullmatch(name):
            errors.append(FieldError(f"{where}.name", "Invalid value", _LABEL_TEXT, name))
        elif name in volumes:
            errors.append(FieldError(f"{where}.name", "Duplicate value", "", name))
        volumes.append(name or "")
    if not spec.get("containers"):
        errors.append(FieldError(f"{path}.containers", "Required value"))
    names: list[str] = []
    for key in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(key) or ()):
            errors += _container(container, f"{path}.{key}[{index}]", names, volumes)
    errors += _one_of(spec, path, "restartPolicy", ("Always", "OnFailure", "Never"))
    errors += _one_of(spec, path, "dnsPolicy", ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"))
    return errors


def _one_of(spec: Obj, path: str, key: str, allowed: tuple[str, ...]) -> list[FieldError]:
    value = spec.get(key)
    if value is None or value in allowed:
        return []
    text = "supported values: " + ", ".join(f'"{one}"' for one in sorted(allowed))
    return [FieldError(f"{path}.{key}", "Unsupported value", text, value)]


def _container(container: Obj, path: str, names: list[str], volumes: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    name = container.get("name")
    if not name:
        errors.append(FieldError(f"{path}.name", "Required value"))
    elif not _LABEL.fullmatch(name) or len(name) > 63:
        errors.append(FieldError(f"{path}.name", "Invalid value", _LABEL_TEXT, name))
    elif name in names:
        errors.append(FieldError(f"{path}.name", "Duplicate value", "", name))
    names.append(name or "")
    if not container.get("image"):
        errors.append(FieldError(f"{path}.image", "Required value"))
    errors += _one_of(container, path, "imagePullPolicy", ("Always", "IfNotPresent", "Never"))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort")
        if not isinstance(number, int) or not 0 < number < 65536:
            text = "must be between 1 and 65535, inclusive"
            errors.append(FieldError(f"{path}.ports[{index}].containerPort", "Invalid value", text, number or 0))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            errors.append(FieldError(f"{path}.volumeMounts[{index}].name", "Not found", "", mount.get("name")))
        if not mount.get("mountPath"):
            errors.append(FieldError(f"{path}.volumeMounts[{index}].mountPath", "Required value"))
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key):
            errors += _probe(container[key], f"{path}.{key}", key)
    return errors + _resources(container.get("resources") or {}, f"{path}.resources")


_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def _probe(probe: Obj, path: str, kind: str) -> list[FieldError]:
    errors: list[FieldError] = []
    handlers = [one for one in _HANDLERS if probe.get(one) is not None]
    if not handlers:
        errors.append(FieldError(path, "Required value", "must specify a handler type"))
    for extra in handlers[1:]:
        errors.append(FieldError(f"{path}.{extra}", "Forbidden", "may not specify more than 1 handler type"))
    for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        value: Any = probe.get(key)
        if isinstance(value, int) and value < 0:
            errors.append(FieldError(f"{path}.{key}", "Invalid value", "must be greater than or equal to 0", value))
    if kind != "readinessProbe" and probe.get("successThreshold", 1) != 1:
        errors.append(FieldError(f"{path}.successThreshold", "Invalid value", "must be 1", probe["successThreshold"]))
    return errors


def _resources(resources: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    limits = resources.get("limits") or {}
    for side in ("limits", "requests"):
        for name, amount in (resources.get(side) or {}).items():
            if exact(amount) < 0:
                errors.append(FieldError(f"{path}.{side}[{name}]", "Invalid value", "must be greater than or equal to 0", amount))
    for name, amount in (resources.get("requests") or {}).items():
        limit = limits.get(name)
        if limit is not None and exact(amount) > exact(limit):
            text = f"must be less than or equal to {name} limit of {limit}"
            errors.append(FieldError(f"{path}.requests", "Invalid value", text, amount))
    return errors
