"""Connections that are kept: a flow to a dead endpoint loses requests until conntrack, the other side or the kernel ends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kchaos.history.record import Mark
from kchaos.models.network.flows import HANG_S, Held, follow, next_s, tcp, udp
from kchaos.models.network.proxy import Backend, Entry
from kchaos.models.network.traffic import Traffic
from tests.support import one, step, system_of

A, B, C = (Backend(f"shop/{name}", f"node-{name}", f"10.244.0.{i}") for i, name in enumerate("abc"))


def _entry(*to: Backend, serving: tuple[Backend, ...] = ()) -> Entry:
    return Entry((), tuple((1 / len(to), backend) for backend in to), "" if to else "no endpoints", tuple(one.address for one in serving))


def _shares(flows: dict[Backend, Held]) -> dict[str, float]:
    return {backend.pod: round(held.share, 3) for backend, held in flows.items()}


def test_new_flows_go_by_the_rules_and_kept_ones_stay() -> None:
    first = follow({}, _entry(A, B).spread, lambda backend, held: held)
    assert _shares(first) == {"shop/a": 0.5, "shop/b": 0.5}
    assert _shares(follow(first, _entry(C).spread, lambda backend, held: held)) == {"shop/a": 0.5, "shop/b": 0.5}
    assert _shares(follow(first, _entry(C).spread, lambda backend, held: held if backend is A else None)) == {"shop/a": 0.5, "shop/c": 0.5}
    assert _shares(follow(first, (), lambda backend, held: None)) == {}


def test_a_udp_flow_ends_when_its_endpoint_serves_no_more() -> None:
    first = udp({}, _entry(A, B, serving=(A, B)))
    terminating = udp(first, _entry(B, C, serving=(A, B, C)))
    assert _shares(terminating) == {"shop/a": 0.5, "shop/b": 0.5}, "a terminating endpoint that serves keeps its flows"
    assert _shares(udp(terminating, _entry(B, C, serving=(B, C)))) == {"shop/b": 0.75, "shop/c": 0.25}
    assert _shares(udp(first, _entry())) == {"shop/a": 0.5, "shop/b": 0.5}, "without any serving endpoint conntrack is left alone"


def test_a_tcp_connection_ends_at_a_refusal_and_hangs_in_silence() -> None:
    why = {A: "refused", B: "timeout", C: ""}
    first = tcp({}, _entry(A, B), lambda backend: "", 0.0)
    after = tcp(first, _entry(C), lambda backend: why[backend], 10.0)
    assert _shares(after) == {"shop/b": 0.5, "shop/c": 0.5}
    assert next_s(after) == 10.0 + HANG_S
    assert _shares(tcp(after, _entry(C), lambda backend: why[backend], 10.0 + HANG_S - 1)) == {"shop/b": 0.5, "shop/c": 0.5}
    assert _shares(tcp(after, _entry(C), lambda backend: why[backend], 10.0 + HANG_S)) == {"shop/c": 1.0}
    back = tcp(after, _entry(C), lambda backend: "", 60.0)
    assert (next_s(back), _shares(back)) == (None, {"shop/b": 0.5, "shop/c": 0.5}), "what was only silent goes on"


WEB = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, protocol: PROTOCOL}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers: [{name: c, image: nginx, readinessProbe: {periodSeconds: 1, httpGet: {port: 80}}}]
"""


def _lost(text: str, kept: bool, fault: str, target: str) -> dict[str, float]:
    system = system_of(text, nodes=3, zones=1)
    if kept:
        system = system._replace(settings={**system.settings, "kept": ("default/web",)})
    run = one(system, step(fault, target)).run
    total: dict[str, float] = {}
    for mark in run.entries:
        if isinstance(mark, Mark) and mark.what == "traffic":
            for reason, share in mark.data["lost"].items():
                total[reason] = total.get(reason, 0.0) + share * (mark.data["end"] - mark.data["start"])
    return total


def test_kept_connections_to_a_lost_node_hang_long_after_it_left_the_endpoints() -> None:
    fresh, kept = (_lost(WEB.replace("PROTOCOL", "TCP"), kept, "node-power-loss", "node-1").get("timeout", 0.0) for kept in (False, True))
    assert 5.0 < fresh < 30.0
    assert kept > 4 * fresh


@pytest.mark.parametrize("kept", [False, True])
def test_a_clean_end_is_noticed(kept: bool) -> None:
    """A connection that is closed is made anew at once: keeping it loses no more than making one for each request."""
    lost = _lost(WEB.replace("PROTOCOL", "TCP"), kept, "pod-kill", "Deployment/default/web")
    assert sum(lost.values()) < 2.0
    assert "timeout" not in lost


def test_udp_flows_lose_more_than_new_connections_in_a_rollout() -> None:
    """The process is gone before its endpoint stops to serve: whoever has it in conntrack goes on asking it."""
    tcp_lost, udp_lost = (
        sum(_lost(WEB.replace("PROTOCOL", one), False, "rollout", "Deployment/default/web").values()) for one in ("TCP", "UDP")
    )
    assert udp_lost > tcp_lost > 0.0


def test_rounding_does_not_stop_time() -> None:
    """Where since + HANG_S - since is less than HANG_S by a hair, a connection is not over at the moment that was computed for it."""
    since = next(one / 7 for one in range(1, 10_000) if (one / 7 + HANG_S) - one / 7 < HANG_S)
    port: Any = SimpleNamespace(protocol="tcp")
    names: Any = SimpleNamespace(entries={})
    entry = _entry(A)._replace(use=((port, port),))
    asked: list[float] = []
    clock, silent = [0.0], [""]
    traffic = Traffic(
        lambda: clock[0], lambda: {"node-1": {"shop/a": entry}}, lambda backend, node: silent[0], lambda *_: None, lambda *_: None,
        names, asked.append,
    )  # fmt: skip
    traffic.watch("shop/a", kept=True)
    traffic.recompute()
    for moment, why in ((since, "timeout"), (since + HANG_S, "timeout")):
        clock[0], silent[0] = moment, why
        traffic.changed()
        traffic.recompute()
        traffic.recompute()
    assert len(asked) == 2 and min(asked) > 0.0
    clock[0] += asked[-1]
    traffic.changed()
    traffic.recompute()
    assert len(asked) == 2, "by then it is over"
