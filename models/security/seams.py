"""Authentication, impersonation, authorisation: what stands before admission in the request path.

Order as in staging/src/k8s.io/apiserver/pkg/server/config.go (DefaultBuildHandlerChain); authorisers as --authorization-mode=Node,RBAC,
with system:masters before them (pkg/kubeapiserver/authorizer/reload.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import AS_CONNECTED, Identity, Request
from kchaos.models.api.tree import Obj
from kchaos.models.security.attributes import Attributes, attributes_of, group_of, refusal
from kchaos.models.security.authentication import Authenticator
from kchaos.models.security.bootstrap import bootstrap_objects
from kchaos.models.security.escalation import MASTERS, check_write
from kchaos.models.security.impersonation import impersonated
from kchaos.models.security.node import PREFIX, NodeAuthorizer
from kchaos.models.security.rbac import KINDS, SERVICE_ACCOUNT, Rbac, Tables
from kchaos.models.security.reviews import review
from kchaos.models.security.webhooks import Webhooks


class Written(Protocol):
    """A committed write, as the store tells of it."""

    @property
    def type(self) -> str:
        """ADDED, MODIFIED or DELETED."""

    @property
    def resource(self) -> str:
        """The plural."""

    @property
    def key(self) -> str:
        """Return ``namespace/name``, or the name alone."""

    @property
    def obj(self) -> Obj:
        """What was written."""

    @property
    def prev(self) -> Obj | None:
        """What was there before."""


class Security:
    """The chain of one control plane: all of its API servers ask it. ``enforced`` False allows everything (AlwaysAllow)."""

    def __init__(self, tables: Tables, static: Mapping[str, Identity] | None = None, enforced: bool = True) -> None:
        self.rbac = Rbac(tables)
        self.node = NodeAuthorizer(tables)
        self.authenticator = Authenticator(tables, static)
        self.webhooks = Webhooks(tables)
        self.enforced = enforced
        self.custom: dict[str, str] = {}
        """Groups of kinds that CustomResourceDefinitions define, by plural."""
        self._ordinary: dict[str, bool] = {}

    def committed(self, event: Written) -> None:
        """Follow the store: roles and bindings count from the write on, and so do the pods of a node."""
        if event.resource == "pods":
            self.node.pod_changed(event.key, None if event.type == "DELETED" else event.obj, event.prev)
        elif event.resource in KINDS:
            self.rbac.changed()

    # -- authentication ------------------------------------------------------------------------------------------------

    def authenticate(self, request: Request, now_s: float) -> Identity:
        """Return who asks. Raises 401 for a bad credential or a claim without a user name."""
        if request.credential is not AS_CONNECTED:
            return self.authenticator.authenticate(request.credential, now_s)
        if not request.identity.user:
            raise ApiError("Unauthorized", "Unauthorized")
        return request.identity

    def acting(self, identity: Identity, request: Request) -> Identity:
        """Return as whom the request goes on. Raises 403 if the asker may not be that."""
        return identity if request.impersonate is None else impersonated(identity, request.impersonate, self.decide)

    # -- authorisation -------------------------------------------------------------------------------------------------

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Ask the authorisers one after another; return the first yes, or all their reasons."""
        if not self.enforced or MASTERS in asked.identity.groups:
            return True, ""
        reasons = []
        for authorizer in (self.node, self.rbac):
            allowed, reason = authorizer.decide(asked)
            if allowed:
                return True, reason
            if reason:
                reasons.append(reason)
        return False, "\n".join(reasons)

    def authorise(self, identity: Identity, request: Request, verb: str = "") -> None:
        """Raise 403 unless the request is allowed."""
        if not self.enforced or MASTERS in identity.groups:
            return
        user = identity.user
        if not user.startswith(PREFIX):
            space = request.name if request.resource == "namespaces" and request.name else request.namespace
            group = group_of(request.resource, self.custom)
            if self.rbac.allowed(identity, verb or request.verb, group, request.resource, request.subresource, space, request.name):
                return
        asked = attributes_of(identity, request, self.custom, verb)
        allowed, reason = self.decide(asked)
        if not allowed:
            raise refusal(asked, reason)

    def confirm(self, request: Request, new: Obj, old: Obj | None) -> None:
        """Raise 403 if a role or binding would give away what its author does not hold."""
        if request.resource in KINDS and self.enforced:
            asked = attributes_of(request.identity, request, self.custom)
            check_write(self.rbac, lambda one: self.decide(one)[0], asked, new, old)

    def review(self, request: Request, now_s: float) -> Obj:
        """Answer a question about access (it has been authorised)."""
        return review(request, request.identity, self.rbac, self.decide, self.authenticator, now_s)

    def ordinary(self, identity: Identity) -> bool:
        """Tell whether it is neither a component of the cluster nor an administrator: of those the history tells each request."""
        user = identity.user
        known = self._ordinary.get(user)
        if known is None:
            own = user.startswith("system:") and user != "system:anonymous" and not user.startswith(SERVICE_ACCOUNT)
            component = own or user.startswith(f"{SERVICE_ACCOUNT}kube-system:")
            known = self._ordinary[user] = not component
        return known and MASTERS not in identity.groups


def with_identity(request: Request, identity: Identity) -> Request:
    """Return the request as the rest of the server sees it."""
    return request if identity is request.identity else replace(request, identity=identity)


def make_bootstrap(put: Callable[[str, str, Obj, str], Any]) -> None:
    """Store the default roles and bindings (the post-start hook rbac/bootstrap-roles)."""
    for resource, obj in bootstrap_objects():
        meta = obj["metadata"]
        put(resource, f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"], obj, "kube-apiserver")
