"""Where authentication and authorisation sit in the request path.

Every request carries an identity through both seams. Not modelled yet: authenticators and RBAC rules; today the identity is taken
as given and everything is allowed. The rules plug in here.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Request

Authorizer = Callable[[Identity, Request], str | None]
"""Returns why a request is refused, or None if it is allowed."""


def allow_all(identity: Identity, request: Request) -> str | None:
    """Allow everything (kube-apiserver --authorization-mode=AlwaysAllow)."""
    return None


class Security:
    """The two seams; admission follows in the registry."""

    def __init__(self, authorizer: Authorizer = allow_all) -> None:
        self._authorizer = authorizer

    def authenticate(self, claimed: Identity) -> Identity:
        """Return who asks. Raises 401 for a claim without a user name."""
        if not claimed.user:
            raise ApiError("Unauthorized", "Unauthorized")
        return claimed

    def authorise(self, identity: Identity, request: Request) -> None:
        """Raise 403 unless the request is allowed."""
        why = self._authorizer(identity, request)
        if why is not None:
            raise ApiError("Forbidden", why)
