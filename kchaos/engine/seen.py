"""What the author of a test sees of a cluster: objects as they are stored now. Reading changes nothing in the run."""

from __future__ import annotations

import difflib

from kchaos.errors import InvalidScenario
from kchaos.history.record import Write
from kchaos.models.api.pods import ready, terminating
from kchaos.models.api.resources import by_kind
from kchaos.models.api.tree import Obj
from kchaos.models.cluster import Cluster
from kchaos.models.faults.objects import place
from kchaos.models.faults.targets import parts, pods_of


class Seen:
    """A cluster to look at. Objects are plain JSON trees that everyone shares: never change one."""

    __slots__ = ("_cluster",)

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __repr__(self) -> str:
        return "cluster"

    def ready(self, workload: str) -> int:
        """Return how many pods of ``Kind/namespace/name`` are Ready and not being deleted."""
        return sum(1 for pod in self.pods(workload) if ready(pod) and not terminating(pod))

    def pods(self, workload: str) -> list[Obj]:
        """Return all pods of ``Kind/namespace/name``, by name. Raises InvalidScenario if nothing of that name has ever been there."""
        parts(workload)
        found = pods_of(self._cluster, workload)
        if not found and not self._was_there(workload):
            raise InvalidScenario(f"there is no {workload}, and never was", hint=self._near(workload))
        return found

    def nodes(self) -> list[str]:
        """Return the workers' names."""
        return self._cluster.node_names()

    def get(self, target: str) -> Obj | None:
        """Return the object ``Kind/namespace/name`` (``Kind/name`` if it has no namespace), None if there is none."""
        resource, space, name = place(target)
        found: Obj | None = self._cluster.control.store.get(resource.plural, f"{space}/{name}" if space else name)
        return found

    def list(self, kind: str, namespace: str = "") -> list[Obj]:
        """Return all objects of a kind, in one namespace or in all, by name."""
        resource = by_kind(None, kind)
        if resource is None:
            raise InvalidScenario(f"no kind {kind!r}", hint="write it as manifests do, such as Pod or ConfigMap")
        table = self._cluster.control.store.table(resource.plural)
        return [obj for key, obj in sorted(table.items()) if not namespace or key.startswith(f"{namespace}/")]

    def _was_there(self, target: str) -> bool:
        """Tell whether an object is or was there: in the history's begin, or written since."""
        resource, space, name = place(target)
        key, history = f"{space}/{name}", self._cluster.recorder.so_far()
        if self.get(target) is not None or key in history.header.initial.get(resource.plural, {}):
            return True
        return any(isinstance(one, Write) and one.resource == resource.plural and one.key == key for one in history.entries)

    def _near(self, target: str) -> str:
        kind = target.partition("/")[0]
        names = [f"{kind}/{one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in self.list(kind)]
        near = difflib.get_close_matches(target, names, n=3) or names[:3]
        return f"there is {', '.join(near)}" if near else f"there is no {kind} at all"
