"""Faults of control-plane processes: crashes, a leader that can't renew, two that think they lead, an API server that goes or stales.

Sources: client-go/tools/leaderelection (no fencing: an old leader writes until it notices); what a static pod's kubelet does after an
exit; staging/src/k8s.io/apiserver/pkg/storage/cacher (a cache may trail, reads at resourceVersion 0 see it).
"""

from __future__ import annotations

from typing import Any

from kchaos.errors import InvalidScenario
from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Request
from kchaos.models.cluster import Cluster
from kchaos.models.controlplane import APISERVER, MANAGER, SCHEDULER
from kchaos.models.faults.requests import Refusing
from kchaos.nemesis.fault import Active, Evidence, Kind, Once

COMPONENTS = (MANAGER, SCHEDULER)


def component(args: dict[str, Any]) -> str:
    """Return the component that a step names. Raises InvalidScenario."""
    target = str(args.get("target", ""))
    if target not in COMPONENTS:
        raise InvalidScenario(f"not a component that elects a leader: {target!r}", hint=f"write {' or '.join(COMPONENTS)}")
    return target


def _crash(cluster: Cluster, args: dict[str, Any]) -> Active:
    """Let the leader of a component die now; its kubelet starts it again."""
    process = component(args)
    host = cluster.control.leader(process)
    if host is None:
        return Once({"leaders_crashed": 0})
    cluster.control.exited(host, process)
    cluster.disturbed()
    return Once({"leaders_crashed": 1})


class _NoRenewal(Refusing):
    """The leader's writes to its Lease fail: it steps down when its renew deadline has passed."""

    evidence_name = "renewals_refused"

    def __init__(self, cluster: Cluster, process: str) -> None:
        self._host = cluster.control.leader(process)
        self._lease = process
        super().__init__(cluster)

    def _refusal(self, phase: str, request: Request) -> ApiError | None:
        if phase != "before" or request.resource != "leases" or request.name != self._lease or request.verb != "update":
            return None
        if (request.body or {}).get("spec", {}).get("holderIdentity") != self._host:
            return None
        return ApiError("InternalError", "etcdserver: request timed out")


class _TwoLeaders:
    """The leader's process freezes for longer than its lease; awake again it writes until it notices that another leads."""

    def __init__(self, cluster: Cluster, process: str) -> None:
        self._cluster = cluster
        self._process = process
        self._host = cluster.control.leader(process)
        self._another = 0
        if self._host is not None:
            cluster.world.processes[f"{self._host}/{process}"].owner.paused = True
        cluster.disturbed()

    def undo(self) -> None:
        if self._host is None:
            return
        owner = self._cluster.world.processes[f"{self._host}/{self._process}"].owner
        holder = self._cluster.control.store.get("leases", f"kube-system/{self._process}")
        self._another = int(holder is not None and holder["spec"].get("holderIdentity") != self._host)
        self._cluster.world.loop.resume(owner)
        self._cluster.disturbed()

    def evidence(self) -> Evidence:
        return {"leaders_frozen": int(self._host is not None), "others_took_over": self._another}


def _server(cluster: Cluster, args: dict[str, Any]) -> str:
    host = str(args.get("target", ""))
    if host not in cluster.control.hosts:
        raise InvalidScenario(f"no such master: {host!r}", hint=f"write one of {', '.join(cluster.control.hosts)}")
    return host


class _ApiCrash:
    """One API server dies; its clients go to another one, or wait; its kubelet starts it again."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        watches = len(list(cluster.control.apis[host].cache.watchers()))
        self._crashed = int(cluster.control.exited(host, APISERVER))
        self._watches = watches if self._crashed else 0
        cluster.disturbed()

    def undo(self) -> None:
        """Nothing to undo: it has been started again."""

    def evidence(self) -> Evidence:
        return {"servers_crashed": self._crashed, "watches_lost": self._watches}


class _Stale:
    """One API server's cache stops following the store: its watches are silent, its reads at version 0 are old."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self._cluster = cluster
        self._host = host
        self._api = cluster.control.apis[host]
        self._missed = 0
        self._api.freeze(True)
        cluster.disturbed()

    def undo(self) -> None:
        self._missed = self._cluster.control.store.revision - self._api.cache.applied
        self._api.freeze(False)
        self._cluster.disturbed()

    def evidence(self) -> Evidence:
        return {"revisions_behind": self._missed}


def _kind(name: str, summary: str, target: str, evidence: str, inject: Any) -> Kind[Cluster]:
    return Kind(name=name, summary=summary, klass="process", target=target, evidence=evidence, inject=inject, level1=False)


KINDS = (
    _kind("leader-crash", "the leading controller manager or scheduler dies and is started again", "component", "leaders crashed", _crash),
    _kind("leader-loss", "the leader can't renew its lease and steps down", "component", "renewals refused",
          lambda cluster, args: _NoRenewal(cluster, component(args))),
    _kind("two-leaders", "the leader freezes, another takes over, and the first goes on until it notices", "component", "leaders frozen",
          lambda cluster, args: _TwoLeaders(cluster, component(args))),
    _kind("apiserver-crash", "an API server dies and is started again", "master", "servers crashed",
          lambda cluster, args: _ApiCrash(cluster, _server(cluster, args))),
    _kind("stale-apiserver", "an API server's cache stops following the store", "master", "revisions behind",
          lambda cluster, args: _Stale(cluster, _server(cluster, args))),
)  # fmt: skip
