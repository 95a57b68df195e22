"""Questions about access that are asked over the API and never stored: who am I, may I, may they.

Sources: pkg/registry/authorization/{selfsubjectaccessreview,subjectaccessreview,localsubjectaccessreview,selfsubjectrulesreview,util},
pkg/registry/authentication/{selfsubjectreview,tokenreview}, pkg/apis/authorization/validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.tree import Obj
from kchaos.models.security.attributes import AUTHENTICATION, AUTHORIZATION, VIRTUAL, Attributes
from kchaos.models.security.authentication import ISSUER, Authenticator, Bearer, ServiceAccountToken, of_service_account
from kchaos.models.security.rbac import Rbac
from kchaos.models.security.rules import Rule

KINDS = frozenset(VIRTUAL)
_NAMES = {
    "selfsubjectaccessreviews": "SelfSubjectAccessReview", "subjectaccessreviews": "SubjectAccessReview",
    "localsubjectaccessreviews": "LocalSubjectAccessReview", "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    "selfsubjectreviews": "SelfSubjectReview", "tokenreviews": "TokenReview",
}  # fmt: skip
Decide = Callable[[Attributes], tuple[bool, str]]


def user_info(identity: Identity) -> Obj:
    """Return an identity as the API shows it."""
    out: Obj = {"username": identity.user, "groups": list(identity.groups)}
    if identity.uid:
        out["uid"] = identity.uid
    if identity.extra:
        out["extra"] = {key: list(values) for key, values in identity.extra}
    return out


def _invalid(why: str) -> ApiError:
    field, _, rest = why.partition(": ")
    kind, _, text = rest.partition(": ")
    reason = {"Invalid value": "FieldValueInvalid"}[kind]
    return ApiError(
        "Invalid", f'.{AUTHORIZATION} "" is invalid: {why}',
        {"group": AUTHORIZATION, "causes": [{"reason": reason, "message": f"{kind}: {text}", "field": field}]},
    )  # fmt: skip


def _asked(identity: Identity, spec: Obj) -> Attributes:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        value = json.dumps({"Path": path.get("path", ""), "Verb": path.get("verb", "")}, separators=(",", ":"))
        raise _invalid(f"spec.nonResourceAttributes: Invalid value: {value}: cannot be specified in combination with resourceAttributes")
    if path is not None:
        return Attributes(identity, path.get("verb", ""), path=path.get("path", "/"))
    if resource is None:
        raise _invalid(
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        )
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(identity, *(resource.get(field, "") for field in fields))


def _status(decide: Decide, asked: Attributes) -> Obj:
    allowed, reason = decide(asked)
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


def _rule(rule: Rule) -> Obj:
    out: Obj = {"verbs": list(rule.verbs)}
    if rule.urls:
        return {**out, "nonResourceURLs": list(rule.urls)}
    out |= {"apiGroups": list(rule.groups), "resources": list(rule.resources)}
    return {**out, "resourceNames": list(rule.names)} if rule.names else out


def _rules(rbac: Rbac, identity: Identity, spec: Obj) -> Obj:
    if not spec.get("namespace"):
        raise ApiError("BadRequest", "no namespace on request")
    held, errors = rbac.rules_for(identity, spec["namespace"])
    status: Obj = {
        "resourceRules": [_rule(rule) for rule in held if not rule.urls],
        "nonResourceRules": [_rule(rule) for rule in held if rule.urls],
        "incomplete": bool(errors),
    }
    return {**status, "evaluationError": ", ".join(errors)} if errors else status


def _token(authenticator: Authenticator, spec: Obj, now_s: float) -> Obj:
    token = spec.get("token")
    if not token:
        raise ApiError("BadRequest", "token is required for TokenReview in authentication")
    audiences = tuple(spec.get("audiences") or (ISSUER,))
    try:
        if isinstance(token, ServiceAccountToken):
            identity, good = of_service_account(token, now_s, authenticator.tables, audiences)
        else:
            good = tuple(one for one in audiences if one == ISSUER)
            if not good:
                raise ApiError("Unauthorized", "Unauthorized")
            identity = authenticator.authenticate(Bearer(token), now_s)
    except ApiError:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user_info(identity), "audiences": list(good)}


def review(request: Request, identity: Identity, rbac: Rbac, decide: Decide, authenticator: Authenticator, now_s: float) -> Obj:
    """Answer one; the request itself has been authorised. Raises ApiError."""
    if request.verb != "create":
        raise ApiError("MethodNotAllowed", "the server does not allow this method on the requested resource")
    plural = request.resource
    spec: Obj = (request.body or {}).get("spec") or {}
    group = VIRTUAL[plural]
    out: Obj = {"kind": _NAMES[plural], "apiVersion": f"{group}/v1", "metadata": {}}
    if group == AUTHENTICATION:
        if plural == "selfsubjectreviews":
            return {**out, "status": {"userInfo": user_info(identity)}}
        return {**out, "spec": spec, "status": _token(authenticator, spec, now_s)}
    if plural == "selfsubjectrulesreviews":
        return {**out, "spec": {}, "status": _rules(rbac, identity, spec)}
    if plural == "selfsubjectaccessreviews":
        return {**out, "spec": spec, "status": _status(decide, _asked(identity, spec))}
    other = Identity(spec.get("user", ""), tuple(spec.get("groups") or ()))
    asked = _asked(other, spec)
    if not other.user and not other.groups:
        raise _invalid('spec.user: Invalid value: "": at least one of user or group must be specified')
    if plural == "localsubjectaccessreviews" and asked.namespace != request.namespace:
        raise _invalid(f'spec.resourceAttributes.namespace: Invalid value: "{asked.namespace}": must match metadata.namespace')
    return {**out, "spec": spec, "status": _status(decide, asked)}
