"""Ingresses, network policies, endpoints (pkg/apis/networking/validation, pkg/apis/discovery/validation)."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import (
    TOO_MANY,
    Errors,
    FieldError,
    duplicate,
    forbidden,
    invalid,
    required,
    unsupported,
)
from kchaos.models.api.validation.names import (
    check_selector,
    dns_1035,
    dns_label,
    dns_subdomain,
    dns_wildcard,
    each_message,
    is_ip,
    label_value,
    path_segment,
    port_name,
    port_number,
    qualified_name,
    unchanged,
)
from kchaos.models.api.validation.pod import legacy_ip
from kchaos.models.api.validation.services import endpoint_ip, legacy_cidr

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES, _BAD_ENDS = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def _reference(errors: Errors, ref: Obj, path: str) -> None:
    if ref.get("apiGroup") is not None:
        each_message(errors, f"{path}.apiGroup", ref["apiGroup"], dns_subdomain(ref["apiGroup"]))
    for name in ("kind", "name"):
        if not ref.get(name):
            errors.append(required(f"{path}.{name}"))
        else:
            each_message(errors, f"{path}.{name}", ref[name], path_segment(ref[name]))


def _backend(errors: Errors, backend: Obj, path: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errors.append(invalid(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        _reference(errors, resource, f"{path}.resource")
    elif service is not None:
        name, port = service.get("name", ""), service.get("port") or {}
        if not name:
            errors.append(required(f"{path}.service.name"))
        else:
            each_message(errors, f"{path}.service.name", name, dns_1035(name))
        if port.get("name") and port.get("number"):
            errors.append(invalid(path, "", "cannot set both port name & port number"))
        elif port.get("name"):
            each_message(errors, f"{path}.service.port.name", port["name"], port_name(port["name"]))
        elif port.get("number"):
            port_number(errors, f"{path}.service.port.number", port["number"])
        else:
            errors.append(required(path, "port name or number is required"))
    else:
        errors.append(invalid(path, "", "resource or service backend is required"))


def _path(errors: Errors, one: Obj, path: str) -> None:
    kind, text = one.get("pathType"), one.get("path", "")
    if kind is None:
        errors.append(required(f"{path}.pathType", "pathType must be specified"))
        return
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
        for part in _BAD_SEQUENCES:
            if part in text:
                errors.append(invalid(f"{path}.path", text, f"must not contain '{part}'"))
        for part in _BAD_ENDS:
            if text.endswith(part):
                errors.append(invalid(f"{path}.path", text, f"cannot end with '{part}'"))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(f"{path}.path", text, "must be an absolute path"))
    else:
        errors.append(unsupported(f"{path}.pathType", kind, _PATH_TYPES))
    _backend(errors, one.get("backend") or {}, f"{path}.backend")


def check_ingress(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with an Ingress."""
    spec = obj.get("spec") or {}
    rules, default = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and default is None:
        errors.append(invalid("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if default is not None:
        _backend(errors, default, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        where, host = f"spec.rules[{index}]", rule.get("host", "")
        if host and is_ip(host):
            errors.append(invalid(f"{where}.host", host, "must be a DNS name, not an IP address"))
        if host:
            each_message(errors, f"{where}.host", host, dns_wildcard(host) if "*" in host else dns_subdomain(host))
        http = rule.get("http")
        if http is not None:
            if not http.get("paths"):
                errors.append(required(f"{where}.http.paths"))
            for position, one in enumerate(http.get("paths") or ()):
                _path(errors, one, f"{where}.http.paths[{position}]")
    for index, one in enumerate(spec.get("tls") or ()):
        for position, host in enumerate(one.get("hosts") or ()):
            messages = dns_wildcard(host) if "*" in host else dns_subdomain(host)
            each_message(errors, f"spec.tls[{index}].hosts[{position}]", host, messages)
        secret = one.get("secretName")
        if secret:
            each_message(errors, f"spec.tls[{index}].secretName", secret, dns_subdomain(secret))
    if spec.get("ingressClassName") is not None:
        each_message(errors, "spec.ingressClassName", spec["ingressClassName"], dns_subdomain(spec["ingressClassName"]))


def domain_path(errors: Errors, text: str, path: str) -> None:
    """Add an error unless ``text`` is a domain-prefixed path such as ``acme.io/foo`` (IsDomainPrefixedPath)."""
    if not text:
        errors.append(required(path))
        return
    domain, slash, rest = text.partition("/")
    if not slash or not domain or not rest:
        errors.append(invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")'))
        return
    each_message(errors, path, domain, dns_subdomain(domain))
    if not re.fullmatch(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", rest):
        errors.append(invalid(path, rest, "Invalid path"))


def check_ingressclass(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with an IngressClass."""
    spec = obj.get("spec") or {}
    domain_path(errors, spec.get("controller", ""), "spec.controller")
    params, path = spec.get("parameters"), "spec.parameters"
    if params is None:
        return
    _reference(errors, params, path)
    scope, namespace = params.get("scope", ""), params.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        errors.append(unsupported(f"{path}.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace":
        if namespace is None:
            errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
        else:
            each_message(errors, f"{path}.namespace", namespace, dns_label(namespace))
    elif namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))


def check_ingressclass_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the controller has changed."""
    now, was = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    unchanged(errors, now, was, "spec.controller")


def _policy_port(errors: Errors, one: Obj, path: str) -> None:
    port, end = one.get("port"), one.get("endPort")
    if one.get("protocol", "TCP") not in _PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", one["protocol"], ("TCP", "UDP", "SCTP")))
    if port is None:
        if end is not None:
            errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
    elif isinstance(port, str):
        if end is not None:
            errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
        each_message(errors, f"{path}.port", port, port_name(port))
    else:
        port_number(errors, f"{path}.port", port)
        if end is not None:
            if end < port:
                errors.append(invalid(f"{path}.endPort", port, "must be greater than or equal to `port`"))
            port_number(errors, f"{path}.endPort", end)


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _block(errors: Errors, block: Obj, path: str) -> None:
    cidr = block.get("cidr", "")
    if not cidr:
        errors.append(required(f"{path}.cidr"))
        return
    legacy_cidr(errors, cidr, f"{path}.cidr")
    outer = _network(cidr)
    if outer is None:
        return
    for index, text in enumerate(block.get("except") or ()):
        legacy_cidr(errors, text, f"{path}.except[{index}]")
        inner = _network(text)
        if inner is None:
            continue
        inside = inner.version == outer.version and inner.subnet_of(outer)
        if not inside or inner.prefixlen <= outer.prefixlen:
            errors.append(invalid(f"{path}.except[{index}]", text, "must be a strict subset of `cidr`"))


def _peer(errors: Errors, peer: Obj, path: str) -> None:
    for name in ("podSelector", "namespaceSelector"):
        check_selector(errors, peer.get(name), f"{path}.{name}")
    if peer.get("ipBlock") is not None:
        _block(errors, peer["ipBlock"], f"{path}.ipBlock")
    if not peer:
        errors.append(required(path, "must specify a peer"))
    elif len(peer) > 1 and peer.get("ipBlock") is not None:
        errors.append(forbidden(path, "may not specify both ipBlock and another peer"))


def check_networkpolicy(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with a NetworkPolicy."""
    spec = obj.get("spec") or {}
    check_selector(errors, spec.get("podSelector"), "spec.podSelector")
    for key, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(key) or ()):
            where = f"spec.{key}[{index}]"
            for position, one in enumerate(rule.get("ports") or ()):
                _policy_port(errors, one, f"{where}.ports[{position}]")
            for position, one in enumerate(rule.get(peers) or ()):
                _peer(errors, one, f"{where}.{peers}[{position}]")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        errors.append(invalid("spec.policyTypes", kinds, "may not specify more than two policyTypes"))
        return
    for index, one in enumerate(kinds):
        if one not in ("Ingress", "Egress"):
            errors.append(unsupported(f"spec.policyTypes[{index}]", one, ("Ingress", "Egress")))


def _address(errors: Errors, text: str, kind: str, path: str, index: int) -> None:
    where = f"{path}[{index}]"
    if kind in ("IPv4", "IPv6"):
        if not is_ip(text):
            legacy_ip(errors, text, where)
            return
        if ipaddress.ip_address(text).version != int(kind[-1]):
            errors.append(invalid(path, text, f"must be an {kind} address"))
        endpoint_ip(errors, text, where)
    elif kind == "FQDN":
        each_message(errors, where, text, dns_subdomain(text.removesuffix(".")))
        if "." not in text and not dns_subdomain(text):
            errors.append(invalid(where, text, "should be a domain with at least two segments separated by dots"))


def check_endpointslice(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with an EndpointSlice."""
    kind = obj.get("addressType", "")
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ("FQDN", "IPv4", "IPv6"):
        errors.append(unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6")))
    names: dict[str, None] = {}
    for index, port in enumerate(obj.get("ports") or ()):
        _slice_port(errors, port, f"ports[{index}]", names)
    endpoints = obj.get("endpoints") or []
    if len(endpoints) > 1000:
        errors.append(FieldError("endpoints", TOO_MANY, "must have at most 1000 items", len(endpoints)))
        return
    for index, one in enumerate(endpoints):
        where, addresses = f"endpoints[{index}]", one.get("addresses") or []
        if not addresses:
            errors.append(required(f"{where}.addresses", "must contain at least 1 address"))
        elif len(addresses) > 100:
            errors.append(FieldError(f"{where}.addresses", TOO_MANY, "must have at most 100 items", len(addresses)))
        for position, text in enumerate(addresses):
            _address(errors, text, kind, f"{where}.addresses", position)
        if one.get("nodeName") is not None:
            each_message(errors, f"{where}.nodeName", one["nodeName"], dns_subdomain(one["nodeName"]))
        if one.get("hostname") is not None:
            each_message(errors, f"{where}.hostname", one["hostname"], dns_label(one["hostname"]))
        zones: dict[str, None] = {}
        for position, zone in enumerate((one.get("hints") or {}).get("forZones") or ()):
            at, name = f"{where}.hints.forZones[{position}].name", zone.get("name", "")
            if name in zones:
                errors.append(duplicate(at, name))
            zones[name] = None
            each_message(errors, at, name, label_value(name))


def _slice_port(errors: Errors, port: Obj, path: str, names: dict[str, None]) -> None:
    name = port.get("name", "")
    if name:
        each_message(errors, f"{path}.name", name, dns_label(name))
    if name in names:
        errors.append(duplicate(f"{path}.name", name))
    names[name] = None
    if port.get("protocol") not in _PROTOCOLS:
        errors.append(unsupported(f"{path}.protocol", port.get("protocol", ""), _PROTOCOLS))
    if port.get("appProtocol") is not None:
        each_message(errors, f"{path}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def check_endpointslice_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add an error if the address type has changed."""
    unchanged(errors, new.get("addressType", ""), old.get("addressType"), "addressType")


def check_endpoints(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with an Endpoints object."""
    for index, subset in enumerate(obj.get("subsets") or ()):
        where, ports = f"subsets[{index}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(where, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for position, one in enumerate(subset.get(key) or ()):
                at = f"{where}.{key}[{position}]"
                legacy_ip(errors, one.get("ip", ""), f"{at}.ip")
                if one.get("hostname"):
                    each_message(errors, f"{at}.hostname", one["hostname"], dns_label(one["hostname"]))
                if one.get("nodeName") is not None:
                    each_message(errors, f"{at}.nodeName", one["nodeName"], dns_subdomain(one["nodeName"]))
                endpoint_ip(errors, one.get("ip", ""), f"{at}.ip")
        for position, port in enumerate(ports):
            at, name = f"{where}.ports[{position}]", port.get("name", "")
            if len(ports) > 1 and not name:
                errors.append(required(f"{at}.name"))
            elif name:
                each_message(errors, f"{at}.name", name, dns_label(name))
            port_number(errors, f"{at}.port", port.get("port", 0))
            if port.get("protocol") not in _PROTOCOLS:
                errors.append(unsupported(f"{at}.protocol", port.get("protocol", ""), _PROTOCOLS))
