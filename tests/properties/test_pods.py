"""Planted bugs in pods and in what runs in them."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.tree import put
from kchaos.models.node import runtime
from kchaos.models.node.machine import Container, PodMachine
from kchaos.models.node.runtime import ContainerRuntime
from tests.properties.objects import condition, container, node, pod
from tests.properties.planted import MADE, Case, Cases, Found, History, about
from tests.support import one, step, system_of

CASES = Cases()
APP = """
apiVersion: v1
kind: ReplicationController
metadata: {name: slow}
spec:
  replicas: 1
  selector: {app: slow}
  template:
    metadata: {labels: {app: slow}, annotations: {kchaos/note: stops slowly}}
    spec:
      terminationGracePeriodSeconds: 40
      containers:
        - {name: app, image: "registry.example/app:1", lifecycle: {preStop: {sleep: {seconds: 10}}}}
"""


def _drained() -> Found:
    """Drain the nodes of one zone: the only pod must move."""
    system = system_of(APP, nodes=2, zones=1)
    return one(system, step("drain", "node-1")).violations + one(system, step("drain", "node-2")).violations


def _safety(found: Found) -> Found:
    """Leave out what a small application may be told about its availability."""
    return [(prop, violation) for prop, violation in found if not prop.id.startswith("KC2")]


@CASES.bug("KC012", "moved")
def a_pod_moves(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    made = history.put(pod())
    bound = history.put(put(made, "node-1", "spec", "nodeName"), by="kube-scheduler")
    after = put(bound, "node-2", "spec", "nodeName") if bad else bound
    history.put(put(after, "Running", "status", "phase"), by="kube-scheduler")
    return history.end("KC206")


@CASES.bug("KC012", "phase")
def a_phase_goes_back(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod(node="node-1", status={"phase": "Running"}))
    history.put(pod(node="node-1", status={"phase": "Pending" if bad else "Succeeded"}), by="kubelet")
    return history.end("KC206")


@CASES.bug("KC012", "phase")
def a_pod_fails_after_all(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that has failed may be written again, as long as it stays so."""
    history = History(pod(node="node-1", status={"phase": "Succeeded" if bad else "Failed"}))
    history.put(pod(node="node-1", status={"phase": "Failed", "reason": "Evicted"}), by="kubelet")
    return history.end()


@CASES.bug("KC012", "phase")
def a_pod_succeeds_after_all(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod(node="node-1", status={"phase": "Failed" if bad else "Running"}))
    history.put(pod(node="node-1", status={"phase": "Succeeded"}), by="kubelet")
    return history.end()


def _runs_again(started_before: bool, elsewhere: bool) -> Found:
    history = History(*([pod(node="node-1", ready=True)] if started_before else []), node("node-1"), node("node-2"))
    about = {"pod": "shop/web-0", "uid": "Pod-web-0", "owner": ""}
    if not started_before:
        history.mark("pod", event="started", node="node-1", **about)
    history.wait(10.0)
    history.mark("pod", event="started", node="node-2" if elsewhere else "node-1", **about)
    return history.end()


