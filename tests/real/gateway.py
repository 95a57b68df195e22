"""What tests ask of etcd members: etcd's own JSON gateway on the client port, without any client of kchaos."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from kchaos.real.cluster import Cluster

ANSWER_WITHIN_S = 10.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(cluster: Cluster, member: str, path: str, timeout_s: float = ANSWER_WITHIN_S, **body: Any) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{cluster.endpoint(member)}/v3/{path}", json.dumps(body).encode())
    with _DIRECT.open(request, timeout=timeout_s) as answer:
        return json.load(answer)


def put(cluster: Cluster, member: str, key: str, value: str = "v", timeout_s: float = ANSWER_WITHIN_S) -> None:
    ask(cluster, member, "kv/put", timeout_s, key=_in(key), value=_in(value))


def writes(cluster: Cluster, member: str) -> bool:
    """Tell whether a member takes a write: it serves, and knows a leader who reaches a quorum."""
    try:
        put(cluster, member, "probe", timeout_s=1.0)
    except OSError:
        return False
    return True


def get(cluster: Cluster, member: str, key: str, serializable: bool = False) -> str | None:
    found = ask(cluster, member, "kv/range", key=_in(key), serializable=serializable).get("kvs", [])
    return base64.b64decode(found[0]["value"]).decode() if found else None


def applied(cluster: Cluster, member: str) -> int:
    return int(ask(cluster, member, "maintenance/status")["raftAppliedIndex"])


def leader(cluster: Cluster) -> str:
    """Return who leads in the eyes of the members that know."""
    told = {name: ask(cluster, name, "maintenance/status") for name in cluster.members}
    return next(name for name, one in told.items() if one["header"]["member_id"] == one.get("leader"))


def until(ready: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait; a bound far beyond what it takes, so that a slow machine fails nothing."""
    end = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def caught_up(cluster: Cluster) -> None:
    """Wait until all members have applied as much; one that has just been started may not answer yet."""

    def level() -> bool:
        try:
            return len({applied(cluster, name) for name in cluster.members}) == 1
        except OSError:
            return False

    until(level, "all members at one applied index")


def _in(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
