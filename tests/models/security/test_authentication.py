"""Certificates, tokens, anonymous, impersonation: who somebody is, and who is nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Impersonation
from kchaos.models.security.authentication import (
    ANONYMOUS,
    Authenticator,
    Bearer,
    Certificate,
    ServiceAccountToken,
    of_service_account,
)
from kchaos.models.security.impersonation import impersonated, questions

Obj = dict[str, Any]
TABLES: dict[str, dict[str, Obj]] = {
    "serviceaccounts": {"shop/robot": {"metadata": {"name": "robot", "uid": "u-1"}}},
    "pods": {
        "shop/web": {"metadata": {"name": "web", "uid": "p-1"}},
        "shop/dying": {"metadata": {"name": "dying", "uid": "p-2", "deletionTimestamp": "1970-01-01T00:01:40Z"}},
    },
    "secrets": {
        "kube-system/bootstrap-token-abcdef": {
            "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": "bootstrap-token-abcdef"},
            "stringData": {
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
                "auth-extra-groups": "system:bootstrappers:kubeadm,system:masters", "expiration": "1970-01-01T01:00:00Z",
            },
        }
    },
}  # fmt: skip
WHO = Authenticator(lambda resource: TABLES.get(resource, {}), {"secret": Identity("ann", ("red",), "ann")})


def refused(action: Callable[[], object]) -> str:
    """Return the reason of a refusal."""
    with pytest.raises(ApiError) as caught:
        action()
    return caught.value.reason


def test_certificates() -> None:
    """CN is the user, O the groups; outside validity, authority or usage it is nobody's."""
    good = Certificate("ann", ("red", "blue"), not_before=10.0, not_after=20.0)
    assert WHO.authenticate(good, 15.0) == Identity("ann", ("red", "blue", "system:authenticated"), "ann")
    assert WHO.authenticate(good, 10.0).user == WHO.authenticate(good, 20.0).user == "ann"
    for bad, now_s in (
        (good, 9.9), (good, 20.1), (Certificate("ann", issuer="other"), 1.0), (Certificate("ann", usages=("server auth",)), 1.0),
        (Certificate(""), 1.0),
    ):  # fmt: skip
        assert refused(lambda one=bad, at=now_s: WHO.authenticate(one, at)) == "Unauthorized"


def test_bearer_tokens() -> None:
    """Static tokens name users; an unknown one is 401 and never anonymous; none at all is anonymous."""
    assert WHO.authenticate(Bearer("secret"), 0.0).groups == ("red", "system:authenticated")
    assert refused(lambda: WHO.authenticate(Bearer("other"), 0.0)) == "Unauthorized"
    assert WHO.authenticate(None, 0.0) is ANONYMOUS
    assert "system:authenticated" not in ANONYMOUS.groups


def test_bootstrap_tokens() -> None:
    """They name a bootstrapper, in groups of bootstrappers only, until they expire."""
    token = Bearer("abcdef.0123456789abcdef")
    who = WHO.authenticate(token, 0.0)
    assert who.user == "system:bootstrap:abcdef"
    assert who.groups == ("system:bootstrappers", "system:bootstrappers:kubeadm", "system:authenticated")
    assert refused(lambda: WHO.authenticate(token, 3600.0)) == "Unauthorized"
    assert refused(lambda: WHO.authenticate(Bearer("abcdef.wrong"), 0.0)) == "Unauthorized"


def test_service_account_tokens() -> None:
    """Bound to time, audience, account and pod: a pod of the same name is another one."""
    token = ServiceAccountToken("shop", "robot", "u-1", jti="j", expires=100.0, pod=("web", "p-1"))
    who = WHO.authenticate(token, 99.0)
    assert who.user == "system:serviceaccount:shop:robot" and who.uid == "u-1"
    assert who.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert ("authentication.kubernetes.io/pod-uid", ("p-1",)) in who.extra
    bad = (
        (token, 100.0),
        (ServiceAccountToken("shop", "robot", "u-2"), 0.0),
        (ServiceAccountToken("shop", "other", "u-1"), 0.0),
        (ServiceAccountToken("shop", "robot", "u-1", pod=("web", "p-9")), 0.0),
        (ServiceAccountToken("shop", "robot", "u-1", pod=("gone", "p-1")), 0.0),
        (ServiceAccountToken("shop", "robot", "u-1", pod=("dying", "p-2")), 161.0),
        (ServiceAccountToken("shop", "robot", "u-1", audiences=("vault",)), 0.0),
        (ServiceAccountToken("shop", "robot", "u-1", issuer="https://elsewhere"), 0.0),
        (ServiceAccountToken("shop", "robot", "u-1", not_before=5.0), 4.0),
    )
    for one, now_s in bad:
        assert refused(lambda one=one, at=now_s: WHO.authenticate(one, at)) == "Unauthorized", one
    assert WHO.authenticate(ServiceAccountToken("shop", "robot", "u-1", pod=("dying", "p-2")), 159.0).user.endswith("robot")
    other = ServiceAccountToken("shop", "robot", "u-1", audiences=("vault", "x"))
    assert of_service_account(other, 0.0, WHO.tables, ("vault", "y"))[1] == ("vault",)


def test_impersonation_asks_for_each_part() -> None:
    """User, groups, extra and uid are asked for one by one; a service account by its namespace."""
    ann = Identity("ann", ("system:authenticated",), "ann")
    wanted = Impersonation("ben", ("red", "blue"), "u-7", (("scopes", ("view",)),))
    asked = [(one.group, one.combined, one.namespace, one.name) for one in questions(ann, wanted)]
    assert asked == [
        ("", "users", "", "ben"), ("", "groups", "", "red"), ("", "groups", "", "blue"),
        ("authentication.k8s.io", "userextras/scopes", "", "view"), ("authentication.k8s.io", "uids", "", "u-7"),
    ]  # fmt: skip
    robot = Impersonation("system:serviceaccount:shop:robot")
    assert [(one.combined, one.namespace, one.name) for one in questions(ann, robot)] == [("serviceaccounts", "shop", "robot")]
    for part in asked:
        deny = part
        why = refused(lambda deny=deny: impersonated(ann, wanted, lambda one: ((one.group, one.combined, "", one.name) != deny, "")))
        assert why == "Forbidden"
    got = impersonated(ann, robot, lambda one: (True, ""))
    assert got.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert impersonated(ann, Impersonation("system:anonymous"), lambda one: (True, "")).groups == ("system:unauthenticated",)
    assert refused(lambda: impersonated(ann, Impersonation("", ("red",)), lambda one: (True, ""))) == "InternalError"
