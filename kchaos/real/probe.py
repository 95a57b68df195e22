"""What a member says of itself over plain HTTP: whether it serves, and the counters of its peer connections (Prometheus text).

Both are on etcd's client port (https://etcd.io/docs/v3.6/op-guide/monitoring/). They stand beside the workload's own client, so that a
fault's evidence does not hang on the calls that it disturbs.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

TIMEOUT_S = 2.0
PEER_TROUBLE = ("etcd_network_disconnected_peers_total", "etcd_network_peer_sent_failures_total", "etcd_network_peer_received_failures_total")
"""Counters that rise when a connection to a peer breaks, or a message to it can't be sent."""
_SAMPLE = re.compile(r"^(\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for a local member


def serves(endpoint: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Tell whether a member answers a linearizable read (what its ``/health`` asks)."""
    try:
        with _OPENER.open(f"http://{endpoint}/health", timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):  # refused, reset, too late, cut off, or 503: all of it means no
        return False


def counters(text: str, names: tuple[str, ...] = PEER_TROUBLE) -> Mapping[str, float]:
    """Return the sums over all labels of some counters in a page of metrics; one that is not there is 0."""
    found = dict.fromkeys(names, 0.0)
    for name, value in _SAMPLE.findall(text):
        if name in found:
            found[name] += float(value)
    return found


def peer_trouble(endpoint: str, timeout_s: float = TIMEOUT_S) -> float | None:
    """Return how often a member's connections to its peers broke or failed since it started; None if it does not answer."""
    try:
        with _OPENER.open(f"http://{endpoint}/metrics", timeout=timeout_s) as answer:
            return sum(counters(answer.read().decode()).values())
    except (OSError, HTTPException, ValueError):  # a page that was cut off as its member ended is no page
        return None
