"""Services (pkg/apis/core/validation/validation.go: validateService and below)."""

from __future__ import annotations

import ipaddress

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.container import port_or_name
from kchaos.models.api.validation.field import Errors, Text, duplicate, forbidden, invalid, required, shown, unsupported
from kchaos.models.api.validation.names import (
    IMMUTABLE,
    check_labels,
    dns_label,
    dns_subdomain,
    each_message,
    is_ip,
    port_number,
    qualified_name,
    unchanged,
)
from kchaos.models.api.validation.pod import legacy_ip

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_SPREADS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def legacy_cidr(errors: Errors, text: str, path: str) -> None:
    """Add an error unless ``text`` is a CIDR block."""
    try:
        if "/" not in text:
            raise ValueError
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        errors.append(invalid(path, text, _CIDR))


def endpoint_ip(errors: Errors, text: str, path: str) -> None:
    """Add an error if an address can't be that of an endpoint (ValidateEndpointIP)."""
    if not is_ip(text):
        errors.append(invalid(path, text, "must be a valid IP address"))
        return
    address = ipaddress.ip_address(text)
    if address.is_unspecified:
        errors.append(invalid(path, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        errors.append(invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        errors.append(invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address.is_multicast and str(address).startswith(("224.0.0.", "ff02")):
        errors.append(invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))


def _port(errors: Errors, port: Obj, path: str, many: bool, names: dict[str, None]) -> None:
    name = port.get("name", "")
    if many and not name:
        errors.append(required(f"{path}.name"))
    elif name:
        each_message(errors, f"{path}.name", name, dns_label(name))
        if name in names:
            errors.append(duplicate(f"{path}.name", name))
        names[name] = None
    port_number(errors, f"{path}.port", port.get("port", 0))
    protocol = port.get("protocol", "")
    if protocol not in _PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", protocol, _PROTOCOLS))
    port_or_name(errors, port.get("targetPort", 0), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        each_message(errors, f"{path}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def _external_name(errors: Errors, spec: Obj) -> None:
    if spec.get("clusterIPs") or spec.get("clusterIP"):
        errors.append(forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    for name in ("ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            errors.append(forbidden(f"spec.{name}", "may not be set for ExternalName services"))
    host = spec.get("externalName", "").removesuffix(".")
    if host:
        each_message(errors, "spec.externalName", host, dns_subdomain(host))
    else:
        errors.append(required("spec.externalName"))


def _affinity(errors: Errors, spec: Obj) -> None:
    affinity = spec.get("sessionAffinity", "")
    if affinity not in ("ClientIP", "None"):
        errors.append(unsupported("spec.sessionAffinity", affinity, ("ClientIP", "None")))
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 10800)
        if not 0 < seconds <= 86400:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            errors.append(invalid(path, seconds, "must be greater than 0 and less than 86400"))


def _addresses(errors: Errors, spec: Obj) -> None:
    if spec.get("type") == "ExternalName":
        return
    policy = spec.get("ipFamilyPolicy")
    allowed = ("PreferDualStack", "RequireDualStack", "SingleStack")
    if policy is not None and policy not in allowed:
        errors.append(invalid("spec.ipFamilyPolicy", policy, "supported values: " + ", ".join(f'"{one}"' for one in allowed)))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            errors.append(unsupported(f"spec.ipFamilies[{index}]", family, ("IPv4", "IPv6")))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    address = spec.get("clusterIP", "")
    listed = spec.get("clusterIPs") or ([address] if address else [])
    if spec.get("clusterIPs") and not address:
        errors.append(invalid("spec.clusterIPs", listed, "must be empty when `clusterIP` is not specified"))
    elif spec.get("clusterIPs") and listed[0] != address:
        errors.append(invalid("spec.clusterIPs", spec["clusterIPs"], "first value must match `clusterIP`"))
    for index, one in enumerate(listed):
        if one == "None":
            if len(listed) > 1:
                text = "'None' must be the first and only value"
                errors.append(invalid(f"spec.clusterIPs[{index}]", one, text))
        elif not is_ip(one):
            legacy_ip(errors, one, f"spec.clusterIPs[{index}]")


def _unique_ports(errors: Errors, ports: list[Obj], kind: str) -> None:
    if kind == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                text = "may not be used when `type` is 'ClusterIP'"
                errors.append(forbidden(f"spec.ports[{index}].nodePort", text))
    for key in ("nodePort", "port"):
        seen: dict[tuple[str, int], None] = {}
        for index, port in enumerate(ports):
            one = (port.get("protocol", ""), port.get(key, 0))
            if one in seen and (key == "port" or one[1]):
                protocol = shown(one[0])
                shape = f'{{"Name":"","Protocol":{protocol},"AppProtocol":null,"Port":{one[1]},'
                value = Text(shape + '"TargetPort":0,"NodePort":0}') if key == "port" else one[1]
                errors.append(duplicate(f"spec.ports[{index}]" + ("" if key == "port" else ".nodePort"), value))
            seen[one] = None


def _balancer(errors: Errors, spec: Obj, kind: str) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or []
    path = "spec.LoadBalancerSourceRanges"
    if ranges and kind != "LoadBalancer":
        errors.append(forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
    for index, one in enumerate(ranges):
        legacy_cidr(errors, one.strip(), f"{path}[{index}]")
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(name) is not None and kind != "LoadBalancer":
            text = "may only be used when `type` is 'LoadBalancer'"
            errors.append(forbidden(f"spec.{name}", text))
    chosen = spec.get("loadBalancerClass")
    if chosen is not None and kind == "LoadBalancer":
        each_message(errors, "spec.loadBalancerClass", chosen, qualified_name(chosen))


def _traffic(errors: Errors, spec: Obj, kind: str) -> None:
    outside = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    policy = spec.get("externalTrafficPolicy", "")
    if not outside:
        if policy:
            text = "may only be set for externally-accessible services"
            errors.append(invalid("spec.externalTrafficPolicy", policy, text))
    elif policy not in _POLICIES:
        errors.append(unsupported("spec.externalTrafficPolicy", policy, _POLICIES))
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and policy == "Local"):
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", health, text))
    inside = spec.get("internalTrafficPolicy")
    if inside is not None and inside not in _POLICIES:
        errors.append(unsupported("spec.internalTrafficPolicy", inside, _POLICIES))
    spread = spec.get("trafficDistribution")
    if spread is not None and spread not in _SPREADS:
        errors.append(unsupported("spec.trafficDistribution", spread, _SPREADS))


def check_service(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a Service, whether its addresses are allocated yet or not."""
    spec = obj.get("spec") or {}
    kind, ports, headless = spec.get("type", ""), spec.get("ports") or [], spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if headless and kind in ("LoadBalancer", "NodePort"):
        text = f"may not be set to 'None' for {kind} services"
        errors.append(invalid("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        _external_name(errors, spec)
    names: dict[str, None] = {}
    for index, port in enumerate(ports):
        _port(errors, port, f"spec.ports[{index}]", len(ports) > 1, names)
    check_labels(errors, spec.get("selector"), "spec.selector")
    _affinity(errors, spec)
    _addresses(errors, spec)
    for index, one in enumerate(spec.get("externalIPs") or ()):
        if not is_ip(one):
            legacy_ip(errors, one, f"spec.externalIPs[{index}]")
        else:
            endpoint_ip(errors, one, f"spec.externalIPs[{index}]")
    if kind not in _TYPES:
        errors.append(unsupported("spec.type", kind, _TYPES))
    _unique_ports(errors, ports, kind)
    _balancer(errors, spec, kind)
    _traffic(errors, spec, kind)


def check_service_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what of a Service has changed that may not: its address, its family, its load balancer class."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    kinds = (before.get("type"), spec.get("type"))
    if "ExternalName" not in kinds:
        was, now = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
        if was and was[0] and (now[:1] != was[:1]):
            errors.append(invalid("spec.clusterIPs[0]", now, "may not change once set"))
        families, had = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if had and families[:1] != had[:1]:
            errors.append(invalid("spec.ipFamilies[0]", families, "may not change once set"))
    if kinds == ("LoadBalancer", "LoadBalancer"):
        name, was_name = spec.get("loadBalancerClass"), before.get("loadBalancerClass")
        if name != was_name:
            errors.append(invalid("spec.loadBalancerClass", name, "may not change once set"))
        health, was_health = spec.get("healthCheckNodePort"), before.get("healthCheckNodePort")
        if health and was_health and health != was_health:
            errors.append(forbidden("spec.healthCheckNodePort", IMMUTABLE))


__all__ = ["check_service", "check_service_update", "endpoint_ip", "legacy_cidr", "unchanged"]
