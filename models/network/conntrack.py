"""Which UDP flows kube-proxy deletes from conntrack after a sync, because they lead where no endpoint is any more.

pkg/proxy/conntrack/cleanup.go (CleanStaleEntries), Kubernetes 1.34: only UDP (TCP notices by itself). A flow to a ClusterIP, external or load
balancer address, or node port of a Service that has serving endpoints (terminating ones too) is stale if what it was translated to is none
of them; that includes flows
that were not translated at all, from the time before there were endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kchaos.models.network.services import Endpoint, ServicePort


class Flow(NamedTuple):
    """One conntrack entry: who asked whom, and who answers."""

    proto: str
    src: str
    sport: int
    dst: str
    dport: int
    reply_src: str
    reply_sport: int


def stale(flow: Flow, ports: Iterable[tuple[ServicePort, tuple[Endpoint, ...]]], node_addresses: frozenset[str]) -> bool:
    """Tell whether a flow is deleted."""
    if flow.proto != "udp":
        return False
    for port, endpoints in ports:
        if port.protocol != "udp":
            continue
        to_service = flow.dport == port.port and flow.dst in (port.cluster_ip, *port.external_ips, *port.balancer_ips)
        to_node = bool(port.node_port) and flow.dport == port.node_port and flow.dst in node_addresses
        if not to_service and not to_node:
            continue
        serving = {(one.address, one.port) for one in endpoints if one.serving}
        return bool(serving) and (flow.reply_src, flow.reply_sport) not in serving
    return False


def after_sync(
    flows: Iterable[Flow], ports: Iterable[tuple[ServicePort, tuple[Endpoint, ...]]], node_addresses: frozenset[str] = frozenset()
) -> list[Flow]:
    """Return the flows that are left."""
    known = list(ports)
    return [flow for flow in flows if not stale(flow, known, node_addresses)]
