"""What has to do with an object at fault: its pods, their nodes and owners, the Services and budgets that select them, their volumes."""

from __future__ import annotations

from collections.abc import Collection

from kchaos.check.property import Context
from kchaos.history.view import View
from kchaos.models.api.pods import controller_of, labels, namespace
from kchaos.models.api.selectors import compile_selector, from_map
from kchaos.models.api.tree import Obj, get
from kchaos.properties.common import ident, workload_of

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod")


class Concern:
    """``about`` (``Kind/namespace/name``): a workload or a Service with a selector; with anything else everything has to do with it.

    Pods must be shown to it in the order of the run.
    """

    def __init__(self, view: View, about: str) -> None:
        self._view = view
        self._context = Context(view)
        self._about = about
        kind, _, self._place = about.partition("/")
        service = view.get("services", self._place) if kind == "Service" else None
        selector = get(service, "spec", "selector", default=None) or {}
        self._selects = from_map(selector) if selector else None
        self._all = kind not in WORKLOADS and not selector
        self._owners: dict[str, None] = {about: None}
        self._labels: dict[str, dict[str, str]] = {}
        self._claims: dict[str, None] = {}

    def workload(self, name: str) -> bool:
        """Tell whether a workload has to do with it."""
        return self._all or name in self._owners

    def pod(self, pod: Obj) -> bool:
        """Tell whether a pod has to do with it, and learn from it."""
        if self._all:
            return True
        space, owner = namespace(pod), workload_of(self._context, pod)
        if self._selects is not None:
            mine = space == self._place.partition("/")[0] and self._selects(labels(pod))
        else:
            mine = self._about in (owner, ident(pod))
        if mine:
            self._owners[owner] = None
            self._labels[f"{space}/{pod['metadata']['name']}"] = labels(pod)
            for volume in pod["spec"].get("volumes") or ():
                if volume.get("persistentVolumeClaim"):
                    self._claims[f"{space}/{volume['persistentVolumeClaim'].get('claimName')}"] = None
        return mine

    def of(self, resource: str, obj: Obj, nodes: Collection[str]) -> bool:
        """Tell whether an object has to do with it. ``nodes``: those that do."""
        if self._all or ident(obj) in self._owners:
            return True
        space = namespace(obj)
        if resource == "pods":
            return self.pod(obj)
        if resource == "nodes":
            return obj["metadata"]["name"] in nodes
        if resource == "replicasets":
            ref = controller_of(obj)
            return ref is not None and f"{ref['kind']}/{space}/{ref['name']}" in self._owners
        if resource == "endpointslices":
            return self.service(f"{space}/{labels(obj).get('kubernetes.io/service-name', '')}")
        if resource == "poddisruptionbudgets":
            fits = compile_selector(get(obj, "spec", "selector"))
            return any(fits(one) for key, one in self._labels.items() if key.startswith(f"{space}/"))
        if resource == "persistentvolumeclaims":
            return f"{space}/{obj['metadata']['name']}" in self._claims
        if resource == "volumeattachments":
            volume = self._view.get("persistentvolumes", get(obj, "spec", "source", "persistentVolumeName", default=""))
            claim = get(volume, "spec", "claimRef", default=None) or {}
            return f"{claim.get('namespace')}/{claim.get('name')}" in self._claims
        return False

    def service(self, key: str) -> bool:
        """Tell whether a Service (namespace/name) has to do with it: it is the one, or it selects its pods."""
        if self._all or self._about == f"Service/{key}":
            return True
        fits = from_map(get(self._view.get("services", key), "spec", "selector", default=None) or {})
        return any(fits(one) for name, one in self._labels.items() if name.partition("/")[0] == key.partition("/")[0])
