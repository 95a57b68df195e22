"""Label and field selectors, compiled once to a predicate.

Rules: k8s.io/apimachinery/pkg/labels/selector.go, pkg/fields/selector.go, metav1.LabelSelectorAsSelector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from kchaos.canonical import encode
from kchaos.models.api.tree import Obj

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]


def _never(_: Labels) -> bool:
    return False


def _always(_: Labels) -> bool:
    return True


def compile_selector(selector: Obj | None) -> Predicate:
    """Return the predicate of a metav1.LabelSelector: None selects nothing, an empty one everything. Raises ValueError."""
    if selector is None:
        return _never
    return _compiled(encode(selector).decode())


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Predicate:
    import msgspec

    selector: Obj = msgspec.json.decode(text)
    tests = [requirement(k, "In", (v,)) for k, v in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        tests.append(requirement(one["key"], one["operator"], tuple(one.get("values") or ())))
    return _all(tests)


def from_map(labels: Labels) -> Predicate:
    """Return the predicate of a plain map selector (Services, ReplicationControllers): an empty one selects nothing."""
    return _all([requirement(k, "In", (v,)) for k, v in labels.items()]) if labels else _never


def _all(tests: list[Predicate]) -> Predicate:
    if not tests:
        return _always
    if len(tests) == 1:
        return tests[0]
    fixed = tuple(tests)

    def every(labels: Labels) -> bool:
        return all(test(labels) for test in fixed)

    return every


def requirement(key: str, operator: str, values: tuple[str, ...]) -> Predicate:
    """Return one requirement: In, NotIn, Exists, DoesNotExist, Gt, Lt. Raises ValueError for another operator."""
    if operator == "In":
        if len(values) == 1:
            (only,) = values
            return lambda labels: labels.get(key) == only
        return lambda labels: labels.get(key) in values
    if operator == "NotIn":
        return lambda labels: labels.get(key) not in values
    if operator == "Exists":
        return lambda labels: key in labels
    if operator == "DoesNotExist":
        return lambda labels: key not in labels
    if operator in ("Gt", "Lt"):
        try:
            bound = int(values[0])
        except (ValueError, IndexError):
            return _never
        sign = 1 if operator == "Gt" else -1

        def compare(labels: Labels) -> bool:
            try:
                return (int(labels[key]) - bound) * sign > 0
            except (KeyError, ValueError):
                return False

        return compare
    raise ValueError(f"{operator!r} is not a valid label selector operator")


_TERM = re.compile(r"\s*(?:(!)\s*)?([\w./-]+)\s*(?:(==|=|!=|>|<)\s*([\w.-]*)|\s(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)")


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> Predicate:
    """Return the predicate of ``a=b,c in (d,e),!f``. Raises ValueError."""
    tests: list[Predicate] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or found.end() == at:
            raise ValueError(f"unable to parse requirement: {text[at:]!r}")
        negated, key, sign, value, word, listed = found.groups()
        if negated:
            tests.append(requirement(key, "DoesNotExist", ()))
        elif sign:
            operator = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}[sign]
            tests.append(requirement(key, operator, (value,)))
        elif word:
            values = tuple(part.strip() for part in listed.split(","))
            tests.append(requirement(key, "In" if word == "in" else "NotIn", values))
        else:
            tests.append(requirement(key, "Exists", ()))
        at = found.end()
    return _all(tests)


@lru_cache(maxsize=65536)
def parse_fields(text: str) -> Callable[[Obj], bool]:
    """Return the predicate of ``spec.nodeName=x,status.phase!=Running`` over whole objects. Raises ValueError."""
    tests: list[tuple[tuple[str, ...], str, bool]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        found = re.fullmatch(r"\s*([\w.-]+)\s*(!=|==|=)\s*(.*?)\s*", part)
        if found is None:
            raise ValueError(f"invalid selector: {part!r}; can't understand it")
        tests.append((tuple(found[1].split(".")), found[3], found[2] != "!="))

    def matches(obj: Obj) -> bool:
        for path, wanted, equal in tests:
            node: Any = obj
            for key in path:
                node = node.get(key) if isinstance(node, dict) else None
            shown = "" if node is None else ("true" if node is True else "false" if node is False else str(node))
            if (shown == wanted) is not equal:
                return False
        return True

    return matches
