"""Configuration and cluster objects: ConfigMaps, Secrets, quotas, limits, nodes, leases, priorities.

Source: pkg/apis/core/validation/validation.go, pkg/apis/{coordination,scheduling}/validation.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from kchaos.models.api.quantity import compare, exact, value
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.container import overcommit, resource_name, resource_value
from kchaos.models.api.validation.field import Errors, duplicate, forbidden, invalid, required, too_long, unsupported
from kchaos.models.api.validation.names import config_key, each_message, not_negative, qualified_name, unchanged
from kchaos.models.api.validation.placement import check_taints

_MAX = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_SECRET_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def check_configmap(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ConfigMap's keys and size."""
    size, binary = 0, obj.get("binaryData") or {}
    for key, text in (obj.get("data") or {}).items():
        each_message(errors, f"data[{key}]", key, config_key(key))
        if key in binary:
            errors.append(invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(text.encode())
    for key, text in binary.items():
        each_message(errors, f"binaryData[{key}]", key, config_key(key))
        size += len(text) * 3 // 4
    if size > _MAX:
        errors.append(too_long("", _MAX))


def check_secret(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Secret: keys, size, what its type asks for."""
    data, kind = obj.get("data") or {}, obj.get("type", "")
    for key in data:
        each_message(errors, f"data[{key}]", key, config_key(key))
    if sum(len(text or "") * 3 // 4 for text in data.values()) > _MAX:
        errors.append(too_long("data", _MAX))
    if kind == "kubernetes.io/service-account-token":
        name = "kubernetes.io/service-account.name"
        if not ((obj.get("metadata") or {}).get("annotations") or {}).get(name):
            errors.append(required(f"metadata.annotations[{name}]"))
    if kind == "kubernetes.io/basic-auth" and not ({"username", "password"} & data.keys()):
        errors.append(required("data[username]"))
        errors.append(required("data[password]"))
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            errors.append(required(f"data[{key}]"))
        elif key.startswith(".docker"):
            wrong = _json_error(data[key])
            if wrong:
                errors.append(invalid(f"data[{key}]", "<secret contents redacted>", wrong))


def _json_error(text: str) -> str | None:
    """Return what Go's JSON decoder says about base64 text that must hold an object."""
    plain = b64decode(text or "").decode(errors="replace")
    try:
        found = json.loads(plain)
    except ValueError:
        first = plain.lstrip()[:1]
        if not first:
            return "unexpected end of JSON input"
        if first not in '{["-0123456789tfn':
            return f"invalid character '{first}' looking for beginning of value"
        return "unexpected end of JSON input"
    if isinstance(found, dict) or found is None:
        return None
    kind = "array" if isinstance(found, list) else "string" if isinstance(found, str) else "number"
    kind = "bool" if isinstance(found, bool) else kind
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def check_frozen(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of an immutable ConfigMap or Secret has changed, and a Secret's type."""
    if new.get("kind") == "Secret":
        unchanged(errors, new.get("type"), old.get("type"), "type")
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.append(forbidden("immutable", _FROZEN))
    for key in ("data", "binaryData"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            errors.append(forbidden(key, _FROZEN))


_QUOTA = frozenset(
    [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    ]
)
_INTEGERS = frozenset(
    [
        "pods",
        "services",
        "resourcequotas",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ]
)
_COMPUTE = frozenset(["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"])
_POD_OBJECTS = frozenset(("pods",))
_SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
           "VolumeAttributesClass")  # fmt: skip


def _scope_fits(scope: str, name: str) -> bool:
    """Tell whether a quota scope may go with a resource (helper.IsResourceQuotaScopeValidForResource)."""
    if scope in ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"):
        return name in _COMPUTE or name in (
            "ephemeral-storage",
            "requests.ephemeral-storage",
            "limits.ephemeral-storage",
        )
    return name in _POD_OBJECTS if scope == "BestEffort" else True


def check_quota(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ResourceQuota."""
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    for name, amount in hard.items():
        path = f"spec.hard[{name}]"
        resource_name(errors, name, path)
        if "/" not in name and name not in _QUOTA and not name.startswith(("hugepages-", "requests.hugepages-", "count/")):
            errors.append(invalid(path, name, "must be a standard resource for quota"))
        resource_value(errors, name, amount, path)
        if name in _INTEGERS and exact(amount).denominator != 1:
            errors.append(invalid(path, str(amount), "must be an integer"))
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
        for name in sorted(hard):
            if name in _QUOTA and not _scope_fits(scope, name):
                errors.append(invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if all(one in scopes for one in pair):
            errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    for one in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        _scope_requirement(errors, one, "spec.scopeSelector.matchExpressions")


def _scope_requirement(errors: Errors, one: Obj, path: str) -> None:
    scope, operator, values = one.get("scopeName", ""), one.get("operator", ""), one.get("values") or []
    if scope not in _SCOPES:
        errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
    if operator != "Exists" and (scope in _SCOPES[:4] or scope == "CrossNamespacePodAffinity"):
        text = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
            " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
            " ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.append(invalid(f"{path}.operator", operator, text))
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors.append(required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(invalid(f"{path}.values", values, text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))


def check_quota_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the scopes have changed."""
    now, was = (new.get("spec") or {}).get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
    if sorted(now) != sorted(was):
        unchanged(errors, now, was, "spec.scopes")


_LIMITS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def check_limitrange(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a LimitRange."""
    seen: dict[str, None] = {}
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type", "")
        messages = qualified_name(kind)
        each_message(errors, f"{path}.type", kind, messages)
        if not messages and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
            errors.append(invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen[kind] = None
        _limit_item(errors, item, kind, path)


def _limit_item(errors: Errors, item: Obj, kind: str, path: str) -> None:
    parts: dict[str, Obj] = {name: item.get(name) or {} for name in _LIMITS}
    if kind == "Pod":
        for name in ("default", "defaultRequest"):
            if parts[name]:
                errors.append(forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
                parts[name] = {}
    for name, amounts in parts.items():
        for key in amounts:
            resource_name(errors, key, f"{path}.{name}[{key}]")
    if kind == "PersistentVolumeClaim" and "storage" not in parts["min"] and "storage" not in parts["max"]:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", text))
    for key in dict.fromkeys(key for amounts in parts.values() for key in amounts):
        _limit_key(errors, key, [parts[name].get(key) for name in _LIMITS], path)


def _limit_key(errors: Errors, key: str, amounts: list[Any], path: str) -> None:
    high, low, default, request, ratio = amounts

    def above(one: Any, other: Any) -> bool:
        return one is not None and other is not None and compare(one, other) > 0

    if above(low, high):
        errors.append(invalid(f"{path}.min[{key}]", low, f"min value {low} is greater than max value {high}"))
    where = f"{path}.defaultRequest[{key}]"
    if above(low, request):
        errors.append(invalid(where, request, f"min value {low} is greater than default request value {request}"))
    if above(request, high):
        errors.append(invalid(where, request, f"default request value {request} is greater than max value {high}"))
    if above(request, default):
        text = f"default request value {request} is greater than default limit value {default}"
        errors.append(invalid(where, request, text))
    if above(low, default):
        errors.append(invalid(f"{path}.default[{key}]", low, f"min value {low} is greater than default value {default}"))
    if above(default, high):
        errors.append(invalid(f"{path}.default[{key}]", high, f"default value {default} is greater than max value {high}"))
    at = f"{path}.maxLimitRequestRatio[{key}]"
    if ratio is not None and compare(ratio, "1") < 0:
        errors.append(invalid(at, ratio, f"ratio {ratio} is less than 1"))
    if ratio is not None and low is not None and high is not None and exact(low) > 0:
        bound = exact(high) / exact(low)
        if exact(ratio) > bound:
            errors.append(invalid(at, ratio, f"ratio {ratio} is greater than max/min = {float(bound):f}"))
    if not overcommit(key) and default is not None and request is not None and compare(default, request):
        text = f"default value {default} must equal to defaultRequest value {request} in {key}"
        errors.append(invalid(where, request, text))


def _node_resources(errors: Errors, obj: Obj) -> None:
    for side in ("capacity", "allocatable"):
        for name, amount in ((obj.get("status") or {}).get(side) or {}).items():
            resource_value(errors, name, amount, f"status.{side}.{name}")


def check_node(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Node."""
    from kchaos.models.api.validation.services import legacy_cidr

    spec = obj.get("spec") or {}
    check_taints(errors, spec.get("taints") or [], "metadata.taints")
    _node_resources(errors, obj)
    blocks = spec.get("podCIDRs") or []
    for index, text in enumerate(blocks):
        legacy_cidr(errors, text, f"spec.podCIDRs[{index}]")
    families = [":" in text for text in blocks]
    if len(families) > 1 and (len(families) > 2 or len(dict.fromkeys(families)) < 2):
        errors.append(invalid("spec.podCIDRs", blocks, "may specify no more than one CIDR for each IP family"))


def check_node_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a Node has changed that may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    _node_resources(errors, new)
    now, was = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
    text = 'node updates may not change podCIDR except from "" to valid'
    if was and len(now) != len(was):
        errors.append(forbidden("spec.podCIDRs", text))
    else:
        for one, other in zip(now, was, strict=False):
            if one != other:
                errors.append(forbidden("spec.podCIDRs", text))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    check_taints(errors, spec.get("taints") or [], "metadata.taints")


def check_namespace(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with the finalizers in a Namespace's spec."""
    for one in (obj.get("spec") or {}).get("finalizers") or ():
        each_message(errors, "spec.finalizers", one, qualified_name(one))
        if "/" not in one and one not in ("kubernetes", "orphan", "foregroundDeletion"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid("spec.finalizers", one, text))


def check_event(errors: Errors, obj: Obj) -> None:
    """Add an error if an Event is not in the namespace of what it is about (pkg/apis/core/validation/events.go)."""
    about = (obj.get("involvedObject") or obj.get("regarding") or {}).get("namespace", "")
    namespace = (obj.get("metadata") or {}).get("namespace", "")
    if about != namespace and not (about == "" and namespace == "default"):
        errors.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))


def check_lease(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Lease."""
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    not_negative(errors, "spec.leaseTransitions", spec.get("leaseTransitions"))


_SYSTEM = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


def check_priorityclass(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a PriorityClass."""
    name, number = (obj.get("metadata") or {}).get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if name not in _SYSTEM or number != _SYSTEM[name] or obj.get("globalDefault"):
            why = f"{name} is not a known system priority class"
            if name in _SYSTEM:
                why = (
                    f"value of {name} PriorityClass must be {_SYSTEM[name]}"
                    if number != _SYSTEM[name]
                    else f"globalDefault of {name} PriorityClass must be false"
                )
            text = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            errors.append(forbidden("metadata.name", text))
    elif number > 1000000000:
        errors.append(forbidden("value", "maximum allowed value of a user defined priority is 1000000000"))
    policy = obj.get("preemptionPolicy")
    if policy not in (None, "PreemptLowerPriority", "Never"):
        errors.append(unsupported("preemptionPolicy", policy, ("PreemptLowerPriority", "Never")))


def check_priorityclass_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a PriorityClass has changed that may not."""
    if new.get("value", 0) != old.get("value", 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    unchanged(errors, new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")


def check_revision(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ControllerRevision."""
    not_negative(errors, "revision", obj.get("revision"))
    if obj.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    elif not isinstance(obj["data"], dict):
        errors.append(required("data", "data must be a valid JSON object"))


def check_revision_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the data has changed."""
    unchanged(errors, new.get("data"), old.get("data"), "data")


__all__ = ["value"]
