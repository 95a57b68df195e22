"""Which Services a workload names in its environment and its arguments: whom its pods will surely ask.

Only what can hardly mean anything else counts: a Service's name with one of its ports (``redis:6379``), in a URL, with its namespace and
``svc``, or alone in a variable that is called so (``DB_HOST``). Values of variables are kept as hashes (redact.py), so of those only whole
values are known again: an address, with or without a scheme before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kchaos.engine.references import Pods
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.redact import hashed

_HOST = re.compile(r"(?P<scheme>://(?:[^/@\s]*@)?)?(?<![\w.-])(?P<name>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(?::(?P<port>\d{1,5}))?(?![\w.-])")
_CALLED_SO = re.compile(r"(HOST|HOSTNAME|ADDR|ADDRESS|SERVER|ENDPOINT|SERVICE)$", re.IGNORECASE)
SCHEMES = ("http", "https", "tcp", "udp", "grpc", "redis", "amqp", "mongodb", "mysql", "postgres", "postgresql", "nats")
Services = Mapping[str, Obj]
"""By namespace/name."""
Address = tuple[str, int | None]
"""A Service (namespace/name) and one of its ports, or None for any."""


class Named(NamedTuple):
    """A Service that pods name, with the port (None: any of its ports), and where they do."""

    service: str
    port: int | None
    path: str


class Hidden(NamedTuple):
    """Addresses by their hash: ``whole`` can mean nothing else, ``bare`` is a Service's name alone."""

    whole: Mapping[str, Address]
    bare: Mapping[str, Address]


def _numbers(service: Obj) -> list[int]:
    return [one["port"] for one in get(service, "spec", "ports", default=()) or () if isinstance(one.get("port"), int)]


def hidden_in(space: str, services: Services) -> Hidden:
    """Return what pods of a namespace may call the Services."""
    whole: dict[str, Address] = {}
    bare: dict[str, Address] = {}
    for key, service in services.items():
        home, _, name = key.partition("/")
        long = [f"{name}.{home}.svc", f"{name}.{home}.svc.cluster.local"]
        hosts = [*([name] if home == space else []), f"{name}.{home}", *long]
        addresses = {f"{host}:{port}": (key, port) for host in hosts for port in _numbers(service)}
        for text, address in addresses.items():
            for form in (text, *(f"{scheme}://{text}{end}" for scheme in SCHEMES for end in ("", "/"))):
                whole[hashed(form)] = address
        for host in hosts:
            for scheme in SCHEMES:
                whole[hashed(f"{scheme}://{host}")] = whole[hashed(f"{scheme}://{host}/")] = (key, None)
        for host in long:
            whole[hashed(host)] = (key, None)
        for host in hosts[:-2]:
            bare[hashed(host)] = (key, None)
    return Hidden(whole, bare)


def named_services(pods: Pods, services: Services, hidden: Hidden) -> list[Named]:
    """Return the Services that pods name, each port once, in the order of the text. ``hidden``: of the pods' namespace."""
    found: dict[Address, Named] = {}
    for path, container in pods.containers():
        for at, address in (*_variables(path, container, hidden), *_arguments(path, container, pods.space, services)):
            found.setdefault(address, Named(*address, at))
    return list(found.values())


def _variables(path: str, container: Obj, hidden: Hidden) -> Iterator[tuple[str, Address]]:
    for index, one in enumerate(get(container, "env", default=()) or ()):
        value = one.get("value") if isinstance(one, dict) else None
        if not isinstance(value, str):
            continue
        address = hidden.whole.get(value)
        if address is None and _CALLED_SO.search(str(one.get("name") or "")):
            address = hidden.bare.get(value)
        if address is not None:
            yield f"{path}.env[{index}].value", address


def _arguments(path: str, container: Obj, space: str, services: Services) -> Iterator[tuple[str, Address]]:
    for field in ("command", "args"):
        for index, text in enumerate(get(container, field, default=()) or ()):
            for match in _HOST.finditer(text) if isinstance(text, str) else ():
                address = _address(match, space, services)
                if address is not None:
                    yield f"{path}.{field}[{index}]", address


def _address(match: re.Match[str], space: str, services: Services) -> Address | None:
    """Return what a host name in a text stands for; a pod's own name before it (``db-0.db``) may be there."""
    parts = match["name"].split(".")
    port = int(match["port"]) if match["port"] else None
    for first in range(min(2, len(parts))):
        rest = parts[first + 1 :]
        key = f"{rest[0] if rest else space}/{parts[first]}"
        if key not in services:
            continue
        if port in _numbers(services[key]):
            return key, port
        if port is None and (match["scheme"] or rest[1:2] == ["svc"]):
            return key, None
    return None
