"""Bytes of Raft messages between members while they pass: what each says it has sent to a peer, and what that peer says has arrived.

Toxiproxy counts a connection's bytes when it ends, and a peer stream lives for hours; etcd counts each message
(``etcd_network_peer_sent_bytes_total{To}``, ``…_received_bytes_total{From}``, on its client port). The difference of the two is what the
link holds or has dropped. A member that is down keeps its last figures, one that starts again goes on from them.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

from kchaos.real.cluster import LinkBytes

TIMEOUT_S = 1.0
_SAMPLE = re.compile(r'^etcd_network_peer_(sent|received)_bytes_total\{(?:To|From)="([0-9a-f]+)"\} (\S+)$', re.MULTILINE)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for a local member
Counts = Mapping[tuple[str, str], int]


def parse(text: str) -> Counts:
    """Return (sent or received, the peer's id in hex) -> bytes of a page of etcd's metrics."""
    return {(which, peer): int(float(value)) for which, peer, value in _SAMPLE.findall(text)}


class Traffic:
    """The counters of a cluster; ``endpoints``: where each member serves clients, host:port."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self._endpoints = dict(endpoints)
        self._ids: dict[str, str] = {}
        self._last: dict[str, Counts] = {name: {} for name in endpoints}
        self._before: dict[str, dict[tuple[str, str], int]] = {name: {} for name in endpoints}

    def __call__(self) -> Mapping[tuple[str, str], LinkBytes]:
        """Ask all members; pairs of members that never answered have no bytes."""
        with ThreadPoolExecutor(len(self._endpoints), "traffic") as pool:  # at once: the figures of two members are compared
            list(pool.map(self._ask, self._endpoints))
        names = list(self._endpoints)
        return {(a, b): LinkBytes(self._sum(a, "sent", b), self._sum(b, "received", a)) for a in names for b in names if a != b}

    def _sum(self, name: str, which: str, peer: str) -> int:
        key = which, self._ids.get(peer, "")
        return self._last[name].get(key, 0) + self._before[name].get(key, 0)

    def _ask(self, name: str) -> None:
        base = f"http://{self._endpoints[name]}"
        try:
            if name not in self._ids:
                request = urllib.request.Request(f"{base}/v3/maintenance/status", data=b"{}")
                with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                    self._ids[name] = f"{int(json.load(answer)['header']['member_id']):x}"
            with _OPENER.open(f"{base}/metrics", timeout=TIMEOUT_S) as answer:
                now = parse(answer.read().decode())
        except (OSError, HTTPException, ValueError):  # cut off, down, paused or starting: its last figures stand
            return
        last, before = self._last[name], self._before[name]
        for key, value in last.items():
            if now.get(key, 0) < value:  # it has started anew since
                before[key] = before.get(key, 0) + value
        self._last[name] = now
