"""Budgets, autoscalers, roles and bindings, runtime classes.

Source: pkg/apis/{policy,autoscaling,rbac,node}/validation/validation.go.
"""

from __future__ import annotations

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.container import check_resources
from kchaos.models.api.validation.field import Errors, Text, forbidden, invalid, required, shown, unsupported
from kchaos.models.api.validation.names import (
    check_labels,
    check_selector,
    dns_label,
    dns_subdomain,
    each_message,
    path_segment,
    unchanged,
)
from kchaos.models.api.validation.placement import check_tolerations
from kchaos.models.api.validation.workloads import int_or_percent, not_over_100

_RBAC = "rbac.authorization.k8s.io"
_SOURCES = {
    "Object": "object", "Pods": "pods", "Resource": "resource", "External": "external",
    "ContainerResource": "containerResource",
}  # fmt: skip


def check_budget(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a PodDisruptionBudget."""
    spec = obj.get("spec") or {}
    low, high = spec.get("minAvailable"), spec.get("maxUnavailable")
    if low is not None and high is not None:
        parts = ",".join(
            f'"{name[0].upper()}{name[1:]}":{shown(spec.get(name))}'
            for name in ("minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy")
        )
        text = "minAvailable and maxUnavailable cannot be both set"
        errors.append(invalid("spec", Text("{" + parts + "}"), text))
    for name, value in (("minAvailable", low), ("maxUnavailable", high)):
        if value is not None:
            int_or_percent(errors, value, f"spec.{name}")
            not_over_100(errors, value, f"spec.{name}")
    check_selector(errors, spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy not in (None, "AlwaysAllow", "IfHealthyBudget"):
        errors.append(unsupported("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget")))


def _target_ref(errors: Errors, ref: Obj, path: str) -> None:
    for name in ("kind", "name"):
        if not ref.get(name):
            errors.append(required(f"{path}.{name}"))
        else:
            each_message(errors, f"{path}.{name}", ref[name], path_segment(ref[name]))
    version = ref.get("apiVersion", "")
    if version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif "/" not in version:
        errors.append(invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))


def _metric_target(errors: Errors, target: Obj, path: str) -> None:
    kind = target.get("type", "")
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for name in ("value", "averageValue"):
        if target.get(name) is not None and exact(target[name]) <= 0:
            errors.append(invalid(f"{path}.{name}", str(target[name]), "must be positive"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.append(invalid(f"{path}.averageUtilization", share, "must be greater than 0"))


def _metric_source(errors: Errors, kind: str, source: Obj, path: str) -> None:
    target, where = source.get("target") or {}, f"{path}.target"
    if kind == "object":
        _target_ref(errors, source.get("describedObject") or {}, f"{path}.describedObject")
    if kind in ("object", "external", "pods"):
        name = (source.get("metric") or {}).get("name", "")
        if not name:
            errors.append(required(f"{path}.metric.name", "must specify a metric name"))
        else:
            each_message(errors, f"{path}.metric.name", name, path_segment(name))
    else:
        if not source.get("name"):
            errors.append(required(f"{path}.name", "must specify a resource name"))
        if kind == "containerResource":
            if not source.get("container"):
                errors.append(required(f"{path}.container", "must specify a container"))
            else:
                each_message(errors, f"{path}.container", source["container"], dns_label(source["container"]))
    _metric_target(errors, target, where)
    raw, average, share = target.get("value"), target.get("averageValue"), target.get("averageUtilization")
    if kind == "object" and raw is None and average is None:
        errors.append(required(f"{where}.averageValue", "must set either a target value or averageValue"))
    elif kind == "external" and raw is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{where}.averageValue", text))
    elif kind == "external" and raw is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{where}.value", text))
    elif kind == "pods" and average is None:
        errors.append(required(f"{where}.averageValue", "must specify a positive target averageValue"))
    elif kind in ("resource", "containerResource"):
        if share is None and average is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(required(f"{where}.averageUtilization", text))
        if share is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            errors.append(forbidden(f"{where}.averageValue", text))


def _metric(errors: Errors, metric: Obj, path: str) -> None:
    kind, allowed = metric.get("type", ""), sorted(_SOURCES)
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    if kind not in _SOURCES:
        errors.append(unsupported(f"{path}.type", kind, allowed))
    present = [one for one in ("object", "external", "pods", "resource", "containerResource") if metric.get(one) is not None]
    if present:
        _metric_source(errors, present[0], metric[present[0]], f"{path}.{present[0]}")
    expected = _SOURCES.get(kind)
    if expected is None:
        errors.append(unsupported(f"{path}.type", kind, allowed))
    elif expected not in present:
        text = "must populate information for the given metric source"
        errors.append(required(f"{path}.{expected}", text))
    if len(present) != 1:
        for one in present:
            if one != expected:
                errors.append(forbidden(f"{path}.{one}", "must populate the given metric source only"))


def _rules(errors: Errors, rules: Obj, path: str) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero"))
    if window is not None and window > 3600:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, "must be less than or equal to 3600"))
    choice = rules.get("selectPolicy")
    if choice not in (None, "Max", "Min", "Disabled"):
        errors.append(unsupported(f"{path}.selectPolicy", choice, ("Disabled", "Max", "Min")))
    if not rules.get("policies"):
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, one in enumerate(rules.get("policies") or ()):
        where, period = f"{path}.policies[{index}]", one.get("periodSeconds", 0)
        if one.get("type") not in ("Pods", "Percent"):
            errors.append(unsupported(f"{where}.type", one.get("type", ""), ("Percent", "Pods")))
        if one.get("value", 0) <= 0:
            errors.append(invalid(f"{where}.value", one.get("value", 0), "must be greater than zero"))
        if period <= 0:
            errors.append(invalid(f"{where}.periodSeconds", period, "must be greater than zero"))
        if period > 1800:
            errors.append(invalid(f"{where}.periodSeconds", period, "must be less than or equal to 1800"))


def check_autoscaler(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a HorizontalPodAutoscaler (autoscaling/v2 form)."""
    spec = obj.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is not None and low < 1:
        errors.append(invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    _target_ref(errors, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        _metric(errors, metric, f"spec.metrics[{index}]")
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is not None:
            _rules(errors, behavior[name], f"spec.behavior.{name}")


def check_role(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with the rules of a Role or ClusterRole."""
    namespaced = obj.get("kind") == "Role"
    for index, rule in enumerate(obj.get("rules") or ()):
        path, urls = f"rules[{index}]", rule.get("nonResourceURLs") or []
        if not rule.get("verbs"):
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if urls:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", urls, text))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                text = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", urls, text))
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    selectors = (obj.get("aggregationRule") or {}).get("clusterRoleSelectors")
    if obj.get("aggregationRule") is not None and not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required("aggregationRule.clusterRoleSelectors", text))
    for index, one in enumerate(selectors or ()):
        check_selector(errors, one, f"aggregationRule.clusterRoleSelectors[{index}]")


def _subject(errors: Errors, subject: Obj, path: str, namespaced: bool) -> None:
    name, kind, group = subject.get("name", ""), subject.get("kind", ""), subject.get("apiGroup", "")
    if not name:
        errors.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            each_message(errors, f"{path}.name", name, dns_subdomain(name))
        if group:
            errors.append(unsupported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _RBAC:
            errors.append(unsupported(f"{path}.apiGroup", group, (_RBAC,)))
    else:
        errors.append(unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))


def check_binding(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a RoleBinding or ClusterRoleBinding."""
    ref, namespaced = obj.get("roleRef") or {}, obj.get("kind") == "RoleBinding"
    allowed = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if ref.get("apiGroup") != _RBAC:
        errors.append(unsupported("roleRef.apiGroup", ref.get("apiGroup", ""), (_RBAC,)))
    if ref.get("kind") not in allowed:
        errors.append(unsupported("roleRef.kind", ref.get("kind", ""), allowed))
    if not ref.get("name"):
        errors.append(required("roleRef.name"))
    else:
        each_message(errors, "roleRef.name", ref["name"], path_segment(ref["name"]))
    for index, subject in enumerate(obj.get("subjects") or ()):
        _subject(errors, subject, f"subjects[{index}]", namespaced)


def check_binding_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the role has changed."""
    if new.get("roleRef") != old.get("roleRef"):
        ref = new.get("roleRef") or {}
        value = Text("{" + ",".join(f'"{key}":{shown(ref.get(name, ""))}' for key, name in _REF) + "}")
        errors.append(invalid("roleRef", value, "cannot change roleRef"))


_REF = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))


def check_runtimeclass(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a RuntimeClass."""
    each_message(errors, "handler", obj.get("handler", ""), dns_label(obj.get("handler", "")))
    fixed = (obj.get("overhead") or {}).get("podFixed")
    if fixed:
        check_resources(errors, {"limits": fixed}, "overhead", {})
    scheduling = obj.get("scheduling") or {}
    check_labels(errors, scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    check_tolerations(errors, scheduling.get("tolerations") or [], "scheduling.tolerations.tolerations")


def check_runtimeclass_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the handler has changed."""
    unchanged(errors, new.get("handler"), old.get("handler"), "handler")
