"""Recorded flows in a node's conntrack table: which of them are left after each sync of kube-proxy."""

from __future__ import annotations

from collections.abc import Iterator

from kchaos.models.api.tree import Obj
from kchaos.models.conform.judge import Fact
from kchaos.models.network.conntrack import Flow, after_sync
from kchaos.models.network.services import SERVICE, Endpoint, ServicePort, endpoints_of, service_ports

NODE_ADDRESSES = {"n1": "192.0.2.11", "n2": "192.0.2.12", "n3": "192.0.2.13"}
"""The recordings' machines."""


def _flow(one: Obj) -> Flow:
    return Flow(one["proto"], one["src"], one["sport"], one["dst"], one["dport"], one["replySrc"], one["replySport"])


def ports_of(objects: list[Obj], node: str) -> list[tuple[ServicePort, tuple[Endpoint, ...]]]:
    """Return every Service port with the endpoints behind it."""
    slices = [one for one in objects if one["kind"] == "EndpointSlice"]
    out: list[tuple[ServicePort, tuple[Endpoint, ...]]] = []
    for service in objects:
        if service["kind"] != "Service":
            continue
        meta = service["metadata"]
        own = [
            one for one in slices
            if one["metadata"]["namespace"] == meta["namespace"] and (one["metadata"].get("labels") or {}).get(SERVICE) == meta["name"]
        ]  # fmt: skip
        out.extend((port, endpoints_of(own, port.port_name, port.protocol, node=node)) for port in service_ports(service))
    return out


def judge_conntrack(story: Obj) -> Iterator[Fact]:
    """Judge each step of a story: the flows that it leaves of those before it."""
    node = story["node"]
    addresses = frozenset({NODE_ADDRESSES[node]})
    left: list[Flow] | None = None
    for index, step in enumerate(story["steps"]):
        recorded = [_flow(one) for one in step["conntrack"]]
        if left is None:  # put in by hand after the first sync
            left = recorded
            continue
        found = after_sync(left, ports_of(step["objects"], node), addresses)
        missed = [f"{one.dst}:{one.dport} by {one.reply_src}" for one in recorded if one not in found]
        kept = [f"{one.dst}:{one.dport} by {one.reply_src}" for one in found if one not in recorded]
        text = f"step {index} ({step['note']}): {len(recorded)} of {len(left)} flows are left"
        yield Fact("conntrack", text, not missed and not kept, f"deleted {missed[:2]}, kept {kept[:2]}")
        left = recorded
