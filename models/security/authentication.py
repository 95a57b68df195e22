"""Who asks: client certificates, static and bootstrap tokens, service account tokens, anonymous; and the groups everybody gets.

Sources: staging/src/k8s.io/apiserver/pkg/authentication/{request/x509,group,user}, plugin/pkg/auth/authenticator/token/bootstrap,
pkg/serviceaccount/{claims,legacy}.go. Signatures are not computed: a credential says who issued it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity
from kchaos.models.api.times import parse
from kchaos.models.security.rbac import SERVICE_ACCOUNT, Tables

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ANONYMOUS = Identity("system:anonymous", (UNAUTHENTICATED,), "anonymous")
ISSUER = "https://kubernetes.default.svc"
CLUSTER_CA = "kubernetes"
BOOTSTRAP_GROUP = "system:bootstrappers"
_NOTES = "authentication.kubernetes.io/"
Extra = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate: subject, issuer, validity (seconds on the wall clock) and extended key usages."""

    common_name: str
    organizations: tuple[str, ...] = ()
    issuer: str = CLUSTER_CA
    not_before: float = 0.0
    not_after: float = float("inf")
    usages: tuple[str, ...] = ("client auth",)


@dataclass(frozen=True, slots=True)
class Bearer:
    """An opaque bearer token: static (--token-auth-file) or bootstrap (``abcdef.0123456789abcdef``)."""

    token: str


@dataclass(frozen=True, slots=True)
class ServiceAccountToken:
    """The claims of a service account's token; ``pod`` and ``secret`` are (name, uid) of what it is bound to."""

    namespace: str
    name: str
    uid: str
    jti: str = ""
    issuer: str = ISSUER
    audiences: tuple[str, ...] = (ISSUER,)
    not_before: float = 0.0
    expires: float = float("inf")
    pod: tuple[str, str] | None = None
    secret: tuple[str, str] | None = None


Credential = Certificate | Bearer | ServiceAccountToken | None

UNAUTHORIZED = "Unauthorized"


def unauthorized() -> ApiError:
    """Return 401; the server never says why."""
    return ApiError(UNAUTHORIZED, UNAUTHORIZED)


def with_groups(identity: Identity) -> Identity:
    """Return the identity with the group that its being known gives it (authentication/group/authenticated_group_adder.go)."""
    if AUTHENTICATED in identity.groups or UNAUTHENTICATED in identity.groups:
        return identity
    return Identity(identity.user, (*identity.groups, AUTHENTICATED), identity.actor, identity.uid, identity.extra)


def service_account_groups(user: str) -> tuple[str, ...]:
    """Return the groups of a service account by its user name, none for another user."""
    if not user.startswith(SERVICE_ACCOUNT):
        return ()
    space, _, name = user.removeprefix(SERVICE_ACCOUNT).partition(":")
    return ("system:serviceaccounts", f"system:serviceaccounts:{space}") if space and name else ()


def of_certificate(certificate: Certificate, now_s: float, authorities: Sequence[str] = (CLUSTER_CA,)) -> Identity:
    """Return who a certificate names: CN is the user, O the groups. Raises 401 outside its validity, usage or authority."""
    valid = certificate.issuer in authorities and certificate.not_before <= now_s <= certificate.not_after
    if not valid or not {"client auth", "any"} & set(certificate.usages) or not certificate.common_name:
        raise unauthorized()
    user = certificate.common_name
    return with_groups(Identity(user, certificate.organizations, user))


def of_service_account(
    token: ServiceAccountToken, now_s: float, tables: Tables, audiences: Sequence[str] = (ISSUER,)
) -> tuple[Identity, tuple[str, ...]]:
    """Return who a service account's token names, and for which of ``audiences`` it is good.

    Raises 401 unless issuer, audience and time fit, and the account and the object it is bound to are still the same
    (a deleted one counts until its deletion is 60 s past: pkg/serviceaccount/claims.go).
    """
    good = tuple(one for one in audiences if one in token.audiences)
    if token.issuer != ISSUER or not good or not token.not_before <= now_s < token.expires:
        raise unauthorized()
    key = f"{token.namespace}/{token.name}"
    bound = [("serviceaccounts", key, token.uid)]
    bound += [("pods", f"{token.namespace}/{token.pod[0]}", token.pod[1])] if token.pod is not None else []
    bound += [("secrets", f"{token.namespace}/{token.secret[0]}", token.secret[1])] if token.secret is not None else []
    for resource, place, uid in bound:
        found = tables(resource).get(place)
        if found is None or found["metadata"].get("uid") != uid:
            raise unauthorized()
        gone = found["metadata"].get("deletionTimestamp")
        if gone and now_s > parse(gone) + 60.0:
            raise unauthorized()
    user = f"{SERVICE_ACCOUNT}{token.namespace}:{token.name}"
    extra: list[tuple[str, tuple[str, ...]]] = [(_NOTES + "credential-id", (f"JTI={token.jti}",))] if token.jti else []
    if token.pod is not None:
        extra += [(_NOTES + "pod-name", (token.pod[0],)), (_NOTES + "pod-uid", (token.pod[1],))]
    return with_groups(Identity(user, service_account_groups(user), user, token.uid, tuple(extra))), good


def of_bootstrap(token: str, now_s: float, tables: Tables) -> Identity:
    """Return who a bootstrap token names, by its Secret ``kube-system/bootstrap-token-ID``. Raises 401."""
    ident, _, secret = token.partition(".")
    found = tables("secrets").get(f"kube-system/bootstrap-token-{ident}")
    if found is None or found.get("type") != "bootstrap.kubernetes.io/token" or found["metadata"].get("deletionTimestamp"):
        raise unauthorized()
    data: Mapping[str, str] = found.get("stringData") or {}
    fits = bool(secret) and data.get("token-secret") == secret and data.get("token-id") == ident
    expired = bool(data.get("expiration")) and parse(data["expiration"]) <= now_s
    if not fits or expired or data.get("usage-bootstrap-authentication") != "true":
        raise unauthorized()
    groups = tuple(one for one in (data.get("auth-extra-groups") or "").split(",") if one.startswith(BOOTSTRAP_GROUP + ":"))
    user = f"system:bootstrap:{ident}"
    return with_groups(Identity(user, (BOOTSTRAP_GROUP, *groups), user))


class Authenticator:
    """The union of all: the first that knows the kind of credential answers."""

    def __init__(self, tables: Tables, static: Mapping[str, Identity] | None = None, authorities: Sequence[str] = (CLUSTER_CA,)) -> None:
        self.tables = tables
        self.static = dict(static or {})
        self.authorities = tuple(authorities)

    def authenticate(self, credential: Credential, now_s: float) -> Identity:
        """Return who holds ``credential``. None is anonymous; an invalid one is 401, never anonymous."""
        if credential is None:
            return ANONYMOUS
        if isinstance(credential, Certificate):
            return of_certificate(credential, now_s, self.authorities)
        if isinstance(credential, ServiceAccountToken):
            return of_service_account(credential, now_s, self.tables)[0]
        known = self.static.get(credential.token)
        if known is not None:
            return with_groups(known)
        return of_bootstrap(credential.token, now_s, self.tables)
