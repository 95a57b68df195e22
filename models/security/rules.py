"""PolicyRules: whether one allows a request, and whether some cover others.

Sources: pkg/apis/rbac/v1/evaluation_helpers.go, staging/src/k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kchaos.models.api.tree import Obj

Strings = tuple[str, ...]


class Rule(NamedTuple):
    """One PolicyRule."""

    verbs: Strings = ()
    groups: Strings = ()
    resources: Strings = ()
    names: Strings = ()
    urls: Strings = ()

    def __str__(self) -> str:
        """Return it as the server shows it (rbac/v1 CompactString)."""
        parts = (
            ("APIGroups", self.groups), ("Resources", self.resources), ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names), ("Verbs", self.verbs),
        )  # fmt: skip
        return "{" + ", ".join(f"{label}:{quoted(values)}" for label, values in parts if values) + "}"


def quoted(values: Iterable[str]) -> str:
    """Return strings as Go prints them with %q: ``["a" "b"]``."""
    return "[" + " ".join(f'"{one}"' for one in values) + "]"


def rules_of(role: Obj) -> tuple[Rule, ...]:
    """Return the rules of a Role or ClusterRole."""
    return tuple(
        Rule(
            tuple(one.get("verbs") or ()),
            tuple(one.get("apiGroups") or ()),
            tuple(one.get("resources") or ()),
            tuple(one.get("resourceNames") or ()),
            tuple(one.get("nonResourceURLs") or ()),
        )
        for one in role.get("rules") or ()
    )


FULL_AUTHORITY = (Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",)))


def resource_fits(held: Strings, resource: str, subresource: str) -> bool:
    """Tell whether a rule's resources name this one: ``*``, ``pods/log`` itself, or ``*/log`` of any resource."""
    combined = f"{resource}/{subresource}" if subresource else resource
    return "*" in held or combined in held or (bool(subresource) and f"*/{subresource}" in held)


def allows(rule: Rule, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    """Tell whether a rule allows a request for a resource."""
    verbs, groups, resources, names, _ = rule
    return (
        (verb in verbs or "*" in verbs)
        and (group in groups or "*" in groups)
        and resource_fits(resources, resource, subresource)
        and (not names or name in names)
    )


def url_fits(pattern: str, path: str) -> bool:
    """Tell whether a path is meant: by ``*``, by itself, or by a prefix that ends in ``*``."""
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def allows_path(rule: Rule, verb: str, path: str) -> bool:
    """Tell whether a rule allows a request for a path."""
    return ("*" in rule.verbs or verb in rule.verbs) and any(url_fits(one, path) for one in rule.urls)


# -- comparing -----------------------------------------------------------------------------------------------------------


def broken_down(rule: Rule) -> Iterable[Rule]:
    """Yield the smallest rules that together mean the same: one verb, group, resource and name each."""
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                if rule.names:
                    for name in rule.names:
                        yield Rule((verb,), (group,), (resource,), (name,))
                else:
                    yield Rule((verb,), (group,), (resource,))
    for url in rule.urls:
        for verb in rule.verbs:
            yield Rule((verb,), urls=(url,))


def _covers(held: Rule, wanted: Rule) -> bool:
    """Tell whether one rule covers a broken-down one."""
    verb = wanted.verbs[0]
    if "*" not in held.verbs and verb not in held.verbs:
        return False
    if wanted.urls:
        url = wanted.urls[0]
        return any(url_fits(one, url) for one in held.urls)
    if "*" not in held.groups and wanted.groups[0] not in held.groups:
        return False
    resource, _, sub = wanted.resources[0].partition("/")
    if not resource_fits(held.resources, resource, sub):
        return False
    return not held.names or bool(wanted.names and wanted.names[0] in held.names)


def uncovered(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Return what of ``wanted`` no rule of ``held`` covers, broken down."""
    return [small for rule in wanted for small in broken_down(rule) if not any(_covers(one, small) for one in held)]


def compacted(rules: Iterable[Rule]) -> list[Rule]:
    """Put the verbs of rules for the same resource together (policy_compact.go)."""
    simple: dict[tuple[Strings, Strings, Strings], dict[str, None]] = {}
    rest: list[Rule] = []
    for rule in rules:
        if rule.urls:
            rest.append(rule)
        else:
            simple.setdefault((rule.groups, rule.resources, rule.names), {}).update(dict.fromkeys(rule.verbs))
    return [*rest, *(Rule(tuple(verbs), *key) for key, verbs in simple.items())]
