"""The Kubernetes backend of the engine: boots a cluster from manifests, and runs one scenario from the booted image.

Phases: boot, chaos, heal, settle, final. A phase ends as soon as nothing but upkeep is left to happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Context, Monitors, Property, Violation
from kchaos.history.record import Run
from kchaos.history.view import View
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, labels, namespace, ready, terminating
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import Event
from kchaos.models.cluster import AssumptionTable, Cluster, Image
from kchaos.models.faults.catalog import catalog
from kchaos.models.members import workload_of
from kchaos.models.network.traffic import RATE
from kchaos.models.topology import Topology
from kchaos.nemesis.schedule import Nemesis
from kchaos.properties.catalog import CATALOG
from kchaos.scenario import Budget, Scenario
from kchaos.sim.noise import Deviations, Noise
from kchaos.sim.world import EPOCH_S

QUIET_S = 30.0
"""A cluster is at rest when nothing but upkeep has happened for this long (a silent node is noticed within 25 s)."""
BACKOFF_S = 330.0
"""Longer than the longest back-off of a kubelet (MaxContainerBackOff and image back-off, 300 s)."""
BOOT_S = 900.0
BEFORE_CHAOS_S = 8.0
"""Components start and elect their leaders before chaos begins."""
INSTALL_ORDER = (
    "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret", "ConfigMap",
    "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding",
    "Role", "RoleBinding", "PriorityClass", "Service", "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment",
    "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "IngressClass", "Ingress", "APIService",
)  # fmt: skip
"""The order in which helm installs kinds (helm.sh/helm/v3/pkg/releaseutil/kind_sorter.go)."""


class Refusal(NamedTuple):
    """An object that the API server did not take."""

    obj: Obj
    reason: str
    message: str


class System(NamedTuple):
    """What is under test: objects in the order to apply them, on what, under which assumptions."""

    objects: Sequence[Obj]
    topology: Topology
    constants: Constants
    assumptions: AssumptionTable
    settings: Mapping[str, Any]
    context: Sequence[Obj] = ()
    digest: str = ""
    """Of everything above: stands for the inputs in the header of a run."""
    inputs: Mapping[str, Any] = {}
    """What all of it was built from, as a scenario holds it."""


class Workload(NamedTuple):
    """What the sweep must know of a workload."""

    replicas: int
    probed: bool


class Boot(NamedTuple):
    """A booted system: its image, what was refused, and the verdict on the boot itself.

    ``services``: those that users send requests to; ``backing``: which workloads stand behind a Service; ``placed``: nodes with pods.
    """

    image: Image
    refused: tuple[Refusal, ...]
    at_rest: bool
    ready_before: dict[str, int]
    services: tuple[str, ...]
    backing: dict[str, tuple[str, ...]]
    workloads: dict[str, Workload]
    placed: dict[str, None]
    pods_behind: dict[str, int]


class Outcome(NamedTuple):
    """One example: its run, what was violated, what each step came to."""

    scenario: Scenario
    run: Run
    violations: list[tuple[Property, Violation]]
    steps: list[dict[str, Any]]
    virtual_s: float
    deviations: Deviations = Deviations()
    """What schedule noise did: the same run under these is the same run."""


def install_order(objects: Sequence[Obj]) -> list[Obj]:
    """Return objects in the order in which to apply them; equal kinds stay in file order."""
    rank = {kind: index for index, kind in enumerate(INSTALL_ORDER)}
    return sorted(objects, key=lambda obj: rank.get(obj["kind"], len(rank)))


def boot(system: System, seed: int = 0) -> Boot:
    """Apply the objects to a fresh cluster and let it come to rest."""
    cluster = Cluster(system.topology, seed=seed, constants=system.constants, assumptions=system.assumptions)
    try:
        return _boot(cluster, system)
    finally:
        cluster.close()


def _boot(cluster: Cluster, system: System) -> Boot:
    cluster.run_for(5.0)
    refused: list[Refusal] = []
    needed = [namespace(obj) for obj in [*system.context, *system.objects] if namespace(obj)]
    for space in dict.fromkeys(needed):
        if cluster.control.store.get("namespaces", space) is None:
            cluster.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    for obj in [*system.context, *install_order(system.objects)]:
        resource = by_kind(obj["apiVersion"], obj["kind"])
        if resource is None:
            continue
        space = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        if resource.plural in ("namespaces", "nodes") and cluster.control.store.get(resource.plural, obj["metadata"]["name"]) is not None:
            continue
        try:
            cluster.execute(Request("create", resource.plural, space, body=obj, identity=USER))
        except ApiError as error:
            refused.append(Refusal(obj, error.reason, error.message))
        cluster.run_for(0.01)
    at_rest = cluster.run_until_quiet(BOOT_S, QUIET_S)
    store = cluster.control.store
    counts: dict[str, int] = {}
    for pod in store.table("pods").values():
        if ready(pod) and not terminating(pod):
            owner = workload_of(store, pod)
            counts[owner] = counts.get(owner, 0) + 1
    services, backing, pods_behind = _services(cluster)
    under_test = {f"{obj['kind']}/{obj['metadata'].get('namespace', '')}" for obj in system.objects}
    workloads: dict[str, Workload] = {}
    placed: dict[str, None] = {}
    for _, pod in sorted(store.table("pods").items()):
        owner = workload_of(store, pod)
        if f"{owner.rpartition('/')[0]}" not in under_test or ended(pod):
            continue
        before = workloads.get(owner, Workload(0, False))
        workloads[owner] = Workload(before.replicas + 1, before.probed or has_probe(pod))
        if pod["spec"].get("nodeName"):
            placed[pod["spec"]["nodeName"]] = None
    return Boot(cluster.image(), tuple(refused), at_rest, counts, services, backing, workloads, placed, pods_behind)


def has_probe(pod: Obj) -> bool:
    """Tell whether a pod has a readiness or liveness probe."""
    return any(c.get("readinessProbe") or c.get("livenessProbe") for c in get(pod, "spec", "containers", default=()))


def _services(cluster: Cluster) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], dict[str, int]]:
    """Return the Services that users send requests to, and which workloads stand behind each."""
    store = cluster.control.store
    found: list[str] = []
    backing: dict[str, tuple[str, ...]] = {}
    pods_behind: dict[str, int] = {}
    for key, service in sorted(store.table("services").items()):
        spec = service["spec"]
        if not spec.get("selector") or spec.get("type") == "ExternalName":
            continue
        fits = from_map(spec["selector"])
        space = key.partition("/")[0] + "/"
        owners = [workload_of(store, pod) for k, pod in sorted(store.table("pods").items()) if k.startswith(space) and fits(labels(pod))]
        backing[key] = tuple(dict.fromkeys(owners))
        pods_behind[key] = len(owners)
        if spec.get("clusterIP") != "None" and owners and _lets_in(cluster, key):
            found.append(key)
    return tuple(found), backing, pods_behind


def _lets_in(cluster: Cluster, service: str) -> bool:
    """Tell whether NetworkPolicies let anybody in to a Service's pods; if not, that is told of the files, and no request is sent."""
    entries = [proxy.rules[service] for proxy in cluster.proxies.values() if service in proxy.rules]
    backends = list(dict.fromkeys(backend for entry in entries for _, backend in entry.spread))
    return not backends or any(not cluster.gate.closed(backend.pod, backend.ports) for backend in backends)


