"""The RBAC authoriser: who holds which rules by which binding; compiled once per subject, forgotten when a role or binding changes.

Sources: plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/registry/rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kchaos.models.api.request import Identity
from kchaos.models.api.tree import Obj
from kchaos.models.security.attributes import Attributes
from kchaos.models.security.rules import Rule, allows, allows_path, rules_of

Tables = Callable[[str], Mapping[str, Obj]]
"""Returns the stored objects of a kind by key."""

KINDS = frozenset({"roles", "clusterroles", "rolebindings", "clusterrolebindings"})
GROUP = "rbac.authorization.k8s.io"
REMEMBERED = 20_000
"""So many answers are kept at most."""
SERVICE_ACCOUNT = "system:serviceaccount:"


class Grant(NamedTuple):
    """The rules that one binding gives a subject. ``error`` is set instead if its role is missing; ``by`` says it for reviews."""

    rules: tuple[Rule, ...]
    by: str
    error: str = ""


class Binding(NamedTuple):
    """A RoleBinding or ClusterRoleBinding of one subject."""

    order: tuple[int, str]
    obj: Obj
    subject: str


class Holdings(NamedTuple):
    """What one identity holds: everywhere, and by namespace."""

    cluster: tuple[Grant, ...]
    spaces: Mapping[str, tuple[Grant, ...]]

    def at(self, namespace: str) -> Iterable[Grant]:
        """Yield the grants that count in a namespace (empty: at cluster scope), cluster-wide ones first."""
        yield from self.cluster
        if namespace:
            yield from self.spaces.get(namespace, ())


def subject_key(subject: Obj, namespace: str) -> str:
    """Return under which key a subject is looked up: its user name, or ``g:`` and its group; empty if it can't be anybody."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return f"u:{name}"
    if kind == "Group":
        return f"g:{name}"
    space = subject.get("namespace") or namespace
    return f"u:{SERVICE_ACCOUNT}{space}:{name}" if kind == "ServiceAccount" and space else ""


def _said(subject: Obj, namespace: str) -> str:
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        return f'ServiceAccount "{name}/{subject.get("namespace") or namespace}"'
    return f'{subject.get("kind")} "{name}"'


class Rbac:
    """Answers from the stored roles and bindings."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._index: dict[str, list[Binding]] | None = None
        self._held: dict[tuple[str, tuple[str, ...]], Holdings] = {}
        self._rules: dict[int, tuple[Obj, tuple[Rule, ...]]] = {}
        self._allowed: dict[tuple[object, ...], None] = {}

    def changed(self) -> None:
        """Forget what was compiled: a role or binding was written."""
        self._index = None
        self._held.clear()
        self._allowed.clear()
        self._rules.clear()

    # -- compiling -----------------------------------------------------------------------------------------------------

    def _bindings(self) -> dict[str, list[Binding]]:
        if self._index is None:
            index: dict[str, list[Binding]] = {}
            for rank, kind in enumerate(("clusterrolebindings", "rolebindings")):
                for key, obj in self._tables(kind).items():
                    space = obj["metadata"].get("namespace", "")
                    for subject in obj.get("subjects") or ():
                        place = subject_key(subject, space)
                        if place:
                            index.setdefault(place, []).append(Binding((rank, key), obj, _said(subject, space)))
            self._index = index
        return self._index

    def role(self, ref: Obj, namespace: str) -> tuple[Rule, ...] | None:
        """Return the rules of a roleRef of a binding in ``namespace``, None if the role is missing."""
        if ref.get("kind") == "ClusterRole":
            found = self._tables("clusterroles").get(ref.get("name", ""))
        else:
            found = self._tables("roles").get(f"{namespace}/{ref.get('name', '')}")
        if found is None:
            return None
        known = self._rules.get(id(found))
        if known is None or known[0] is not found:
            known = self._rules[id(found)] = (found, rules_of(found))
        return known[1]

    def _grant(self, binding: Binding) -> Grant:
        obj = binding.obj
        meta, ref = obj["metadata"], obj.get("roleRef") or {}
        space = meta.get("namespace", "")
        rules = self.role(ref, space)
        if rules is None:
            return Grant((), "", f'{ref.get("kind", "").lower()}.{GROUP} "{ref.get("name", "")}" not found')
        whose = f'RoleBinding "{meta["name"]}/{space}"' if space else f'ClusterRoleBinding "{meta["name"]}"'
        return Grant(rules, f'{whose} of {ref["kind"]} "{ref["name"]}" to {binding.subject}')

    def holdings(self, identity: Identity) -> Holdings:
        """Return what an identity holds by its name and groups."""
        who = (identity.user, identity.groups)
        held = self._held.get(who)
        if held is None:
            index = self._bindings()
            mine: dict[tuple[int, str], Binding] = {}
            for place in (f"u:{identity.user}", *(f"g:{group}" for group in identity.groups)):
                for binding in index.get(place, ()):
                    mine.setdefault(binding.order, binding)
            cluster: list[Grant] = []
            spaces: dict[str, list[Grant]] = {}
            for _, binding in sorted(mine.items()):
                space = binding.obj["metadata"].get("namespace", "")
                (spaces.setdefault(space, []) if space else cluster).append(self._grant(binding))
            held = self._held[who] = Holdings(tuple(cluster), {space: tuple(grants) for space, grants in spaces.items()})
        return held

    # -- answering -----------------------------------------------------------------------------------------------------

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Return whether it is allowed, and the reason in the server's words."""
        errors: dict[str, None] = {}
        for grant in self.holdings(asked.identity).at(asked.namespace):
            if grant.error:
                errors[grant.error] = None
            for rule in grant.rules:
                if asked.path:
                    fits = allows_path(rule, asked.verb, asked.path)
                else:
                    fits = allows(rule, asked.verb, asked.group, asked.resource, asked.subresource, asked.name)
                if fits:
                    return True, f"RBAC: allowed by {grant.by}"
        if not errors:
            return False, ""
        return False, "RBAC: " + (next(iter(errors)) if len(errors) == 1 else f"[{', '.join(errors)}]")

    def allowed(self, identity: Identity, verb: str, group: str, resource: str, subresource: str, namespace: str, name: str) -> bool:
        """Tell, from memory if asked before, whether it is allowed. False: look closer, for the words of the refusal."""
        key = (identity.user, identity.groups, verb, group, resource, subresource, namespace)
        if key in self._allowed or (*key, name) in self._allowed:
            return True
        for grant in self.holdings(identity).at(namespace):
            for rule in grant.rules:
                if allows(rule, verb, group, resource, subresource, name):
                    if len(self._allowed) >= REMEMBERED:
                        self._allowed.clear()
                    self._allowed[(*key, name) if rule.names else key] = None
                    return True
        return False

    def rules_for(self, identity: Identity, namespace: str) -> tuple[list[Rule], list[str]]:
        """Return all rules that an identity holds in a namespace, and the roles that are missing."""
        grants = list(self.holdings(identity).at(namespace))
        return [rule for grant in grants for rule in grant.rules], [grant.error for grant in grants if grant.error]
