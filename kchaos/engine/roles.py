"""Roles and bindings as they stand in the files: bindings that lead nowhere, rules that grant nothing that exists, rights over every Secret.

Only what is surely wrong is a warning. What may stand in the cluster already (a role or account of another chart) is said to be missing
from the files only where the namespace is one of theirs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.tree import Obj, get
from kchaos.models.manifests.load import Manifest
from kchaos.models.manifests.notes import Note
from kchaos.models.security.bootstrap import bootstrap_objects

RULE = "KC324"
LISTED = 4
"""Notes of one sort that are written one by one; the rest is put together."""
BINDINGS = ("RoleBinding", "ClusterRoleBinding")
ROLES = ("Role", "ClusterRole")
RBAC = "rbac.authorization.k8s.io"
READS_SECRETS = ("get", "list", "watch", "*")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "events": ("", "events.k8s.io"), "ingresses": ("networking.k8s.io", "extensions"), "networkpolicies": ("networking.k8s.io", "extensions"),
    "deployments": ("apps", "extensions"), "daemonsets": ("apps", "extensions"), "replicasets": ("apps", "extensions"),
    "pods": ("", "metrics.k8s.io"), "nodes": ("", "metrics.k8s.io"),
}  # fmt: skip
"""Groups of resources that more than one group has or had: of those, a rule for an old one beside the new one is right."""


class Files(NamedTuple):
    """What bindings may name: objects of the files and of the context, and those that Kubernetes makes."""

    roles: Mapping[tuple[str, str, str], Obj]
    """(kind, namespace, name) -> role."""
    accounts: Mapping[tuple[str, str], Obj]
    spaces: frozenset[str]
    """Namespaces that the files put something in."""


def roles(manifests: Sequence[Manifest], context: Iterable[Obj]) -> Iterator[Note]:
    """Yield notes on roles and bindings."""
    mine = [one for one in manifests if one.obj["kind"] in (*ROLES, *BINDINGS)]
    if not mine:
        return
    everything = [*(one.obj for one in manifests), *context]
    builtin = [obj for _, obj in bootstrap_objects()]
    files = Files(
        {(obj["kind"], _space(obj), _name(obj)): obj for obj in [*builtin, *everything] if obj["kind"] in ROLES},
        {(_space(obj), _name(obj)): obj for obj in everything if obj["kind"] == "ServiceAccount"},
        frozenset(_space(one.obj) for one in manifests if _space(one.obj)),
    )
    bindings = [one for one in mine if one.obj["kind"] in BINDINGS]
    yield from _few([note for one in bindings for note in _role_of(one, files)], "bindings name roles that are not in these files")
    yield from _few(_subjects(bindings, files), "bindings name service accounts that are not in these files")
    yield from _few([note for one in mine if one.obj["kind"] in ROLES for note in _rules(one)], "rules grant nothing")
    yield from _secrets(bindings, files, everything)


def _space(obj: Obj) -> str:
    return str(get(obj, "metadata", "namespace", default=""))


def _name(obj: Obj) -> str:
    return str(get(obj, "metadata", "name", default=""))


def _few(notes: list[Note], rest: str) -> Iterator[Note]:
    yield from notes[:LISTED]
    if len(notes) > LISTED:
        first = notes[LISTED]
        yield first._replace(message=f"{len(notes) - LISTED} more {rest}: the next is {first.message}")


def _role_of(one: Manifest, files: Files) -> Iterator[Note]:
    """Say that a binding's role is not there: it grants nothing, and roleRef can't be changed later."""
    ref = get(one.obj, "roleRef", default={})
    kind, wanted = ref.get("kind", ""), ref.get("name", "")
    space = _space(one.obj) if kind == "Role" else ""
    if kind not in ROLES or not wanted or (kind, space, wanted) in files.roles:
        return
    known = [name for k, where, name in files.roles if k == kind and where == space]
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.8)
    other = "ClusterRole" if kind == "Role" else "Role"
    elsewhere = next((where for k, where, name in files.roles if k == kind and name == wanted), "")
    if near:
        hint = f"did you mean {near[0]}?"
    elif (other, _space(one.obj) if other == "Role" else "", wanted) in files.roles:
        hint = f"{wanted} is a {other}: write roleRef.kind: {other}"
    elif elsewhere:
        hint = f"there is one in namespace {elsewhere}: a RoleBinding names a Role of its own namespace"
    else:
        hint = "if it exists in your cluster, give it with --context; else add it"
    says = (
        f"{one.obj['kind']} {_name(one.obj)} names the {kind} {wanted}, which is not in these files: without it the binding grants nothing"
    )
    yield Note(RULE, "warning", one.file, one.at("roleRef.name"), says, hint, one.id)


def _subjects(bindings: Iterable[Manifest], files: Files) -> list[Note]:
    """Say which accounts are not there; those that are all in one other namespace are one mistake."""
    out: dict[tuple[str, str], Note] = {}
    more: dict[tuple[str, str], int] = {}
    for one in bindings:
        for index, subject in enumerate(get(one.obj, "subjects", default=()) or ()):
            space, name = subject.get("namespace") or _space(one.obj), subject.get("name", "")
            if subject.get("kind") != "ServiceAccount" or not space or name == "default" or (space, name) in files.accounts:
                continue
            elsewhere = next((where for where, other in files.accounts if other == name), "")
            near = difflib.get_close_matches(name, [n for where, n in files.accounts if where == space], n=1, cutoff=0.8)
            if elsewhere:
                hint = f"it is in namespace {elsewhere}: run with -n {space} if you install it there, else write namespace: {elsewhere}"
            elif near:
                hint = f"did you mean {near[0]}?"
            elif space in files.spaces and space != "kube-system":
                hint = "if it exists in your cluster, give it with --context; else add it"
            else:
                continue  # an account of somebody else
            key = (space, elsewhere or name)
            more[key] = more.get(key, -1) + 1
            says = (
                f"{one.obj['kind']} {_name(one.obj)} binds the ServiceAccount {name} of namespace {space}, which is not in these files:"
                " nobody gets these rights"
            )
            field = "namespace" if elsewhere else "name"
            out.setdefault(key, Note(RULE, "warning", one.file, one.at(f"subjects[{index}].{field}"), says, hint, one.id))
    return [note._replace(message=note.message + (f" (and {more[key]} more)" if more[key] else "")) for key, note in out.items()]


def _rules(one: Manifest) -> Iterator[Note]:
    """Say which rules name a resource in a group that has none of that name, or by its kind."""
    for index, rule in enumerate(get(one.obj, "rules", default=()) or ()):
        groups = rule.get("apiGroups") or ()
        if not groups or "*" in groups:
            continue
        for resource in rule.get("resources") or ():
            base = str(resource).partition("/")[0]
            at = f"rules[{index}].resources"
            known = BY_PLURAL.get(base)
            who = f"{one.obj['kind']} {_name(one.obj)}"
            if known is not None and not set(groups) & {known.group, *GROUPS.get(base, ())} and not any(_foreign(g) for g in groups):
                have, want = ", ".join(group or '""' for group in groups), known.group or '""'
                says = f"{who} names {base} in the API group {have}, which has none: this grants nothing"
                yield Note(RULE, "warning", one.file, one.at(at), says, f"write apiGroups: [{want}]", one.id)
            elif known is None and base != "*" and (kind := _KINDS.get(base.lower())) is not None and kind.group in groups:
                says = f"{who} names {base}, which is a kind and not a resource: this grants nothing"
                yield Note(RULE, "warning", one.file, one.at(at), says, f"write {kind.plural}", one.id)


_KINDS = {one.kind.lower(): one for one in BY_PLURAL.values()}
_OWN = frozenset(one.group for one in BY_PLURAL.values())


def _foreign(group: str) -> bool:
    """Tell whether a group is none of Kubernetes' own, so that it may have a resource of any name."""
    return group not in _OWN


