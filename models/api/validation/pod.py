"""Pods and pod templates: the spec as a whole, and what of a pod may change (pkg/apis/core/validation)."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.container import check_containers, check_resources, ids, seccomp
from kchaos.models.api.validation.field import Errors, FieldError, duplicate, forbidden, invalid, required, unsupported
from kchaos.models.api.validation.names import (
    check_annotations,
    check_labels,
    dns_label,
    dns_search,
    dns_subdomain,
    each_message,
    is_ip,
    qualified_name,
    range_error,
)
from kchaos.models.api.validation.placement import check_affinity, check_spread, check_tolerations
from kchaos.models.api.validation.volumes import check_volumes

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1
_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def legacy_ip(errors: Errors, text: str, path: str) -> None:
    """Add an error unless ``text`` is an IP address."""
    if not is_ip(text):
        errors.append(invalid(path, text, _IP_TEXT))


def _dns(errors: Errors, spec: Obj, path: str) -> None:
    config, policy = spec.get("dnsConfig"), spec.get("dnsPolicy")
    if policy == "None":
        if config is None:
            errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{path}.nameservers", text))
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(invalid(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, one in enumerate(servers):
        legacy_ip(errors, one, f"{path}.nameservers[{index}]")
    if len(searches) > 32:
        errors.append(invalid(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid(f"{path}.searches", searches, text))
    for index, one in enumerate(searches):
        if one != ".":
            each_message(errors, f"{path}.searches[{index}]", one.removesuffix("."), dns_search(one.removesuffix(".")))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))


def _security(errors: Errors, spec: Obj, path: str) -> None:
    context = spec["securityContext"]
    ids(errors, context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, one in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= one <= _MAX_INT32:
            errors.append(invalid(f"{path}.supplementalGroups[{index}]", one, range_error(0, _MAX_INT32)))
    seen: dict[str, None] = {}
    for index, one in enumerate(context.get("sysctls") or ()):
        _sysctl(errors, one.get("name", ""), f"{path}.sysctls[{index}]", spec)
        if one.get("name", "") in seen:
            errors.append(duplicate(f"{path}.sysctls[{index}].name", one["name"]))
        seen[one.get("name", "")] = None
    policy = context.get("fsGroupChangePolicy")
    if policy not in (None, "Always", "OnRootMismatch"):
        errors.append(unsupported(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch")))
    seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    policy = context.get("supplementalGroupsPolicy")
    if policy not in (None, "Merge", "Strict"):
        errors.append(unsupported(f"{path}.supplementalGroupsPolicy", policy, ("Merge", "Strict")))


_SYSCTL = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def _sysctl(errors: Errors, name: str, path: str, spec: Obj) -> None:
    import re

    pattern = rf"({_SYSCTL}[\./])*{_SYSCTL}"
    if not name:
        errors.append(required(f"{path}.name"))
    elif len(name) > 253 or not re.fullmatch(pattern, name):
        text = f"must have at most 253 characters and match regex ^{pattern}$"
        errors.append(invalid(f"{path}.name", name, text))
    if spec.get("hostNetwork") and name.replace("/", ".").startswith("net."):
        errors.append(invalid(f"{path}.name", name, "may not be specified when 'hostNetwork' is true"))
    if spec.get("hostIPC") and name.replace("/", ".").startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
        errors.append(invalid(f"{path}.name", name, "may not be specified when 'hostIPC' is true"))


def _host_network(errors: Errors, spec: Obj, path: str, is_pod: bool) -> None:
    for index, one in enumerate(spec.get("containers") or ()):
        for position, port in enumerate(one.get("ports") or ()):
            host = port.get("hostPort", 0)
            if (is_pod or host) and host != port.get("containerPort", 0):
                text = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid(f"{path}.containers[{index}].ports[{position}].hostPort", host, text))


def check_pod_spec(errors: Errors, spec: Obj, path: str, is_pod: bool = False) -> None:
    """Add what is wrong with a defaulted PodSpec (ValidatePodSpec), in the server's order."""
    volumes = check_volumes(errors, spec["volumes"], f"{path}.volumes") if spec.get("volumes") else {}
    check_containers(errors, spec, path, volumes)
    if spec.get("resources"):
        check_resources(errors, spec["resources"], f"{path}.resources", {}, True)
    if spec.get("hostNetwork"):
        _host_network(errors, spec, path, is_pod)
    if spec.get("restartPolicy") not in _RESTART:
        errors.append(unsupported(f"{path}.restartPolicy", spec.get("restartPolicy", ""), _RESTART))
    if spec.get("dnsPolicy") not in _DNS:
        errors.append(unsupported(f"{path}.dnsPolicy", spec.get("dnsPolicy", ""), _DNS))
    check_labels(errors, spec.get("nodeSelector"), f"{path}.nodeSelector")
    if spec.get("securityContext"):
        _security(errors, spec, f"{path}.securityContext")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.securityContext.shareProcessNamespace", True, text))
    if spec.get("affinity"):
        check_affinity(errors, spec["affinity"], f"{path}.affinity")
    if "dnsConfig" in spec or spec.get("dnsPolicy") == "None":
        _dns(errors, spec, f"{path}.dnsConfig")
    for index, one in enumerate(spec.get("readinessGates") or ()):
        kind = one.get("conditionType", "")
        each_message(errors, f"{path}.readinessGates[{index}].conditionType", kind, qualified_name(kind))
    if "schedulingGates" in spec:
        _gates(errors, spec["schedulingGates"], f"{path}.schedulingGates")
    if "topologySpreadConstraints" in spec:
        check_spread(errors, spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    _scalars(errors, spec, path)


def _gates(errors: Errors, gates: list[Obj], path: str) -> None:
    seen: dict[str, None] = {}
    for index, one in enumerate(gates):
        each_message(errors, f"{path}[{index}]", one.get("name", ""), qualified_name(one.get("name", "")))
        if one.get("name", "") in seen:
            errors.append(duplicate(f"{path}[{index}]", one["name"]))
        seen[one.get("name", "")] = None


_NAMES = (
    ("serviceAccountName", dns_subdomain), ("nodeName", dns_subdomain), ("hostname", dns_label), ("subdomain",
    dns_label),
    ("priorityClassName", dns_subdomain), ("runtimeClassName", dns_subdomain),
)  # fmt: skip


def _scalars(errors: Errors, spec: Obj, path: str) -> None:
    for name, check in _NAMES[:2]:
        if spec.get(name):
            each_message(errors, f"{path}.{name}", spec[name], check(spec[name]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        errors.append(invalid(f"{path}.activeDeadlineSeconds", deadline, range_error(1, _MAX_INT32)))
    for name, check in _NAMES[2:4]:
        if spec.get(name):
            each_message(errors, f"{path}.{name}", spec[name], check(spec[name]))
    if spec.get("tolerations"):
        check_tolerations(errors, spec["tolerations"], f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        legacy_ip(errors, alias.get("ip", ""), f"{path}.hostAliases[{index}].ip")
        for position, host in enumerate(alias.get("hostnames") or ()):
            each_message(errors, f"{path}.hostAliases[{index}].hostnames[{position}]", host, dns_subdomain(host))
    for name, check in _NAMES[4:]:
        if spec.get(name):
            each_message(errors, f"{path}.{name}", spec[name], check(spec[name]))
    policy = spec.get("preemptionPolicy")
    if policy not in (None, "PreemptLowerPriority", "Never"):
        errors.append(unsupported(f"{path}.preemptionPolicy", policy, ("PreemptLowerPriority", "Never")))
    if spec.get("overhead"):
        check_resources(errors, {"limits": spec["overhead"]}, f"{path}.overhead", {})
    os = (spec.get("os") or {}).get("name", "")
    if "os" in spec and not os:
        errors.append(required(f"{path}.os.name", "cannot be empty"))
    elif os not in ("", "linux", "windows"):
        errors.append(unsupported(f"{path}.os", os, ("linux", "windows")))


def check_template(errors: Errors, template: Obj, path: str) -> None:
    """Add what is wrong with a PodTemplateSpec (ValidatePodTemplateSpec)."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    check_labels(errors, meta.get("labels"), f"{path}.labels")
    check_annotations(errors, meta.get("annotations"), f"{path}.annotations")
    check_pod_spec(errors, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))


def _pod_only(errors: Errors, spec: Obj) -> None:
    for key in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(key) or ()):
            image = one.get("image", "")
            if image != image.strip():
                text = "must not have leading or trailing whitespace"
                errors.append(invalid(f"spec.{key}[{index}].image", image, text))


def check_pod(errors: Errors, pod: Obj) -> None:
    """Add what is wrong with a new pod, metadata aside (ValidatePodCreate)."""
    spec = pod.get("spec") or {}
    check_pod_spec(errors, spec, "spec", True)
    _pod_only(errors, spec)
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        errors.append(forbidden("spec.nodeName", text))


def check_pod_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a pod has changed that may not (ValidatePodUpdate)."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if spec is before or spec == before:
        return
    check_pod_spec(errors, spec, "spec", True)
    _pod_only(errors, spec)
    for key in ("containers", "initContainers"):
        if len(spec.get(key) or ()) != len(before.get(key) or ()):
            errors.append(forbidden(f"spec.{key}", "pod updates may not add or remove containers"))
            return
        for index, one in enumerate(spec.get(key) or ()):
            if not one.get("image"):
                errors.append(required(f"spec.{key}[{index}].image"))
    if not _deadline(errors, spec, before):
        return
    _tolerations(errors, spec.get("tolerations") or [], before.get("tolerations") or [])
    had = [gate.get("name") for gate in before.get("schedulingGates") or ()]
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in had:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}].name", text))
    if _munged(spec, before) != before:
        errors.append(forbidden("spec", f"pod updates may not change fields other than {_UPDATABLE}\n"))


def _deadline(errors: Errors, spec: Obj, before: Obj) -> bool:
    path, new, old = (
        "spec.activeDeadlineSeconds",
        spec.get("activeDeadlineSeconds"),
        before.get("activeDeadlineSeconds"),
    )
    if new is None:
        if old is not None:
            errors.append(invalid(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= new <= _MAX_INT32:
        errors.append(invalid(path, new, range_error(0, _MAX_INT32)))
        return False
    if old is not None and old < new:
        errors.append(invalid(path, new, "must be less than or equal to previous value"))
        return False
    return True


def _tolerations(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    def bare(one: Obj) -> Obj:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    kept = [bare(one) for one in new]
    for one in old:
        if bare(one) not in kept:
            text = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden("spec.tolerations", text))
            return
    check_tolerations(errors, new, "spec.tolerations")


def _munged(spec: Obj, before: Obj) -> Obj:
    """Return ``spec`` with everything that may change put back to what it was."""
    out: dict[str, Any] = dict(spec)
    for key in ("containers", "initContainers"):
        if out.get(key):
            pairs = zip(out[key], before[key], strict=True)
            out[key] = [{**one, "image": was.get("image", "")} for one, was in pairs]
    kept = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    if before.get("terminationGracePeriodSeconds", 0) < 0 and out.get("terminationGracePeriodSeconds") == 1:
        kept.append("terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        kept += ["nodeSelector", "affinity"]
    for key in kept:
        if key in before:
            out[key] = before[key]
        else:
            out.pop(key, None)
    return out


__all__ = ["FieldError", "check_pod", "check_pod_spec", "check_pod_update", "check_template", "exact", "legacy_ip"]
