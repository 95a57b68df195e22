"""Nobody gives away more than they hold: the checks when roles and bindings are written.

Sources: pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go,
pkg/registry/rbac/{escalation_check,helpers}.go, pkg/registry/rbac/validation/rule.go (ConfirmNoEscalation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from kchaos.models.api.errors import forbidden, not_found
from kchaos.models.api.request import Identity
from kchaos.models.api.tree import Obj
from kchaos.models.security.attributes import Attributes
from kchaos.models.security.rbac import GROUP, KINDS, Rbac
from kchaos.models.security.rules import FULL_AUTHORITY, Rule, compacted, quoted, rules_of, uncovered

MASTERS = "system:masters"
Allows = Callable[[Attributes], bool]
"""The whole chain of authorisers, asked about the verbs ``escalate`` and ``bind``."""


def shortage(rbac: Rbac, identity: Identity, namespace: str, wanted: Iterable[Rule]) -> str:
    """Return what the server says if ``wanted`` goes beyond what the identity holds, empty if it does not."""
    held, errors = rbac.rules_for(identity, namespace)
    missing = uncovered(held, wanted)
    if not missing:
        return ""
    lines = "\n".join(sorted({str(rule) for rule in compacted(missing)}))
    text = f'user "{identity.user}" (groups={quoted(identity.groups)}) is attempting to grant RBAC permissions not currently held:\n{lines}'
    return f"{text}; resolution errors: {quoted(errors)}" if errors else text


def _only_references(new: Obj, old: Obj) -> bool:
    """Tell whether nothing changed but what the garbage collector changes: owner references and finalizers."""
    ours = ("ownerReferences", "finalizers", "resourceVersion", "managedFields")
    one, other = ({**it, "metadata": {k: v for k, v in it["metadata"].items() if k not in ours}} for it in (new, old))
    return one == other


def check_write(rbac: Rbac, allows: Allows, asked: Attributes, new: Obj, old: Obj | None) -> None:
    """Refuse a role that holds, or a binding that gives, more than its author has. Raises 403 or 404.

    The author passes who is in system:masters, who may ``escalate`` (roles) or ``bind`` (bindings: the role referred to).
    """
    identity = asked.identity
    if asked.resource not in KINDS or asked.group != GROUP or MASTERS in identity.groups:
        return
    if old is not None and _only_references(new, old):
        return
    meta = new.get("metadata") or {}
    called, space = meta.get("name", ""), asked.namespace
    if asked.resource in ("roles", "clusterroles"):
        if allows(replace(asked, verb="escalate")):
            return
        why = shortage(rbac, identity, space, rules_of(new))
        aggregates = bool(new.get("aggregationRule") or (old or {}).get("aggregationRule"))
        if not why and aggregates and shortage(rbac, identity, "", FULL_AUTHORITY):
            why = "must have cluster-admin privileges to use the aggregationRule"
    else:
        ref = new.get("roleRef") or {}
        role = "clusterroles" if ref.get("kind") == "ClusterRole" else "roles"
        if allows(Attributes(identity, "bind", GROUP, role, "", space, ref.get("name", ""))):
            return
        rules = rbac.role(ref, space)
        if rules is None:
            raise not_found(GROUP, asked.resource, ref.get("name", ""))
        why = shortage(rbac, identity, space, rules)
    if why:
        raise forbidden(GROUP, asked.resource, called, why)
