"""The requests that users send to Services, and what becomes of them: piecewise constant between changes, never one event per request.

Each Service gets ``rate`` requests a second, spread evenly over the nodes that have power. A client there is a pod outside the application, or,
where NetworkPolicies let only some in, one with the labels that they ask for (admits.py). Its node's rules say with
what probability which endpoint is asked (proxy.py), the overlay's tables whether a packet gets there and back (state.py). Whenever rules,
tables, what runs, or a link changes, the interval is closed and what was lost in it is counted by reason:

- ``no endpoints``: the rules reject the connection; ``dropped``: they drop it (no local endpoint);
- ``refused``: the backend's process does not listen (not started up yet, or past SIGTERM);
- ``timeout``: the backend's node is dead, frozen or cut off;
- ``overlay``: a route, ARP or FDB entry leads nowhere, or overlay packets are lost;
- ``policy``: NetworkPolicies let nobody in to that pod;
- ``dns``: the client's resolver asked only DNS replicas that are dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kchaos.models.network.proxy import Backend, Entry

Rules = Mapping[str, Entry]
ATTEMPTS = 2
"""resolv.conf(5): a resolver asks twice; each time the rules choose a replica anew."""


class Interval(NamedTuple):
    """A stretch of time in which a Service's fate was constant: share of requests lost, by reason."""

    start_s: float
    end_s: float
    lost: dict[str, float]
    ready: int


class Traffic:
    """Watches a set of Services. ``check(backend, from_node)`` returns why a request would fail, or an empty string."""

    def __init__(
        self,
        now: Callable[[], float],
        rules: Callable[[], Mapping[str, Rules]],
        check: Callable[[Backend, str], str],
        closed: Callable[[str, Interval], None],
    ) -> None:
        self._now = now
        self._rules = rules
        self._check = check
        self._closed = closed
        self._open: dict[str, tuple[float, dict[str, float], int]] = {}
        self.services: dict[str, None] = {}
        self.dns_dead = 0.0
        """Share of DNS replicas that are dead and still asked."""

    def watch(self, service: str) -> None:
        """Send requests to a Service (namespace/name) from the next change on."""
        self.services[service] = None

    def recompute(self) -> None:
        """Something changed: close the intervals whose fate is another from now on."""
        now = self._now()
        tables = self._rules()
        for service in self.services:
            lost, ready = self._fate(service, tables)
            found = self._open.get(service)
            if found is not None:
                if found[1] == lost and found[2] == ready:
                    continue
                if now > found[0]:
                    self._closed(service, Interval(found[0], now, found[1], found[2]))
            self._open[service] = (now, lost, ready)

    def finish(self) -> None:
        """Close all intervals."""
        now = self._now()
        for service, (start, lost, ready) in self._open.items():
            if now > start:
                self._closed(service, Interval(start, now, lost, ready))
        self._open.clear()

    def _fate(self, service: str, tables: Mapping[str, Rules]) -> tuple[dict[str, float], int]:
        lost: dict[str, float] = {}
        if not tables:
            return lost, 0
        unresolved = self.dns_dead**ATTEMPTS
        if unresolved:
            lost["dns"] = unresolved
        share = (1.0 - unresolved) / len(tables)
        answering: dict[str, None] = {}
        for node, table in tables.items():
            entry = table.get(service)
            if entry is None or not entry.spread:
                why = entry.reason if entry is not None else "no endpoints"
                lost[why] = lost.get(why, 0.0) + share
                continue
            for weight, backend in entry.spread:
                why = self._check(backend, node)
                if why:
                    lost[why] = lost.get(why, 0.0) + share * weight
                else:
                    answering[backend.pod or backend.address] = None
        return {reason: round(value, 6) for reason, value in sorted(lost.items())}, len(answering)
