"""What an authoriser is asked about a request, and how a refusal reads.

Sources: staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go, pkg/endpoints/handlers/responsewriters/errors.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kchaos.models.api.errors import ApiError, qualified
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.resources import BY_PLURAL

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
VIRTUAL: Mapping[str, str] = {
    "selfsubjectaccessreviews": AUTHORIZATION, "subjectaccessreviews": AUTHORIZATION, "localsubjectaccessreviews": AUTHORIZATION,
    "selfsubjectrulesreviews": AUTHORIZATION, "selfsubjectreviews": AUTHENTICATION, "tokenreviews": AUTHENTICATION,
}  # fmt: skip
"""Kinds that are asked and never stored, and their groups."""
_NAME = re.compile(r"metadata\.name==?([^,=]+)")


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question. ``path`` is set for non-resource requests only; ``fields`` is the field selector as sent."""

    identity: Identity
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: str = ""

    @property
    def combined(self) -> str:
        """Return ``pods/log``, or ``pods``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def group_of(plural: str, custom: Mapping[str, str]) -> str:
    """Return the API group of a kind, empty for one that nobody knows."""
    known = BY_PLURAL.get(plural)
    if known is not None:
        return known.group
    return VIRTUAL.get(plural) or custom.get(plural, "")


def attributes_of(identity: Identity, request: Request, custom: Mapping[str, str], verb: str = "") -> Attributes:
    """Return what is asked about a request.

    A Namespace is in its own namespace; a list or watch that a field selector narrows to one name has that name.
    """
    verb = verb or request.verb
    name, namespace = request.name, request.namespace
    fields = str(request.options.get("field_selector") or "")
    if request.resource == "namespaces" and name:
        namespace = name
    if not name and fields and verb in ("list", "watch", "deletecollection"):
        found = _NAME.search(fields)
        name = found.group(1) if found is not None else ""
    return Attributes(
        identity, verb, group_of(request.resource, custom), request.resource, request.subresource, namespace, name, "", fields
    )


def refusal(asked: Attributes, reason: str = "") -> ApiError:
    """Return 403 in the server's words."""
    more = f": {reason}" if reason else ""
    if asked.path:
        return ApiError("Forbidden", f'forbidden: User "{asked.identity.user}" cannot {asked.verb} path "{asked.path}"{more}', {})
    scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    text = f'User "{asked.identity.user}" cannot {asked.verb} resource "{asked.combined}" in API group "{asked.group}" {scope}{more}'
    what = qualified(asked.group, asked.resource) + (f' "{asked.name}"' if asked.name else "")
    details = {"kind": asked.resource}
    if asked.name:
        details["name"] = asked.name
    if asked.group:
        details["group"] = asked.group
    return ApiError("Forbidden", f"{what} is forbidden: {text}", details)
