"""One request to the API server, and the identity it carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kchaos.models.api.tree import Obj


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a user name, its groups, and the short name under which the history lists it (``deployment-controller``)."""

    user: str
    groups: tuple[str, ...] = ()
    actor: str = ""
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Impersonation:
    """What the headers Impersonate-User, -Group, -Uid and -Extra-* ask for."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def service_account(name: str, namespace: str = "kube-system") -> Identity:
    """Return the identity of a controller that runs under its own service account."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Identity(f"system:serviceaccount:{namespace}:{name}", groups, name)


def component(name: str) -> Identity:
    """Return the identity of a control-plane component by its client certificate (``system:kube-scheduler``)."""
    return Identity(f"system:{name}", ("system:authenticated",), name)


USER = Identity("kubernetes-admin", ("system:masters", "system:authenticated"), "user")


AS_CONNECTED: Any = "as connected"


@dataclass(frozen=True, slots=True)
class Request:
    """``verb`` is one of get, list, create, update, patch, delete, deletecollection (watches are subscriptions of their own).

    ``options``: propagation_policy, grace_period_seconds, preconditions {uid, resourceVersion}, resource_version (reads; "0" may be
    stale), label_selector, field_selector, limit, continue, patch_type (merge|strategic|json).

    ``identity`` is whom the server has authenticated before, at the connection's start; with a ``credential``
    (kchaos.models.security.authentication) it is what that says instead, and None there means anonymous.
    """

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    body: Any = None
    options: Obj = field(default_factory=dict)
    identity: Identity = USER
    credential: Any = AS_CONNECTED
    impersonate: Impersonation | None = None

    def describe(self) -> str:
        """Return ``create pods/eviction default/web-0`` for logs and stories."""
        sub = f"/{self.subresource}" if self.subresource else ""
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.verb} {self.resource}{sub} {name}".rstrip("/ ")
