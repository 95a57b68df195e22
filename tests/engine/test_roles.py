"""Roles and bindings as they stand: each mistake is told with its line and what to write, and its right twin is not."""

from __future__ import annotations

import pytest

from kchaos.engine.roles import roles
from tests.support import loaded

RBAC = "apiVersion: rbac.authorization.k8s.io/v1\n"
ROLE = (
    RBAC + 'kind: Role\nmetadata: {name: reader, namespace: shop}\nrules:\n- apiGroups: [""]\n  resources: [pods]\n  verbs: [list]\n---\n'
)
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot, namespace: shop}\n---\n"
BINDING = (
    RBAC + "kind: RoleBinding\nmetadata: {name: b, namespace: shop}\n"
    "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: reader\nsubjects:\n- kind: ServiceAccount\n  name: robot\n"
)
GOOD = ROLE + ACCOUNT + BINDING
WIDE = (
    ACCOUNT
    + RBAC
    + "kind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\n"
    "subjects: [{kind: ServiceAccount, name: robot, namespace: shop}]\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {serviceAccountName: %s, containers: [{name: c, image: i}]}\n"
)


def notes(text: str) -> list[tuple[str, int, str, str]]:
    """Return (level, line, message, hint) of each note."""
    return [(note.level, note.line, note.message, note.hint) for note in roles(loaded(text).manifests, [])]


@pytest.mark.parametrize(
    ("old", "new", "line", "says", "hint"),
    [
        ("name: reader\nsubj", "name: raeder\nsubj", 19, "names the Role raeder, which is not in these files", "did you mean reader?"),
        ("kind: Role\n  name: reader", "kind: ClusterRole\n  name: reader", 19, "names the ClusterRole reader", "is a Role: write roleRef.kind: Role"),
        ("kind: Role\n  name: reader", "kind: Role\n  name: view", 19, "names the Role view", "is a ClusterRole"),
        ("name: reader, namespace: shop", "name: reader, namespace: other", 19, "names the Role reader", "one in namespace other"),
        ("name: robot\n", "name: robto\n", 22, "binds the ServiceAccount robto of namespace shop", "did you mean robot?"),
        ("name: robot\n", "name: robot\n  namespace: prod\n", 23, "of namespace prod", "-n prod"),
        ("resources: [pods]", "resources: [deployments]", 6, 'names deployments in the API group "", which has none', "apiGroups: [apps]"),
        ("resources: [pods]", "resources: [pod]", 6, "names pod, which is a kind", "write pods"),
    ],
)  # fmt: skip
def test_a_mistake_and_its_right_twin(old: str, new: str, line: int, says: str, hint: str) -> None:
    """One warning, at the line; nothing without the mistake."""
    assert notes(GOOD) == []
    text = GOOD.replace(old, new)
    assert text != GOOD
    found = notes(text)
    assert [(one[0], one[1]) for one in found] == [("warning", line)]
    assert says in found[0][2] and hint in found[0][3]


@pytest.mark.parametrize(
    "new",
    [
        'apiGroups: ["", apps]\n  resources: [pods, deployments]', "apiGroups: [metrics.k8s.io]\n  resources: [pods]",
        "apiGroups: [example.com]\n  resources: [deployments]", 'apiGroups: ["*"]\n  resources: ["*"]', 'apiGroups: [""]\n  resources: [pods/log]',
        "apiGroups: [extensions, apps]\n  resources: [deployments, ingresses]",
    ],
)  # fmt: skip
def test_what_is_right(new: str) -> None:
    """Several groups, custom groups, old groups beside new ones, subresources."""
    assert notes(GOOD.replace('apiGroups: [""]\n  resources: [pods]', new)) == []


def test_accounts_of_others() -> None:
    """A default account, one of another namespace than the files', a user."""
    assert notes(GOOD.replace("name: robot\n", "name: default\n")) == []
    assert notes(GOOD.replace("  name: robot\n", "  name: other\n  namespace: elsewhere\n")) == []
    assert notes(GOOD.replace("kind: ServiceAccount\n  name: robot\n", "kind: User\n  name: jane\n")) == []


def test_one_mistake_is_told_once() -> None:
    """All bindings that name a wrong namespace are one note."""
    wrong = BINDING.replace("name: robot\n", "name: robot\n  namespace: prod\n")
    found = notes(GOOD + "".join("---\n" + wrong.replace("name: b,", f"name: b{n},") for n in range(9)))
    assert len(found) == 1 and "(and 8 more)" in found[0][2]


def test_wide_rights() -> None:
    """One remark, of accounts that pods use."""
    found = notes(WIDE % "robot")
    assert [one[0] for one in found] == ["info"] and "shop/robot may do everything in the cluster" in found[0][2]
    assert notes(WIDE % "default") == []
