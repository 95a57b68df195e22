"""The sweep: which scenarios a campaign runs. Level 1 is no fault and every single fault on every relevant target; level 2 is pairs.

Jobs have run before chaos begins: for each of them level 1 ends with scenarios in which it is made anew and a fault meets its pods.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from kchaos.engine.booting import Boot, System
from kchaos.engine.drawn import Space, Variant
from kchaos.engine.jobs import job_scenarios
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Store
from kchaos.models.cluster import Cluster
from kchaos.models.controlplane import MANAGER, SCHEDULER
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.controlplane import COMPONENTS
from kchaos.models.faults.corruption import applies
from kchaos.models.faults.jobs import RUN
from kchaos.models.faults.objects import KLASS
from kchaos.models.security.webhooks import place_of
from kchaos.nemesis.fault import Catalog
from kchaos.scenario import At, Step

SECOND_S = 20.0
"""In a pair, the second fault follows the first after this long: the first is felt, and not yet dealt with."""
DRAINS_FIRST = 15
ROLLED = ("Deployment", "StatefulSet", "DaemonSet")
SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
FIXED = {
    "component": COMPONENTS, "cluster": ("cluster",), "resource": ("pods", "replicasets", "endpointslices"),
    "actor": (
        "deployment-controller", "replicaset-controller", "statefulset-controller", "endpointslice-controller",
        "kube-scheduler", "kubelet",
    ),
}  # fmt: skip
"""Targets of a sort that does not hang on the application: components, kinds whose watches go wrong, who asks."""
SEVERAL_MASTERS = ("apiserver-partition", "apiserver-each", "masters-apart")
GENTLE = ("rollout", "rollback", "slow-start", "image-pull-failure")


class Sweep(NamedTuple):
    """All scenarios of a campaign, as tuples of steps. ``level1`` begins with no fault."""

    level1: tuple[tuple[Step, ...], ...]
    pairs: tuple[tuple[int, int], ...]
    """Indexes into level1, shuffled by the seed."""
    triggers: bool = False
    """Whether level 1 are operations, and each fault is then tried at each event of each of them (triggers.py)."""
    at_events: tuple[str, ...] | None = None
    """Only these faults are tried at events; None: all that can matter."""

    @property
    def singles(self) -> list[Step]:
        """Return the steps of those with one."""
        return [steps[0] for steps in self.level1 if len(steps) == 1]

    def pair(self, index: int) -> tuple[Step, ...]:
        """Return the steps of a pair."""
        first, second = (self.level1[i][0] for i in self.pairs[index])
        together = first.do == second.do == "drain"
        return (first, Step(do=second.do, args=second.args, when=At(1.0 if together else SECOND_S)))


def choose(names: str | None, kinds: Catalog[Cluster]) -> list[str]:
    """Return the faults of a comma separated list of names and groups (``process``, ``api``, ``watch``, ``network``, ``clock``, ``all``).

    Without a list: those of level 1. Raises InvalidScenario for unknown ones.
    """
    if names is None:
        return [kind.name for kind in kinds if kind.level1]
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if wanted == ["none"]:
        return []
    if not wanted:
        raise InvalidScenario("--faults names no fault", hint="`kchaos faults` lists them; `none` for none")
    groups = {kind.klass: None for kind in kinds if not kind.level1 and kind.klass != KLASS}
    out: dict[str, None] = {}
    for name in wanted:
        if name == "all":
            out |= dict.fromkeys(kind.name for kind in kinds if kind.klass != KLASS)
        elif name in groups and name not in kinds:
            out |= dict.fromkeys(kind.name for kind in kinds if kind.klass == name and not kind.level1)
        elif kinds.get(name).klass == KLASS:
            raise InvalidScenario(f"{name} needs more than a target: no sweep can try it", hint="name it in a scenario or a ClusterMachine")
        else:
            out[name] = None
    return list(out)


def sweep(system: System, booted: Boot, faults: Sequence[str] | None = None, seed: int = 0) -> Sweep:
    """Return all scenarios for a booted system."""
    kinds = catalog()
    names = list(faults) if faults is not None else [kind.name for kind in kinds if kind.level1]
    singles = [Step(do=name, args={"target": target}) for name in names for target in _targets(name, system, booted, kinds)]
    level1: list[tuple[Step, ...]] = [(), *((step,) for step in singles)]
    pairs = [
        (i, j)
        for i in range(1, len(level1))
        for j in range(i + 1, len(level1))
        if level1[i][0].args != level1[j][0].args or level1[i][0].do != level1[j][0].do
    ]
    random.Random(f"{seed}/pairs").shuffle(pairs)
    # two drains at once are what people really do: some of these come first
    drains = [pair for pair in pairs if all(level1[i][0].do == "drain" for i in pair)][:DRAINS_FIRST]
    pairs = [*drains, *(pair for pair in pairs if pair not in drains)]
    return Sweep((*level1, *job_scenarios(system, booted, names)), tuple(pairs))


MASTERS = (f"leader({MANAGER})", f"leader({SCHEDULER})", "server-of(user)", "minority()")
"""Masters as drawn scenarios name them: they hold on one master and on three."""


def space(system: System, booted: Boot, faults: Sequence[str], seed: int, more_seeds: int = 1) -> Space:
    """Return what scenarios may be drawn from: these faults on all their targets, the boot's seed and another, one and three masters."""
    kinds = catalog()
    masters = system.topology.masters
    several = system._replace(topology=msgspec.structs.replace(system.topology, masters=max(3, masters)))
    targets: dict[str, tuple[str, ...]] = {}
    for kind in (kinds.get(name) for name in faults):
        if found := tuple(_targets(kind.name, several, booted, kinds)):
            targets[kind.name] = MASTERS if kind.target == "master" else found
        if kind.target == "node" and found:
            targets[kind.name] += tuple(f"node-of({workload})" for workload in booted.workloads)
    variants = [Variant(seed, masters), Variant(seed, 3 if masters == 1 else 1)]
    variants += [Variant(seed + 1 + i, masters) for i in range(more_seeds)]
    operations = [kind.name for kind in kinds if kind.operation]
    return Space(targets, {}, variants, operations, {name: kinds.get(name).arguments for name in targets})


