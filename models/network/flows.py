"""Connections that clients keep: requests go where the flow was begun, not where the rules would send a new one.

UDP (a client keeps its socket): conntrack remembers the endpoint until kube-proxy deletes the entry, which it does once some endpoint of the
Service serves and that one does not (conntrack.py); nobody tells the client that its packets go nowhere.
TCP, where kchaos.yaml says so: a flow ends when the other side says so (its process is gone, its node answers); if nothing answers, it hangs
until the kernel gives up after 15 retransmissions (tcp(7), tcp_retries2: 924.6 s). Either way the next one goes by the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kchaos.models.network.proxy import Backend, Entry

HANG_S = 924.6
SILENT = ("timeout", "overlay")
"""Reasons of which a TCP client hears nothing."""
Why = Callable[[Backend], str]


class Held(NamedTuple):
    """The flows of one node's clients to one backend: their share, and since when nothing comes back (negative: it does)."""

    share: float
    silent_s: float = -1.0


Flows = Mapping[Backend, Held]


def follow(before: Flows, spread: Sequence[tuple[float, Backend]], stays: Callable[[Backend, Held], Held | None]) -> dict[Backend, Held]:
    """Return the flows after a change: those that stay, and the others begun anew by the rules (nowhere, if those lead nowhere)."""
    out: dict[Backend, Held] = {}
    for backend, held in before.items():
        found = stays(backend, held)
        if found is not None:
            out[backend] = found
    free = 1.0 - sum(held.share for held in out.values())
    if free > 1e-9:
        for weight, backend in spread:
            known = out.get(backend, Held(0.0))
            out[backend] = known._replace(share=known.share + free * weight)
    return out


def udp(before: Flows, entry: Entry) -> dict[Backend, Held]:
    """Follow a node's rules: conntrack loses the entries of endpoints that serve no more, if any serves."""
    return follow(before, entry.spread, lambda backend, held: held if not entry.serving or backend.address in entry.serving else None)


def tcp(before: Flows, entry: Entry, why: Why, now_s: float) -> dict[Backend, Held]:
    """Follow what becomes of connections at ``now_s``."""

    def stays(backend: Backend, held: Held) -> Held | None:
        reason = why(backend)
        if not reason:
            return held._replace(silent_s=-1.0)
        if reason not in SILENT:
            return None
        since = held.silent_s if held.silent_s >= 0.0 else now_s
        return held._replace(silent_s=since) if now_s - since < HANG_S else None

    return follow(before, entry.spread, stays)


def next_s(flows: Flows) -> float | None:
    """Return when the first silent connection is given up."""
    silent = [held.silent_s for held in flows.values() if held.silent_s >= 0.0]
    return min(silent) + HANG_S if silent else None
