"""What NetworkPolicies let through, asked of labels instead of addresses: before any pod runs, and of clients that are not in the cluster.

https://kubernetes.io/docs/concepts/services-networking/network-policies/. An answer is *no* only if it is sure: a peer by address (ipBlock)
may be anybody, and the labels of a namespace that nobody has seen may be any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj
from kchaos.models.network.policy import Subject

Spaces = Mapping[str, Mapping[str, str]]
"""Namespaces whose labels are known."""
NAME = "kubernetes.io/metadata.name"
DNS_PORTS = (53, 5353, 1053, 8053)
"""Where DNS servers listen: policies are judged by the port of the pod behind the Service, which differs among distributions."""


class Port(NamedTuple):
    """A port of the pods behind a Service, by number and (if they name it so) by name."""

    protocol: str
    number: int
    name: str = ""


def kinds_of(spec: Obj) -> tuple[str, ...]:
    """Return the directions that a policy is for."""
    return tuple(spec.get("policyTypes") or (("Ingress", "Egress") if spec.get("egress") else ("Ingress",)))


def binding(policies: Iterable[Obj], pod: Subject, direction: str) -> list[Obj]:
    """Return the policies that select a pod for Ingress or Egress."""
    return [
        one for one in policies
        if one["metadata"].get("namespace", "") == pod.namespace and direction in kinds_of(one["spec"])
        and compile_selector(one["spec"].get("podSelector") or {})(pod.labels)
    ]  # fmt: skip


def fits(rule: Obj, port: Port) -> bool:
    """Tell whether a rule is about a port."""
    asked: list[Obj] = rule.get("ports") or [{}]
    for one in asked:
        if one and (one.get("protocol") or "TCP").upper() != port.protocol.upper():
            continue
        wanted = one.get("port")
        if (
            wanted is None
            or wanted == port.name
            or (isinstance(wanted, int) and wanted <= port.number <= int(one.get("endPort") or wanted))
        ):
            return True
    return False


def may_be(peer: Obj, pod: Subject, space: str, spaces: Spaces) -> bool:
    """Tell whether a pod may be the peer that a policy of namespace ``space`` speaks of."""
    if "ipBlock" in peer:
        return True
    if "namespaceSelector" not in peer:
        near = pod.namespace == space
    elif pod.namespace in spaces:
        near = compile_selector(peer["namespaceSelector"])({NAME: pod.namespace, **spaces[pod.namespace]})
    else:
        near = _may_select(peer["namespaceSelector"], pod.namespace)
    return near and compile_selector(peer.get("podSelector") or {})(pod.labels)


def _may_select(selector: Obj, name: str) -> bool:
    """Tell whether a selector may fit a namespace of which only the name is known."""
    labels: Obj = selector.get("matchLabels") or {}
    return bool(labels.get(NAME, name) == name)


def blocks(policies: list[Obj], client: Subject, server: Subject, ports: Iterable[Port], spaces: Spaces) -> list[Obj]:
    """Return the policies that surely keep a pod from all of another's ports; none if it may reach one of them."""
    found: list[Obj] = []
    sides = (("Ingress", "from", server, client), ("Egress", "to", client, server))
    wanted = list(ports)
    for direction, side, bound, other in sides:
        mine = binding(policies, bound, direction)
        through = [port for port in wanted if not mine or any(
            fits(rule, port) and (not rule.get(side) or any(may_be(peer, other, bound.namespace, spaces) for peer in rule[side]))
            for one in mine for rule in one["spec"].get(direction.lower()) or ()
        )]  # fmt: skip
        if through:
            wanted = through  # the same port must be let out
        else:
            found.extend(mine)
    return found


def admits(policies: Iterable[Obj], server: Subject, ports: Iterable[Port]) -> list[Obj] | None:
    """Return the peers that policies let in to any of a pod's ports; None: everybody; empty: nobody at all."""
    bound = binding(policies, server, "Ingress")
    if not bound:
        return None
    peers: list[Obj] = []
    wanted = list(ports)
    for one in bound:
        for rule in one["spec"].get("ingress") or ():
            if any(fits(rule, port) for port in wanted):
                if not rule.get("from"):
                    return None
                peers.extend(rule["from"])
    return peers


def looks_up(policies: Iterable[Obj], client: Subject) -> list[Obj]:
    """Return the policies that surely keep a pod from the cluster's DNS servers; none if it may ask them.

    A rule lets DNS through if it is about UDP and a port of DNS, and is not for pods of the own namespace alone.
    """
    bound = binding(policies, client, "Egress")
    for one in bound:
        for rule in one["spec"].get("egress") or ():
            somewhere = not rule.get("to") or any(
                "ipBlock" in peer or "namespaceSelector" in peer or client.namespace == "kube-system" for peer in rule["to"]
            )
            if somewhere and any(fits(rule, Port("UDP", number, name)) for number in DNS_PORTS for name in ("dns", "dns-udp", "domain")):
                return []
    return bound


class Gate:
    """Which pods nobody may reach, remembered by their labels: what simulated requests ask of policies. Without policies it costs nothing."""

    def __init__(self, policies: Mapping[str, Obj], pods: Mapping[str, Obj]) -> None:
        self._policies = policies
        self._pods = pods
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], tuple[Any, bool]] = {}

    def changed(self) -> None:
        """Policies changed: forget what was asked."""
        self._known.clear()

    def closed(self, key: str, ports: tuple[tuple[str, int], ...]) -> bool:
        """Tell whether no client at all may reach any of these (protocol, number) of a pod (namespace/name)."""
        if not self._policies:
            return False
        pod = self._pods.get(key)
        if pod is None or pod["spec"].get("hostNetwork"):
            return False
        labels = pod["metadata"].get("labels")  # objects are immutable: the same labels are the same object
        known = self._known.get((key, ports))
        if known is not None and known[0] is labels:
            return known[1]
        found = admits(self._policies.values(), subject(pod), named_ports(pod["spec"], ports)) == []
        self._known[key, ports] = (labels, found)
        return found


def subject(pod: Obj) -> Subject:
    """Return a pod (or a template with its namespace) as policies see it, without its address."""
    meta = pod["metadata"]
    return Subject(meta.get("namespace") or "", meta.get("labels") or {}, 0)


def named_ports(spec: Obj, ports: Iterable[tuple[str, int]]) -> list[Port]:
    """Return ports with the names that containers give them."""
    names = {
        ((one.get("protocol") or "TCP").upper(), one.get("containerPort")): str(one.get("name") or "")
        for container in spec.get("containers") or () for one in container.get("ports") or ()
    }  # fmt: skip
    return [Port(protocol.upper(), number, names.get((protocol.upper(), number), "")) for protocol, number in ports]
