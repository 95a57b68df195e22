"""The roles and bindings that every API server makes when it starts, and aggregation.

``bootstrap.json``: cluster roles as a 1.34.4 server lists them; bindings and namespaced roles as in
plugin/pkg/auth/authorizer/rbac/bootstrappolicy/{policy,controller_policy,namespace_policy}.go. The controllers outside of Kubernetes
itself (CSI provisioner and attacher) get roles as in the RBAC files of their projects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get

MARK = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_API, _GROUP = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
_RULES = ("get", "list", "watch")
_ADD_ONS: dict[str, list[Obj]] = {
    "csi-provisioner": [
        {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": [*_RULES, "create", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": [*_RULES, "update"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses", "csinodes", "volumeattachments"], "verbs": [*_RULES]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch", "create", "update", "patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": [*_RULES]},
    ],
    "csi-attacher": [
        {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": [*_RULES, "patch"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["csinodes"], "verbs": [*_RULES]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["volumeattachments"], "verbs": [*_RULES, "update", "patch"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["volumeattachments/status"], "verbs": ["update", "patch"]},
    ],
}  # fmt: skip
"""https://github.com/kubernetes-csi: deploy/kubernetes/rbac.yaml of external-provisioner and external-attacher."""


def aggregated(role: Obj, roles: Iterable[Obj]) -> list[Obj]:
    """Return the rules of ``role``: selector by selector, in each by name, none twice, never its own.

    pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go.
    """
    ordered = sorted(roles, key=lambda one: str(one["metadata"]["name"]))
    out: list[Obj] = []
    for selector in get(role, "aggregationRule", "clusterRoleSelectors", default=()):
        fits = compile_selector(selector)
        for one in ordered:
            if one["metadata"]["name"] != role["metadata"]["name"] and fits(one["metadata"].get("labels") or {}):
                out += [rule for rule in one.get("rules") or () if rule not in out]
    return out


def _object(kind: str, name: str, space: str, **rest: Any) -> Obj:
    labels = {**MARK, **rest.pop("labels", {})}
    meta: Obj = {"name": name, "labels": labels, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}
    if space:
        meta["namespace"] = space
    return {"apiVersion": _API, "kind": kind, "metadata": meta, **rest}


def _subject(kind: str, name: str) -> Obj:
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": "kube-system"}
    return {"kind": kind, "apiGroup": _GROUP, "name": name}


def _cluster_roles(table: list[Obj]) -> list[Obj]:
    roles = []
    for one in table:
        body: Obj = {"labels": one.get("labels") or {}, "rules": one.get("rules") or []}
        if "aggregate" in one:
            body["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": labels} for labels in one["aggregate"]]}
        roles.append(_object("ClusterRole", one["name"], "", **body))
    for _ in range(3):  # edit gathers from view, admin from edit
        for index, role in enumerate(roles):
            if "aggregationRule" in role:
                roles[index] = {**role, "rules": aggregated(role, roles)}
    return roles


@cache
def bootstrap_objects() -> tuple[tuple[str, Obj], ...]:
    """Return (resource, object) for each role and binding, roles first."""
    data = json.loads(resources.files(__package__).joinpath("bootstrap.json").read_text(encoding="utf-8"))
    out: list[tuple[str, Obj]] = [("clusterroles", role) for role in _cluster_roles(data["clusterRoles"])]
    out += [("clusterroles", _object("ClusterRole", f"{name}-runner", "", rules=rules)) for name, rules in _ADD_ONS.items()]
    bindings = [(name, name, subjects) for name, subjects in data["clusterRoleBindings"].items()]
    bindings += [(f"{name}-role", f"{name}-runner", [("ServiceAccount", name)]) for name in _ADD_ONS]
    for name, role, subjects in bindings:
        ref = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role}
        people = [_subject(*one) for one in subjects]
        out.append(("clusterrolebindings", _object("ClusterRoleBinding", name, "", roleRef=ref, subjects=people)))
    for space, name, rules in data["roles"]:
        out.append(("roles", _object("Role", name, space, rules=rules)))
    for space, name, role, subjects in data["roleBindings"]:
        ref = {"apiGroup": _GROUP, "kind": "Role", "name": role}
        people = [_subject(*one) for one in subjects]
        out.append(("rolebindings", _object("RoleBinding", name, space, roleRef=ref, subjects=people)))
    stamp = "2026-01-01T00:00:00Z"
    made = []
    for index, (resource, obj) in enumerate(out):
        meta = {**obj["metadata"], "uid": f"00000000-0000-4000-8000-{index:012x}", "creationTimestamp": stamp}
        made.append((resource, {**obj, "metadata": meta}))
    return tuple(made)


def is_bootstrap(obj: Obj) -> bool:
    """Tell whether an object is one that the server made itself."""
    labels = obj["metadata"].get("labels")
    return bool(labels) and labels.get("kubernetes.io/bootstrapping") == "rbac-defaults"
