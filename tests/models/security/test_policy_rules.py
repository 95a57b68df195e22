"""PolicyRules: what one covers of another, and how it is shown."""

from __future__ import annotations

from kchaos.models.security.rules import FULL_AUTHORITY, Rule, compacted, uncovered, url_fits


def test_what_a_rule_covers() -> None:
    """Names, wildcards and subresources cover what is narrower, never what is wider."""
    named = Rule(("get",), ("",), ("secrets",), ("one",))
    assert uncovered([named], [named]) == []
    assert uncovered([named], [named._replace(names=())]) == [named._replace(names=())]
    assert uncovered([named], [named._replace(names=("one", "two"))]) == [named._replace(names=("two",))]
    scale = Rule(("patch",), ("apps",), ("*/scale",))
    assert uncovered([scale], [scale._replace(resources=("deployments/scale",))]) == []
    assert uncovered([scale], [scale._replace(resources=("deployments",))]) != []
    assert uncovered([Rule(("get",), ("",), ("pods",))], [Rule(("*",), ("",), ("pods",))]) != []
    assert uncovered(FULL_AUTHORITY, [scale, named, Rule(("get",), urls=("/metrics",))]) == []


def test_missing_rules_are_put_together() -> None:
    """As the server shows them."""
    missing = uncovered([], [Rule(("get", "list"), ("",), ("pods", "secrets"))])
    assert [str(one) for one in compacted(missing)] == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}', '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    ]  # fmt: skip


def test_paths() -> None:
    """A suffix of * is a prefix of paths."""
    assert url_fits("/healthz/*", "/healthz/etcd") and url_fits("*", "/x") and url_fits("/x", "/x")
    assert not url_fits("/healthz/*", "/healthz") and not url_fits("/x", "/x/y")
