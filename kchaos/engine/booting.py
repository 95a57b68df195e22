"""What is under test, and its boot: the objects are applied once to a fresh cluster, as helm would, until it comes to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kchaos.check.property import Property
from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import ended, labels, namespace, ready, terminating
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import Store
from kchaos.models.cluster import AssumptionTable, Cluster, Image
from kchaos.models.members import workload_of
from kchaos.models.security.webhooks import WebhookTable, place_of
from kchaos.models.topology import Topology
from kchaos.models.webhookbackends import backed

QUIET_S = 30.0
"""A cluster is at rest when nothing but upkeep has happened for this long (a silent node is noticed within 25 s)."""
BOOT_S = 900.0
STILL_S = 240.0
"""Nothing has changed for so long: what still waits tries again what is refused each time (a quota, an admission rule)."""
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
    properties: Sequence[Property] = ()
    """What users claim of it, beside the catalog."""


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
    counts = ready_counts(store)
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


def ready_counts(store: Store) -> dict[str, int]:
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
