"""CoreDNS' kubernetes plugin: the answer to a question, as a pure function of the objects it has seen.

plugin/kubernetes (parse.go, kubernetes.go, reverse.go, handler.go) and plugin/backend_lookup.go, CoreDNS 1.12; the records are those of the
Kubernetes DNS specification 1.1.0. What is no zone of ours goes to ``upstream``. Answers are whole; what of them fits a
message says message.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kchaos.models.network.records import Address, Service, Zone

Upstream = Callable[[str, str], "Answer"]


class Record(NamedTuple):
    """One resource record."""

    name: str
    ttl: int
    type: str
    data: str

    @property
    def text(self) -> str:
        """Return ``name ttl type data``."""
        return f"{self.name} {self.ttl} {self.type} {self.data}"


class Answer(NamedTuple):
    """One reply."""

    rcode: str
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True


class Server(NamedTuple):
    """A server's configuration."""

    zones: tuple[str, ...] = ("cluster.local.", "in-addr.arpa.", "ip6.arpa.")
    ttl: int = 5
    pods: str = "insecure"
    """disabled, insecure or verified."""
    fallthrough: tuple[str, ...] = ("in-addr.arpa.", "ip6.arpa.")
    endpoint_pod_names: bool = False
    namespaces: tuple[str, ...] = ()
    ignore_empty: bool = False


class _Found(NamedTuple):
    """msg.Service: one candidate for a record."""

    host: str
    port: int
    name: str
    """The name that an SRV record points to."""


def _nowhere(name: str, kind: str) -> Answer:
    return Answer("SERVFAIL", authoritative=False)


def ask(server: Server, zone: Zone, name: str, kind: str, upstream: Upstream = _nowhere) -> Answer:
    """Answer one question; ``name`` is absolute, its case is kept."""
    lower = name.lower()
    mine = max((one for one in server.zones if lower == one or lower.endswith("." + one)), key=len, default="")
    if not mine:
        return upstream(name, kind)
    return _Lookup(server, zone, mine, upstream).serve(name, kind)


