"""(Services, EndpointSlices, node) -> the iptables rules that kube-proxy would have written.

pkg/proxy/iptables/proxier.go (syncProxyRules), Kubernetes 1.34: chains KUBE-SVC-* (all endpoints), KUBE-SVL-* (this node's), KUBE-EXT-*
(traffic from outside), KUBE-FW-* (load balancer source ranges), KUBE-SEP-* (one endpoint). Every Service port compiles on its own to a
*fragment*; a node's tables are the fragments put together, so a sync costs what changed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.network.addresses import net, number
from kchaos.models.network.base import FILTER, MARK_MASQ, NODE_PORTS_NOTE, frame
from kchaos.models.network.rules import Chain, Match, Rule, Table, comment, dport, random
from kchaos.models.network.services import SERVICE, Categories, Endpoint, ServicePort, categorize, endpoints_of, service_ports

UNREACHABLE = "icmp-port-unreachable"
LAST = "KUBE-SERVICES, last"
"""Where nftables mode's reject of a ClusterIP's other ports waits until all Services are told (pkg/proxy/nftables, set cluster-ips)."""


class Options(NamedTuple):
    """kube-proxy's flags as far as they show in rules."""

    node: str
    node_ips: tuple[str, ...] = ()
    zone: str = ""
    cluster_cidr: str = "10.244.0.0/16"
    masquerade_all: bool = False
    masquerade_bit: int = 14
    localhost_node_ports: bool = True
    node_port_addresses: tuple[str, ...] = ()
    """Addresses with node ports; empty: every local one."""
    interface_prefix: str = ""
    """--detect-local-mode=InterfaceNamePrefix: pods' traffic is known by its interface instead of ``cluster_cidr``."""
    family: int = 4
    mode: str = "iptables"
    """``nftables``: the same decisions; node ports not on loopback, and other ports of a ClusterIP are rejected."""

    @property
    def mark(self) -> str:
        """Return the mark for masquerading and its mask."""
        return f"0x{1 << self.masquerade_bit:x}"


class Fragment(NamedTuple):
    """What one Service port adds: rules for the shared chains (table, chain, rule) in order, and chains of its own in nat."""

    shared: tuple[tuple[str, str, Rule], ...]
    chains: Mapping[str, Chain]


@lru_cache(maxsize=65536)
def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def chain_name(kind: str, port: ServicePort, endpoint: Endpoint | None = None) -> str:
    """Return ``KUBE-SVC-…``: portProtoHash and servicePortEndpointChainName."""
    return f"KUBE-{kind}-" + _hash(port.label + port.protocol + (endpoint.key if endpoint is not None else ""))