@CASES.bug("KC112", "two nodes")
def one_pod_on_two_nodes(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Started again where it was, after a power loss, it is still one."""
    return _runs_again(started_before=False, elsewhere=bad)


@CASES.bug("KC112", "two nodes")
def a_pod_that_ran_from_the_start_on_a_second_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Examples begin with pods that run: no mark tells of their start."""
    return _runs_again(started_before=True, elsewhere=bad)


@CASES.bug("KC112", "two nodes")
def a_pod_starts_elsewhere_before_it_stopped(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    about = {"pod": "shop/web-0", "uid": "Pod-web-0", "owner": ""}
    history.mark("pod", event="started", node="node-1", **about)
    if not bad:
        history.mark("pod", event="stopped", node="node-1", **about)
    history.mark("pod", event="started", node="node-2", **about)
    return history.end()


def _stop(*events: tuple[float, str]) -> Found:
    """Tell how one container with 30 s of grace was stopped."""
    history = History()
    start = history.t
    for at, event in events:
        history.t = start + at
        history.mark("container", pod="shop/web-0", uid="Pod-web-0", container="app", node="node-1", event=event, grace_s=30.0)
    return history.end()


@CASES.bug("KC013", "stop order")
def sigterm_during_the_hook(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    hook = [(10.0, "prestop-done")]
    return _stop((0.0, "started"), (5.0, "prestop"), *([] if bad else hook), (10.0, "sigterm"))


@CASES.bug("KC013", "stop order")
def sigterm_before_a_hook_has_used_up_the_grace(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A hook that takes longer than the grace period is cut off at its end."""
    return _stop((0.0, "started"), (5.0, "prestop"), (34.0 if bad else 35.0, "sigterm"))


@CASES.bug("KC013", "stop order")
def the_kubelet_cuts_the_hook_short(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: it says that the hook is done, but the pod's hook sleeps longer."""
    if bad:
        patch.setattr(runtime, "prestop_s", lambda container, assumptions: 3.0)
    return _safety(_drained())


@CASES.bug("KC013", "stop order")
def killed_without_sigterm(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stop((0.0, "started"), *([] if bad else [(5.0, "sigterm")]), (35.0, "sigkill"))


@CASES.bug("KC013", "grace")
def killed_before_its_grace_is_over(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _stop((0.0, "started"), (5.0, "sigterm"), (34.0 if bad else 35.0, "sigkill"))


@CASES.bug("KC013", "grace")
def the_hook_counts_as_grace(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Grace begins with the hook, not with SIGTERM; but it does not begin before."""
    return _stop((0.0, "started"), (5.0, "prestop"), (15.0, "prestop-done"), (15.0, "sigterm"), (34.0 if bad else 35.0, "sigkill"))


@CASES.bug("KC013", "grace")
def the_kubelet_skips_grace(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: the kubelet kills at once what was asked to stop with a grace of 40 s."""

    def impatient(self: ContainerRuntime, machine: PodMachine, c: Container, begin: float, grace: float) -> float:
        self._sigterm(machine, c, c.epoch, grace, False)
        self._stopped(machine, c, c.epoch, 137, grace)
        return begin

    if bad:
        patch.setattr(runtime.ContainerRuntime, "_stop_one", impatient)
    return _safety(_drained())


@CASES.bug("KC014", "restarts")
def a_restart_count_falls(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _counted("containerStatuses", 1 if bad else 3)


@CASES.bug("KC014", "restarts")
def a_restart_count_of_an_init_container_falls(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _counted("initContainerStatuses", 1 if bad else 3)


def _counted(group: str, after: int) -> Found:
    done = {"terminated": {"exitCode": 0}}
    before = pod(node="node-1", ready=True, status={group: [container(restarts=2, state=done)]})
    history = History(before)
    history.put(put(before, [container(restarts=after, state=done)], "status", group), by="kubelet")
    return history.end()


@CASES.bug("KC015", "init")
def the_app_starts_before_init_is_done(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    init = container("init", state={"running": {}} if bad else {"terminated": {"exitCode": 0}})
    history.put(pod(node="node-1", ready=True, status={"initContainerStatuses": [init]}), by="kubelet")
    return history.end()


@CASES.bug("KC015", "init")
def the_app_runs_beside_init(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """While init runs, the app waits."""
    history = History()
    app = container(ready=False, state={"running": {"startedAt": MADE}} if bad else {"waiting": {}})
    init = container("init", state={"running": {}})
    history.put(pod(node="node-1", ready=False, status={"containerStatuses": [app], "initContainerStatuses": [init]}), by="kubelet")
    return history.end("KC206")


@CASES.bug("KC015", "init")
def the_app_starts_after_init_failed(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    init = container("init", state={"terminated": {"exitCode": 1 if bad else 0}})
    history.put(pod(node="node-1", ready=True, status={"initContainerStatuses": [init]}), by="kubelet")
    return history.end()


@CASES.bug("KC015", "init")
def the_app_starts_beside_an_init_container(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A sidecar (an init container with restartPolicy Always) runs on beside the app; no other may."""
    history = History()
    spec: dict[str, Any] = {"initContainers": [{"name": "init", **({} if bad else {"restartPolicy": "Always"})}]}
    history.put(pod(node="node-1", ready=True, spec=spec, status={"initContainerStatuses": [container("init")]}), by="kubelet")
    return history.end()


@CASES.bug("KC016", "ready")
def ready_with_a_container_that_is_not(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    history.put(pod(node="node-1", ready=True, status={"containerStatuses": [container(), container("side", ready=not bad)]}), by="kubelet")
    return history.end()


@CASES.bug("KC016", "ready")
def ready_with_a_closed_gate(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    gate = "example.com/in-load-balancer"
    up = [condition(kind, True) for kind in ("Ready", "ContainersReady")]
    spec = {"readinessGates": [{"conditionType": gate}]}
    history.put(pod(node="node-1", ready=True, spec=spec, status={"conditions": [*up, condition(gate, not bad)]}), by="kubelet")
    return history.end()


@CASES.bug("KC016", "ready")
def ready_though_its_containers_are_not(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History()
    up = [condition("Ready", True), condition("ContainersReady", not bad)]
    history.put(pod(node="node-1", ready=True, status={"conditions": up}), by="kubelet")
    return history.end()


@CASES.bug("KC013", "hook")
def sigterm_without_the_hook(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Without grace there is no hook."""
    sleeps = {"containers": [{"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]}
    history = History(pod("web-0", "node-1", True, spec=sleeps))
    where = {"pod": "shop/web-0", "uid": "Pod-web-0", "container": "app", "node": "node-1"}
    history.mark("container", event="sigterm", grace_s=30.0 if bad else 0.0, **where)
    return history.end()


# -- back-off ----------------------------------------------------------------------------------------------------------


def _crashes(*waits_s: float, ran_s: float = 1.0) -> Found:
    """Let a container end, and start it again after each of these waits."""
    history = History(pod("web-0", "node-1", True))
    where = {"pod": "shop/web-0", "uid": "Pod-web-0", "container": "app", "node": "node-1"}
    history.mark("container", event="started", **where)
    for wait in waits_s:
        history.wait(ran_s)
        history.mark("container", event="exited", code=1, **where)
        history.wait(wait)
        history.mark("container", event="started", **where)
    return about(history.end(), "KC114")


@CASES.bug("KC114", "back-off")
def a_second_start_without_a_wait(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _crashes(0.1, 1.0 if bad else 10.0)


@CASES.bug("KC114", "back-off")
def a_wait_that_does_not_double(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _crashes(0.1, 10.0, 10.0 if bad else 20.0)


@CASES.bug("KC114", "back-off")
def a_start_too_soon_after_a_short_run(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Ten minutes of running make good for earlier ends."""
    return _crashes(0.1, 0.1, ran_s=590.0 if bad else 610.0)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
