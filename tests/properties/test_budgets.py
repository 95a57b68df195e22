"""Planted bugs of disruption budgets."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import put
from kchaos.models.apiserver import registry
from tests.properties.objects import condition, deleted, obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about
from tests.support import SITUATIONS, one, step, system_of

CASES = Cases()
BUDGET = (SITUATIONS / "budget-blocks-drain.yaml").read_text(encoding="utf-8")


def _budget(allowed: int = 0, healthy: int = 2, desired: int = 2, disrupted: tuple[str, ...] = (), policy: str = "") -> Obj:
    status = {
        "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": 2,
        "disruptedPods": dict.fromkeys(disrupted, "2026-01-01T00:01:40Z"),
    }  # fmt: skip
    spec = {"selector": {"matchLabels": {"app": "web"}}, **({"unhealthyPodEvictionPolicy": policy} if policy else {})}
    return obj("policy/v1", "PodDisruptionBudget", "web", spec, status)


def _evicted(budget: Obj, ready: bool = True, app: str = "web", reason: str = "EvictionByEvictionAPI") -> Found:
    web = pod("web-0", "node-1", ready, labels={"app": app})
    history = History(budget, web)
    why = condition("DisruptionTarget", True, reason=reason)
    history.put(put(web, [*web["status"]["conditions"], why], "status", "conditions"))
    return about(history.end(), "KC037")


@CASES.bug("KC037", "budget")
def an_eviction_without_a_charge(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(disrupted=() if bad else ("web-0",)))


@CASES.bug("KC037", "budget")
def an_eviction_against_a_budget_that_selects_it(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(), app="web" if bad else "other")


@CASES.bug("KC037", "budget")
def an_eviction_against_a_budget_of_its_namespace(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget() if bad else put(_budget(), "elsewhere", "metadata", "namespace"))


@CASES.bug("KC037", "budget")
def an_eviction_of_a_pod_that_runs(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """What has not started yet may always be evicted."""
    web = pod("web-0", "node-1", True if bad else None, labels={"app": "web"})
    history = History(_budget(healthy=0), web)
    target = [condition("DisruptionTarget", True, reason="EvictionByEvictionAPI")]
    told = [*web["status"].get("conditions", []), *target]
    evicted = history.put(put(web, told, "status", "conditions"))
    history.put(deleted(evicted, history.t))  # it is judged once, when it is granted
    found = about(history.end(), "KC037")
    assert len(found) == bad
    return found


@CASES.bug("KC037", "budget")
def an_eviction_is_taken_for_another_disruption(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Budgets bind evictions, not preemption."""
    return _evicted(_budget(), reason="EvictionByEvictionAPI" if bad else "PreemptionByScheduler")


@CASES.bug("KC037", "budget")
def an_unhealthy_pod_evicted_while_too_few_are_healthy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(healthy=1 if bad else 2), ready=False)


@CASES.bug("KC037", "budget")
def an_unhealthy_pod_evicted_against_the_policy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted(_budget(healthy=1, policy="IfHealthyBudget" if bad else "AlwaysAllow"), ready=False)


@CASES.bug("KC037", "budget")
def a_charge_to_an_empty_budget(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    before = _budget(allowed=0 if bad else 1)
    history = History(before)
    history.put(_budget(allowed=-1 if bad else 0, disrupted=("web-0",)))
    return about(history.end(), "KC037")


def _counts(budget: Obj, *pods: Obj) -> Found:
    """Let the controller write a status over these pods."""
    history = History(_budget(allowed=7, healthy=7), *pods)
    history.put(budget, by="disruption-controller")
    return about(history.end(), "KC037")


def _web(index: int, going: bool = False) -> Obj:
    made = pod(f"web-{index}", "node-1", True, labels={"app": "web"})
    return deleted(made, 0.0) if going else made


@CASES.bug("KC037", "granted")
def a_granted_eviction_counts_as_healthy(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Two pods, one of them about to go: one is healthy."""
    return _counts(_budget(healthy=2 if bad else 1, disrupted=("web-0",)), _web(0), _web(1))


@CASES.bug("KC037", "granted")
def a_third_pod_is_there_to_count(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """A pod that is going makes nobody healthy."""
    return _counts(_budget(healthy=2, disrupted=("web-0",)), _web(0), _web(1), _web(2, going=bad))


@CASES.bug("KC037", "budget")
def evictions_ignore_budgets(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Through the engine: a drain of nodes whose pods may not be disrupted."""
    if bad:
        patch.setattr(registry, "charge_budget", lambda store, pod, now_s: None)
    return about(one(system_of(BUDGET), *(step("drain", f"node-{index}") for index in range(1, 7))).violations, "KC037")


# -- what budgets count ------------------------------------------------------------------------------------------------


def _recounted(healthy: int, allowed: int, since_s: float = 0.0) -> Found:
    """Let the controller count two pods of which one has not been ready since then."""
    pods = [pod("web-0", "node-1", True, labels={"app": "web"}), pod("web-1", "node-1", False, since_s=since_s, labels={"app": "web"})]
    history = History(_budget(), *pods)
    history.put(_budget(allowed=allowed, healthy=healthy, desired=1), by="disruption-controller")
    return about(history.end(), "KC137")


@CASES.bug("KC137", "healthy")
def a_budget_counts_a_pod_that_is_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """That it has just fallen ill the controller may not know."""
    return _recounted(2, 1, since_s=0.0 if bad else 98.0)


@CASES.bug("KC137", "allowed")
def a_budget_allows_more_than_it_has(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _recounted(1, 1 if bad else 0)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
