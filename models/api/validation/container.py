"""Containers: ports, environment, probes, hooks, resources, security (pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.quantity import exact, milli
from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import (
    Errors,
    Text,
    duplicate,
    forbidden,
    invalid,
    not_found,
    required,
    shown,
    unsupported,
)
from kchaos.models.api.validation.names import (
    config_key,
    dns_label,
    dns_subdomain,
    each_message,
    env_name,
    members_not_negative,
    not_negative,
    port_name,
    port_number,
    qualified_name,
    range_error,
    regex_error,
)
from kchaos.models.api.validation.volumes import check_mounts, field_selector, resource_selector

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_OTHER_STANDARD = frozenset(
    [
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
        "storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    ]
)
_SIDE_TEXT = "may not be set for init containers without restartPolicy=Always"
ID_RANGE = (0, 2**31 - 1)


def _ports(errors: Errors, ports: list[Obj], path: str) -> None:
    names: dict[str, None] = {}
    for index, port in enumerate(ports):
        name = port.get("name")
        if name:
            messages = port_name(name)
            if messages:
                each_message(errors, f"{path}[{index}].name", name, messages)
            elif name in names:
                errors.append(duplicate(f"{path}[{index}].name", name))
            names[name] = None
        number = port.get("containerPort", 0)
        if not number:
            errors.append(required(f"{path}[{index}].containerPort"))
        else:
            port_number(errors, f"{path}[{index}].containerPort", number)
        if port.get("hostPort"):
            port_number(errors, f"{path}[{index}].hostPort", port["hostPort"])
        if port.get("protocol") not in _PROTOCOLS:
            errors.append(unsupported(f"{path}[{index}].protocol", port.get("protocol", ""), _PROTOCOLS))


def _key_ref(errors: Errors, ref: Obj, path: str) -> None:
    each_message(errors, f"{path}.name", ref.get("name", ""), dns_subdomain(ref.get("name", "")))
    if not ref.get("key"):
        errors.append(required(f"{path}.key"))
    else:
        each_message(errors, f"{path}.key", ref["key"], config_key(ref["key"]))


def _env(errors: Errors, env: list[Obj], path: str) -> None:
    for index, var in enumerate(env):
        name = var.get("name", "")
        if not name:
            errors.append(required(f"{path}[{index}].name"))
        else:
            each_message(errors, f"{path}[{index}].name", name, env_name(name))
        source = var.get("valueFrom")
        if source is None:
            continue
        where, count = f"{path}[{index}].valueFrom", len(source)
        if "fieldRef" in source:
            field_selector(errors, source["fieldRef"], f"{where}.fieldRef", _ENV_FIELDS)
        if "resourceFieldRef" in source:
            resource_selector(errors, source["resourceFieldRef"], f"{where}.resourceFieldRef", False)
        for key in ("configMapKeyRef", "secretKeyRef"):
            if key in source:
                _key_ref(errors, source[key], f"{where}.{key}")
        if not count:
            text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            errors.append(invalid(where, "", text))
        elif var.get("value"):
            errors.append(invalid(where, "", "may not be specified when `value` is not empty"))
        elif count > 1:
            errors.append(invalid(where, "", "may not have more than one field specified at a time"))


def _env_from(errors: Errors, sources: list[Obj], path: str) -> None:
    for index, source in enumerate(sources):
        if source.get("prefix"):
            each_message(errors, f"{path}[{index}].prefix", source["prefix"], env_name(source["prefix"]))
        found = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in found:
            name = source[key].get("name", "")
            if not name:
                errors.append(required(f"{path}[{index}].{key}.name"))
            else:
                each_message(errors, f"{path}[{index}].{key}.name", name, dns_subdomain(name))
        if not found:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(found) > 1:
            errors.append(invalid(path, "", "may not have more than one field specified at a time"))


def port_or_name(errors: Errors, value: Any, path: str) -> None:
    """Add an error unless ``value`` is a port number or a port name."""
    if isinstance(value, str):
        each_message(errors, path, value, port_name(value))
    else:
        port_number(errors, path, value)


def _handler(errors: Errors, handler: Obj, path: str, grace: int | None) -> None:
    found = False
    for key in _HANDLERS:
        action = handler.get(key)
        if action is None:
            continue
        where = f"{path}.{key}"
        if found:
            errors.append(forbidden(where, "may not specify more than 1 handler type"))
            continue
        found = True
        if key == "exec":
            if not action.get("command"):
                errors.append(required(f"{where}.command"))
        elif key == "sleep":
            seconds = action.get("seconds", 0)
            if grace is not None and not 0 <= seconds <= grace:
                text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                errors.append(invalid(where, seconds, text))
        else:
            if key == "httpGet" and not action.get("path"):
                errors.append(required(f"{where}.path"))
            port_or_name(errors, action.get("port", 0), f"{where}.port")
            if key == "httpGet":
                if action.get("scheme") not in ("HTTP", "HTTPS"):
                    errors.append(unsupported(f"{where}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS")))
                for header in action.get("httpHeaders") or ():
                    _header(errors, header.get("name", ""), f"{where}.httpHeaders")
    if not found:
        errors.append(required(path, "must specify a handler type"))


def _header(errors: Errors, name: str, path: str) -> None:
    if not name or not all(char.isascii() and (char.isalnum() or char == "-") for char in name):
        words = "a valid HTTP header must consist of alphanumeric characters or '-'"
        errors.append(invalid(path, name, regex_error(words, "[-A-Za-z0-9]+", "X-Header-Name")))


def _probe(errors: Errors, probe: Obj, path: str, grace: int | None, kind: str) -> None:
    _handler(errors, probe, path, grace)
    members_not_negative(errors, probe, path, *_PROBE_NUMBERS)
    seconds = probe.get("terminationGracePeriodSeconds")
    where = f"{path}.terminationGracePeriodSeconds"
    if seconds is not None and seconds <= 0:
        errors.append(invalid(where, seconds, "must be greater than 0"))
    if kind == "readinessProbe":
        if seconds is not None:
            errors.append(invalid(where, seconds, "must not be set for readinessProbes"))
    elif probe.get("successThreshold", 1) != 1:
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))


def _life(errors: Errors, one: Obj, path: str, grace: int | None, os: str) -> None:
    lifecycle = one.get("lifecycle")
    if lifecycle is not None:
        for key in ("postStart", "preStop"):
            if lifecycle.get(key) is not None:
                _handler(errors, lifecycle[key], f"{path}.lifecycle.{key}", grace)
        if lifecycle.get("stopSignal") and not os:
            text = "may not be set for containers with empty `spec.os.name`"
            errors.append(forbidden(f"{path}.lifecycle.stopSignal", text))
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if key in one:
            _probe(errors, one[key], f"{path}.{key}", grace, key)


def resource_name(errors: Errors, name: str, path: str) -> bool:
    """Add what is wrong with the name of a resource in general; tell whether it is well-formed."""
    messages = qualified_name(name)
    each_message(errors, path, name, messages)
    if messages:
        return False
    if "/" not in name and name not in _STANDARD and name not in _OTHER_STANDARD and not name.startswith("hugepages-"):
        errors.append(invalid(path, name, "must be a standard resource type or fully qualified"))
        return False
    return True


def _container_resource(errors: Errors, name: str, path: str) -> None:
    if name in _STANDARD:
        return
    resource_name(errors, name, path)
    if "/" not in name:
        if not name.startswith("hugepages-"):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif "kubernetes.io/" not in name and (name.startswith("requests.") or qualified_name(f"requests.{name}")):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))


def resource_value(errors: Errors, name: str, amount: Any, path: str) -> None:
    """Add an error if an amount is negative, or a fraction of what comes in wholes only."""
    if exact(amount) < 0:
        errors.append(invalid(path, str(amount), "must be greater than or equal to 0"))
    if "/" in name and "kubernetes.io/" not in name and milli(amount) % 1000:
        errors.append(invalid(path, str(amount), "must be an integer"))


def overcommit(name: str) -> bool:
    """Tell whether requests of a resource may be below its limit (helper.IsOvercommitAllowed)."""
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")


def check_resources(errors: Errors, resources: Obj, path: str, claims: dict[str, None], pod_level: bool = False) -> None:
    """Add what is wrong with requests and limits (validateResourceRequirements)."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = f"{path}.{side}[{name}]"
            if pod_level:
                if resource_name(errors, name, where) and name not in ("cpu", "memory") and not name.startswith("hugepages-"):
                    errors.append(unsupported(where, name, ("cpu", "hugepages-", "memory")))
            elif name not in _STANDARD:
                _container_resource(errors, name, where)
            resource_value(errors, name, amount, where)
            if side == "limits":
                continue
            limit = limits.get(name)
            if limit is None:
                if not overcommit(name):
                    text = "Limit must be set for non overcommitable resources"
                    errors.append(required(f"{path}.limits", text))
            elif limit != amount and exact(amount) != exact(limit) and not overcommit(name):
                text = f"must be equal to {name} limit of {limit}"
                errors.append(invalid(f"{path}.requests", str(amount), text))
            elif limit != amount and exact(amount) > exact(limit):
                text = f"must be less than or equal to {name} limit of {limit}"
                errors.append(invalid(f"{path}.requests", str(amount), text))
    both = {**limits, **requests}
    if any(name.startswith("hugepages-") for name in both) and not ({"cpu", "memory"} & both.keys()):
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    for index, claim in enumerate(resources.get("claims") or ()):
        name = claim.get("name", "")
        where = f"{path}.claims[{index}]"
        if not name:
            errors.append(required(where))
        elif name not in claims:
            tail = " which is empty" if not claims else ": " + ", ".join(sorted(claims))
            missing = not_found(where, name)
            text = f"must be one of the names in pod.spec.resourceClaims{tail}"
            errors.append(type(missing)(missing.path, missing.type, text, name))


