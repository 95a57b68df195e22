"""Mutants of the kubelet and its container runtime."""

from __future__ import annotations

from kchaos.models.api.tree import Obj
from kchaos.models.node import runtime
from kchaos.models.node.kubelet import Kubelet
from kchaos.models.node.machine import Container, PodMachine
from kchaos.models.node.runtime import ContainerRuntime
from kchaos.scenario import At, Step
from tests.mutants.applications import ROBUST, SLOW_MEMBERS, WEB
from tests.mutants.mutant import Mutants, Patch

MUTANTS = Mutants()
KILLS = tuple(Step(do="container-kill", args={"target": "Deployment/default/robust"}, when=At(10.0 * index)) for index in range(8))


@MUTANTS.caught_by("KC013", ROBUST)
def kubelet_skips_grace(patch: Patch) -> None:
    """A process gets its grace period."""

    def stop_one(self: ContainerRuntime, one: PodMachine, c: Container, begin: float, grace: float) -> float:
        self._at(begin, self._sigterm, one, c, c.epoch, grace, False)
        self._at(begin, self._stopped, one, c, c.epoch, 137, grace)
        return begin

    patch.setattr(ContainerRuntime, "_stop_one", stop_one)


@MUTANTS.caught_by("KC013", ROBUST)
def kubelet_kills_without_asking(patch: Patch) -> None:
    """SIGTERM comes before SIGKILL."""
    patch.setattr(
        ContainerRuntime,
        "_stop_one",
        lambda self, one, c, begin, grace: self._at(begin, self._stopped, one, c, c.epoch, 137, grace) or begin,
    )


@MUTANTS.caught_by("KC013", ROBUST)
def kubelet_skips_the_hook(patch: Patch) -> None:
    """A preStop hook is run before SIGTERM."""
    patch.setattr(runtime, "prestop_s", lambda container, assumptions: 0.0)


@MUTANTS.caught_by("KC015", ROBUST)
def kubelet_does_not_wait_for_init_containers(patch: Patch) -> None:
    """Init containers run to success before any container starts."""
    patch.setattr(PodMachine, "next_init", lambda self: None)
    patch.setattr(PodMachine, "initialised", lambda self: True)


@MUTANTS.caught_by("KC016", ROBUST)
def kubelet_takes_one_ready_container_for_all(patch: Patch) -> None:
    """A pod is ready only if all its containers are."""
    status = PodMachine.status

    def ready(self: PodMachine, epoch_s: float, host_ip: str) -> Obj:
        out = status(self, epoch_s, host_ip)
        if self.running:
            out["conditions"] = [{"type": c["type"], "status": "True"} if c["type"] == "Ready" else c for c in out["conditions"]]
        return out

    patch.setattr(PodMachine, "status", ready)


@MUTANTS.caught_by("KC014", ROBUST, "none", KILLS)
def kubelet_forgets_restarts(patch: Patch) -> None:
    """restartCount never falls."""
    start = ContainerRuntime._start

    def forget(self: ContainerRuntime, one: PodMachine, c: Container) -> None:
        start(self, one, c)
        c.restarts = c.restarts % 2

    patch.setattr(ContainerRuntime, "_start", forget)


@MUTANTS.caught_by("KC114", ROBUST, "none", KILLS)
def kubelet_does_not_back_off(patch: Patch) -> None:
    """A container that ends again and again is started after ever longer waits."""
    exited = ContainerRuntime._exited

    def hasty(self: ContainerRuntime, one: PodMachine, c: Container, epoch: int, code: int) -> None:
        c.backoff_s = 0.0
        exited(self, one, c, epoch, code)

    patch.setattr(ContainerRuntime, "_exited", hasty)


@MUTANTS.caught_by("KC069", WEB)
def kubelet_does_not_restart_containers(patch: Patch) -> None:
    """Containers are started again when they end."""
    patch.setattr(ContainerRuntime, "_restart", lambda self, one, c, epoch: None)


@MUTANTS.caught_by("KC025", SLOW_MEMBERS)
def kubelet_lets_pods_go_before_they_have_stopped(patch: Patch) -> None:
    """A pod's object goes after its processes have ended."""
    stop = ContainerRuntime.stop

    def hasty(self: ContainerRuntime, one: PodMachine) -> None:
        stop(self, one)
        self._gone(one)

    patch.setattr(ContainerRuntime, "stop", hasty)


@MUTANTS.caught_by("KC040", WEB)
def kubelet_does_not_renew_its_lease(patch: Patch) -> None:
    """A node that renews its lease is ready."""
    patch.setattr(Kubelet, "_renew", lambda self: None)