def _secrets(bindings: Iterable[Manifest], files: Files, everything: Iterable[Obj]) -> Iterator[Note]:
    """Remark, once, which accounts of pods may do everything or read every Secret of the cluster."""
    used: dict[tuple[str, str], None] = {}
    for obj in everything:
        path = ("spec",) if obj["kind"] == "Pod" else ("spec", "jobTemplate", "spec", "template", "spec")
        spec = get(obj, *(path if obj["kind"] in ("Pod", "CronJob") else ("spec", "template", "spec")))
        if isinstance(spec, dict):
            used[(_space(obj) or "default", str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"))] = None
    found: dict[str, tuple[Manifest, str]] = {}
    for one in bindings:
        ref = get(one.obj, "roleRef", default={})
        role = files.roles.get((ref.get("kind", ""), "", ref.get("name", "")))
        if one.obj["kind"] != "ClusterRoleBinding" or role is None:
            continue
        what = _too_much(role)
        for subject in get(one.obj, "subjects", default=()) or ():
            key = (subject.get("namespace", ""), subject.get("name", ""))
            if what and subject.get("kind") == "ServiceAccount" and key in used:
                found.setdefault("/".join(key), (one, f"{what} ({ref['kind']} {ref['name']})"))
    if found:
        shown = [f"{account} {what}" for account, (_, what) in list(found.items())[:3]]
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        one = next(iter(found.values()))[0]
        says = f"pods hold wide rights, which whoever breaks into one has too: {'; '.join(shown)}{more}"
        yield Note(RULE, "info", one.file, one.line, says, "", one.id)


def _too_much(role: Obj) -> str:
    for rule in role.get("rules") or ():
        groups, resources, verbs = (set(rule.get(field) or ()) for field in ("apiGroups", "resources", "verbs"))
        if rule.get("resourceNames"):
            continue
        if "*" in groups and "*" in resources and "*" in verbs:
            return "may do everything in the cluster"
        if groups & {"", "*"} and resources & {"secrets", "*"} and verbs & set(READS_SECRETS):
            return "may read every Secret of the cluster"
    return ""