def run(system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None = None) -> Outcome:
    """Run one scenario from the booted image and judge it."""
    noise: Noise = msgspec.convert(scenario.noise, Noise)
    cluster = Cluster(
        system.topology, seed=scenario.seed, noise=noise, constants=system.constants, assumptions=system.assumptions,
        image=booted.image, scenario={**msgspec.to_builtins(scenario), "topology": {}, "inputs": {"digest": system.digest}},
    )  # fmt: skip
    try:
        return _run(cluster, system, booted, scenario, properties)
    finally:
        cluster.close()


def _run(cluster: Cluster, system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None) -> Outcome:
    view = View({plural: table for plural, table in booted.image.store.tables.items() if plural != "leases"})
    settings = {**system.settings, "backing": booted.backing, "pods_behind": booted.pods_behind}
    facts: dict[str, Any] = {"epoch_s": EPOCH_S, "ready_before": booted.ready_before}
    monitors = Monitors(properties if properties is not None else list(CATALOG.values()), Context(view, settings, facts))
    cluster.recorder.listeners.append(monitors.feed)
    _watch(cluster, booted, system.settings)
    kinds = catalog()
    loop = cluster.world.loop
    nemesis: Nemesis[Cluster] = Nemesis(
        cluster, kinds, scenario.steps, lambda delay, callback: loop.schedule(loop.time() + delay, callback, (), None),
        cluster.recorder.mark,
    )  # fmt: skip
    _listen(cluster, nemesis, scenario)
    start = loop.time()
    cluster.recorder.mark("phase", name="boot")
    cluster.run_for(BEFORE_CHAOS_S)
    cluster.traffic_changed()
    cluster.run_for(0.001)
    cluster.recorder.mark("phase", name="chaos")
    nemesis.arm()
    _chaos(cluster, nemesis, scenario.budget)
    cluster.traffic.finish()
    cluster.recorder.mark("phase", name="heal")
    nemesis.heal()
    cluster.traffic_changed()
    cluster.recorder.mark("phase", name="settle")
    cluster.run_until_quiet(scenario.budget.settle_s, QUIET_S)
    if not _recovered(cluster, booted):  # a back-off may still run out: containers and images are tried again within five minutes
        cluster.last_change_s = loop.time()  # of healing, which a kubelet that waits does not notice
        cluster.run_until_quiet(scenario.budget.settle_s, BACKOFF_S)
    cluster.traffic.finish()
    cluster.audit_network()
    steps = nemesis.report()
    rollbacks = (line for line in steps if line["name"] == "rollback")
    facts["rollback_targets"] = tuple(name for line in rollbacks for name in line.get("targets", [line["args"].get("target", "")]))
    cluster.recorder.mark("phase", name="final")
    violations = monitors.finish(loop.time())
    finished = cluster.recorder.finish()
    virtual = loop.time() - start
    made = cluster.world.picker.made() if cluster.world.picker is not None else Deviations()
    return Outcome(scenario, finished, violations, steps, virtual, made)


