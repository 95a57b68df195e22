"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers (pkg/apis/apps/validation)."""

from __future__ import annotations

import re
from typing import Any

from kchaos.models.api.selectors import compile_selector, from_map
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, Text, forbidden, invalid, required, shown, unsupported
from kchaos.models.api.validation.names import (
    check_annotations,
    check_labels,
    check_selector,
    dns_label,
    each_message,
    members_not_negative,
    not_negative,
    regex_error,
    unchanged,
)
from kchaos.models.api.validation.pod import check_template
from kchaos.models.api.validation.storage import check_claim_spec

_PERCENT = regex_error("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", "1%", "93%")
_MISMATCH = "`selector` does not match template `labels`"
_STATEFULSET = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFULSET_MUTABLE = frozenset(
    [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ]
)


def int_or_percent(errors: Errors, value: Any, path: str) -> None:
    """Add an error unless ``value`` is a number from 0 or a percentage (ValidatePositiveIntOrPercent)."""
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+%", value):
            errors.append(invalid(path, value, _PERCENT))
    else:
        not_negative(errors, path, value)


def _number(value: Any) -> int:
    """Return the number or the percentage; 0 for anything else (getIntOrPercentValue)."""
    if isinstance(value, str):
        return int(value[:-1]) if re.fullmatch(r"[0-9]+%", value) else 0
    return value or 0


def not_over_100(errors: Errors, value: Any, path: str) -> None:
    """Add an error if ``value`` is a percentage over 100."""
    if isinstance(value, str) and _number(value) > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