def _host(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def _local(rule: Rule, options: Options, inside: bool) -> Rule:
    """Return a rule for traffic of this node's pods alone, or of all others; as it is if nothing tells them apart."""
    if options.interface_prefix:
        return rule._replace(interface=options.interface_prefix + "+", not_interface=not inside)
    return rule._replace(src=net(options.cluster_cidr), not_src=not inside) if options.cluster_cidr else rule


@lru_cache(maxsize=8192)
def fragment(port: ServicePort, categories: Categories, options: Options) -> Fragment:
    """Compile one Service port. Pure, and kept: nodes with the same endpoints in use have the same rules (so leave the node out)."""
    cluster, local = categories.cluster, categories.local
    inner = local if port.internal_local else cluster
    outer = local if port.external_local else cluster
    names = {kind: chain_name(kind, port) for kind in ("SVC", "SVL", "EXT", "FW")}
    shared: list[tuple[str, str, Rule]] = []
    chains: dict[str, Chain] = {}
    kind = ("DROP", "", "has no local endpoints") if categories.any else ("REJECT", UNREACHABLE, "has no endpoints")

    def at(table: str, chain: str, address: str, number: int, text: str, target: str, option: str = "", *more: Match) -> None:
        where = net(_host(address)) if address else None
        matches = (comment(f"{port.label} {text}".strip()), *more, dport(port.protocol, number))
        shared.append((table, chain, Rule(target, option, dst=where, proto=port.protocol, matches=matches)))

    def blocked(chain: str, address: str, number: int, *more: Match) -> None:
        at(FILTER, chain, address, number, kind[2], kind[0], kind[1], *more)

    if inner:
        target = names["SVL"] if port.internal_local else names["SVC"]
        at("nat", "KUBE-SERVICES", port.cluster_ip, port.port, "cluster IP", target)
    else:
        blocked("KUBE-SERVICES", port.cluster_ip, port.port)
    for address in port.external_ips:
        if categories.any:
            at("nat", "KUBE-SERVICES", address, port.port, "external IP", names["EXT"])
        if not outer:
            blocked("KUBE-EXTERNAL-SERVICES", address, port.port)
    walled = bool(categories.any and port.balancer_ips and port.source_ranges)
    for address in port.balancer_ips:
        if categories.any:
            at("nat", "KUBE-SERVICES", address, port.port, "loadbalancer IP", names["FW"] if walled else names["EXT"])
        if walled:
            at(FILTER, "KUBE-PROXY-FIREWALL", address, port.port, f"traffic not accepted by {names['FW']}", "DROP")
        if not outer:
            blocked("KUBE-EXTERNAL-SERVICES", address, port.port)
    if port.node_port:
        if categories.any:
            if options.localhost_node_ports and options.family == 4:
                rule = Rule(
                    names["EXT"], "", dst=net("127.0.0.0/8"), proto=port.protocol,
                    matches=(comment(port.label), dport(port.protocol, port.node_port), Match("nfacct", False, "localhost_nps_accepted_pkts")),
                )  # fmt: skip
                shared.append(("nat", "KUBE-NODEPORTS", rule))
            at("nat", "KUBE-NODEPORTS", "", port.node_port, "", names["EXT"])
        if not outer:
            blocked("KUBE-EXTERNAL-SERVICES", "", port.node_port, Match("addrtype", False, "dst", "LOCAL"))
            if options.mode == "nftables":  # node ports are none of loopback's there (nodePortAddresses)
                table, chain, rule = shared[-1]
                shared[-1] = (table, chain, rule._replace(dst=net("127.0.0.0/8"), not_dst=True))
    if port.health_port:
        shared.append((FILTER, "KUBE-NODEPORTS", Rule(
            "ACCEPT", "", proto="tcp", matches=(comment(f"{port.namespace}/{port.name} health check node port" if not port.port_name
            else f"{port.label} health check node port"), dport("tcp", port.health_port)),
        )))  # fmt: skip
    if options.mode == "nftables":
        shared.append((FILTER, LAST, Rule("REJECT", UNREACHABLE, dst=net(_host(port.cluster_ip)))))
    if categories.any:
        _own_chains(port, categories, options, names, chains, walled)
    return Fragment(tuple(shared), chains)


def _own_chains(
    port: ServicePort, categories: Categories, options: Options, names: Mapping[str, str], chains: dict[str, Chain], walled: bool
) -> None:
    inner = categories.local if port.internal_local else categories.cluster
    outer = categories.local if port.external_local else categories.cluster
    first: list[Rule] = []
    if inner and (options.masquerade_all or options.cluster_cidr or options.interface_prefix):
        matches = (comment(f"{port.label} cluster IP"), dport(port.protocol, port.port))
        mark = Rule(MARK_MASQ, dst=net(_host(port.cluster_ip)), proto=port.protocol, matches=matches)
        first.append(mark if options.masquerade_all else _local(mark, options, False))
    if port.external:
        chains[names["EXT"]] = _external(port, options, names, bool(outer))
    if walled:
        chains[names["FW"]] = _firewall(port, options, names)
    if categories.cluster and port.uses_cluster:
        chains[names["SVC"]] = (*([] if port.internal_local else first), *_spread(port, categories.cluster))
    if categories.local and port.uses_local:
        chains[names["SVL"]] = (*(first if port.internal_local else []), *_spread(port, categories.local))
    for endpoint in categories.reachable:
        chain = chain_name("SEP", port, endpoint)
        remember = (Match("recent-set", False, chain),) if port.affinity_s else ()
        chains[chain] = (
            Rule(MARK_MASQ, src=net(_host(endpoint.address)), matches=(comment(port.label),)),
            Rule("DNAT", endpoint.key, proto=port.protocol, matches=(comment(port.label), *remember, Match("dport", False, port.protocol))),
        )


def _external(port: ServicePort, options: Options, names: Mapping[str, str], outer: bool) -> Chain:
    """Return KUBE-EXT: Cluster masquerades everything; Local keeps the source, and lets pods and the node itself reach all endpoints."""
    tail = f"{port.label} external destinations"
    target = names["SVL"] if port.external_local else names["SVC"]
    last = (Rule(target),) if outer else ()
    if not port.external_local:
        return (Rule(MARK_MASQ, matches=(comment(f"masquerade traffic for {tail}"),)), *last)
    own = (Match("addrtype", False, "src", "LOCAL"),)
    pods: tuple[Rule, ...] = ()
    if options.interface_prefix or options.cluster_cidr:
        pods = (_local(Rule(names["SVC"], matches=(comment(f"pod traffic for {tail}"),)), options, True),)
    return (
        *pods,
        Rule(MARK_MASQ, matches=(comment(f"masquerade LOCAL traffic for {tail}"), *own)),
        Rule(names["SVC"], matches=(comment(f"route LOCAL traffic for {tail}"), *own)),
        *last,
    )


def _firewall(port: ServicePort, options: Options, names: Mapping[str, str]) -> Chain:
    note = (comment(f"{port.label} loadbalancer IP"),)
    out = [Rule(names["EXT"], src=net(text), matches=note) for text in port.source_ranges]
    if options.family == 4 and any(net(text).has(number(ip)) for text in port.source_ranges for ip in options.node_ips):
        out.extend(Rule(names["EXT"], src=net(_host(address)), matches=note) for address in port.balancer_ips)
    return (*out, Rule("", matches=(comment(f"other traffic to {port.label} will be dropped by KUBE-PROXY-FIREWALL"),)))


def _spread(port: ServicePort, endpoints: tuple[Endpoint, ...]) -> list[Rule]:
    """Return the jumps to endpoints (writeServiceToEndpointRules): affinity first, then each with probability 1/n of what is left."""
    out: list[Rule] = []
    notes = [(comment(f"{port.label} -> {one.key}"), chain_name("SEP", port, one)) for one in endpoints]
    if port.affinity_s:
        out.extend(Rule(chain, matches=(note, Match("recent-check", False, chain, str(port.affinity_s)))) for note, chain in notes)
    left = len(endpoints)
    for note, chain in notes:
        out.append(Rule(chain, matches=(note, random(1 / left)) if left > 1 else (note,)))
        left -= 1
    return out


def fragments(service: Obj, slices: Iterable[Obj], options: Options) -> dict[str, Fragment]:
    """Compile all ports of one Service: label/protocol -> fragment."""
    return {
        f"{port.label}/{port.protocol}": fragment(port, categories, options._replace(node="", zone=""))
        for port, categories in in_use(service, slices, options)
    }


def in_use(service: Obj, slices: Iterable[Obj], options: Options) -> list[tuple[ServicePort, Categories]]:
    """Return the ports of a Service with the endpoints that a node uses."""
    own = list(slices)
    out: list[tuple[ServicePort, Categories]] = []
    for port in service_ports(service, options.family):
        endpoints = endpoints_of(own, port.port_name, port.protocol, options.family, options.node)
        out.append((port, categorize(port, endpoints, options.node, options.zone)))
    return out


def assemble(parts: Iterable[Fragment], options: Options) -> dict[str, Table]:
    """Put fragments and the fixed frame together into a node's tables."""
    tables = {
        name: (dict(table.chains), table.policy)
        for name, table in frame(options.mark, options.localhost_node_ports and options.family == 4).items()
    }
    shared: dict[tuple[str, str], list[Rule]] = {}
    for part in parts:
        for table, chain, rule in part.shared:
            shared.setdefault((table, chain), []).append(rule)
        tables["nat"][0].update(part.chains)
    home: dict[str, Any] = {"dst": net("::1/128"), "not_dst": True} if options.family == 6 else {}
    local = (comment(NODE_PORTS_NOTE), Match("addrtype", False, "dst", "LOCAL"))
    to_node_ports = [Rule("KUBE-NODEPORTS", matches=local, **home)]
    if options.node_port_addresses:
        to_node_ports = [
            Rule("KUBE-NODEPORTS", dst=net(_host(one)), matches=(comment(NODE_PORTS_NOTE),)) for one in options.node_port_addresses
        ]
    if options.mode == "nftables":
        to_node_ports = [one._replace(dst=net("127.0.0.0/8"), not_dst=True) for one in to_node_ports]
        shared.setdefault((FILTER, "KUBE-SERVICES"), []).extend(dict.fromkeys(shared.pop((FILTER, LAST), ())))
    shared.setdefault(("nat", "KUBE-SERVICES"), []).extend(to_node_ports)
    for (table, chain), rules in shared.items():
        tables[table][0][chain] = tuple(rules)
    return {name: Table(chains, policy) for name, (chains, policy) in tables.items()}


def compile_rules(services: Iterable[Obj], slices: Iterable[Obj], options: Options) -> dict[str, Table]:
    """Compile everything at once."""
    behind: dict[str, list[Obj]] = {}
    for one in slices:
        name = (one["metadata"].get("labels") or {}).get(SERVICE, "")
        behind.setdefault(f"{one['metadata']['namespace']}/{name}", []).append(one)
    parts: list[Fragment] = []
    for service in services:
        key = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        parts.extend(fragments(service, behind.get(key, ()), options).values())
    return assemble(parts, options)
