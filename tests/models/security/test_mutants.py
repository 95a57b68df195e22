"""Mutants of the security layer: each takes one safeguard away, and the walk or one of the other tests must fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import Identity, Impersonation
from kchaos.models.security import (
    authentication,
    bootstrap,
    escalation,
    impersonation,
    limitranger,
    node,
    noderestriction,
    podsecurity,
    rbac,
    rules,
    seams,
    webhooks,
)
from kchaos.models.security.attributes import Attributes
from kchaos.models.security.rbac import Binding, Grant, Rbac
from kchaos.models.security.rules import Rule
from tests.models.security import test_admission as admitted
from tests.models.security import test_authentication as known
from tests.models.security import test_policy_rules as covering
from tests.rbac_machine import Walk


def _walk() -> None:
    for seed in range(3):
        Walk(seed).run(1500)


class Mutant(NamedTuple):
    """What is replaced by what, and the test that must notice."""

    name: str
    owner: Any
    attribute: str
    replacement: Any
    killer: Callable[[], None] = _walk


_fits, _allows, _covers, _uncovered, _index = rules.resource_fits, rules.allows, rules._covers, rules.uncovered, Rbac._bindings
_grant, _decide, _questions, _shortage, _confirm = (
    Rbac._grant,
    seams.Security.decide,
    impersonation.questions,
    escalation.shortage,
    seams.Security.confirm,
)
_rules_of, _subject, _level, _related, _labels = (
    rules.rules_of,
    rbac.subject_key,
    podsecurity.level_of,
    node.NodeAuthorizer.related,
    noderestriction.forbidden_labels,
)
_pod_changed, _limits, _matches = node.NodeAuthorizer.pod_changed, limitranger.violations, webhooks.matches_rules


def _ignore_names(rule: Rule, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    return _allows(rule._replace(names=()), verb, group, resource, subresource, name)


def _ignore_groups(rule: Rule, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    return _allows(rule._replace(groups=("*",)), verb, group, resource, subresource, name)


def _prefix_verbs(rule: Rule, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    return _allows(rule._replace(verbs=(*rule.verbs, *(["list"] if "get" in rule.verbs else []))), verb, group, resource, subresource, name)


def _keep_answers(self: Rbac) -> None:
    self._index = None
    self._held.clear()


def _keep_bindings(self: Rbac) -> None:
    self._allowed.clear()


def _cluster_wide(self: Rbac, binding: Binding) -> Grant:
    return _grant(self, binding)


def _holdings_everywhere(self: rbac.Holdings, namespace: str) -> Iterator[Grant]:
    yield from self.cluster
    for grants in self.spaces.values():
        yield from grants


def _no_groups(subject: dict[str, Any], namespace: str) -> str:
    return "" if subject.get("kind") == "Group" else _subject(subject, namespace)


def _group_is_user(subject: dict[str, Any], namespace: str) -> str:
    return _subject({**subject, "kind": "User"} if subject.get("kind") == "Group" else subject, namespace)


def _any_namespace(subject: dict[str, Any], namespace: str) -> str:
    return _subject({**subject, "namespace": "one"}, namespace)


def _names_not_compared(held: Rule, wanted: Rule) -> bool:
    return _covers(held._replace(names=()), wanted)


def _first_only(held: Any, wanted: Any) -> list[Rule]:
    return _uncovered(held, list(wanted)[:1])


def _only_users(asker: Identity, wanted: Impersonation) -> list[Attributes]:
    return _questions(asker, wanted)[:1]


def _masters_for_all(self: seams.Security, asked: Attributes) -> tuple[bool, str]:
    return (True, "") if asked.identity.groups else _decide(self, asked)


def _bind_anything(self: seams.Security, request: Any, new: Any, old: Any) -> None:
    if "roleRef" not in new:
        _confirm(self, request, new, old)


def _updates_unseen(self: seams.Security, request: Any, new: Any, old: Any) -> None:
    if old is None:
        _confirm(self, request, new, old)


def _by_name_only(self: seams.Security, request: Any, new: Any, old: Any) -> None:
    _confirm(self, replace(request, identity=replace(request.identity, groups=())), new, old)


MUTANTS = (
    Mutant("resource names do not matter", rbac, "allows", _ignore_names),
    Mutant("API groups do not matter", rbac, "allows", _ignore_groups),
    Mutant("who may get may list", rbac, "allows", _prefix_verbs),
    Mutant("a resource means its subresources", rules, "resource_fits", lambda held, resource, sub: _fits(held, resource, "") or _fits(held, resource, sub)),
    Mutant("no wildcard for a subresource", rules, "resource_fits", lambda held, resource, sub: "*" in held or (f"{resource}/{sub}" if sub else resource) in held),
    Mutant("answers survive revocation", Rbac, "changed", _keep_answers),
    Mutant("bindings survive revocation", Rbac, "changed", _keep_bindings),
    Mutant("a namespace's binding counts everywhere", rbac.Holdings, "at", _holdings_everywhere),
    Mutant("bindings of groups are not seen", rbac, "subject_key", _no_groups),
    Mutant("a user may be called like a group", rbac, "subject_key", _group_is_user),
    Mutant("service accounts of other namespaces", rbac, "subject_key", _any_namespace),
    Mutant("no escalation check", seams.Security, "confirm", lambda *_: None),
    Mutant("bindings are not checked", seams.Security, "confirm", _bind_anything),
    Mutant("updates of roles are not checked", seams.Security, "confirm", _updates_unseen),
    Mutant("groups do not count for escalation", seams.Security, "confirm", _by_name_only),
    Mutant("a named grant covers all names", rules, "_covers", _names_not_compared, covering.test_what_a_rule_covers),
    Mutant("only the first rule is compared", escalation, "uncovered", _first_only),
    Mutant("aggregation needs no authority", escalation, "FULL_AUTHORITY", ()),
    Mutant("groups are impersonated freely", impersonation, "questions", _only_users, known.test_impersonation_asks_for_each_part),
    Mutant("anybody is allowed who has a group", seams.Security, "decide", _masters_for_all),
    Mutant("requests are not authorised", seams.Security, "authorise", lambda *_: None),
    Mutant("impersonation is not asked for", seams, "impersonated", lambda asker, wanted, decide: Identity(wanted.user, (*wanted.groups, "system:authenticated"), "")),
    Mutant("an invalid token is anonymous", authentication, "of_bootstrap", lambda *_: authentication.ANONYMOUS, known.test_bearer_tokens),
    Mutant("certificates never expire", authentication, "of_certificate",
           lambda one, now_s, authorities: _certificate(replace(one, not_after=1e99), now_s, authorities), known.test_certificates),
    Mutant("tokens outlive their pod", authentication, "of_service_account",
           lambda one, now_s, tables, audiences=(authentication.ISSUER,): _account(replace(one, pod=None), now_s, tables, audiences),
           known.test_service_account_tokens),
    Mutant("nodes read every secret", node.NodeAuthorizer, "related", lambda *_: True, admitted.test_nodes_read_what_their_pods_need),
    Mutant("all secrets count as referred to", node, "references", lambda pod: iter([("secrets", "unused"), ("secrets", "used")]),
           admitted.test_nodes_read_what_their_pods_need),
    Mutant("nodes are not restricted", noderestriction, "node_of", lambda identity: "", admitted.test_nodes_write_what_is_theirs),
    Mutant("nodes set any label", noderestriction, "forbidden_labels", lambda new, old: [], admitted.test_nodes_write_what_is_theirs),
    Mutant("restricted means baseline", podsecurity, "RESTRICTED", (), admitted.test_restricted_pods),
    Mutant("enforcing only warns", podsecurity, "level_of", lambda labels, mode: podsecurity.Level() if mode == "enforce" else _level(labels, mode),
           admitted.test_baseline_pods),
    Mutant("limits have no bounds", limitranger, "violations", lambda *_: iter(()), admitted.test_limit_ranges),
    Mutant("webhooks match every namespace", webhooks, "compile_selector", lambda selector: lambda labels: True, admitted.test_validating_webhooks),
    Mutant("failed webhooks are passed over", webhooks.Webhooks, "_ask", lambda self, hook, obj: None, admitted.test_validating_webhooks),
)  # fmt: skip
_certificate, _account = authentication.of_certificate, authentication.of_service_account


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name.replace(" ", "-"))
def test_killed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the safeguard a test fails."""
    monkeypatch.setattr(mutant.owner, mutant.attribute, mutant.replacement)
    with pytest.raises((AssertionError, ApiError, pytest.fail.Exception)):
        mutant.killer()


def test_names_are_the_mutants_own() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= 15
    assert bootstrap.is_bootstrap(bootstrap.bootstrap_objects()[0][1])
