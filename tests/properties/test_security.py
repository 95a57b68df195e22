"""Planted bugs of authentication, authorisation and admission, each with its healthy twin."""

from __future__ import annotations

from typing import Any

import pytest

from tests.properties.objects import obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about

CASES = Cases()
API, GROUP = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"


def role(*rules: Obj, name: str = "reader", kind: str = "Role", **more: Any) -> Obj:
    return {**obj(API, kind, name, space="" if kind == "ClusterRole" else "shop", **more), "rules": list(rules)}


def rule(verbs: str, resources: str = "pods", group: str = "", **more: Any) -> Obj:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def binding(to: str = "reader", user: str = "ann", name: str = "readers", kind: str = "User") -> Obj:
    ref = {"apiGroup": GROUP, "kind": "Role", "name": to}
    subject = {"apiGroup": GROUP, "kind": kind, "name": user}
    return {**obj(API, "RoleBinding", name), "roleRef": ref, "subjects": [subject]}


def audit(history: History, verb: str, resource: str, name: str = "", code: int = 200, stage: str = "complete", **more: Any) -> None:
    data = {
        "user": "ann", "actor": "ann", "groups": ["red", "system:authenticated"], "verb": verb, "group": "", "resource": resource,
        "namespace": "shop", "name": name, "stage": stage, "code": code, **more,
    }  # fmt: skip
    history.mark("audit", **data)


WRITER = role(rule("get list"), rule("create update", "roles rolebindings", GROUP), name="writer")
AS_WRITER = binding("writer", name="writers")


@CASES.bug("KC055", "written")
def written_though_refused(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(role(rule("create", "configmaps")), binding())
    if bad:
        history.put(obj("v1", "ConfigMap", "one"), by="ann")
    audit(history, "create", "configmaps", code=403, stage="authorization")
    return history.end()


@CASES.bug("KC055", "unseen")
def written_and_not_audited(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(role(rule("create", "configmaps")), binding())
    audit(history, "create", "configmaps", code=403, stage="admission")
    history.wait(1.0)
    history.put(obj("v1", "ConfigMap", "one"), by="ann")
    if not bad:
        audit(history, "create", "configmaps", code=201)
    return history.end()


@CASES.bug("KC055", "stage")
def answered_before_admission(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(role(rule("get")), binding())
    audit(history, "get", "pods", "web-0", stage="authorization" if bad else "complete")
    return history.end()


@CASES.bug("KC056", "escalation")
def a_role_beyond_its_author(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(WRITER, AS_WRITER)
    history.put(role(rule("get delete" if bad else "get")), by="ann")
    audit(history, "create", "roles", group=GROUP, code=201)
    return history.end()


@CASES.bug("KC056", "escalation")
def a_role_widened(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A name is taken away: what was one object are all of the kind."""
    named = role(rule("get", "secrets", resourceNames=["one"]))
    history = History(WRITER, AS_WRITER, named, binding(name="named"))
    one = rule("get", "secrets", **({} if bad else {"resourceNames": ["one"]}))
    history.put({**named, "rules": [one, rule("get")]}, by="ann")
    audit(history, "update", "roles", "reader", group=GROUP)
    return history.end()


@CASES.bug("KC056", "escalation")
def a_binding_beyond_its_author(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """With the verb bind it is allowed."""
    strong = role(rule("*", "secrets"), name="strong")
    may = role(rule("get"), rule("create", "rolebindings", GROUP), rule("get" if bad else "bind", "roles", GROUP), name="writer")
    history = History(may, AS_WRITER, strong)
    history.put(binding("strong", "ben", "b"), by="ann")
    audit(history, "create", "rolebindings", group=GROUP, code=201)
    return history.end()


@CASES.bug("KC056", "roleRef")
def a_role_reference_changed(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    one = binding()
    history = History(role(rule("get")), role(rule("get"), name="other"), one)
    history.put({**one, "roleRef": {**one["roleRef"], "name": "other"}} if bad else {**one, "subjects": []})
    return history.end()


@CASES.bug("KC057", "not granted")
def a_read_without_a_grant(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(role(rule("get" if bad else "list")), binding())
    audit(history, "list", "pods")
    return history.end()


@CASES.bug("KC057", "not granted")
def a_read_by_a_group(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A user who is called like the group is not in it."""
    history = History(role(rule("list")), binding(user="blue" if bad else "red", kind="Group"))
    audit(history, "list", "pods")
    return history.end()


@CASES.bug("KC057", "not granted")
def a_read_after_revocation(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    one = binding()
    history = History(role(rule("list")), one)
    audit(history, "list", "pods")
    history.wait(10.0)
    history.remove(one)
    history.wait(5.0 if bad else 0.5)
    audit(history, "list", "pods")
    return history.end()


def _space(level: str) -> Obj:
    labels = {"pod-security.kubernetes.io/enforce": level}
    return obj("v1", "Namespace", "shop", {"finalizers": ["kubernetes"]}, {"phase": "Active"}, space="", labels=labels)


@CASES.bug("KC058", "pod security")
def a_privileged_pod_in_baseline(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_space("baseline"))
    context = {"privileged": True} if bad else {}
    history.put(pod(spec={"containers": [{"name": "app", "image": "app:1", "securityContext": context}]}))
    return about(history.end(), "KC058")


@CASES.bug("KC058", "pod security")
def root_in_restricted(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_space("restricted"))
    context = {"allowPrivilegeEscalation": False, "runAsNonRoot": not bad}
    history.put(pod(spec={"containers": [{"name": "app", "image": "app:1", "securityContext": context}]}))
    return about(history.end(), "KC058")


@CASES.bug("KC058", "limits")
def a_pod_beyond_its_limit_range(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    limits = obj("v1", "LimitRange", "most", {"limits": [{"type": "Container", "max": {"cpu": "1"}}]})
    history = History(limits)
    resources = {"limits": {"cpu": "1500m" if bad else "1"}}
    history.put(pod(spec={"containers": [{"name": "app", "image": "app:1", "resources": resources}]}))
    return about(history.end(), "KC058")


@CASES.bug("KC058", "node restriction")
def a_kubelet_changes_taints(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    node = obj("v1", "Node", "node-1", {}, {}, space="")
    history = History(node)
    spec = {"taints": [{"key": "a", "effect": "NoSchedule"}]} if bad else {"podCIDR": "10.244.0.0/24"}
    history.put({**node, "spec": spec}, by="kubelet")
    return about(history.end(), "KC058")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
