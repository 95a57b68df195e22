"""Network partitions between nodes, masters and users, in every shape: the general shapes, with Kubernetes' hosts.

Masters are hosts of their own that stand in no zone. They do not talk to each other here, but the store has a member on each
(kubeadm's stacked etcd): the API server of a master that is cut off from the others answers nothing, since its member has no quorum,
and ends its watches (storage/etcd3/watcher.go asks with clientv3.WithRequireLeader). What passes between nodes are the requests of
simulated traffic; a link that is cut loses them in both directions, since each is a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kchaos.models.cluster import Cluster
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Active, Evidence, Kind, Once
from kchaos.nemesis.links import CutLinks
from kchaos.nemesis.shapes import Cuts, apart, between, bridge, each_its_own, halves, one_way, ring


class _Partition(CutLinks):
    """Cut links; ``alone``: masters whose store member is left without quorum."""

    def __init__(self, cluster: Cluster, cuts: Cuts, alone: Iterable[str] = ()) -> None:
        super().__init__(cluster.world, cuts)
        self._cluster = cluster
        self._alone = tuple(_Alone(cluster, host) for host in alone)
        self._paths = _paths_cut(cluster)
        cluster.disturbed()
        cluster.traffic_changed()

    def undo(self) -> None:
        """Let what was held arrive, and requests pass again."""
        for one in self._alone:
            one.undo()
        super().undo()
        self._cluster.disturbed()
        self._cluster.traffic_changed()

    def evidence(self) -> Evidence:
        """Return how many messages were held, and on how many ways from a node to a pod requests were lost."""
        found: Evidence = {**super().evidence(), "ways_cut": self._paths}
        return {**found, **self._alone[0].evidence()} if self._alone else found


def _paths_cut(cluster: Cluster) -> int:
    """Return on how many ways from a node to a node with pods behind a Service requests are lost now."""
    ways: dict[tuple[str, str], None] = {}
    for node, proxy in cluster.proxies.items():
        for service in cluster.traffic.services:
            entry = proxy.rules.get(service)
            ways |= dict.fromkeys((node, backend.node) for _, backend in (entry.spread if entry is not None else ()))
    return sum(cluster.world.network.is_cut(*way) for way in ways if way[0] != way[1])


def _apart(cluster: Cluster, args: dict[str, Any]) -> Active:
    """Cut one member of the store off; a store of one member has its quorum always."""
    return _Alone(cluster, args["target"]) if len(cluster.control.hosts) > 1 else Once({"requests_unanswered": 0})


class _Alone:
    """The API server of a master whose store member has no quorum."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self._cluster = cluster
        self._host = host
        self._hooks = cluster.control.hooks
        self._before = self._hooks.unanswered
        self._hooks.alone[host] = self._hooks.alone.get(host, 0) + 1
        api = cluster.control.apis[host]
        api.freeze(True)
        self._watches = api.close_watches()
        cluster.disturbed()

    def undo(self) -> None:
        """Join the others again."""
        left = self._hooks.alone.pop(self._host) - 1
        if left:
            self._hooks.alone[self._host] = left
        self._cluster.control.apis[self._host].freeze(False)
        self._cluster.disturbed()

    def evidence(self) -> Evidence:
        """Return what its clients lost."""
        return {"requests_unanswered": self._hooks.unanswered - self._before, "watches_lost": self._watches}


def _zone(cluster: Cluster, args: dict[str, Any]) -> Active:
    inside = [node.name for node in cluster.topology.nodes if node.zone == args["target"]]
    outside = [*(node.name for node in cluster.topology.nodes if node.zone != args["target"]), *cluster.control.hosts]
    return _Partition(cluster, _directed(inside, outside, args["way"]))


def _directed(inside: list[str], outside: list[str], way: str) -> Cuts:
    if way == "both":
        return between(inside, outside)
    return one_way(inside, outside) if way == "to" else one_way(outside, inside)


def _servers(cluster: Cluster, args: dict[str, Any]) -> Active:
    """The user keeps one of them: what a step is done with comes through."""
    host = "user-host" if args["target"] == "user" else args["target"]
    if args["target"] == "user" and not set(cluster.control.hosts) - set(args["masters"].split(",")):
        return Once({"messages_held": 0})
    return _Partition(cluster, _directed([host], args["masters"].split(","), args["way"]))


def _halves(cluster: Cluster, args: dict[str, Any]) -> Active:
    """The first half keeps the majority of the masters; a minority of them, on the other side, has no quorum."""
    masters, few = halves(cluster.control.hosts)
    first, second = halves(cluster.node_names())
    return _Partition(cluster, apart(((*masters, *first), (*few, *second))), few)


def _bridge(cluster: Cluster, args: dict[str, Any]) -> Active:
    """The master in the middle reaches both halves of the nodes: the store has its quorum through it."""
    masters = cluster.control.hosts
    middle = len(masters) // 2
    first, second = halves(cluster.node_names())
    return _Partition(cluster, bridge((*masters[:middle], *first), masters[middle], (*masters[middle + 1 :], *second)))


def _ring(cluster: Cluster, args: dict[str, Any]) -> Active:
    return _Partition(cluster, ring((*cluster.control.hosts, *cluster.node_names())))


def _own(cluster: Cluster, args: dict[str, Any]) -> Active:
    """Not the one that it asks first: every node has to go to another."""
    masters = cluster.control.hosts
    return _Partition(cluster, each_its_own(cluster.node_names(), (*masters[1:], *masters[:1])))


def _kind(
    name: str, summary: str, target: str, evidence: str, inject: Callable[[Cluster, dict[str, Any]], Active], *arguments: Argument
) -> Kind[Cluster]:
    return Kind(
        name=name, summary=summary, klass="network", target=target, evidence=evidence, inject=inject, level1=False, arguments=arguments
    )  # fmt: skip


_WAY = Argument("way", "both", choices=("both", "to", "from"))
KINDS = (
    _kind("zone-partition", "a zone is cut off from the other zones and from the masters", "zone", "messages held, ways cut", _zone, _WAY),
    _kind("apiserver-partition", "the API server that it talks to can't be reached from a node, a master or the user", "client",
          "messages held", _servers, Argument("masters", "server-of()", target="master"), _WAY),
    _kind("apiserver-each", "every node reaches one API server only", "cluster", "messages held", _own),
    _kind("masters-apart", "a master's store member is cut off from the others: its API server answers nothing", "master",
          "requests unanswered, watches lost", _apart),
    _kind("partition-halves", "half of the nodes and the majority of the masters on one side, the rest on the other", "cluster",
          "messages held, ways cut", _halves),
    _kind("partition-bridge", "two halves of the nodes don't reach each other; one master reaches both", "cluster",
          "messages held, ways cut", _bridge),
    _kind("partition-ring", "every host reaches its neighbours on a ring only, a majority, and no two the same", "cluster",
          "messages held, ways cut", _ring),
)  # fmt: skip
