"""Mutants of the scheduler."""

from __future__ import annotations

import copy
from typing import Any

from kchaos.models.scheduler import nodetable, preemption, volumefilters
from kchaos.models.scheduler.cycle import Cycle
from kchaos.models.scheduler.engine import Engine
from kchaos.models.scheduler.interpod import AffinityFilter
from kchaos.models.scheduler.nodeinfo import NodeInfo
from kchaos.models.scheduler.nodetable import ShapeTests
from kchaos.models.scheduler.shell import Scheduler
from kchaos.models.scheduler.spread import HardSpread
from kchaos.scenario import At, Step
from tests.mutants.applications import APART, FULL, PAIR, PICKY, PORTS, RANKED, ROBUST, STORE, TAINTED, TIGHT
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()


@MUTANTS.caught_by("KC038", TIGHT)
def scheduler_over_commits(patch: Patch) -> None:
    """The scheduler never binds beyond allocatable."""
    patch.setattr(nodetable, "refused_resources", lambda shape, node: None)


@MUTANTS.caught_by("KC038", FULL, "rollout")
def scheduler_forgets_what_it_assumed(patch: Patch) -> None:
    """What has just been decided counts at the next decision."""
    patch.setattr(Engine, "assume", lambda self, pod, node: None)


@MUTANTS.caught_by("KC069", TIGHT)
def scheduler_does_not_try_again(patch: Patch) -> None:
    """What did not fit is tried again when something may have changed."""
    patch.setattr(Scheduler, "_requeue", lambda self, key, pod: None)


@MUTANTS.caught_by("KC138", ROBUST, "drain")
def scheduler_ignores_cordons(patch: Patch) -> None:
    """No pod is bound to a node that is cordoned."""
    refused = ShapeTests.refused_by_node
    patch.setattr(ShapeTests, "refused_by_node", lambda self, node: None if node.node["spec"].get("unschedulable") else refused(self, node))


@MUTANTS.caught_by("KC038", TAINTED)
def scheduler_ignores_taints(patch: Patch) -> None:
    """No pod is bound against a NoSchedule taint."""
    patch.setattr(nodetable, "taints_tolerated", lambda shape, node: True)


@MUTANTS.caught_by("KC138", PICKY)
def scheduler_ignores_node_selectors(patch: Patch) -> None:
    """nodeSelector and required node affinity hold when a pod is bound."""
    patch.setattr(nodetable, "required_affinity", lambda shape: None)


@MUTANTS.caught_by("KC138", PORTS)
def scheduler_ignores_host_ports(patch: Patch) -> None:
    """No two pods of a node have the same host port."""
    patch.setattr(NodeInfo, "port_conflict", lambda self, ports: False)


@MUTANTS.caught_by("KC138", APART)
def scheduler_ignores_anti_affinity(patch: Patch) -> None:
    """Required anti-affinity holds when a pod is bound."""
    patch.setattr(AffinityFilter, "refused", lambda self, node: None)


TWO_DRAINS = (step("drain", "node-1"), Step(do="drain", args={"target": "node-2"}, when=At(20.0)))


@MUTANTS.caught_by("KC138", PAIR, "none", TWO_DRAINS)
def scheduler_ignores_hard_spreading(patch: Patch) -> None:
    """DoNotSchedule holds when a pod is bound."""
    patch.setattr(HardSpread, "refused", lambda self, node: None)


@MUTANTS.caught_by("KC138", STORE)
def scheduler_ignores_where_volumes_are(patch: Patch) -> None:
    """A pod is bound only where its volumes can be reached."""
    patch.setattr(volumefilters, "affine", lambda volume, node: True)
    patch.setattr(volumefilters, "_zone_fits", lambda volume, tags: True)


@MUTANTS.caught_by("KC039", RANKED)
def preemption_takes_equals(patch: Patch) -> None:
    """Preemption takes pods of lower priority only."""
    victims = preemption.victims_on

    def greedy(cycle: Cycle, *more: Any) -> Any:
        raised = copy.copy(cycle.info)
        raised.priority += 10_000
        mine, cycle.info = cycle.info, raised
        try:
            return victims(cycle, *more)
        finally:
            cycle.info = mine

    patch.setattr(preemption, "victims_on", greedy)
