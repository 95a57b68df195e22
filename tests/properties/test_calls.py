"""Planted bugs: API calls that are refused, that name nobody, that are never answered again."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context, Severity
from kchaos.engine.booting import boot
from kchaos.engine.settings import Settings
from kchaos.history.view import View
from kchaos.properties.calls import Asked, cause, remedy
from tests.engine.test_remarks import APP
from tests.properties.objects import obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import one, step, system_of

CASES = Cases()
RBAC = "rbac.authorization.k8s.io/v1"
RIGHTS = """\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web}
rules: [{apiGroups: [""], resources: [pods], verbs: [%s]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
"""


def call(state: str, **data: Any) -> Obj:
    """Return what a mark tells of a call of pod web-0."""
    base = {
        "pod": "shop/web-0", "uid": "Pod-web-0", "call": 0, "account": "shop/robot", "verb": "list", "group": "", "resource": "pods",
        "namespace": "shop", "name": "", "needed": False,
    }  # fmt: skip
    return {**base, "state": state, **data}


def settings(**more: Any) -> Settings:
    """Return that the web pods list pods."""
    return Settings(workloads={"default/web": {"calls": [{"verb": "list", "resource": "pods", "every_s": 5, **more}]}})


@CASES.bug("KC207", "calls default/default")
def a_role_without_the_verb(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine."""
    return one(system_of(APP + RIGHTS % ("get" if bad else "list"), settings=settings())).violations


@CASES.bug("KC207", "no answer Pod/shop/web-0")
def silence_after_healing(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod("web-0", "node-1", True))
    history.mark("call", **call("unanswered"))
    history.wait(100.0)
    if not bad:
        history.mark("container", pod="shop/web-0", uid="Pod-web-0", node="node-1", container="app", event="started")
    return about(history.end(), "KC207")


@CASES.bug("KC207", "calls without answer", Severity.INFO)
def a_partition(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: a node that does not reach the masters; a node beside it does."""
    system = system_of(APP + RIGHTS % "list", settings=settings())
    booted = boot(system)
    (where,) = booted.placed
    other = next(node.name for node in system.topology.nodes if node.name != where)
    return about(one(system, step("network-partition", where if bad else other), booted=booted).violations, "KC207")


@CASES.bug("KC207", "account shop/robot")
def an_account_that_is_not_there(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that is gone is not held against it: its token ends with it."""
    history = History(*([pod("web-0", "node-1", True)] if bad else []))
    history.mark("call", **call("unauthorized"))
    return about(history.end(), "KC207")


@CASES.bug("KC207", "missing list pods in namespace shop")
def what_it_needs_is_not_there(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod("web-0", "node-1", True))
    history.mark("call", **call("missing", needed=bad))
    return about(history.end(), "KC207")


@CASES.bug("KC207", "refused Pod/shop/web-0 list pods in namespace shop", Severity.WARNING)
def refused_at_admission(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(pod("web-0", "node-1", True))
    history.mark("call", **call("refused" if bad else "answered"))
    return about(history.end(), "KC207")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug is found, and nothing in its twin."""
    case.check(bad, monkeypatch)


ROLE = obj(RBAC, "Role", "r", space="shop")
ASKED = Asked("update", "", "configmaps", "shop", "leader")


def binding(kind: str = "Role", name: str = "r", space: str = "shop", account: str = "shop") -> Obj:
    """Return a RoleBinding of robot in a namespace."""
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": account}
    return {**obj(RBAC, "RoleBinding", "b", space=space), "roleRef": {"kind": kind, "name": name}, "subjects": [subject]}


@pytest.mark.parametrize(
    ("rule", "bound", "says"),
    [
        (None, None, "no role is bound to it"),
        ({}, binding(account="prod"), "RoleBinding shop/b binds the service account robot of namespace prod, not of shop"),
        (None, binding(name="gone"), "RoleBinding shop/b names Role gone, which does not exist"),
        ({"verbs": ["get"]}, binding(), "Role shop/r allows get of configmaps, not update"),
        ({"apiGroups": ["apps"]}, binding(), 'Role shop/r names configmaps in the group apps, they are in ""'),
        ({"resourceNames": ["other"]}, binding(), "Role shop/r allows it for other only"),
        ({"resources": ["pods"]}, binding(), "none of its roles names configmaps (Role r)"),
        ({}, binding(space="kube-system"), "RoleBinding kube-system/b allows it in namespace kube-system only"),
    ],
)  # fmt: skip
def test_the_cause(rule: Obj | None, bound: Obj | None, says: str) -> None:
    """What is nearest to allowing it."""
    view = View()
    if rule is not None:
        full = {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], **rule}
        for space in ("shop", "kube-system"):
            if bound is None or bound["metadata"]["namespace"] == space:
                role = {**ROLE, "metadata": {**ROLE["metadata"], "namespace": space}, "rules": [full]}
                view.table("roles")[f"{space}/r"] = role
    if bound is not None:
        view.table("rolebindings")[f"{bound['metadata']['namespace']}/b"] = bound
    assert cause(Context(view), "shop/robot", ASKED).words == says


def test_the_smallest_rules() -> None:
    """Verbs of one object are one rule; a creation can't be narrowed by name; the cluster's are apart."""
    calls = [ASKED, ASKED._replace(verb="get"), ASKED._replace(verb="create"), Asked("list", "apps", "deployments", "", "")]
    assert remedy("shop/robot", calls) == (
        'bind to shop/robot a Role in namespace shop with {apiGroups: [""], resources: [configmaps], resourceNames: [leader], verbs: [update, get]}'
        ' and {apiGroups: [""], resources: [configmaps], verbs: [create]};'
        ' a ClusterRole (and a ClusterRoleBinding) with {apiGroups: ["apps"], resources: [deployments], verbs: [list]}'
    )
