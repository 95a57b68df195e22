"""Links and clocks of nodes and masters: the general faults, with Kubernetes' names for the ends.

Duplicated and reordered packets are not among them: clients of the API server speak TCP, which hides both.
Masters do not talk to each other here: the members of the store are not modelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kchaos.models.cluster import Cluster
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.clocks import Drift, Skew
from kchaos.nemesis.fault import Active, Kind
from kchaos.nemesis.links import CutLinks, PoorLinks


def _to_masters(cluster: Cluster, node: str) -> list[tuple[str, str]]:
    return [(node, master) for master in cluster.control.hosts]


def _from_masters(cluster: Cluster, node: str) -> list[tuple[str, str]]:
    return [(master, node) for master in cluster.control.hosts]


def _both(cluster: Cluster, node: str) -> list[tuple[str, str]]:
    return _to_masters(cluster, node) + _from_masters(cluster, node)


def _poor(cluster: Cluster, args: dict[str, Any]) -> Active:
    rates = {name: float(value) for name, value in args.items() if name != "target"}
    cluster.disturbed()
    return PoorLinks(cluster.world, _both(cluster, args["target"]), **rates)


def _cut(directions: Callable[[Cluster, str], list[tuple[str, str]]]) -> Callable[[Cluster, dict[str, Any]], Active]:
    def inject(cluster: Cluster, args: dict[str, Any]) -> Active:
        cluster.disturbed()
        return CutLinks(cluster.world, directions(cluster, args["target"]))

    return inject


class _Skew(Skew):
    """A wrong clock; set right, it goes back: until it has caught up, a node's Lease seems not to be renewed."""

    def __init__(self, cluster: Cluster, node: str, by_s: float) -> None:
        super().__init__(cluster.world, node, by_s)
        self._cluster = cluster
        cluster.disturbed(abs(by_s))

    def undo(self) -> None:
        """Step back."""
        super().undo()
        self._cluster.disturbed(abs(self._by_s))


def _skew(cluster: Cluster, args: dict[str, Any]) -> Active:
    return _Skew(cluster, args["target"], float(args["by_s"]))


def _kind(
    name: str,
    summary: str,
    klass: str,
    target: str,
    evidence: str,
    inject: Callable[[Cluster, dict[str, Any]], Active],
    *arguments: Argument,
) -> Kind[Cluster]:
    return Kind(
        name=name, summary=summary, klass=klass, target=target, evidence=evidence, inject=inject, level1=False, arguments=arguments
    )  # fmt: skip


KINDS = (
    _kind("one-way-to-masters", "what a node sends to the masters does not arrive; what they send does", "network", "node", "messages held",
          _cut(_to_masters)),
    _kind("one-way-from-masters", "what the masters send to a node does not arrive; what it sends does", "network", "node", "messages held",
          _cut(_from_masters)),
    _kind("network-delay", "a node's messages to and from the masters take 0.5 s, with jitter", "network", "node", "messages while slow",
          _poor, Argument("delay_s", 0.5, usual=(0.01, 5.0)), Argument("jitter_s", 0.5, usual=(0.0, 5.0))),
    _kind("network-loss", "a third of a node's messages is lost and sent again", "network", "node", "messages lost",
          _poor, Argument("loss", 0.33, high=1.0, usual=(0.05, 0.9))),
    _kind("clock-skew", "a node's clock is two minutes ahead", "clock", "node", "skew", _skew,
          Argument("by_s", 120.0, low=-math.inf, usual=(1.0, 600.0))),
    _kind("clock-behind", "a node's clock is two minutes behind", "clock", "node", "skew", _skew,
          Argument("by_s", -120.0, low=-math.inf, usual=(-600.0, -1.0))),
    _kind("clock-drift", "a node's clock runs five per cent fast", "clock", "node", "drift",
          lambda cluster, args: Drift(cluster.world, args["target"], float(args["rate"])),
          Argument("rate", 1.05, low=0.01, high=100.0, usual=(0.9, 1.1))),
)  # fmt: skip
