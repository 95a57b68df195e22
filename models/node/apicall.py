"""One API call that an application's pods make, as kchaos.yaml says it: data, and what it means for a pod of some namespace."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from kchaos.models.api.resources import BY_PLURAL

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
VERBS: tuple[str, ...] = get_args(Verb)
NAMED = ("get", "update", "patch", "delete")
"""Verbs that ask for one object."""
READS = ("get", "list", "watch")
ALL = "*"
"""As a namespace: all of them."""


class ApiCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call that the pods of a workload make."""

    verb: Verb
    resource: str
    """The plural, as roles name it: ``configmaps``."""
    apiGroup: str | None = None  # noqa: N815  # the API's own name
    """Needed for custom resources only."""
    subresource: str = ""
    namespace: str = ""
    """Empty: the pod's own; ``*``: all."""
    name: str = ""
    every_s: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """How often; a watch stays open."""
    needed: bool = False
    """Without an answer the pod does not serve."""

    @property
    def group(self) -> str:
        """Return the API group."""
        known = BY_PLURAL.get(self.resource)
        return self.apiGroup if self.apiGroup is not None else known.group if known is not None else ""

    def space(self, own: str) -> str:
        """Return the namespace that a pod in ``own`` asks about, empty for all and for what is in none."""
        known = BY_PLURAL.get(self.resource)
        if self.namespace == ALL or (known is not None and not known.namespaced):
            return ""
        return self.namespace or own
