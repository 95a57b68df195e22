"""The container runtime of a node: starts, probes, stops and restarts the containers of its pods at the right times.

Rules: pkg/kubelet/kuberuntime (order of init containers and sidecars, preStop, SIGTERM, grace, SIGKILL), pkg/kubelet/prober, back-off of
restarts 0, 10, 20 … 300 s, started afresh after 10 minutes of running. Instead of firing every probe, the time at which a threshold
trips is computed: a probe's outcome changes only when the application starts to serve, or under a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import Constants
from kchaos.models.node.assumptions import prestop_s, probe_times, uses_too_much
from kchaos.models.node.machine import NEVER, Container, PodMachine, ended_state, grace_s, owner_kind
from kchaos.runtime import Runtime

Mark = Callable[..., None]
Matches = Callable[[Obj], bool]


class ContainerRuntime:
    """Runs pod machines; calls ``changed(machine)`` when a status may have changed and ``gone(machine)`` when all have stopped."""

    def __init__(
        self,
        rt: Runtime,
        node: str,
        constants: Constants,
        mark: Mark,
        changed: Callable[[PodMachine], None],
        gone: Callable[[PodMachine], None],
        truth_changed: Callable[[str], None],
    ) -> None:
        self._rt = rt
        self._node = node
        self._constants = constants
        self._mark = mark
        self._changed = changed
        self._gone = gone
        self._truth = truth_changed
        self._images: dict[str, None] = {}
        self.slow_starts: list[tuple[Matches, float]] = []
        self.bad_images: list[Matches] = []
        self.epoch_s = rt.wall() - rt.now()
        self.evidence: dict[str, int] = {}

    def inherit(self, before: ContainerRuntime) -> None:
        """Take over what disturbs this node from the runtime before a reboot: faults last, and what they have done counts."""
        self.slow_starts, self.bad_images, self.evidence = before.slow_starts, before.bad_images, before.evidence

    def _count(self, what: str) -> None:
        self.evidence[what] = self.evidence.get(what, 0) + 1

    def knows(self, image: str) -> None:
        """Take an image as already pulled."""
        self._images[image] = None

    # -- starting ------------------------------------------------------------------------------------------------------

    def begin(self, machine: PodMachine) -> None:
        """Start a pod: its images, its init containers, then its containers."""
        machine.started_s = self._rt.now()
        self._mark("pod", pod=machine.key, uid=machine.uid, node=self._node, event="started", owner=owner_kind(machine.pod))
        self.go_on(machine)

    def go_on(self, machine: PodMachine) -> None:
        """Start whatever may start now."""
        if machine.stopping or machine.finished:
            return
        turn = machine.next_init()
        if turn is not None:
            self._pull(machine, turn)
            return
        if machine.initialised():
            for one in machine.app:
                if one.state == "waiting" and one.reason in ("ContainerCreating", "PodInitializing"):
                    self._pull(machine, one)

    def _pull(self, machine: PodMachine, c: Container) -> None:
        if c.reason == "Pulling":
            return
        if any(matches(machine.pod) for matches in self.bad_images):
            self._count("failed_pulls")
            wait = min(self._constants.crash_backoff_max_s, max(10.0, c.pull_backoff_s * 2))
            c.pull_backoff_s = wait
            c.reason = "ImagePullBackOff"
            self._changed(machine)
            self._rt.call_later(wait, self._pull_again, machine, c, c.epoch, background=True)
            return
        if c.image in self._images:
            self._start(machine, c)
            return
        c.reason = "Pulling"
        self._rt.call_later(machine.assumptions.image_pull_s, self._pulled, machine, c, c.epoch)

    def _pull_again(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch == epoch and c.state == "waiting" and not machine.stopping:
            self._pull(machine, c)

    def _pulled(self, machine: PodMachine, c: Container, epoch: int) -> None:
        self._images[c.image] = None
        if c.epoch == epoch and c.state == "waiting" and not machine.stopping:
            c.reason = "ContainerCreating"
            self._start(machine, c)

    def _start(self, machine: PodMachine, c: Container) -> None:
        now = self._rt.now()
        c.epoch += 1
        if c.found is not None:
            c.last, c.found = c.found, None
            c.restarts += 1
        c.state, c.begun_s, c.refuses_from_s, c.reason = "running", now, NEVER, ""
        extra = sum(more for matches, more in self.slow_starts if matches(machine.pod))
        if extra:
            self._count("slow_starts")
        c.serves_from_s = now + machine.assumptions.start_s + extra
        self._mark("container", pod=machine.key, uid=machine.uid, node=self._node, container=c.name, event="started")
        if c.init and not c.sidecar:
            c.started = True
            self._rt.call_later(machine.assumptions.run_s / 5, self._exited, machine, c, c.epoch, 0)
        else:
            self._arm_probes(machine, c)
            if machine.policy != "Always" and not c.init:
                self._rt.call_later(machine.assumptions.run_s, self._exited, machine, c, c.epoch, 0)
            self._rt.call_later(c.serves_from_s - now, self._serves, machine, c, c.epoch)
        if not c.init and uses_too_much(machine.spec_of(c), machine.assumptions):
            self._rt.call_later(machine.assumptions.start_s, self._out_of_memory, machine, c, c.epoch)
        self._changed(machine)
        self._truth(machine.key)
        if c.sidecar:
            self.go_on(machine)

    def _out_of_memory(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch == epoch and c.state == "running":
            c.reason = "OOMKilled"
            self._exited(machine, c, epoch, 137)

    def _serves(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch == epoch and c.state == "running":
            self._truth(machine.key)

    # -- probes --------------------------------------------------------------------------------------------------------

    def _arm_probes(self, machine: PodMachine, c: Container) -> None:
        spec = machine.spec_of(c)
        startup, begin = spec.get("startupProbe"), c.begun_s
        if startup:
            c.started = False
            ok, bad = probe_times(startup, c.begun_s, c.serves_from_s)
            if ok is None:
                assert bad is not None
                self._at(bad, self._probe_killed, machine, c, c.epoch, "startup")
                return
            self._at(ok, self._started, machine, c, c.epoch)
            begin = ok
        else:
            c.started = True
        readiness = spec.get("readinessProbe")
        if readiness:
            c.ready = False
            # a readiness probe never kills: it goes on until it succeeds
            ok, _ = probe_times({**readiness, "failureThreshold": 1 << 30}, begin, c.serves_from_s)
            assert ok is not None
            self._at(ok, self._set_ready, machine, c, c.epoch, True)
        elif startup:
            c.ready = False
        else:
            c.ready = True
        liveness = spec.get("livenessProbe")
        if liveness:
            _, bad = probe_times(liveness, begin, c.serves_from_s)
            if bad is not None:
                self._at(bad, self._probe_killed, machine, c, c.epoch, "liveness")

    def _at(self, when_s: float, callback: Callable[..., None], *args: Any) -> None:
        self._rt.call_later(max(0.0, when_s - self._rt.now()), callback, *args)

    def _started(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch != epoch or c.state != "running":
            return
        c.started = True
        if not machine.spec_of(c).get("readinessProbe"):
            c.ready = True
        self._changed(machine)
        if c.sidecar:
            self.go_on(machine)

    def _set_ready(self, machine: PodMachine, c: Container, epoch: int, ready: bool) -> None:
        if c.epoch != epoch or c.state != "running" or c.ready == ready:
            return
        c.ready = ready
        self._changed(machine)

    def _probe_killed(self, machine: PodMachine, c: Container, epoch: int, probe: str) -> None:
        if c.epoch == epoch and c.state == "running" and not machine.stopping:
            self._mark("probe", pod=machine.key, container=c.name, probe=probe, node=self._node)
            self._exited(machine, c, epoch, 137)

    def flap(self, machine: PodMachine, for_s: float) -> bool:
        """Let all probes of a pod fail for ``for_s`` seconds from now; tell whether that can be noticed."""
        noticed = False
        now = self._rt.now()
        for c in machine.app:
            spec = machine.spec_of(c)
            if c.state != "running":
                continue
            for kind in ("readinessProbe", "livenessProbe"):
                probe = spec.get(kind)
                if not probe:
                    continue
                period, threshold = float(probe.get("periodSeconds") or 10), int(probe.get("failureThreshold") or 3)
                first = c.begun_s + float(probe.get("initialDelaySeconds") or 0)
                behind = max(0.0, now - first)
                next_s = first + -(-behind // period) * period
                trips = next_s + (threshold - 1) * period
                if trips > now + for_s:
                    continue
                noticed = True
                if kind == "livenessProbe":
                    self._at(trips, self._probe_killed, machine, c, c.epoch, "liveness")
                    continue
                back = next_s + -(-(now + for_s - next_s) // period) * period
                again = back + (int(probe.get("successThreshold") or 1) - 1) * period
                self._at(trips, self._set_ready, machine, c, c.epoch, False)
                self._at(again, self._set_ready, machine, c, c.epoch, True)
        return noticed

    # -- ends ----------------------------------------------------------------------------------------------------------

    def kill(self, machine: PodMachine, container: str = "", exit_code: int = 137, reason: str = "Error") -> int:
        """Kill the pod's containers (or one of them) from outside; return how many ran."""
        count = 0
        for c in machine.app:
            if c.state == "running" and container in ("", c.name):
                c.reason = reason
                self._exited(machine, c, c.epoch, exit_code)
                count += 1
        return count

    def _exited(self, machine: PodMachine, c: Container, epoch: int, code: int) -> None:
        if c.epoch != epoch or c.state != "running":
            return
        now = self._rt.now()
        ran = now - c.begun_s
        c.state, c.ended_s, c.exit_code, c.ready, c.started = "terminated", now, code, False, False
        self._mark("container", pod=machine.key, uid=machine.uid, node=self._node, container=c.name, event="exited", code=code)
        self._changed(machine)
        self._truth(machine.key)
        if machine.stopping:
            self._maybe_gone(machine)
            return
        again = machine.policy == "Always" or c.sidecar or (machine.policy == "OnFailure" and code)
        if c.init and not c.sidecar:
            again = bool(code) and machine.policy != "Never"
        if not again:
            if c.init and code == 0:
                self.go_on(machine)
            elif machine.phase() in ("Succeeded", "Failed"):
                self._mark("pod", pod=machine.key, uid=machine.uid, node=self._node, event="stopped", owner=owner_kind(machine.pod))
            return
        if ran >= self._constants.crash_backoff_reset_s:
            c.backoff_s = 0.0
        wait = c.backoff_s
        base, top = self._constants.crash_backoff_base_s, self._constants.crash_backoff_max_s
        c.backoff_s = min(top, wait * 2) if wait else base
        if wait:
            self._rt.call_later(0.0, self._backing_off, machine, c, c.epoch)
        self._rt.call_later(max(wait, 0.1), self._restart, machine, c, c.epoch)

    def _backing_off(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch == epoch and c.state == "terminated" and not machine.stopping:
            c.last = ended_state(c, self.epoch_s)
            c.state, c.reason = "waiting", "CrashLoopBackOff"
            self._changed(machine)

    def _restart(self, machine: PodMachine, c: Container, epoch: int) -> None:
        if c.epoch != epoch or c.state == "running" or machine.stopping or machine.finished:
            return
        if c.state == "terminated":
            c.last = ended_state(c, self.epoch_s)
        c.restarts += 1
        c.state, c.reason = "waiting", "ContainerCreating"
        self._pull(machine, c)

    def stop(self, machine: PodMachine) -> None:
        """Stop a pod as its deletion asks: preStop, SIGTERM, the rest of grace, SIGKILL; sidecars after the rest."""
        now, grace = self._rt.now(), grace_s(machine.pod)
        machine.stopping = True
        if not machine.running:
            self._maybe_gone(machine)
            return
        order = [c for c in machine.containers if c.state == "running" and not c.sidecar]
        sidecars = [c for c in machine.containers if c.state == "running" and c.sidecar]
        last = now
        for c in order:
            last = max(last, self._stop_one(machine, c, now, grace))
        for c in reversed(sidecars):
            self._stop_one(machine, c, last, grace)

    def _stop_one(self, machine: PodMachine, c: Container, begin: float, grace: float) -> float:
        hook = prestop_s(machine.spec_of(c), machine.assumptions) if begin == self._rt.now() else 0.0
        left = max(0.0, grace - (begin - self._rt.now()))
        if hook and grace > 0:
            self._mark_stop(machine, c, "prestop", grace)
        term = begin + min(hook, left)
        kill = max(begin + left, term + (2.0 if hook and grace > 0 else 0.0))
        end = min(term + machine.assumptions.exit_after_s, kill) if grace > 0 else begin
        code = 0 if end < kill or machine.assumptions.exit_after_s <= kill - term else 137
        self._at(term, self._sigterm, machine, c, c.epoch, grace, 0.0 < hook <= left)
        self._at(end, self._stopped, machine, c, c.epoch, code, grace)
        return end

    def _mark_stop(self, machine: PodMachine, c: Container, event: str, grace: float) -> None:
        self._mark("container", pod=machine.key, uid=machine.uid, node=self._node, container=c.name, event=event, grace_s=grace)

    def _sigterm(self, machine: PodMachine, c: Container, epoch: int, grace: float, hooked: bool) -> None:
        if c.epoch != epoch or c.state != "running":
            return
        if hooked:  # a hook that outlasts the grace period is cut off
            self._mark_stop(machine, c, "prestop-done", grace)
        self._mark_stop(machine, c, "sigterm", grace)
        c.refuses_from_s = self._rt.now() + machine.assumptions.accepts_after_sigterm_s
        self._truth(machine.key)
        if machine.assumptions.accepts_after_sigterm_s:
            self._at(c.refuses_from_s, self._truth, machine.key)

    def _stopped(self, machine: PodMachine, c: Container, epoch: int, code: int, grace: float) -> None:
        if c.epoch != epoch or c.state != "running":
            return
        if code == 137:
            self._mark_stop(machine, c, "sigkill", grace)
        c.reason = "Completed" if code == 0 else "Error"
        self._exited(machine, c, epoch, code)

    def _maybe_gone(self, machine: PodMachine) -> None:
        if not machine.running and not machine.finished:
            machine.finished = True
            self._mark("pod", pod=machine.key, uid=machine.uid, node=self._node, event="stopped", owner=owner_kind(machine.pod))
            self._gone(machine)
