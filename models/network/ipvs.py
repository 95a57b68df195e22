"""IPVS schedulers, as data beside the iptables rules: which server of a virtual service the next connection goes to.

net/netfilter/ipvs (ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sh.c, ip_vs_sed.c, ip_vs_nq.c); ipvsadm(8). kube-proxy gives every
server weight 1 (0 while it drains), and rr unless --ipvs-scheduler says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

from kchaos.models.network.addresses import number

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sh", "sed", "nq")
TABLE = 256
"""Buckets of the source hash (CONFIG_IP_VS_SH_TAB_BITS 8)."""


class Server(NamedTuple):
    """One real server."""

    address: str
    weight: int = 1
    active: int = 0
    inactive: int = 0


class Turn(NamedTuple):
    """What a scheduler remembers: the index it chose last, and wrr's current weight."""

    last: int = -1
    current: int = 0


def choose(scheduler: str, servers: Sequence[Server], turn: Turn = Turn(), client: str = "0.0.0.0") -> tuple[int | None, Turn]:  # noqa: B008
    """Return the index of the next server, and what to remember; None if none may be used (all of weight 0)."""
    usable = [i for i, one in enumerate(servers) if one.weight > 0]
    if not usable:
        return None, turn
    if scheduler == "rr":
        index = next((i for i in usable if i > turn.last), usable[0])
        return index, Turn(index)
    if scheduler == "wrr":
        return _weighted(servers, turn)
    if scheduler == "sh":
        return _by_source(servers, number(client)), turn
    if scheduler == "nq":
        idle = next((i for i in usable if servers[i].active == 0), None)
        if idle is not None:
            return idle, turn
    return min(usable, key=lambda i: (_cost(scheduler, servers[i]), i)), turn


def _cost(scheduler: str, one: Server) -> float:
    """Return what the next connection would cost: an active connection counts 256 inactive ones."""
    overhead = float((one.active << 8) + one.inactive)
    if scheduler == "lc":
        return overhead
    return overhead / one.weight if scheduler == "wlc" else (one.active + 1) / one.weight


def _weighted(servers: Sequence[Server], turn: Turn) -> tuple[int, Turn]:
    """Weighted round robin: go round; each round the bar falls by the greatest common divisor of the weights."""
    top = max(one.weight for one in servers)
    step = gcd(*(one.weight for one in servers))
    last, current = turn
    while True:
        last = (last + 1) % len(servers)
        if last == 0:
            current = current - step if current > step else top
        if current and servers[last].weight >= current:
            return last, Turn(last, current)


def _by_source(servers: Sequence[Server], client: int) -> int | None:
    """Source hash: buckets are dealt to servers as often as their weight; a client stays with its bucket's server."""
    dealt: list[int] = []
    while len(dealt) < TABLE:
        for index, one in enumerate(servers):
            dealt.extend([index] * one.weight)
    found = dealt[(client * 2654435761 & 0xFFFFFFFF) >> 24]
    return found if servers[found].weight > 0 else None
