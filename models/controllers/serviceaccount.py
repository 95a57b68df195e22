"""What every namespace has: the ServiceAccount ``default`` and the ConfigMap ``kube-root-ca.crt``.

pkg/controller/serviceaccount/serviceaccounts_controller.go, pkg/controller/certificates/rootcacertpublisher/publisher.go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name, namespace, notes_of, terminating
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.base import Context, Controller

ROOT_CA = "kube-root-ca.crt"
_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP "
    "or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)
_NOTES = {"kubernetes.io/description": _NOTE}
_DATA = {"ca.crt": "-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n"}


class _PerNamespace(Controller, ABC):
    """One object of a fixed name in each namespace; keys are namespaces."""

    resource = ""
    wanted = ""

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._namespaces = ctx.informer("namespaces")
        self._objects = ctx.informer(self.resource)
        self._queue = ctx.queue(self.name, self._sync, workers=1)

    def start(self) -> None:
        """Watch namespaces and the objects."""
        self._namespaces.add_handler(self._namespace_changed)
        self._objects.add_handler(self._object_changed)
        self._queue.start()

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and get(new, "status", "phase") == "Active":
            self._queue.add(name(new))

    def _object_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and name(old) == self.wanted and new is not old:
            self._queue.add(namespace(old))

    async def _create(self, space: str, body: Obj) -> None:
        body = {"apiVersion": "v1", **body}
        try:
            await self.api.create(self.resource, space, body)
        except ApiError as error:
            gone = error.reason == "NotFound" or (error.reason == "Forbidden" and "because it is being terminated" in error.message)
            if error.reason != "AlreadyExists" and not gone:
                raise

    @abstractmethod
    async def _sync(self, key: str) -> None:
        """Make the object of one namespace what it should be."""


class ServiceAccountController(_PerNamespace):
    """Makes the ServiceAccount ``default``."""

    name = "service-account-controller"
    resource = "serviceaccounts"
    wanted = "default"

    async def _sync(self, key: str) -> None:
        space = self._namespaces.get(key)
        if space is None or terminating(space) or get(space, "status", "phase") != "Active":
            return
        if self._objects.get(f"{key}/{self.wanted}") is None:
            await self._create(key, {"kind": "ServiceAccount", "metadata": {"name": self.wanted, "namespace": key}})


class RootCaPublisher(_PerNamespace):
    """Makes the ConfigMap with the cluster's certificate, and puts it right when somebody changes it."""

    name = "root-ca-cert-publisher"
    resource = "configmaps"
    wanted = ROOT_CA

    async def _sync(self, key: str) -> None:
        if self._namespaces.get(key) is None:
            return
        found = self._objects.get(f"{key}/{self.wanted}")
        if found is None:
            meta = {"name": self.wanted, "namespace": key, "annotations": dict(_NOTES)}
            await self._create(key, {"kind": "ConfigMap", "metadata": meta, "data": dict(_DATA)})
        elif found.get("data") != _DATA or not notes_of(found).get("kubernetes.io/description"):
            meta = {**found["metadata"], "annotations": {**notes_of(found), **_NOTES}}
            await self.api.update(self.resource, {**found, "metadata": meta, "data": dict(_DATA)})
