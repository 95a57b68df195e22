"""The Kubernetes backend of the engine: boots a cluster from manifests, and runs scenarios from the booted image.

Phases: boot, chaos, heal, settle, final. A phase ends as soon as nothing but upkeep is left to happen. All runs are a :class:`Session`:
:func:`run` drives it by the times of a scenario, a state machine by its rules; the same steps give the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Context, Monitors, Property, Violation
from kchaos.errors import HarnessError
from kchaos.history.record import Run
from kchaos.history.view import View
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, is_true, labels, namespace, phase, ready, terminating
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import Event, Store
from kchaos.models.cluster import SOON_S, AssumptionTable, Cluster, Image
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.jobs import job_of, runs
from kchaos.models.faults.objects import RESIZE
from kchaos.models.members import workload_of
from kchaos.models.network.traffic import RATE
from kchaos.models.security.webhooks import WebhookTable, place_of
from kchaos.models.topology import Topology
from kchaos.models.webhookbackends import backed
from kchaos.nemesis.schedule import Nemesis
from kchaos.properties.catalog import CATALOG
from kchaos.properties.corruption import attributed
from kchaos.scenario import At, Nth, Scenario, Step
from kchaos.sim.noise import Deviations, Noise
from kchaos.sim.world import EPOCH_S

QUIET_S = 30.0
"""A cluster is at rest when nothing but upkeep has happened for this long (a silent node is noticed within 25 s)."""
BACKOFF_S = 330.0
"""Longer than the longest back-off of a kubelet (MaxContainerBackOff and image back-off, 300 s)."""
BOOT_S = 900.0
STILL_S = 240.0
"""Nothing has changed for so long: what still waits tries again what is refused each time (a quota, an admission rule)."""
BEFORE_CHAOS_S = 8.0
"""Components start and elect their leaders before chaos begins."""
LOOK_S = 1.0
"""How often somebody looks at the cluster itself, while anything changes."""
STEP_S = 5.0
"""How often it is asked whether chaos is over."""
BACKENDS_S = 300.0
"""Workloads that answer webhooks have this long to come up before the webhooks are configured."""
CONFIGURATIONS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
ANSWERING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
PODS_OF = (*ANSWERING, "Job", "CronJob")
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
    webhooks: Mapping[str, WebhookTable] = {}


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


def staged(objects: Sequence[Obj]) -> tuple[list[Obj], list[Obj], list[Obj]]:
    """Return (what to apply first, webhook configurations, workloads that they may refuse).

    Whoever installs webhooks that fail closed first waits for their pods, or these would be refused too. Without webhooks that workloads
    among the objects answer, everything is first.
    """
    configurations = [obj for obj in objects if obj["kind"] in CONFIGURATIONS]
    behind = backing_of(configurations, objects)
    if not behind:
        return list(objects), [], []
    kept = {id(obj) for obj in behind}
    waits = [obj for obj in objects if id(obj) not in kept and (obj["kind"] in PODS_OF)]
    apart = {id(obj) for obj in [*configurations, *waits]}
    return [obj for obj in objects if id(obj) not in apart], configurations, waits


def backing_of(configurations: Sequence[Obj], objects: Sequence[Obj]) -> list[Obj]:
    """Return the workloads among ``objects`` that stand behind the Services of webhooks."""
    places = {place_of(hook) for one in configurations for hook in one.get("webhooks") or ()}
    services = [obj for obj in objects if obj["kind"] == "Service" and f"{namespace(obj)}/{obj['metadata'].get('name')}" in places]
    return [obj for obj in objects if obj["kind"] in ANSWERING and any(backed(service, [obj]) for service in services)]


def boot(system: System, seed: int = 0) -> Boot:
    """Apply the objects to a fresh cluster and let it come to rest."""
    cluster = Cluster(system.topology, seed=seed, constants=system.constants, assumptions=system.assumptions, webhooks=system.webhooks)
    try:
        return _boot(cluster, system)
    finally:
        cluster.close()


def _boot(cluster: Cluster, system: System) -> Boot:
    cluster.run_for(5.0)
    first, configurations, later = staged(install_order(system.objects))
    refused = _apply(cluster, [*system.context, *first])
    if configurations:
        cluster.run_until_quiet(BACKENDS_S)
        refused += _apply(cluster, [*configurations, *later])
    at_rest = cluster.run_until_quiet(BOOT_S, QUIET_S) or cluster.still(STILL_S)
    store = cluster.control.store
    counts = _ready_counts(store)
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


def _ready_counts(store: Store) -> dict[str, int]:
    """Return how many pods of each workload are ready and stay."""
    counts: dict[str, int] = {}
    for pod in store.table("pods").values():
        if ready(pod) and not terminating(pod):
            owner = workload_of(store, pod)
            counts[owner] = counts.get(owner, 0) + 1
    return counts


def _apply(cluster: Cluster, objects: Sequence[Obj]) -> list[Refusal]:
    """Apply objects as ``kubectl apply`` does, namespaces first; what they need and nobody declares is made. Return what was refused."""
    refused: list[Refusal] = []
    spaces = [obj for obj in objects if obj["kind"] == "Namespace"]
    declared = {obj["metadata"].get("name") for obj in spaces}
    needed = [namespace(obj) for obj in objects if namespace(obj) and namespace(obj) not in declared]
    lost: dict[str, ApiError] = {}
    for space in dict.fromkeys(needed):
        if cluster.control.store.get("namespaces", space) is None:
            try:
                cluster.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
            except ApiError as error:
                lost[space] = error  # no name for a namespace: nothing can be in it
    for obj in [*spaces, *(one for one in objects if one["kind"] != "Namespace")]:
        resource = by_kind(obj["apiVersion"], obj["kind"])
        if resource is None:
            continue
        space = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        if space in lost:
            says = lost[space].message.rpartition(" is invalid: ")[2]
            refused.append(Refusal(obj, lost[space].reason, says.replace("metadata.name:", "metadata.namespace:", 1)))
            continue
        try:
            _create(cluster, resource.plural, space, obj)
        except ApiError as error:
            refused.append(Refusal(obj, error.reason, error.message))
        cluster.run_for(0.01)
    return refused


def _create(cluster: Cluster, plural: str, space: str, obj: Obj) -> None:
    """Create one object. A namespace that is there already takes the labels; a node that is there stays as it is."""
    there = cluster.control.store.get(plural, obj["metadata"].get("name", "")) if plural in ("namespaces", "nodes") else None
    if there is None:
        cluster.execute(Request("create", plural, space, body=obj, identity=USER))
    elif plural == "namespaces":
        meta = {**there["metadata"], "labels": {**labels(there), **labels(obj)}}
        cluster.execute(Request("update", plural, "", meta["name"], body={**there, "metadata": meta}, identity=USER))


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


Look = Callable[[Cluster, bool], Iterable[tuple[Property, Violation]]]
"""Judges a cluster as it is; the second argument tells whether all is healed and at rest. It must change nothing."""


def _watch(cluster: Cluster, booted: Boot, settings: Mapping[str, Any]) -> None:
    """Send requests to the Services, and to those headless ones of which it is said how clients look them up."""
    rates: Mapping[str, float] = settings.get("rates", {})
    looked_up: Mapping[str, float] = settings.get("looked_up", {})
    named = [service for service in looked_up if booted.backing.get(service)]
    for service in named:
        cluster.names.watch(service, looked_up[service])
    for service in (*booted.services, *(service for service in named if service in cluster.names.entries)):
        cluster.traffic.watch(service, float(rates.get(service, RATE)), service in settings.get("kept", ()))


class Session:
    """One run under way: started from the image, advanced and disturbed step by step, and finished.

    Times are virtual seconds since chaos began. ``scenario`` gives seed, noise, budget and the steps to begin with; further ones can be
    injected. ``look`` judges the cluster itself: every second in which anything was recorded, after each step, and at the end.
    """

    def __init__(
        self, system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None = None, look: Look | None = None
    ) -> None:
        noise: Noise = msgspec.convert(scenario.noise, Noise)
        self._scenario = scenario
        self._system = system
        self._booted = booted
        self._look = look
        self._looked = -1
        self.cluster = Cluster(
            system.topology, seed=scenario.seed, noise=noise, constants=system.constants, assumptions=system.assumptions, image=booted.image,
            webhooks=system.webhooks, jobs=runs(list(system.objects)),
        )  # fmt: skip
        self._loop = self.cluster.world.loop
        self._began_s = self._loop.time()
        self._facts: dict[str, Any] = {"epoch_s": EPOCH_S, "ready_before": booted.ready_before}
        self._monitors = self._judged_by(list(CATALOG.values()) if properties is None else properties)
        self._nemesis: Nemesis[Cluster] = Nemesis(
            self.cluster, catalog(), scenario.steps, lambda delay, callback: self._loop.schedule(self._loop.time() + delay, callback, (), None),
            self.cluster.recorder.mark,
        )  # fmt: skip
        self._listens = False
        self._followed = False
        self.t = 0.0
        self._start_s = 0.0
        self._begin()

    def _judged_by(self, properties: Sequence[Property]) -> Monitors:
        tables = self._booted.image.store.tables
        view = View({plural: table for plural, table in tables.items() if plural != "leases"})
        settings = {**self._system.settings, "backing": self._booted.backing, "pods_behind": self._booted.pods_behind}
        monitors = Monitors(properties, Context(view, settings, self._facts))
        self.cluster.recorder.listeners.append(monitors.feed)
        return monitors

    def _begin(self) -> None:
        cluster = self.cluster
        _watch(cluster, self._booted, self._system.settings)
        cluster.recorder.mark("phase", name="boot")
        cluster.run_for(BEFORE_CHAOS_S)
        cluster.traffic_changed()
        cluster.run_for(0.001)
        cluster.recorder.mark("phase", name="chaos")
        self._start_s = self._loop.time()
        if self._nemesis.listens:
            self._listen()

    @property
    def violations(self) -> list[tuple[Property, Violation]]:
        """Return what has been violated so far, in the order found."""
        return self._monitors.violations

    @property
    def scenario(self) -> Scenario:
        """Return what was done so far as a scenario; run, it is this run again."""
        if self._followed:
            return self._scenario
        least = max(self._scenario.budget.chaos_at_least_s, self.t)
        budget = msgspec.structs.replace(self._scenario.budget, chaos_at_least_s=least, chaos_s=max(self._scenario.budget.chaos_s, least))
        return msgspec.structs.replace(self._scenario, steps=self._nemesis.steps, budget=budget)

    # -- driving -------------------------------------------------------------------------------------------------------

    def advance(self, to_s: float) -> None:
        """Let time pass until ``to_s``; times that are over change nothing."""
        while self.t < to_s:
            at = to_s if self._look is None else min(to_s, (math.floor(self.t / LOOK_S) + 1) * LOOK_S)
            self.cluster.world.run(self._start_s + at)
            self.t = at
            self._glance()

    def rest(self, at_most_s: float) -> None:
        """Let time pass until nothing but upkeep happens, for ``at_most_s`` at the longest."""
        end = self.t + at_most_s
        while self.t < end:
            self.advance(min(end, (math.floor(self.t / STEP_S) + 1) * STEP_S))
            if self.cluster.quiet(QUIET_S):
                self.advance(min(end, self.t + SOON_S))  # what was due meanwhile may have begun something
                if self.cluster.quiet(QUIET_S):
                    return

    def inject(self, step: Step) -> int:
        """Do one step more: now, or when its event comes. Return its index.

        The time in ``step.when`` is set to now. A step that waits for an event must come before any other and before time passes.
        """
        if isinstance(step.when, Nth):
            if self.t > 0:
                raise HarnessError("a step that waits for an event must be armed when chaos begins: events are counted from then on")
            index = self._nemesis.add(step)
            self._listen()
            return index
        index = self._nemesis.add(msgspec.structs.replace(step, when=At(self.t)))
        self._now(partial(self._nemesis.fire, index))
        return index

    def undo(self, index: int) -> None:
        """Undo a step now. What was done at this instant comes first: a moment passes."""
        when = self._nemesis.steps[index].when
        self.advance(round(self.t + 0.001, 3))
        if isinstance(when, At):
            self._nemesis.lasted(index, round(self.t - when.s, 6))
        self._now(partial(self._nemesis.undo, index))

    def follow(self) -> None:
        """Do and undo the scenario's steps that have a time, each when it is due, as far as chaos may last."""
        self._followed = True
        due: list[tuple[float, int, int, int]] = []
        for index, step in enumerate(self._nemesis.steps):
            if isinstance(step.when, At):
                due.append((step.when.s, 1, index, 0))
                if step.for_s is not None:  # at one instant what is over goes first
                    due.append((round(step.when.s + step.for_s, 6), 0 if step.for_s else 1, index, 1))
        for at, _, index, over in sorted(due):
            if at > self._scenario.budget.chaos_s:
                break
            self.advance(at)
            self._now(partial(self._nemesis.undo if over else self._nemesis.fire, index))

    def finish(self) -> Outcome:
        """Let chaos run out, heal, let the cluster settle, and judge the whole."""
        cluster, scenario = self.cluster, self.scenario
        self.advance(scenario.budget.chaos_at_least_s)
        self.rest(max(0.0, scenario.budget.chaos_s - self.t))
        cluster.traffic.finish()
        cluster.recorder.mark("phase", name="heal")
        self._nemesis.heal()
        cluster.traffic_changed()
        cluster.recorder.mark("phase", name="settle")
        cluster.run_until_quiet(scenario.budget.settle_s, QUIET_S)
        if not self._recovered():  # a back-off may still run out: containers and images are tried again within five minutes
            cluster.last_change_s = self._loop.time()  # of healing, which a kubelet that waits does not notice
            cluster.run_until_quiet(scenario.budget.settle_s, BACKOFF_S)
        cluster.traffic.finish()
        cluster.audit_network()
        steps = self._nemesis.report()
        self._facts["rollback_targets"] = self._targets("rollback")
        self._facts["resized"] = self._targets(*RESIZE)
        cluster.recorder.mark("phase", name="final")
        self._ask(True)
        violations = self._monitors.finish(self._loop.time())
        cluster.recorder.describe({**msgspec.to_builtins(scenario), "topology": {}, "inputs": {"digest": self._system.digest}})
        made = cluster.world.picker.made() if cluster.world.picker is not None else Deviations()
        finished = cluster.recorder.finish()
        return Outcome(scenario, finished, attributed(violations, finished), steps, self._loop.time() - self._began_s, made)

    def _recovered(self) -> bool:
        """Tell whether every workload that nobody has resized has as many ready pods as before, and every Job that was made has ended."""
        store = self.cluster.control.store
        made = [store.get("jobs", job_of(target).partition("/")[2]) for target in self.cluster.jobs if target not in self._booted.workloads]
        if any(job is not None and not (is_true(job, "Complete") or is_true(job, "Failed")) for job in made):
            return False
        counts = _ready_counts(store)
        resized = self._targets(*RESIZE)
        return all(counts.get(owner, 0) >= count for owner, count in self._booted.ready_before.items() if owner not in resized)

    def _targets(self, *names: str) -> tuple[str, ...]:
        """Return what steps of some names were done to."""
        return self._nemesis.targets(names)

    def close(self) -> None:
        """End the run."""
        self.cluster.close()

    # -- below ---------------------------------------------------------------------------------------------------------

    def _now(self, callback: Callable[[], None]) -> None:
        """Call inside the world, and let happen what follows at once."""
        self._loop.soon(callback, (), None)
        self.cluster.world.run(self._start_s + self.t)
        self._glance()

    def _glance(self) -> None:
        if self._look is not None and len(self.cluster.recorder.entries) != self._looked:
            self._looked = len(self.cluster.recorder.entries)
            self._ask(False)

    def _ask(self, at_end: bool) -> None:
        """Let somebody look; what is broken is told once."""
        told = {prop.id for prop, _ in self._monitors.violations}
        for prop, violation in self._look(self.cluster, at_end) if self._look is not None else ():
            if prop.id not in told:
                self._monitors.violations.append((prop, violation))

    def _listen(self) -> None:
        """Show requests and commits to the triggers."""
        if self._listens:
            return
        self._listens = True
        nemesis = self._nemesis

        def on_request(request: Request) -> None:
            if nemesis.listens:
                nemesis.observe({
                    "on": "request", "verb": request.verb, "resource": request.resource, "subresource": request.subresource,
                    "name": request.name, "namespace": request.namespace, "actor": request.identity.actor,
                })  # fmt: skip

        def on_commit(event: Event) -> None:
            if nemesis.listens:
                told = {"phase": phase(event.obj)} if event.resource == "pods" else {}
                nemesis.observe(
                    {"on": "commit", "type": event.type, "resource": event.resource, "key": event.key, "actor": event.actor, **told}
                )

        self.cluster.control.hooks.on_request.append(on_request)
        self.cluster.control.store.subscribe(on_commit)


def run(
    system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None = None, look: Look | None = None
) -> Outcome:
    """Run one scenario from the booted image and judge it."""
    session = Session(system, booted, scenario, properties, look)
    try:
        session.follow()
        return session.finish()
    finally:
        session.close()
