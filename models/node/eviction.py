"""Node-pressure eviction: what a kubelet does when its disk runs full. Pure decisions, and the loop that acts on them.

pkg/kubelet/eviction/{eviction_manager,helpers}.go with the defaults of 1.34 (pkg/kubelet/apis/config/v1beta1/defaults_linux.go): hard
thresholds nodefs.available<10% and imagefs.available<15% (one disk holds both here), a look every ten seconds, one pod each time, a
grace period of one second whatever the pod asks for, budgets are not asked. DiskPressure stays for five minutes after the disk has
room again. Inodes and memory are not modelled; what pods have written is a few MiB each, unless a fault says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kchaos.models.api.quantity import exact
from kchaos.models.api.tree import Obj, get
from kchaos.runtime import Runtime

NODEFS, IMAGEFS = 0.10, 0.15
PERIOD_S = 10.0
TRANSITION_S = 300.0
GRACE_S = 1
"""immediateEvictionGracePeriodSeconds."""
SYSTEM_CRITICAL = 2_000_000_000
WRITTEN = 4 * 2**20
"""Bytes of logs and layers that a pod is taken to have written."""
PRESSURE = ("True", "KubeletHasDiskPressure", "kubelet has disk pressure")
NO_PRESSURE = ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
REJECTED = "Pod was rejected: The node had condition: [DiskPressure]. "


class End(NamedTuple):
    """How a kubelet ended a pod against its will; ``disrupted``: it ran, and gets the condition DisruptionTarget."""

    reason: str
    message: str
    disrupted: bool


def critical(pod: Obj) -> bool:
    """Tell whether a pod is never evicted for pressure (IsCriticalPod: mirror pods, system priority classes)."""
    mirror = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
    return mirror or int(pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL


def requested(pod: Obj) -> int:
    """Return the bytes of ephemeral storage that a pod's containers request."""
    amounts = (get(c, "resources", "requests", "ephemeral-storage") for c in pod["spec"]["containers"])
    return sum(int(exact(amount)) for amount in amounts if amount is not None)


def ranked(pods: Iterable[Obj], written: Mapping[str, int]) -> list[Obj]:
    """Return pods in the order in which they are evicted (rankDiskPressureFunc): those beyond their request first, then by priority, then by use."""

    def rank(pod: Obj) -> tuple[Any, ...]:
        meta = pod["metadata"]
        use = written.get(meta["uid"], WRITTEN)
        return (use <= requested(pod), int(pod["spec"].get("priority") or 0), -use, meta.get("namespace", ""), meta["name"])

    return sorted((pod for pod in pods if not critical(pod)), key=rank)


def message(free: float, size: int) -> str:
    """Return the message of an evicted pod (evictionMessage)."""
    threshold = NODEFS if free < NODEFS else IMAGEFS
    return f"The node was low on resource: ephemeral-storage. Threshold quantity: {int(threshold * size)}, available: {int(free * size) // 1024}Ki. "


class Eviction:
    """The loop of one kubelet; it does not turn before the disk has been full once (``look``).

    ``running``: the pods that run; ``evict(pod, end)`` ends one; ``tell(status, reason, message)`` sets the condition DiskPressure.
    """

    def __init__(
        self, rt: Runtime, size: int, running: Callable[[], list[Obj]], evict: Callable[[Obj, End], None],
        tell: Callable[[str, str, str], None], reclaim: Callable[[], None],
    ) -> None:  # fmt: skip
        self._rt = rt
        self._size = size
        self._running, self._evict, self._tell, self._reclaim = running, evict, tell, reclaim
        self.written: dict[str, int] = {}
        """Bytes written by pods (by uid) of which more is known."""
        self.pressure = False
        self._met_s = 0.0
        self._turning = False

    def look(self) -> None:
        """The disk may have run full: look now, and then every ten seconds until it has had room for long enough."""
        if not self._turning:
            self._turning = True
            self._turn()

    def _turn(self) -> None:
        now, free = self._rt.now(), self._rt.disk.free_share()
        if free < IMAGEFS:
            self._met_s = now
            if not self.pressure:
                self.pressure = True
                self._tell(*PRESSURE)
            self._reclaim()
            victims = ranked(self._running(), self.written)
            if victims:
                self._evict(victims[0], End("Evicted", message(free, self._size), True))
            self._rt.call_later(PERIOD_S, self._turn, background=len(victims) < 2)
        elif self.pressure and now < self._met_s + TRANSITION_S - 0.001:
            # in the foreground: a run must not end before the node takes pods again
            self._rt.call_later(PERIOD_S, self._turn)
        else:
            self._turning = False
            if self.pressure:
                self.pressure = False
                self._tell(*NO_PRESSURE)
