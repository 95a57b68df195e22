"""Recorded rule sets of kube-proxy: are those that we compile from the same Services and EndpointSlices equal to them?

A rule set is equal if each table has the same chains and each chain the same rules. Among Services the real proxy's order in the shared
chains is not defined, so there rules are compared as multisets, but for what the order decides: the jump to the node ports comes last, and a
port's loopback rule before its plain one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kchaos.models.api.tree import Obj, get
from kchaos.models.conform.judge import Fact
from kchaos.models.network.compiler import Options, compile_rules
from kchaos.models.network.rules import written
from kchaos.models.network.services import SERVICE, ZONE, Health, health_checks

SHARED = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
TABLES = ("mangle", "filter", "nat")
"""Those that kube-proxy writes; a machine may have more."""
LOOPBACK = "-d 127.0.0.0/8 "
Saved = Mapping[str, Mapping[str, Sequence[str]]]
"""Table -> chain -> lines of `iptables-save`."""


def zone_of_node(node: Obj) -> str:
    """Return a Node's zone; of one recorded with labels beside its name as well."""
    labels = node.get("labels") or get(node, "metadata", "labels", default={})
    return str(labels.get(ZONE, ""))


def _address(node: Obj) -> str:
    return str(next(one["address"] for one in node["addresses"] if one["type"] == "InternalIP"))


def options_of(variant: str, nodes: Iterable[Obj], node: str, cidr: str = "10.244.0.0/16") -> Options | None:
    """Return the flags that a recorded variant ran with; None if its rules are of another kind than iptables'."""
    table = {one["name"]: one for one in nodes}
    me = table["n2" if variant == "iptables_node_n2" else node]
    plain = Options(me["name"], (_address(me),), zone_of_node(me), cidr)
    variants = {
        "iptables": plain,
        "iptables_node_n2": plain,
        "ip6tables": plain._replace(family=6, cluster_cidr="", node_ips=()),
        "iptables_masquerade_all": plain._replace(masquerade_all=True),
        "iptables_nodeport_addresses_bit10": plain._replace(
            masquerade_bit=10, localhost_node_ports=False, node_port_addresses=(_address(me),)
        ),
        "iptables_interface_prefix": plain._replace(cluster_cidr="", interface_prefix="veth"),
    }
    return variants.get(variant)


def lines_of(recorded: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]) -> Saved:
    """Return the chains of a recorded rule set."""
    return {table: content["chains"] for table, content in recorded.items()}


def difference(want: Saved, have: Saved) -> str:
    """Return the first difference between two rule sets; empty if they are equal."""
    for table in TABLES:
        ours, theirs = have.get(table, {}), want.get(table, {})
        for chain in sorted({*ours, *theirs}):
            if chain not in ours or chain not in theirs:
                return f"{table} {chain}: {'missing' if chain in theirs else 'not there'}"
            found = _chain_difference(chain, list(theirs[chain]), list(ours[chain]))
            if found:
                return f"{table} {chain}: {found}"
    return ""


def _chain_difference(chain: str, want: list[str], have: list[str]) -> str:
    if chain not in SHARED:
        pairs = zip([*want, *[""] * (len(have) - len(want))], [*have, *[""] * (len(want) - len(have))], strict=True)
        return next((f"want {a or 'nothing'!r}, got {b or 'nothing'!r}" for a, b in pairs if a != b), "")
    lost, more = Counter(want) - Counter(have), Counter(have) - Counter(want)
    if lost or more:
        return f"want {next(iter(lost), 'nothing')!r}, got {next(iter(more), 'nothing')!r}"
    jumps = ["-j KUBE-NODEPORTS" in line for line in have]
    if chain == "KUBE-SERVICES" and jumps != sorted(jumps):
        return "the jump to KUBE-NODEPORTS is not last"
    places = {line: index for index, line in enumerate(have)}
    for line, index in places.items():
        plain = line.removeprefix(LOOPBACK).partition(" -m nfacct")[0]
        if line.startswith(LOOPBACK) and any(one.startswith(plain) and at < index for one, at in places.items()):
            return f"comes too late: {line!r}"
    return ""


def judge_rules(story: Obj) -> Iterator[Fact]:
    """Judge each recorded rule set and health answer of a story."""
    for index, step in enumerate(story["steps"]):
        services = [one for one in step["objects"] if one["kind"] == "Service"]
        slices = [one for one in step["objects"] if one["kind"] == "EndpointSlice"]
        for variant, recorded in step["out"].items():
            options = options_of(variant, step["nodes"], story["node"])
            if options is None:
                continue
            found = difference(lines_of(recorded), written(compile_rules(services, slices, options)))
            yield Fact("rules", f"step {index} ({step['note']}): {variant}", not found, found)
        for answer in step.get("health") or ():
            yield _health(index, answer, services, slices)


def _health(index: int, answer: Obj, services: list[Obj], slices: list[Obj]) -> Fact:
    """Judge what a node answers on a healthCheckNodePort."""
    body = answer["body"]
    want = Health(answer["service"], answer["port"], answer["status"], body["localEndpoints"])
    own = [
        one for one in slices
        if f"{one['metadata']['namespace']}/{(one['metadata'].get('labels') or {}).get(SERVICE, '')}" == answer["service"]
    ]  # fmt: skip
    service = next(one for one in services if f"{one['metadata']['namespace']}/{one['metadata']['name']}" == answer["service"])
    found = health_checks(service, own, answer["node"])
    text = f"step {index}: {answer['service']} on {answer['node']} answers {want.status} ({want.endpoints} local)"
    return Fact("health", text, want in found, f"got {found}")