def _watch(cluster: Cluster, booted: Boot, settings: Mapping[str, Any]) -> None:
    """Send requests to the Services, and to those headless ones of which it is said how clients look them up."""
    rates: Mapping[str, float] = settings.get("rates", {})
    looked_up: Mapping[str, float] = settings.get("looked_up", {})
    named = [service for service in looked_up if booted.backing.get(service)]
    for service in named:
        cluster.names.watch(service, looked_up[service])
    for service in (*booted.services, *(service for service in named if service in cluster.names.entries)):
        cluster.traffic.watch(service, float(rates.get(service, RATE)), service in settings.get("kept", ()))


def _recovered(cluster: Cluster, booted: Boot) -> bool:
    """Tell whether every workload has as many ready pods as before."""
    store = cluster.control.store
    counts: dict[str, int] = {}
    for pod in store.table("pods").values():
        if ready(pod) and not terminating(pod):
            owner = workload_of(store, pod)
            counts[owner] = counts.get(owner, 0) + 1
    return all(counts.get(owner, 0) >= count for owner, count in booted.ready_before.items())


def _listen(cluster: Cluster, nemesis: Nemesis[Cluster], scenario: Scenario) -> None:
    """Show requests and commits to the triggers, if any waits for one."""
    if not any(step.when.__class__.__name__ == "Nth" for step in scenario.steps):
        return

    def on_request(request: Request) -> None:
        if nemesis.listens:
            nemesis.observe({
                "on": "request", "verb": request.verb, "resource": request.resource, "subresource": request.subresource,
                "name": request.name, "namespace": request.namespace, "actor": request.identity.actor,
            })  # fmt: skip

    def on_commit(event: Event) -> None:
        if nemesis.listens:
            nemesis.observe({"on": "commit", "type": event.type, "resource": event.resource, "key": event.key, "actor": event.actor})

    cluster.control.hooks.on_request.append(on_request)
    cluster.control.store.subscribe(on_commit)


def _chaos(cluster: Cluster, nemesis: Nemesis[Cluster], budget: Budget) -> None:
    """Let chaos run until nothing more will come of it, at most ``chaos_s``."""
    end = cluster.world.loop.time() + budget.chaos_s
    step = 5.0
    while cluster.world.loop.time() < end:
        cluster.world.run(min(end, cluster.world.loop.time() + step))
        if (nemesis.pending == 0 or nemesis.listens) and cluster.at_rest(QUIET_S):
            return
