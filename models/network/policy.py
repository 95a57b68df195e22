"""NetworkPolicy as tables: what may enter and leave each pod.

https://kubernetes.io/docs/concepts/services-networking/network-policies/: policies are additive; a pod that one selects for a direction lets
through only what some policy allows; others let everything through. What goes to or comes from the pod's own node is never stopped. Egress
is judged by where a packet really goes (after a Service's translation), as the common implementations do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj
from kchaos.models.network.addresses import Net, net, number


class Block(NamedTuple):
    """A network, less others."""

    net: Net
    but: tuple[Net, ...] = ()


class Allow(NamedTuple):
    """One rule: from or to these addresses (None: any), on these ports (None: all)."""

    addresses: frozenset[int] | None
    blocks: tuple[Block, ...] = ()
    ports: tuple[tuple[str, int, int], ...] | None = None
    """(protocol, first, last)."""
    named: tuple[tuple[str, Mapping[int, int]], ...] = ()
    """Named ports: protocol, and the number by the destination's address."""

    def permits(self, proto: str, peer: int, port: int, destination: int) -> bool:
        """Tell whether a connection fits."""
        if self.addresses is not None and peer not in self.addresses:
            inside = any(block.net.has(peer) and not any(one.has(peer) for one in block.but) for block in self.blocks)
            if not inside:
                return False
        if self.ports is None:
            return True
        if any(kind == proto and first <= port <= last for kind, first, last in self.ports):
            return True
        return any(kind == proto and numbers.get(destination) == port for kind, numbers in self.named)


class PodPolicy(NamedTuple):
    """What binds one pod; None: no policy selects it for that direction."""

    ingress: tuple[Allow, ...] | None = None
    egress: tuple[Allow, ...] | None = None


class Subject(NamedTuple):
    """What a policy sees of a pod."""

    namespace: str
    labels: Mapping[str, str]
    address: int
    ports: Mapping[tuple[str, str], int] = {}
    """(protocol, name) -> number."""


def subject_of(pod: Obj) -> Subject | None:
    """Return a pod as policies see it; None without an address, or in the node's own network."""
    address = (pod.get("status") or {}).get("podIP")
    if not address or pod["spec"].get("hostNetwork"):
        return None
    ports = {
        (port.get("protocol", "TCP").lower(), port["name"]): int(port["containerPort"])
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("name")
    }
    return Subject(pod["metadata"].get("namespace", ""), pod["metadata"].get("labels") or {}, number(address), ports)


def _peers(
    rule: Obj, side: str, space: str, pods: Iterable[Subject], spaces: Mapping[str, Mapping[str, str]]
) -> tuple[frozenset[int] | None, tuple[Block, ...]]:
    wanted = rule.get(side)
    if not wanted:
        return None, ()
    addresses: set[int] = set()
    blocks: list[Block] = []
    for peer in wanted:
        if "ipBlock" in peer:
            blocks.append(Block(net(peer["ipBlock"]["cidr"]), tuple(net(one) for one in peer["ipBlock"].get("except") or ())))
            continue
        in_space = compile_selector(peer["namespaceSelector"]) if "namespaceSelector" in peer else None
        fits = compile_selector(peer.get("podSelector") or {})
        for pod in pods:
            near = pod.namespace == space if in_space is None else in_space(spaces.get(pod.namespace, {}))
            if near and fits(pod.labels):
                addresses.add(pod.address)
    return frozenset(addresses), tuple(blocks)


def _allow(rule: Obj, side: str, space: str, pods: list[Subject], spaces: Mapping[str, Mapping[str, str]]) -> Allow:
    addresses, blocks = _peers(rule, side, space, pods, spaces)
    if not rule.get("ports"):
        return Allow(addresses, blocks)
    fixed: list[tuple[str, int, int]] = []
    named: list[tuple[str, Mapping[int, int]]] = []
    for port in rule["ports"]:
        proto = port.get("protocol", "TCP").lower()
        value = port.get("port")
        if value is None:
            fixed.append((proto, 0, 65535))
        elif isinstance(value, int):
            fixed.append((proto, value, int(port.get("endPort") or value)))
        else:
            named.append((proto, {pod.address: pod.ports[proto, value] for pod in pods if (proto, value) in pod.ports}))
    return Allow(addresses, blocks, tuple(fixed), tuple(named))


def compile_policies(policies: Iterable[Obj], pods: Iterable[Obj], namespaces: Iterable[Obj]) -> dict[int, PodPolicy]:
    """Return what binds each pod that any policy selects, by address."""
    subjects = [one for one in (subject_of(pod) for pod in pods) if one is not None]
    spaces = {one["metadata"]["name"]: {"kubernetes.io/metadata.name": one["metadata"]["name"], **(one["metadata"].get("labels") or {})}
              for one in namespaces}  # fmt: skip
    out: dict[int, PodPolicy] = {}
    for policy in policies:
        spec, space = policy["spec"], policy["metadata"]["namespace"]
        kinds = spec.get("policyTypes") or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
        selects = compile_selector(spec.get("podSelector") or {})
        enter = tuple(_allow(rule, "from", space, subjects, spaces) for rule in spec.get("ingress") or ()) if "Ingress" in kinds else None
        leave = tuple(_allow(rule, "to", space, subjects, spaces) for rule in spec.get("egress") or ()) if "Egress" in kinds else None
        for pod in subjects:
            if pod.namespace != space or not selects(pod.labels):
                continue
            before = out.get(pod.address, PodPolicy())
            out[pod.address] = PodPolicy(
                before.ingress if enter is None else (before.ingress or ()) + enter,
                before.egress if leave is None else (before.egress or ()) + leave,
            )
    return out


def lets_in(policy: PodPolicy | None, proto: str, source: int, destination: int, port: int) -> bool:
    """Tell whether a pod's policies let a connection in."""
    if policy is None or policy.ingress is None:
        return True
    return any(rule.permits(proto, source, port, destination) for rule in policy.ingress)


def lets_out(policy: PodPolicy | None, proto: str, destination: int, port: int) -> bool:
    """Tell whether a pod's policies let a connection out."""
    if policy is None or policy.egress is None:
        return True
    return any(rule.permits(proto, destination, port, destination) for rule in policy.egress)