def _selector(errors: Errors, spec: Obj, kind: str) -> bool:
    """Check spec.selector; tell whether it can be compiled (a missing one can: it matches nothing)."""
    selector = spec.get("selector")
    if selector is None:
        errors.append(required("spec.selector"))
        return True
    before = len(errors)
    check_selector(errors, selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
        return True
    return len(errors) == before


def _template(errors: Errors, spec: Obj, kind: str, bad: str = "invalid label selector") -> None:
    template = spec.get("template") or {}
    if not _selector(errors, spec, kind):
        errors.append(invalid("spec.selector", spec["selector"], bad))
        return
    labels = (template.get("metadata") or {}).get("labels")
    selector = spec.get("selector")
    if selector != {} and not compile_selector(selector)(labels or {}):
        errors.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
    check_template(errors, template, "spec.template")


def _always(errors: Errors, spec: Obj, kind: str) -> None:
    pod = (spec.get("template") or {}).get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        path = "spec.template.spec.restartPolicy"
        errors.append(unsupported(path, pod.get("restartPolicy", ""), ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden("spec.template.spec.activeDeadlineSeconds", text))


def _usable(spec: Obj) -> bool:
    """Tell whether the selector let the template be looked at."""
    probe: Errors = []
    return _selector(probe, spec, "")


def _strategy_text(strategy: Obj) -> Text:
    return Text(f'{{"Type":{shown(strategy.get("type", ""))},"RollingUpdate":null}}')


def check_deployment(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Deployment's spec."""
    spec = obj.get("spec") or {}
    members_not_negative(errors, spec, "spec", "replicas")
    _template(errors, spec, "deployment")
    if _usable(spec):
        _always(errors, spec, "ReplicaSet")
    strategy, path = spec.get("strategy") or {}, "spec.strategy"
    rolling, kind = strategy.get("rollingUpdate"), strategy.get("type")
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(forbidden(f"{path}.rollingUpdate", text))
    elif kind == "RollingUpdate":
        unavailable, surge = (rolling or {}).get("maxUnavailable"), (rolling or {}).get("maxSurge")
        where = f"{path}.rollingUpdate.maxUnavailable"
        int_or_percent(errors, unavailable, where)
        int_or_percent(errors, surge, f"{path}.rollingUpdate.maxSurge")
        if _number(unavailable) == 0 and _number(surge) == 0:
            errors.append(invalid(where, unavailable, "may not be 0 when `maxSurge` is 0"))
        not_over_100(errors, unavailable, where)
    else:
        errors.append(unsupported(path, _strategy_text(strategy), ("Recreate", "RollingUpdate")))
    members_not_negative(errors, spec, "spec", "minReadySeconds", "revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        not_negative(errors, "spec.progressDeadlineSeconds", deadline)
        if deadline <= spec.get("minReadySeconds", 0):
            text = "must be greater than minReadySeconds"
            errors.append(invalid("spec.progressDeadlineSeconds", deadline, text))


def check_replicaset(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ReplicaSet's spec."""
    spec = obj.get("spec") or {}
    members_not_negative(errors, spec, "spec", "replicas", "minReadySeconds")
    # the real text says deployment here too
    _template(errors, spec, "deployment")
    if _usable(spec):
        _always(errors, spec, "ReplicaSet")


def check_daemonset(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a DaemonSet's spec (ValidateDaemonSetSpec)."""
    spec = obj.get("spec") or {}
    template, selector = spec.get("template") or {}, spec.get("selector")
    check_selector(errors, selector, "spec.selector")
    labels = (template.get("metadata") or {}).get("labels")
    if _usable(spec) and selector != {} and not compile_selector(selector)(labels or {}):
        errors.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", selector, "empty selector is invalid for daemonset"))
    check_template(errors, template, "spec.template")
    _always(errors, spec, "DaemonSet")
    members_not_negative(errors, spec, "spec", "minReadySeconds")
    strategy, path = spec.get("updateStrategy") or {}, "spec.updateStrategy"
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
            int_or_percent(errors, value, f"{path}.rollingUpdate.{name}")
        for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
            not_over_100(errors, value, f"{path}.rollingUpdate.{name}")
        if _number(unavailable) and _number(surge):
            text = "may not be set when maxUnavailable is non-zero"
            errors.append(invalid(f"{path}.rollingUpdate.maxSurge", surge, text))
        elif not _number(unavailable) and not _number(surge):
            errors.append(required(f"{path}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif strategy.get("type") != "OnDelete":
        errors.append(unsupported(path, _strategy_text(strategy), ("RollingUpdate", "OnDelete")))
    members_not_negative(errors, spec, "spec", "revisionHistoryLimit")


def _update_strategy(errors: Errors, spec: Obj) -> None:
    strategy, path = spec.get("updateStrategy") or {}, "spec.updateStrategy"
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            value = Text(f'{{"Partition":{rolling.get("partition", 0)},"MaxUnavailable":{shown(rolling.get("maxUnavailable"))}}}')
            text = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(invalid(f"{path}.rollingUpdate", value, text))
    elif kind != "RollingUpdate":
        text = "must be 'RollingUpdate' or 'OnDelete'"
        errors.append(invalid(path, _strategy_text(strategy), text))
    elif rolling:
        members_not_negative(errors, rolling, f"{path}.rollingUpdate", "partition")
        value = rolling.get("maxUnavailable")
        if value is not None:
            where = f"{path}.rollingUpdate.maxUnavailable"
            int_or_percent(errors, value, where)
            if _number(value) == 0:
                errors.append(invalid(where, value, "cannot be 0"))
            not_over_100(errors, value, where)


def _with_claims(template: Obj, spec: Obj) -> Obj:
    """Return the template as its pods get it: claims are volumes, host name and subdomain are set by the controller."""
    claims = spec.get("volumeClaimTemplates") or []
    pod = {key: value for key, value in (template.get("spec") or {}).items() if key not in ("subdomain", "hostname")}
    if claims:
        names = [(claim.get("metadata") or {}).get("name", "") for claim in claims]
        made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(names)]
        pod["volumes"] = [*made, *(one for one in pod.get("volumes") or () if one.get("name") not in names)]
    return {**template, "spec": pod}


def check_statefulset(errors: Errors, obj: Obj, updating: bool = False) -> None:
    """Add what is wrong with a StatefulSet's spec."""
    spec = obj.get("spec") or {}
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        errors.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    _update_strategy(errors, spec)
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        if retention.get(name) not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            errors.append(unsupported(path, retention.get(name, ""), ("Retain", "Delete")))
    if not updating:
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            check_claim_spec(errors, claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    members_not_negative(errors, spec, "spec", "replicas", "minReadySeconds")
    members_not_negative(errors, spec.get("ordinals") or {}, "spec.ordinals", "start")
    if not updating and spec.get("serviceName"):
        each_message(errors, "spec.serviceName", spec["serviceName"], dns_label(spec["serviceName"]))
    if spec.get("template"):
        _template(errors, {**spec, "template": _with_claims(spec["template"], spec)}, "statefulset", "")
        meta = spec["template"].get("metadata") or {}
        check_labels(errors, meta.get("labels"), "spec.template.labels")
        check_annotations(errors, meta.get("annotations"), "spec.template.annotations")
    _always(errors, spec, "StatefulSet")


def check_controller(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a ReplicationController's spec."""
    spec = obj.get("spec") or {}
    members_not_negative(errors, spec, "spec", "minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        errors.append(required("spec.selector"))
    members_not_negative(errors, spec, "spec", "replicas")
    if template is None:
        errors.append(required("spec.template"))
        return
    labels = (template.get("metadata") or {}).get("labels")
    if selector and not from_map(selector)(labels or {}):
        errors.append(invalid("spec.template.metadata.labels", labels, _MISMATCH))
    check_template(errors, template, "spec.template")
    _always(errors, spec, "ReplicationController")


def check_selector_kept(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if spec.selector has changed."""
    unchanged(errors, (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector"), "spec.selector")


def check_statefulset_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if a member of a StatefulSet's spec has changed that may not."""
    one = {key: value for key, value in (new.get("spec") or {}).items() if key not in _STATEFULSET_MUTABLE}
    two = {key: value for key, value in (old.get("spec") or {}).items() if key not in _STATEFULSET_MUTABLE}
    if one != two:
        errors.append(forbidden("spec", _STATEFULSET))