class _Lookup:
    """One question under way."""

    def __init__(self, server: Server, data: Zone, zone: str, upstream: Upstream) -> None:
        self._server = server
        self._data = data
        self._zone = zone
        self._upstream = upstream

    def serve(self, name: str, kind: str) -> Answer:
        lower = name.lower()
        records: list[Record] | None
        extra: list[Record] = []
        if kind in ("A", "AAAA"):
            records = self._addresses(name, kind, [])
        elif kind == "TXT" and lower == "dns-version." + self._zone:
            records = [Record(name, 28800, "TXT", '"1.1.0"')]
        elif kind == "SOA" and lower == self._zone:
            records = [self._soa()]
        elif kind == "CNAME":
            found = self._find(lower)
            records = None if found is None else [self._record(name, kind, _dot(one.host)) for one in found if _sort(one.host) == kind][:1]
        elif kind == "PTR":
            records = self._reverse(name)
        elif kind in ("SRV", "MX"):
            found = self._find(lower)
            records = None if found is None else self._service_records(name, found, extra) if kind == "SRV" else []
        else:
            records = None if self._find(lower) is None else []
        if records is None:
            if any(one == "." or lower == one or lower.endswith("." + one) for one in self._server.fallthrough):
                return self._upstream(name, kind)
            return Answer("NXDOMAIN", authority=(self._soa(),))
        if not records:
            return Answer("NOERROR", authority=(self._soa(),))
        return Answer("NOERROR", tuple(records), additional=tuple(extra))

    def _record(self, name: str, kind: str, data: str) -> Record:
        return Record(name, self._server.ttl, kind, data)

    def _soa(self) -> Record:
        ttl = self._server.ttl
        return Record(self._zone, ttl, "SOA", f"ns.dns.{self._zone} hostmaster.{self._zone} SERIAL 7200 1800 86400 {ttl}")

    # -- A, AAAA -------------------------------------------------------------------------------------------------------

    def _addresses(self, name: str, kind: str, before: list[Record]) -> list[Record] | None:
        found = self._find(name.lower())
        if found is None:
            return None
        out: dict[Record, None] = {}
        for one in found:
            sort = _sort(one.host)
            if sort == kind:
                out[self._record(name, kind, one.host)] = None
            elif sort == "CNAME":
                target = _dot(one.host)
                alias = self._record(name, "CNAME", target)
                if len(before) > 7 or target.lower() == name.lower() or any(target == old.data for old in before):
                    continue
                if target.lower() == self._zone or target.lower().endswith("." + self._zone):
                    more = self._addresses(target, kind, [*before, alias])
                    out.update(dict.fromkeys([alias, *more] if more else []))
                else:
                    out.update(dict.fromkeys([alias, *self._upstream(target, kind).answer]))
        return list(out)

    # -- SRV -----------------------------------------------------------------------------------------------------------

    def _service_records(self, name: str, found: list[_Found], extra: list[Record]) -> list[Record]:
        inner = [one for one in found if _sort(one.host) != "CNAME"]
        out: dict[Record, None] = {}
        weight = max(1, int(100 / len(inner))) if inner else 0
        for one in inner:
            if one.port < 0:
                continue
            out[self._record(name, "SRV", f"0 {weight} {one.port} {one.name}")] = None
            address = self._record(one.name, _sort(one.host), one.host)
            if address not in extra:
                extra.append(address)
        return list(out)

    # -- who is meant --------------------------------------------------------------------------------------------------

    def _exists(self, namespace: str) -> bool:
        server = self._server
        return namespace in self._data.namespaces and (not server.namespaces or namespace in server.namespaces)

    def _find(self, lower: str) -> list[_Found] | None:
        """Return what a name stands for; empty: it exists without records; None: there is no such name (parseRequest, Records)."""
        base = lower[: -len(self._zone)].rstrip(".")
        if base in ("", "svc", "pod"):
            return []
        if lower.endswith(".arpa."):
            return None
        if base == "ns.dns":
            return [_Found(one, 0, lower) for one in self._data.name_servers]
        parts = base.split(".")
        sort, rest = parts[-1], parts[:-1]
        if sort not in ("svc", "pod") or not self._exists(rest[-1]):
            return None
        if sort == "pod" and self._server.pods == "disabled":
            return None
        if len(rest) == 1:
            return []
        if sort == "pod":
            return self._pods(rest[-2], rest[-1], lower) if len(rest) <= 4 else None
        service = self._data.services.get(f"{rest[-1]}/{rest[-2]}")
        more = rest[:-2]
        if service is None or len(more) > 2:
            return None
        endpoint = more[0] if len(more) == 1 else ""
        port, proto = (more[0].removeprefix("_"), more[1].removeprefix("_")) if len(more) == 2 else ("", "")
        return self._services(service, endpoint, port, proto)

    def _pods(self, name: str, namespace: str, lower: str) -> list[_Found] | None:
        address = name.replace("-", ".") if name.count("-") == 3 and "--" not in name else name.replace("-", ":")
        if self._server.pods == "insecure":
            return [_Found(address, 0, lower)] if _sort(address) != "CNAME" else None
        return [_Found(address, 0, lower)] if (namespace, address) in self._data.pods else None

    def _services(self, service: Service, endpoint: str, port: str, proto: str) -> list[_Found] | None:
        name = f"{service.name}.{service.namespace}.svc.{self._zone}"
        if self._server.ignore_empty and not service.headless and not service.external_name and not service.addresses:
            return None
        if service.external_name:
            return None if endpoint or port or _sort(service.external_name) != "CNAME" else [_Found(service.external_name, 0, name)]
        out: list[_Found] = []
        if service.headless or endpoint:
            for one in service.addresses:
                host = self._host_of(one)
                if endpoint and endpoint != host.lower():
                    continue
                out.extend(_Found(one.address, number, f"{host}.{name}") for number in _ports(one.ports, port, proto))
            return out or None
        for number in _ports(service.ports, port, proto):
            out.extend(_Found(address, number, name) for address in service.cluster_ips)
        return out or None

    def _host_of(self, one: Address) -> str:
        if one.hostname:
            return one.hostname
        if self._server.endpoint_pod_names and one.pod:
            return one.pod
        return one.address.replace(".", "-").replace(":", "-")

    # -- PTR -----------------------------------------------------------------------------------------------------------

    def _reverse(self, name: str) -> list[Record] | None:
        address = _reversed(name.lower())
        if not address:
            return None if self._find(name.lower()) is None else []
        primary = next((one for one in self._server.zones if not one.endswith(".arpa.")), self._zone)
        known = [*self._data.services.values(), *self._data.unclaimed]
        shown = [one for one in known if not self._server.namespaces or one.namespace in self._server.namespaces]
        for service in shown:
            if address in service.cluster_ips:
                return [self._record(name, "PTR", f"{service.name}.{service.namespace}.svc.{primary}")]
        out = {
            self._record(name, "PTR", f"{self._host_of(one)}.{service.name}.{service.namespace}.svc.{primary}"): None
            for service in shown for one in service.addresses if one.address == address
        }  # fmt: skip
        return list(out) or None


def _ports(ports: Iterable[tuple[str, str, int]], wanted: str, proto: str) -> list[int]:
    """Return the numbers of the ports that match a name and protocol (matchPortAndProtocol); empty ones match all."""
    return [number for name, kind, number in ports if wanted in ("", name.lower()) and proto in ("", kind.lower())]


def _dot(name: str) -> str:
    return name if name.endswith(".") else name + "."


def _sort(host: str) -> str:
    """Return A, AAAA or CNAME: what record a host makes (msg.Service.HostType)."""
    if ":" in host:
        groups = host.split(":")
        plain = all(len(one) <= 4 and all(c in "0123456789abcdef" for c in one.lower()) for one in groups)
        return "AAAA" if plain and (len(groups) == 8 or ("::" in host and len(groups) <= 8 and host.count("::") == 1)) else "CNAME"
    parts = host.split(".")
    return "A" if len(parts) == 4 and all(one.isdigit() and int(one) < 256 and str(int(one)) == one for one in parts) else "CNAME"


def _reversed(name: str) -> str:
    """Return the address of a reverse name."""
    if name.endswith(".in-addr.arpa."):
        parts = name.removesuffix(".in-addr.arpa.").split(".")
        address = ".".join(reversed(parts))
        return address if _sort(address) == "A" else ""
    if name.endswith(".ip6.arpa."):
        digits = name.removesuffix(".ip6.arpa.").split(".")
        if len(digits) == 32 and all(len(one) == 1 for one in digits):
            from ipaddress import IPv6Address

            return str(IPv6Address(int("".join(reversed(digits)), 16)))
    return ""


Tables = Mapping[str, Zone]