def seccomp(errors: Errors, profile: Obj | None, path: str) -> None:
    """Add what is wrong with a seccompProfile."""
    if profile is None:
        return
    kind, file = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in ("Localhost", "RuntimeDefault", "Unconfined"):
        errors.append(unsupported(f"{path}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined")))
    if kind == "Localhost":
        if file is None:
            errors.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
    elif file is not None:
        text = "can only be set when seccomp type is Localhost"
        sp = Text(f'{{"Type":{shown(kind)},"LocalhostProfile":{shown(file)}}}')
        errors.append(invalid(f"{path}.localhostProfile", sp, text))


def ids(errors: Errors, context: Obj, path: str, *names: str) -> None:
    """Add an error for each user or group number out of range."""
    for name in names:
        if name in context and not ID_RANGE[0] <= context[name] <= ID_RANGE[1]:
            errors.append(invalid(f"{path}.{name}", context[name], range_error(*ID_RANGE)))


_BASE = ("Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot",
         "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile",
         "AppArmorProfile")  # fmt: skip


def _internal_context(context: Obj) -> Text:
    """Return a container's security context as the internal Go struct prints."""
    parts = []
    for name in _BASE:
        key = "seLinuxOptions" if name == "SELinuxOptions" else name[0].lower() + name[1:]
        value = context.get(key)
        if key == "capabilities" and value is not None:
            value = {"Add": value.get("add"), "Drop": value.get("drop")}
        parts.append(f'"{name}":{shown(value)}')
    return Text("{" + ",".join(parts) + "}")


