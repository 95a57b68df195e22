"""Who may what, by brute force over roles and bindings as they are stored: the judge of the security layer, which it does not use.

Each rule becomes a regular expression over a line ``verb group resource name``. What a set of rules means is the set of lines that it
matches, among the words that occur in it and words that never occur (for what only a wildcard can match).
Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

Obj = dict[str, Any]
Groups = Collection[str]
RBAC = "rbac.authorization.k8s.io"
EVERYTHING: Obj = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def _words(values: Iterable[str] | None) -> str:
    parts = ["[^ ]*" if one == "*" else "[^ /]+" + re.escape(one[1:]) if one.startswith("*/") else re.escape(one) for one in values or ()]
    return f"(?:{'|'.join(parts)})" if parts else "(?!)"


def pattern(rule: Obj) -> re.Pattern[str]:
    """Return what a rule for resources matches."""
    names = _words(rule["resourceNames"]) if rule.get("resourceNames") else "[^ ]*"
    return re.compile(f"{_words(rule.get('verbs'))} {_words(rule.get('apiGroups'))} {_words(rule.get('resources'))} {names}")


class Rights:
    """Brute force over the raw objects."""

    def __init__(self, table: Callable[[str], Mapping[str, Obj]]) -> None:
        self._table = table
        self._patterns: dict[int, tuple[Obj, re.Pattern[str]]] = {}

    def _pattern(self, rule: Obj) -> re.Pattern[str]:
        known = self._patterns.get(id(rule))
        if known is None or known[0] is not rule:
            known = self._patterns[id(rule)] = (rule, pattern(rule))
        return known[1]

    def rules(self, user: str, groups: Groups, space: str) -> list[Obj]:
        """Return the rules that somebody has in a namespace (empty: cluster-wide)."""
        out: list[Obj] = []
        for kind in ("clusterrolebindings", "rolebindings"):
            for binding in self._table(kind).values():
                where = binding["metadata"].get("namespace")
                if where is not None and where != space:
                    continue
                for subject in binding.get("subjects") or ():
                    person = subject["kind"] == "User" and subject["name"] == user
                    robot = f"system:serviceaccount:{subject.get('namespace') or where}:{subject['name']}"
                    if person or (subject["kind"] == "Group" and subject["name"] in groups):
                        break
                    if subject["kind"] == "ServiceAccount" and robot == user:
                        break
                else:
                    continue
                ref = binding["roleRef"]
                if ref["kind"] == "Role":
                    role = self._table("roles").get(f"{where}/{ref['name']}")
                else:
                    role = self._table("clusterroles").get(ref["name"])
                out += (role or {}).get("rules") or []
        return out

    def may(self, user: str, groups: Groups, verb: str, group: str, resource: str, space: str, name: str) -> bool:
        """Tell whether somebody may do it."""
        if "system:masters" in groups:
            return True
        line = f"{verb} {group} {resource} {name}"
        return any(self._pattern(rule).fullmatch(line) for rule in self.rules(user, groups, space) if rule.get("resources"))

    def lines(self, rules: list[Obj]) -> set[str]:
        """Return all that rules for resources allow, in words that occur and words that never do."""
        said = [{word for rule in rules for word in rule.get(field) or () if word != "*"} for field in ("verbs", "apiGroups", "resources")]
        verbs, groups = {"never", *said[0]}, {"never", *said[1]}
        places = {"never", "never/scale", "never/log", "never/never"}
        places |= {place.replace("*/", "never/") for place in said[2]}
        named = {name for rule in rules for name in rule.get("resourceNames") or ()}
        out = set()
        for rule in rules:
            if not rule.get("resources"):
                continue
            fits = self._pattern(rule)
            mine = (
                [one for one in words if "*" in (rule.get(field) or ()) or any(_like(one, word) for word in rule.get(field) or ())]
                for words, field in ((verbs, "verbs"), (groups, "apiGroups"), (places, "resources"))
            )
            for verb, group, place in itertools.product(*mine):
                for name in (*(rule.get("resourceNames") or ("never", "")), *named):
                    line = f"{verb} {group} {place} {name}"
                    if fits.fullmatch(line):
                        out.add(line)
        return out

    def beyond(self, user: str, groups: Groups, space: str, rules: list[Obj]) -> bool:
        """Tell whether rules allow anything that somebody may not do there."""
        if "system:masters" in groups:
            return False
        held = [self._pattern(rule) for rule in self.rules(user, groups, space) if rule.get("resources")]
        return any(not any(one.fullmatch(line) for one in held) for line in self.lines(rules))

    def may_write(self, user: str, groups: Groups, plural: str, space: str, path: str, obj: Obj, old: Obj | None) -> bool:
        """Tell whether somebody may write that role or binding, apart from the right to write any."""
        if old is not None and _same(old, obj):
            return True
        if plural in ("roles", "clusterroles"):
            if self.may(user, groups, "escalate", RBAC, plural, space, path):
                return True
            gathers = bool(obj.get("aggregationRule") or (old or {}).get("aggregationRule"))
            return not self.beyond(user, groups, space, [*(obj.get("rules") or []), *([EVERYTHING] if gathers else [])])
        ref = obj["roleRef"]
        kind = "clusterroles" if ref["kind"] == "ClusterRole" else "roles"
        if self.may(user, groups, "bind", RBAC, kind, space, ref["name"]):
            return True
        role = self._table(kind).get(ref["name"] if kind == "clusterroles" else f"{space}/{ref['name']}")
        return role is not None and not self.beyond(user, groups, space, role.get("rules") or [])


def _same(one: Obj, other: Obj) -> bool:
    fields = ("rules", "roleRef", "subjects", "aggregationRule")
    labels = [it["metadata"].get("labels") or {} for it in (one, other)]
    return labels[0] == labels[1] and all((one.get(field) or None) == (other.get(field) or None) for field in fields)


def _like(word: str, wanted: str) -> bool:
    return word == wanted or (wanted.startswith("*/") and word.endswith(wanted[1:]))
