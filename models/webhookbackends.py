"""Who answers the webhooks of a cluster: the pods behind their Services, as the API servers reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kchaos.models.api.pods import labels, name, namespace
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import Store
from kchaos.models.members import workload_of
from kchaos.models.security.webhooks import Backends

OWNERS = ("deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers")
Reach = Callable[[str, str], str]
"""Called with (pod key, node): how a connection from the masters fares: "", refused, timeout."""


class PodBackends(Backends):
    """``reach`` tells how a pod fares. A Service counts as backed from the time on that some workload's pods fit its selector."""

    def __init__(self, store: Store, reach: Reach) -> None:
        self._store = store
        self._pod = reach
        self._backed: dict[str, None] = {}

    def reach(self, place: str, turn: int) -> str | None:
        """Try one ready endpoint after the other (the real choice is by chance); none at all refuses, as kube-proxy's rules do."""
        if place not in self._backed:
            service = self._store.get("services", place)
            if service is None or not backed(service, self._owners()):
                return None
            self._backed[place] = None
        ready = list(self._endpoints(place))
        return self._pod(*ready[turn % len(ready)]) if ready else "refused"

    def _owners(self) -> Iterator[Obj]:
        for plural in (*OWNERS, "pods"):
            yield from self._store.table(plural).values()

    def _endpoints(self, place: str) -> Iterator[tuple[str, str]]:
        space, _, service = place.partition("/")
        for _, piece in sorted(self._store.table("endpointslices").items()):
            if namespace(piece) != space or labels(piece).get("kubernetes.io/service-name") != service:
                continue
            for one in piece.get("endpoints") or ():
                if get(one, "conditions", "ready") is not False and get(one, "targetRef", "name"):
                    yield f"{space}/{one['targetRef']['name']}", one.get("nodeName") or ""

    def serves(self, workload: str) -> bool:
        """Tell whether any pod of the workload answers the masters."""
        space = workload.split("/")[1]
        for key, pod in sorted(self._store.table("pods").items()):
            node = pod["spec"].get("nodeName")
            if node and key.startswith(space + "/") and workload_of(self._store, pod) == workload and not self._pod(key, node):
                return True
        return False


def backed(service: Obj, owners: Iterator[Obj] | list[Obj]) -> bool:
    """Tell whether a workload's pods, or a pod among ``owners``, fit the selector of a Service."""
    selector = get(service, "spec", "selector")
    if not selector or get(service, "spec", "type") == "ExternalName":
        return False
    fits = from_map(selector)
    space = namespace(service)
    for one in owners:
        template = one if one["kind"] == "Pod" else get(one, "spec", "template", default={})
        if namespace(one) == space and name(one) and fits(get(template, "metadata", "labels", default={})):
            return True
    return False
