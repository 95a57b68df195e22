"""Faults inside pods: crashes, OOM kills, slow starts, failing probes and image pulls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import active, name, namespace
from kchaos.models.api.tree import Obj
from kchaos.models.cluster import Cluster
from kchaos.models.faults.targets import pods_of, restart, selects
from kchaos.models.node.kubelet import Kubelet
from kchaos.models.node.machine import PodMachine
from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.fault import Active, Evidence, Kind, Once


def _machines(cluster: Cluster, target: str) -> list[tuple[Kubelet, PodMachine]]:
    out = []
    for pod in pods_of(cluster, target):
        kubelet = cluster.kubelets.get(pod["spec"].get("nodeName", ""))
        machine = kubelet.machine_of(f"{namespace(pod)}/{name(pod)}") if kubelet is not None else None
        if kubelet is not None and machine is not None and machine.running:
            out.append((kubelet, machine))
    return out


def _as_node(cluster: Cluster, kubelet: Kubelet, action: Callable[[], Any]) -> Any:
    result: list[Any] = []
    owner = cluster.world.processes[f"{kubelet.node}/kubelet"].owner
    cluster.world.loop.run_as(owner, lambda: result.append(action()))
    return result[0]


def _kill(cluster: Cluster, args: dict[str, Any], reason: str) -> Active:
    killed = 0
    for kubelet, machine in _machines(cluster, args["target"])[:1]:
        killed += _as_node(cluster, kubelet, partial(kubelet.runtime.kill, machine, "", 137, reason))
    cluster.traffic_changed()
    return Once({"containers_killed": killed})


class _PodKill:
    """Delete one pod at once (grace 0 is what Chaos Mesh's pod-kill does by default)."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self.deleted = 0
        victims = [pod for pod in pods_of(cluster, target) if active(pod)][:1]
        for pod in victims:
            cluster.user.client._rt.spawn(self._delete(cluster, pod), f"kill {name(pod)}")

    async def _delete(self, cluster: Cluster, pod: Obj) -> None:
        try:
            await cluster.user.delete("pods", namespace(pod), name(pod), grace_period_seconds=0)
            self.deleted += 1
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def undo(self) -> None:
        """Nothing to undo: the controller replaces the pod."""

    def evidence(self) -> Evidence:
        return {"pods_deleted": self.deleted}


class _SlowStart:
    """New containers of the workload take longer to start; a restart shows it."""

    def __init__(self, cluster: Cluster, target: str, extra_s: float) -> None:
        self._cluster = cluster
        self._entry = (selects(cluster, target), extra_s)
        for kubelet in cluster.kubelets.values():
            kubelet.runtime.slow_starts.append(self._entry)
        restart(cluster, target, "slow-start")

    def undo(self) -> None:
        for kubelet in self._cluster.kubelets.values():
            if self._entry in kubelet.runtime.slow_starts:
                kubelet.runtime.slow_starts.remove(self._entry)

    def evidence(self) -> Evidence:
        return {"slow_starts": sum(k.runtime.evidence.get("slow_starts", 0) for k in self._cluster.kubelets.values())}


class _BadImage:
    """The registry does not answer for this workload; a restart needs it."""

    def __init__(self, cluster: Cluster, target: str) -> None:
        self._cluster = cluster
        self._matches = selects(cluster, target)
        for kubelet in cluster.kubelets.values():
            kubelet.runtime.bad_images.append(self._matches)
        restart(cluster, target, "image-pull-failure")

    def undo(self) -> None:
        for kubelet in self._cluster.kubelets.values():
            if self._matches in kubelet.runtime.bad_images:
                kubelet.runtime.bad_images.remove(self._matches)

    def evidence(self) -> Evidence:
        return {"failed_pulls": sum(k.runtime.evidence.get("failed_pulls", 0) for k in self._cluster.kubelets.values())}


def _flap(cluster: Cluster, args: dict[str, Any]) -> Active:
    noticed = 0
    for kubelet, machine in _machines(cluster, args["target"])[:1]:
        noticed += _as_node(cluster, kubelet, partial(kubelet.runtime.flap, machine, float(args["for_s"])))
    return Once({"pods_flapped": noticed})


def _kind(
    name: str, summary: str, evidence: str, inject: Callable[[Cluster, dict[str, Any]], Active], *arguments: Argument, one_pod: bool = True
) -> Kind[Cluster]:
    return Kind(
        name=name, summary=summary, klass="container", target="workload", evidence=evidence, inject=inject, arguments=arguments,
        one_pod=one_pod,
    )  # fmt: skip


KINDS = (
    _kind("pod-kill", "one pod is deleted without grace", "pods deleted", lambda cluster, args: _PodKill(cluster, args["target"])),
    _kind("container-kill", "the containers of one pod crash", "containers killed", lambda cluster, args: _kill(cluster, args, "Error")),
    _kind("oom-kill", "the containers of one pod are killed for using too much memory", "containers killed",
          lambda cluster, args: _kill(cluster, args, "OOMKilled")),
    _kind("slow-start", "containers take a minute longer to start, during a restart of the workload", "slow starts",
          lambda cluster, args: _SlowStart(cluster, args["target"], float(args["extra_s"])),
          Argument("extra_s", 60.0, usual=(5.0, 300.0)), one_pod=False),
    _kind("probe-flap", "all probes of one pod fail for 45 s", "pods that turn unready or are killed", _flap,
          Argument("for_s", 45.0, usual=(5.0, 120.0))),
    _kind("image-pull-failure", "images can't be pulled, during a restart of the workload", "failed pulls",
          lambda cluster, args: _BadImage(cluster, args["target"]), one_pod=False),
)  # fmt: skip
