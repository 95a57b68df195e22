"""What all properties of availability know: the phase, the faults, how large a workload is, and what is claimed of more than one fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kchaos.check.property import BaseMonitor, Context, Violation
from kchaos.history.record import Mark
from kchaos.models.api.tree import get

Handlers = Mapping[str, Callable[[Mark], Iterable[Violation]]]

BEYOND = "more than one fault"
"""Root of what only two faults at once bring about: told, not held against the application."""

TOO_EARLY = "ready too early"
"""Root of what follows from the assumed time to start up where no readinessProbe watches it."""

FELT_S = 180.0
"""For so long a fault is felt after it was healed: pods are made anew, placed, started. What comes later comes alone."""
AT_ONCE = (
    "rollout", "pod-kill", "container-kill", "oom-kill", "probe-flap", "scale-up", "scale-down", "apply", "patch", "delete", "taint", "scale",
)  # fmt: skip
"""What is done at once; what follows is felt from then on. Other faults last until they are healed."""

SORTS = {
    "node-power-loss": "node lost", "node-pause": "node lost", "network-partition": "node lost", "out-of-service": "node lost", "disk-full": "node lost",
    "rollout": "rollout", "rollback": "rollout", "slow-start": "rollout", "image-pull-failure": "rollout",
    "pod-kill": "crash", "container-kill": "crash", "oom-kill": "crash", "probe-flap": "crash", "scale-up": "scaling", "scale-down": "scaling",
    "apply": "rollout", "patch": "rollout", "delete": "crash", "scale": "scaling",
    "overlay-loss": "network", "stale-fdb": "network", "proxy-stopped": "network", "dns-replica-dead": "network", "lease-lost": "network", "zone-partition": "network",
    "partition-halves": "network", "partition-bridge": "network", "partition-ring": "network",
}  # fmt: skip
"""Faults that show one weakness of an application."""


THROUGH_ALL = ("partition-halves", "partition-bridge", "partition-ring")
"""Cuts through the whole cluster: they take several nodes at once, as several faults would."""
STAGING = ("run-job",)
"""Steps that only bring about what a fault is to meet."""


def fault_words(faults: list[dict[str, Any]]) -> str:
    """Return what was done, in words."""
    return " and ".join(f"{one['name']} of {one['args'].get('target', '?')}" for one in faults) or "no fault"


class UnderFaults(BaseMonitor):
    """Knows the phase and which faults were injected."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.phase = "boot"
        self.faults: list[dict[str, Any]] = []
        self.chaos_s = 0.0
        self.heal_s: float | None = None
        self._felt: dict[int, float] = {}
        """Step -> until when its fault is felt; infinity while it lasts."""
        self._together = False

    def marks(self) -> Handlers:
        """Follow phases and faults."""
        return {"phase": self._phase, "fault": self._fault}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        self.phase = mark.data["name"]
        if self.phase == "chaos":
            self.chaos_s = mark.t
        elif self.phase == "heal":
            self.heal_s = mark.t
        return ()

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] in STAGING:
            return ()
        step = mark.data.get("step", -1)
        if mark.data["action"] == "injected":
            self._together |= mark.data["name"] in THROUGH_ALL or any(until > mark.t for until in self._felt.values())
            self.faults.append(mark.data)
            lasts = mark.data["name"] not in AT_ONCE
            self._felt[step] = math.inf if lasts else mark.t + FELT_S
        elif mark.data["action"] == "healed" and self._felt.get(step) == math.inf:
            self._felt[step] = mark.t + FELT_S
        return ()

    @property
    def beyond(self) -> bool:
        """Tell whether more happened at once than availability is claimed for: one fault of a node or zone, or one after the other."""
        return self._together

    @property
    def drains(self) -> bool:
        """Tell whether several nodes were drained, and nothing else."""
        return self.beyond and all(one["name"] == "drain" for one in self.faults)

    @property
    def planned(self) -> bool:
        """Tell whether all that was done is what people mean to do."""
        return bool(self.faults) and all(one["planned"] for one in self.faults)

    def settings_of(self, workload: str) -> dict[str, Any]:
        """Return the user's expectations for a workload (``Kind/namespace/name``): its own, else those for all."""
        _, space, owner = workload.split("/")
        table: dict[str, dict[str, Any]] = self.context.settings.get("workloads", {})
        return {**table.get("*", {}), **table.get(f"{space}/{owner}", {})}

    def was_up(self, workload: str) -> bool:
        """Tell whether any pod of a workload was ready before chaos: of one that never came up, only that is reported."""
        before: dict[str, int] | None = self.context.facts.get("ready_before")
        return before is None or before.get(workload, 0) > 0

    def whole(self, workload: str) -> bool:
        """Tell whether all pods of a workload were ready before chaos; if not, that is what is reported.

        Of one that its users have deleted or resized nothing is claimed: it is as they want it.
        """
        if workload in self.context.facts.get("resized", ()):
            return False
        before: dict[str, int] | None = self.context.facts.get("ready_before")
        return before is None or before.get(workload, 0) >= self.replicas(workload)

    def ready_before(self, workload: str) -> int:
        """Return how many pods of a workload were ready before chaos."""
        before: dict[str, int] = self.context.facts.get("ready_before", {})
        return before.get(workload, 0)

    def replicas(self, workload: str) -> int:
        """Return how many pods a workload asks for, as of now."""
        kind, space, owner = workload.split("/")
        plural = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}.get(kind)
        if kind == "ReplicationController":
            plural = "replicationcontrollers"
        if kind == "DaemonSet":
            found = self.context.view.get("daemonsets", f"{space}/{owner}")
            return int(get(found, "status", "desiredNumberScheduled", default=1)) if found else 1
        found = self.context.view.get(plural, f"{space}/{owner}") if plural else None
        return int(found["spec"].get("replicas", 1)) if found is not None else 1
