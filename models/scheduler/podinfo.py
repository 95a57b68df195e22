"""What the scheduler needs to know of a pod, worked out once.

pkg/scheduler/framework/types.go: PodInfo, k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kchaos.canonical import encode
from kchaos.models.api.pods import labels, namespace, terminating, uid
from kchaos.models.api.quantity import milli, value
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.volumes import claims_of

Resources = dict[str, int]
"""Amounts by resource: cpu in thousandths, all others in whole units."""
Port = tuple[str, str, int]
"""(host IP, protocol, host port)."""

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What a container without a request counts as when nodes are compared (pkg/scheduler/util/pod_resources.go)."""
LATE = "9999"
"""Start time of a pod that has not started: later than all others."""


def amounts(listed: Obj | None) -> Resources:
    """Return a resource list as integers."""
    return {k: milli(v) if k == "cpu" else value(v) for k, v in (listed or {}).items()}


def requests_of(spec: Obj, defaults: Resources) -> Resources:
    """Return what a pod requests; ``defaults`` stand for what a container does not say (resource/helpers.go: PodRequests)."""
    total: Resources = {}
    for container in spec["containers"]:
        for k, v in {**defaults, **amounts((container.get("resources") or {}).get("requests"))}.items():
            total[k] = total.get(k, 0) + v
    sidecars: Resources = {}
    peak: Resources = {}
    for container in spec.get("initContainers") or ():
        asked = {**defaults, **amounts((container.get("resources") or {}).get("requests"))}
        if container.get("restartPolicy") == "Always":
            for k, v in asked.items():
                total[k] = total.get(k, 0) + v
                sidecars[k] = sidecars.get(k, 0) + v
            asked = sidecars
        else:
            asked = {k: asked.get(k, 0) + sidecars.get(k, 0) for k in {**asked, **sidecars}}
        for k, v in asked.items():
            peak[k] = max(peak.get(k, 0), v)
    for k, v in peak.items():
        total[k] = max(total.get(k, 0), v)
    for k, v in amounts(get(spec, "resources", "requests")).items():
        if k in ("cpu", "memory") or k.startswith("hugepages-"):
            total[k] = v
    for k, v in amounts(spec.get("overhead")).items():
        total[k] = total.get(k, 0) + v
    return total


def host_ports(spec: Obj) -> tuple[Port, ...]:
    """Return the host ports of containers and sidecars (schedutil.GetHostPorts)."""
    out = []
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                out.append((port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"])))
    return tuple(out)


class Shape(NamedTuple):
    """What pods of the same template share; ``key`` tells the templates apart as far as a single node is concerned."""

    key: bytes
    requests: Resources
    cpu: int
    memory: int
    ports: tuple[Port, ...]
    tolerations: list[Obj]
    required: Obj
    """``nodeSelector`` and required node affinity."""
    preferred: list[Obj]


class PodInfo:
    """One pod: its shape, and what tells it from others of its template."""

    __slots__ = (
        "affinity", "claims", "label_key", "labels", "namespace", "pod", "priority", "shape", "spread", "started", "terminating", "terms",
        "uid",
    )  # fmt: skip

    def __init__(self, pod: Obj, shape: Shape) -> None:
        spec = pod["spec"]
        self.pod = pod
        self.uid = uid(pod)
        self.namespace = namespace(pod)
        self.labels = labels(pod)
        self.label_key = (self.namespace, encode(self.labels))
        self.priority = int(spec.get("priority") or 0)
        self.shape = shape
        self.terminating = terminating(pod)
        self.started = str(get(pod, "status", "startTime", default=LATE))
        affinity = spec.get("affinity") or {}
        self.affinity: Obj = {k: affinity[k] for k in ("podAffinity", "podAntiAffinity") if affinity.get(k)}
        self.spread: list[Obj] = spec.get("topologySpreadConstraints") or []
        self.claims = tuple(claims_of(pod)) if spec.get("volumes") else ()
        self.terms: list[tuple[int, bytes, int]] | None = None
        """Filled in by :func:`kchaos.models.scheduler.matches.terms_of`."""


def shape_reader() -> Callable[[Obj], Shape]:
    """Return a function from a pod to its shape; the work is done once per template."""
    known: dict[bytes, Shape] = {}

    def read(pod: Obj) -> Shape:
        spec = pod["spec"]
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        parts = [
            [(c.get("resources") or {}).get("requests") for c in spec["containers"]],
            [[c.get("restartPolicy"), (c.get("resources") or {}).get("requests")] for c in spec.get("initContainers") or ()],
            host_ports(spec), get(spec, "resources", "requests"), spec.get("overhead"),
            spec.get("tolerations"), spec.get("nodeSelector"), affinity,
        ]  # fmt: skip
        key = encode(parts)
        found = known.get(key)
        if found is None:
            if len(known) > 5000:
                known.clear()
            padded = requests_of(spec, {"cpu": DEFAULT_CPU, "memory": DEFAULT_MEMORY})
            required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
            found = known[key] = Shape(
                key, requests_of(spec, {}), padded["cpu"], padded["memory"], host_ports(spec), spec.get("tolerations") or [],
                {"nodeSelector": spec.get("nodeSelector"), "required": required},
                affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or [],
            )  # fmt: skip
        return found

    return read
