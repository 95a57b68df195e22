"""Planted bugs of repair: a status that nobody makes right again."""

from __future__ import annotations

import pytest

from tests.properties.objects import deployment
from tests.properties.planted import Case, Cases, Found, History, about

CASES = Cases()
FIELD = {"resource": "deployments", "key": "shop/web", "field": "status.replicas of deployments shop/web"}


@CASES.bug("KC110", "not repaired deployments")
def the_status_stays_wrong(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(deployment(replicas=3))
    history.mark(
        "corruption",
        state="begun",
        fault="corrupt-status",
        target="Deployment/shop/web",
        repairs="its controller",
        before=3,
        after=2,
        **FIELD,
    )
    history.wait(60.0 if bad else 20.0)  # too short a time shows nothing
    history.mark("corruption", state="restored", target="Deployment/shop/web", repairs="its controller", **FIELD)
    return about(history.end(), "KC110")


@CASES.bug("KC110", "not repaired deployments")
def its_controller_is_left_alone(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Whose process is down can't repair anything."""
    history = History(deployment(replicas=3))
    history.mark("fault", step=0, name="rollout" if bad else "leader-crash", action="injected", args={}, planned=bad)
    history.mark(
        "corruption",
        state="begun",
        fault="corrupt-status",
        target="Deployment/shop/web",
        repairs="its controller",
        before=3,
        after=2,
        **FIELD,
    )
    history.wait(60.0)
    history.mark("corruption", state="restored", target="Deployment/shop/web", repairs="its controller", **FIELD)
    return about(history.end(), "KC110")


@CASES.bug("KC110", "not repaired deployments")
def nobody_is_to_repair_what_users_write(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(deployment(replicas=3))
    owner = "its controller" if bad else ""
    history.mark(
        "corruption", state="begun", fault="corrupt-replicas", target="Deployment/shop/web", repairs=owner, before=3, after=2, **FIELD
    )
    history.wait(60.0)
    history.mark("corruption", state="restored", target="Deployment/shop/web", repairs=owner, **FIELD)
    return about(history.end(), "KC110")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