def _security(errors: Errors, context: Obj, path: str, host_users: bool) -> None:
    ids(errors, context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            errors.append(unsupported(f"{path}.procMount", mount, ("Default", "Unmasked")))
        if host_users and mount == "Unmasked":
            errors.append(invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(path, _internal_context(context), text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(path, _internal_context(context), text))


def check_container(errors: Errors, one: Obj, path: str, volumes: dict[str, Obj], spec: Obj, claims: dict[str, None]) -> None:
    """Add what is wrong with one container of any sort (validateContainerCommon)."""
    name = one.get("name", "")
    if not name:
        errors.append(required(f"{path}.name"))
    elif messages := dns_label(name):
        each_message(errors, f"{path}.name", name, messages)
    if not one.get("image"):
        errors.append(required(f"{path}.image"))
    policy = one.get("terminationMessagePolicy")
    if policy not in ("File", "FallbackToLogsOnError"):
        errors.append(unsupported(f"{path}.terminationMessagePolicy", policy, ("File", "FallbackToLogsOnError")))
    if "ports" in one:
        _ports(errors, one["ports"], f"{path}.ports")
    if "env" in one:
        _env(errors, one["env"], f"{path}.env")
    if "envFrom" in one:
        _env_from(errors, one["envFrom"], f"{path}.envFrom")
    if "volumeMounts" in one or "volumeDevices" in one:
        check_mounts(errors, one, volumes, path)
    pull = one.get("imagePullPolicy")
    if pull not in ("Always", "IfNotPresent", "Never"):
        errors.append(unsupported(f"{path}.imagePullPolicy", pull, ("Always", "IfNotPresent", "Never")))
    if one.get("resources"):
        check_resources(errors, one["resources"], f"{path}.resources", claims)
    if "resizePolicy" in one:
        _resize(errors, one["resizePolicy"], f"{path}.resizePolicy", spec.get("restartPolicy", ""))
    if one.get("securityContext"):
        _security(errors, one["securityContext"], f"{path}.securityContext", spec.get("hostUsers") is not False)


def _resize(errors: Errors, policies: list[Obj], path: str, restart: str) -> None:
    seen: dict[str, None] = {}
    for index, one in enumerate(policies):
        name, policy = one.get("resourceName", ""), one.get("restartPolicy", "")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen[name] = None
        if name not in ("cpu", "memory"):
            errors.append(unsupported(path, name, ("cpu", "memory")) if name else required(path))
        if policy not in ("NotRequired", "RestartContainer"):
            errors.append(unsupported(path, policy, ("NotRequired", "RestartContainer")) if policy else required(path))
        if restart == "Never" and policy != "NotRequired":
            errors.append(invalid(path, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))


def _host_ports(errors: Errors, containers: list[Obj], path: str) -> None:
    taken: dict[str, None] = {}
    for index, one in enumerate(containers):
        for position, port in enumerate(one.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            text = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if text in taken:
                errors.append(duplicate(f"{path}[{index}].ports[{position}].hostPort", text))
            taken[text] = None


def check_containers(errors: Errors, spec: Obj, path: str, volumes: dict[str, Obj]) -> None:
    """Add what is wrong with the containers, init containers and ephemeral containers of a pod spec."""
    grace, os = spec.get("terminationGracePeriodSeconds"), (spec.get("os") or {}).get("name", "")
    claims: dict[str, None] = {one.get("name", ""): None for one in spec.get("resourceClaims") or ()}
    names: dict[str, None] = {}
    containers = spec.get("containers") or []
    if not containers:
        errors.append(required(f"{path}.containers"))
    for index, one in enumerate(containers):
        where = f"{path}.containers[{index}]"
        check_container(errors, one, where, volumes, spec, claims)
        if one.get("name", "") in names:
            errors.append(duplicate(f"{where}.name", one.get("name", "")))
        names[one.get("name", "")] = None
        _life(errors, one, where, grace, os)
    _host_ports(errors, containers, f"{path}.containers")
    for index, one in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        check_container(errors, one, where, volumes, spec, claims)
        policy = one.get("restartPolicy")
        if policy is not None and policy != "Always":
            errors.append(unsupported(f"{where}.restartPolicy", policy, ("Always",)))
        if one.get("name", "") in names:
            errors.append(duplicate(f"{where}.name", one.get("name", "")))
        elif one.get("name"):
            names[one["name"]] = None
        _host_ports(errors, [one], f"{path}.initContainers")
        if policy == "Always":
            _life(errors, one, where, grace, os)
            continue
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if one.get(key) is not None:
                errors.append(forbidden(f"{where}.{key}", _SIDE_TEXT))


def check_quantity(errors: Errors, amount: Any, path: str) -> None:
    """Add an error if an amount is negative (ValidateNonnegativeQuantity)."""
    if exact(amount) < 0:
        errors.append(invalid(path, str(amount), "must be greater than or equal to 0"))


__all__ = ["check_container", "check_containers", "check_quantity", "check_resources", "ids", "not_negative", "seccomp"]
