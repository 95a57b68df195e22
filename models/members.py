"""How many pods of each workload really answer, and how many count as ready: kept pod by pod, looked at again only where something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kchaos.models.api.pods import controller_of, name, namespace, ready, terminating
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import Event, Store


def workload_of(store: Store, pod: Obj) -> str:
    """Return ``Kind/namespace/name`` of the workload a pod belongs to: the Deployment rather than its ReplicaSet."""
    ref = controller_of(pod)
    space = namespace(pod)
    if ref is None:
        return f"Pod/{space}/{name(pod)}"
    if ref["kind"] == "ReplicaSet":
        owner = store.get("replicasets", f"{space}/{ref['name']}")
        above = controller_of(owner) if owner is not None else None
        if above is not None:
            return f"{above['kind']}/{space}/{above['name']}"
    return f"{ref['kind']}/{space}/{ref['name']}"


class Members:
    """``answers(pod key, node)`` tells the truth of one pod."""

    def __init__(self, store: Store, answers: Callable[[str, str], bool]) -> None:
        self._store = store
        self._answers = answers
        self._home: dict[str, tuple[str, str]] = {}
        """Pod key -> (workload, node)."""
        self._state: dict[str, tuple[bool, bool]] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._told: dict[str, tuple[int, int]] = {}
        self._dirty: dict[str, None] = {}
        self._changed: dict[str, None] = {}
        for key, pod in store.table("pods").items():
            if pod["spec"].get("nodeName"):
                self._place(key, pod)

    def _place(self, key: str, pod: Obj) -> None:
        workload, node = workload_of(self._store, pod), pod["spec"]["nodeName"]
        self._home[key] = (workload, node)
        self._counts.setdefault(workload, (0, 0))
        self._dirty[key] = None

    def committed(self, event: Event) -> bool:
        """Take one change of a pod over; tell whether what counts may have changed."""
        key, pod = event.key, event.obj
        if event.type == "DELETED":
            home = self._home.pop(key, None)
            if home is None:
                return False
            self._count(home[0], self._state.pop(key, (False, False)), (False, False))
            self._dirty.pop(key, None)
            return True
        if key not in self._home:
            if not pod["spec"].get("nodeName"):
                return False
            self._place(key, pod)
            return True
        if event.prev is None or (ready(event.prev), terminating(event.prev)) == (ready(pod), terminating(pod)):
            return False
        self._dirty[key] = None
        return True

    def pod_changed(self, key: str) -> None:
        """Something about the containers of a pod changed."""
        if key in self._home:
            self._dirty[key] = None

    def all_changed(self) -> None:
        """Anything may have changed."""
        self._dirty.update(dict.fromkeys(self._home))

    def _count(self, workload: str, before: tuple[bool, bool], after: tuple[bool, bool]) -> None:
        if before != after:
            serving, able = self._counts[workload]
            self._counts[workload] = (serving + after[0] - before[0], able + after[1] - before[1])
            self._changed[workload] = None

    def changes(self) -> Iterator[tuple[str, int, int]]:
        """Yield (workload, pods that serve, pods that count as ready) of those that changed since last asked."""
        for key in self._dirty:
            workload, node = self._home[key]
            pod = self._store.get("pods", key)
            state = (self._answers(key, node), pod is not None and ready(pod) and not terminating(pod))
            self._count(workload, self._state.get(key, (False, False)), state)
            self._state[key] = state
        self._dirty.clear()
        for workload in self._changed:
            counts = self._counts[workload]
            if self._told.get(workload, (0, 0)) != counts:
                self._told[workload] = counts
                yield workload, *counts
        self._changed.clear()
