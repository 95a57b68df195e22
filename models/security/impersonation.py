"""Acting as somebody else: each part of the other's identity needs the verb ``impersonate``.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Impersonation
from kchaos.models.security.attributes import AUTHENTICATION, Attributes, refusal
from kchaos.models.security.authentication import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, service_account_groups
from kchaos.models.security.rbac import SERVICE_ACCOUNT

Decide = Callable[[Attributes], tuple[bool, str]]


def questions(asker: Identity, wanted: Impersonation) -> list[Attributes]:
    """Return what the asker must be allowed, in the order in which it is checked."""
    if wanted.user.startswith(SERVICE_ACCOUNT):
        space, _, name = wanted.user.removeprefix(SERVICE_ACCOUNT).partition(":")
        out = [Attributes(asker, "impersonate", "", "serviceaccounts", "", space, name)]
    else:
        out = [Attributes(asker, "impersonate", "", "users", "", "", wanted.user)]
    out += [Attributes(asker, "impersonate", "", "groups", "", "", group) for group in wanted.groups]
    for key, values in wanted.extra:
        out += [Attributes(asker, "impersonate", AUTHENTICATION, "userextras", key, "", value) for value in values]
    if wanted.uid:
        out.append(Attributes(asker, "impersonate", AUTHENTICATION, "uids", "", "", wanted.uid))
    return out


def impersonated(asker: Identity, wanted: Impersonation, decide: Decide) -> Identity:
    """Return the identity that the request goes on with. Raises 403; 500 for parts without a user."""
    if not wanted.user:
        raise ApiError("InternalError", "without impersonating a user")
    for asked in questions(asker, wanted):
        allowed, reason = decide(asked)
        if not allowed:
            raise refusal(asked, reason)
    groups = wanted.groups or service_account_groups(wanted.user)
    if wanted.user == ANONYMOUS.user:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return Identity(wanted.user, groups, wanted.user, wanted.uid, wanted.extra)
