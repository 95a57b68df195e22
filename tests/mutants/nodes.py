"""Mutants of what watches over nodes: node lifecycle, taint eviction, pod garbage collection."""

from __future__ import annotations

from typing import Any

from kchaos.models.api.pods import terminating
from kchaos.models.api.tree import Obj
from kchaos.models.controllers import nodehealth, podgc, statefulset, tainteviction
from kchaos.models.controllers.statefulset import StatefulSetController
from kchaos.scenario import At, Step
from tests.mutants.applications import MEMBERS, TIGHT, WEB, WEB_IN_ONE_ZONE
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()


@MUTANTS.caught_by("KC025", MEMBERS, "network-partition")
def statefulset_replaces_a_pod_of_an_unreachable_node(patch: Patch) -> None:
    """For each ordinal at most one pod runs: nothing is replaced before its node says that it has gone."""
    decide = statefulset.decide

    def hasty(owner: Obj, pods: list[Obj], *more: Any) -> Any:
        found = decide(owner, pods, *more)
        return found._replace(actions=[*(statefulset.Delete(pod) for pod in pods if terminating(pod)), *found.actions])

    async def force(self: StatefulSetController, owner: Obj, pod: Obj) -> None:
        grace = {"grace_period_seconds": 0} if terminating(pod) else {}
        await self.api.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], uid=pod["metadata"]["uid"], **grace)

    patch.setattr(statefulset, "decide", hasty)
    patch.setattr(StatefulSetController, "_delete", force)


@MUTANTS.caught_by("KC025", MEMBERS, "network-partition")
def pod_collector_takes_unreachable_for_out_of_service(patch: Patch) -> None:
    """A pod of a node that does not answer is forced off only if the node is out of service."""
    patch.setattr(podgc, "OUT_OF_SERVICE", "node.kubernetes.io/unreachable")


SILENCE = (step("network-partition", "node-1"), Step(do="scale-up", args={"target": "Deployment/default/web"}, when=At(150.0)))


@MUTANTS.caught_by("KC140", WEB, "none", SILENCE)
def silent_nodes_are_not_noticed(patch: Patch) -> None:
    """A node that is silent for longer than the grace period is marked Unknown."""
    observed = nodehealth.observed
    patch.setattr(nodehealth, "observed", lambda before, node, lease, now_s: observed(None, node, lease, now_s))


@MUTANTS.caught_by("KC040", WEB)
def taints_of_lost_nodes_stay(patch: Patch) -> None:
    """A node that is back loses the taints of its silence."""
    swap = nodehealth.no_execute_swap
    patch.setattr(nodehealth, "no_execute_swap", lambda node, status: swap(node, status)._replace(remove=()))


@MUTANTS.caught_by("KC041", WEB)
def taint_eviction_does_not_wait(patch: Patch) -> None:
    """A pod stays on a tainted node for its tolerationSeconds."""
    stay = tainteviction.stay_s
    patch.setattr(tainteviction, "stay_s", lambda pod, taints: None if stay(pod, taints) is None else 0.0)


@MUTANTS.caught_by("KC041", WEB)
def taint_eviction_never_comes(patch: Patch) -> None:
    """After its tolerationSeconds a pod is deleted from a tainted node."""
    patch.setattr(tainteviction, "stay_s", lambda pod, taints: None)


@MUTANTS.caught_by("KC041", TIGHT)
def nodes_are_evicted_without_a_rate(patch: Patch) -> None:
    """One node in ten seconds is tainted NoExecute in a zone."""
    patch.setattr(nodehealth, "eviction_rate", lambda state, nodes, constants: 1000.0)


CUT_OFF = tuple(step("network-partition", f"node-{index}") for index in (1, 2, 3))


@MUTANTS.caught_by("KC041", WEB_IN_ONE_ZONE, "none", CUT_OFF)
def all_nodes_are_evicted_when_the_control_plane_is_cut_off(patch: Patch) -> None:
    """When all zones are down nothing is evicted."""
    patch.setattr(nodehealth, "zone_state", lambda up, down, constants: nodehealth.ZoneState.NORMAL)
