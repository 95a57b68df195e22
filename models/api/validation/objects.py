"""What the server checks of each kind, on creation and on update.

Sources: pkg/apis/*/validation/validation.go. Depth first: the rules that real manifests break. Pod specs are checked once per
identity: a ReplicaSet's pods share their template's spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.validation.field import FieldError
from kchaos.models.api.validation.pod import validate_pod_spec

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an"
    " alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an"
    " alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_FREE_NAMES = {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}


def validate_create(obj: Obj) -> list[FieldError]:
    """Return what is wrong with a new, defaulted object; empty if nothing."""
    errors = _metadata(obj)
    check = _CHECKS.get(obj["kind"])
    if check is not None:
        errors += check(obj)
    return errors


def validate_update(new: Obj, old: Obj) -> list[FieldError]:
    """Return what is wrong with ``new`` as the successor of ``old``."""
    errors: list[FieldError] = []
    if new["metadata"] is not old["metadata"]:
        errors += _metadata(new)
    kind = new["kind"]
    if new.get("spec") is not old.get("spec") or kind in ("ConfigMap", "Secret", "RoleBinding", "ClusterRoleBinding"):
        check = _CHECKS.get(kind)
        if check is not None and new.get("spec") != old.get("spec"):
            errors += check(new)
        for path in _IMMUTABLE.get(kind, ()):
            parts = path.split(".")
            if get(new, *parts) != get(old, *parts):
                errors.append(FieldError(path, "Invalid value", "field is immutable", get(new, *parts)))
        change = _CHANGES.get(kind)
        if change is not None:
            errors += change(new, old)
    return errors


# -- metadata --------------------------------------------------------------------------------------------------------------


def _metadata(obj: Obj) -> list[FieldError]:
    meta = obj["metadata"]
    name = meta.get("name") or ""
    errors: list[FieldError] = []
    if not name:
        errors.append(FieldError("metadata.name", "Required value", "name or generateName is required"))
    elif obj["kind"] == "Namespace":
        if not _DNS_LABEL.fullmatch(name) or len(name) > 63:
            errors.append(FieldError("metadata.name", "Invalid value", _LABEL_TEXT, name))
    elif obj["kind"] == "Service":
        if not _DNS_1035.fullmatch(name) or len(name) > 63:
            errors.append(FieldError("metadata.name", "Invalid value", _1035_TEXT, name))
    elif obj["kind"] in _FREE_NAMES:
        if "/" in name or "%" in name or name in (".", ".."):
            errors.append(FieldError("metadata.name", "Invalid value", "may not contain '/'", name))
    elif not _DNS_SUBDOMAIN.fullmatch(name) or len(name) > 253:
        errors.append(FieldError("metadata.name", "Invalid value", _SUBDOMAIN_TEXT, name))
    return errors + validate_labels(meta.get("labels"), "metadata.labels")


def validate_labels(labels: Obj | None, path: str) -> list[FieldError]:
    """Return what is wrong with a map of labels."""
    errors = []
    for key, value in (labels or {}).items():
        prefix, slash, tail = key.rpartition("/")
        if not _QUALIFIED.fullmatch(tail) or len(tail) > 63 or (slash and not _DNS_SUBDOMAIN.fullmatch(prefix)):
            errors.append(FieldError(path, "Invalid value", "name part must consist of alphanumeric characters, '-', '_' or '.'", key))
        if value and (not isinstance(value, str) or not _QUALIFIED.fullmatch(value) or len(value) > 63):
            text = "must be no more than 63 characters" if isinstance(value, str) and len(value) > 63 else _VALUE_TEXT
            errors.append(FieldError(path, "Invalid value", text, value))
    return errors


# -- workloads -------------------------------------------------------------------------------------------------------------


def _not_negative(spec: Obj, path: str, *names: str) -> list[FieldError]:
    return [
        FieldError(f"{path}.{name}", "Invalid value", "must be greater than or equal to 0", spec[name])
        for name in names
        if isinstance(spec.get(name), int) and spec[name] < 0
    ]


def _template(spec: Obj, restart: tuple[str, ...] = ("Always",)) -> list[FieldError]:
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector")
    errors: list[FieldError] = []
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        if not selector:
            errors.append(FieldError("spec.selector", "Required value"))
        else:
            errors.append(FieldError("spec.selector", "Invalid value", "empty selector is invalid for deployment", selector))
    elif not compile_selector(selector)(labels):
        text = "`selector` does not match template `labels`"
        errors.append(FieldError("spec.template.metadata.labels", "Invalid value", text, labels))
    errors += validate_labels(labels, "spec.template.metadata.labels")
    errors += validate_pod_spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy not in restart:
        allowed = ", ".join(f'"{one}"' for one in restart)
        errors.append(
            FieldError("spec.template.spec.restartPolicy", "Unsupported value", f"supported values: {allowed}", policy)
        )
    return errors


def _percent(value: Any, path: str) -> list[FieldError]:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+%", value):
            return [FieldError(path, "Invalid value", "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')", value)]
        return []
    if isinstance(value, int) and value < 0:
        return [FieldError(path, "Invalid value", "must be greater than or equal to 0", value)]
    return []


def _deployment(obj: Obj) -> list[FieldError]:
    spec = obj["spec"]
    errors = _not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    errors += _template(spec)
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        errors.append(FieldError("spec.strategy.rollingUpdate", "Forbidden", text))
    elif rolling:
        path = "spec.strategy.rollingUpdate"
        errors += _percent(rolling.get("maxUnavailable"), f"{path}.maxUnavailable")
        errors += _percent(rolling.get("maxSurge"), f"{path}.maxSurge")
        zero = (0, "0%")
        if rolling.get("maxUnavailable") in zero and rolling.get("maxSurge") in zero:
            errors.append(
                FieldError(f"{path}.maxUnavailable", "Invalid value", "may not be 0 when `maxSurge` is 0", rolling["maxUnavailable"])
            )
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        errors.append(
            FieldError("spec.progressDeadlineSeconds", "Invalid value", "must be greater than minReadySeconds", deadline)
        )
    return errors


def _replicaset(obj: Obj) -> list[FieldError]:
    return _not_negative(obj["spec"], "spec", "replicas", "minReadySeconds") + _template(obj["spec"])


def _replicationcontroller(obj: Obj) -> list[FieldError]:
    spec = obj["spec"]
    return _template({**spec, "selector": {"matchLabels": spec["selector"]} if spec.get("selector") else None})


def _statefulset(obj: Obj) -> list[FieldError]:
    spec = obj["spec"]
    errors = _not_negative(spec, "spec", "replicas", "minReadySeconds", "revisionHistoryLimit")
    return errors + _template(spec)


def _job(obj: Obj) -> list[FieldError]:
    spec = obj["spec"]
    errors = _not_negative(spec, "spec", "parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished")
    template = spec.get("template") or {}
    errors += validate_pod_spec(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        text = 'Required value: valid values: "OnFailure", "Never"'.partition(": ")[2]
        errors.append(FieldError("spec.template.spec.restartPolicy", "Required value", text))
    return errors


def _pod(obj: Obj) -> list[FieldError]:
    return validate_pod_spec(obj["spec"], "spec")


def _service(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        errors.append(FieldError("spec.ports", "Required value"))
    names: list[str] = []
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        number = port.get("port")
        if not isinstance(number, int) or not 0 < number < 65536:
            errors.append(FieldError(f"{path}.port", "Invalid value", "must be between 1 and 65535, inclusive", number or 0))
        if len(ports) > 1 and not port.get("name"):
            errors.append(FieldError(f"{path}.name", "Required value"))
        elif port.get("name") in names:
            errors.append(FieldError(f"{path}.name", "Duplicate value", "", port["name"]))
        names.append(port.get("name") or "")
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        errors.append(FieldError("spec.externalName", "Required value"))
    return errors


def _budget(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        return [FieldError("spec", "Invalid value", "minAvailable and maxUnavailable cannot be both set", spec)]
    return _percent(spec.get("minAvailable"), "spec.minAvailable") + _percent(spec.get("maxUnavailable"), "spec.maxUnavailable")


def _claim(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if not spec.get("accessModes"):
        errors.append(FieldError("spec.accessModes", "Required value", "at least 1 access mode is required"))
    if not get(spec, "resources", "requests", "storage"):
        errors.append(FieldError("spec.resources[storage]", "Required value"))
    return errors


def _autoscaler(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if not isinstance(spec.get("maxReplicas"), int) or spec["maxReplicas"] < 1:
        errors.append(FieldError("spec.maxReplicas", "Invalid value", "must be greater than 0", spec.get("maxReplicas") or 0))
    elif spec["maxReplicas"] < (spec.get("minReplicas") or 1):
        text = "must be greater than or equal to `minReplicas`"
        errors.append(FieldError("spec.maxReplicas", "Invalid value", text, spec["maxReplicas"]))
    return errors


_Check = Callable[[Obj], list[FieldError]]
_CHECKS: dict[str, _Check] = {
    "Deployment": _deployment, "ReplicaSet": _replicaset, "ReplicationController": _replicationcontroller,
    "StatefulSet": _statefulset, "DaemonSet": lambda obj: _template(obj["spec"]), "Job": _job, "Pod": _pod, "Service": _service,
    "PodDisruptionBudget": _budget, "PersistentVolumeClaim": _claim, "HorizontalPodAutoscaler": _autoscaler,
}  # fmt: skip

_IMMUTABLE: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec.selector",), "ReplicaSet": ("spec.selector",), "DaemonSet": ("spec.selector",),
    "Job": ("spec.selector", "spec.completionMode"), "RoleBinding": ("roleRef",), "ClusterRoleBinding": ("roleRef",),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
}  # fmt: skip
_STS_MUTABLE = {
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
}  # fmt: skip


def _change_statefulset(new: Obj, old: Obj) -> list[FieldError]:
    a = {k: v for k, v in new["spec"].items() if k not in _STS_MUTABLE}
    b = {k: v for k, v in old["spec"].items() if k not in _STS_MUTABLE}
    if a == b:
        return []
    text = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
        " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [FieldError("spec", "Forbidden", text)]


_POD_MUTABLE = {"activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates", "containers", "initContainers"}


def _change_pod(new: Obj, old: Obj) -> list[FieldError]:
    a = {k: v for k, v in new["spec"].items() if k not in _POD_MUTABLE}
    b = {k: v for k, v in old["spec"].items() if k not in _POD_MUTABLE}
    same = a == b
    for key in ("containers", "initContainers"):
        x = [{k: v for k, v in c.items() if k not in ("image", "resources")} for c in new["spec"].get(key) or ()]
        y = [{k: v for k, v in c.items() if k not in ("image", "resources")} for c in old["spec"].get(key) or ()]
        same = same and x == y
    if same:
        return []
    text = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [FieldError("spec", "Forbidden", text)]


def _change_frozen(new: Obj, old: Obj) -> list[FieldError]:
    if not old.get("immutable"):
        return []
    errors = []
    if not new.get("immutable"):
        errors.append(FieldError("immutable", "Forbidden", "field is immutable when `immutable` is set"))
    for key in ("data", "binaryData"):
        if new.get(key) != old.get(key):
            errors.append(FieldError(key, "Forbidden", "field is immutable when `immutable` is set"))
    return errors


_CHANGES: dict[str, Callable[[Obj, Obj], list[FieldError]]] = {
    "StatefulSet": _change_statefulset, "Pod": _change_pod, "ConfigMap": _change_frozen, "Secret": _change_frozen,
}  # fmt: skip