def _targets(name: str, system: System, booted: Boot, kinds: Catalog[Cluster]) -> Iterator[str]:
    kind = kinds.get(name)
    nodes = booted.placed
    if kind.klass == KLASS:
        return  # it needs more than a target
    if kind.target == "node":
        yield from (node.name for node in system.topology.nodes if node.name in nodes)
    elif kind.target == "zone" and len(system.topology.zones) < 2:
        return  # the loss of the only zone is the loss of the cluster
    elif kind.target == "zone":
        yield from dict.fromkeys(
            node.zone for node in sorted(system.topology.nodes, key=lambda n: n.zone) if node.zone and node.name in nodes
        )
    elif kind.klass == "corruption":
        store = Store.from_image(booted.image.store)
        yield from (workload for workload in booted.workloads if applies(name, workload, store))
    elif kind.target == "workload":
        yield from (workload for workload in booted.workloads if relevant(name, workload, booted))
    elif name in SEVERAL_MASTERS and system.topology.masters < 2:
        return  # with one API server, its loss is network-partition's and apiserver-crash's question
    elif kind.target == "master":
        yield from (f"master-{i}" for i in range(system.topology.masters))
    elif kind.target == "client":
        yield from (*(node.name for node in system.topology.nodes if node.name in nodes), "user")
    elif kind.target == "webhook":
        yield from webhook_places(system.objects)
    elif kind.target in FIXED:
        yield from FIXED[kind.target]
    else:
        raise InvalidScenario(f"{name} has targets of a sort that the sweep does not know: {kind.target}")


def webhook_places(objects: Iterable[Obj]) -> list[str]:
    """Return the services (or URLs) behind the admission webhooks among some objects."""
    kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    hooks = (hook for obj in objects if obj["kind"] in kinds for hook in obj.get("webhooks") or ())
    return list(dict.fromkeys(place_of(hook) for hook in hooks))


def relevant(fault: str, workload: str, booted: Boot) -> bool:
    """Tell whether a fault can mean anything to a workload: what it can't must not count as survived."""
    kind = workload.partition("/")[0]
    facts = booted.workloads[workload]
    if fault == RUN:
        return False  # Jobs have scenarios of their own
    if fault in GENTLE:
        return kind in ROLLED
    if fault == "scale-up":
        return kind in SCALED
    if fault == "scale-down":
        return kind in SCALED and facts.replicas >= 2
    if fault == "probe-flap":
        return facts.probed
    return kind != "Job"
