"""Planted bugs of what watches over nodes."""

from __future__ import annotations

import pytest

from tests.properties.objects import deleted, node, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about

CASES = Cases()


@CASES.bug("KC040", "node recovery")
def a_node_stays_unknown(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=None if bad else True)).end()


@CASES.bug("KC040", "node recovery")
def a_node_stays_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return History(node(ready=not bad)).end()


@CASES.bug("KC040", "node recovery")
def a_node_keeps_the_taint_of_its_silence(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Other taints are their owners' business."""
    key = "node.kubernetes.io/unreachable" if bad else "example.com/gpu"
    return History(node(taints=[{"key": key, "effect": "NoSchedule"}])).end()


# -- silence -----------------------------------------------------------------------------------------------------------


def _fault(history: History, name: str, target: str, step: int = 0) -> None:
    history.mark("fault", step=step, name=name, action="injected", args={"target": target}, planned=False)


def _silent_for(seconds: float, target: str = "node-1", fault: str = "network-partition") -> Found:
    history = History(node())
    _fault(history, fault, target)
    history.wait(seconds)
    history.mark("phase", name="heal")
    return about(history.end(), "KC140")


@CASES.bug("KC140", "silent node")
def nobody_notices_that_a_node_is_silent(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _silent_for(100.0 if bad else 60.0)


@CASES.bug("KC140", "silent node")
def nobody_notices_that_a_zone_is_silent(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _silent_for(100.0, "zone-a" if bad else "zone-b", "zone-power-loss")


@CASES.bug("KC140", "silent node")
def nobody_notices_until_it_is_back(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """While components of the control plane are disturbed nothing is claimed."""
    history = History(node())
    _fault(history, "node-pause", "node-1")
    if not bad:
        _fault(history, "leader-crash", "kube-controller-manager", step=1)
    history.wait(100.0)
    history.mark("fault", step=0, name="node-pause", action="healed")
    return about(history.end(), "KC140")


# -- evictions ---------------------------------------------------------------------------------------------------------


UNREACHABLE = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
STAYS = {"tolerations": [{"key": UNREACHABLE["key"], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}
BY = "node-controller"


def _tainted(name: str = "node-1", ready: bool = True) -> Obj:
    return node(name, ready=True if ready else None, taints=[UNREACHABLE])


def _evicted_after(seconds: float, **spec: Obj) -> Found:
    web = pod("web-0", "node-1", True, spec=STAYS)
    history = History(node(), web)
    history.put(_tainted(), by=BY)
    history.wait(seconds)
    history.put(deleted(web, history.t), by=BY)
    return about(history.end(), "KC041")


@CASES.bug("KC041", "evicted too early")
def evicted_while_it_may_stay(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _evicted_after(200.0 if bad else 300.0)


@CASES.bug("KC041", "evicted too early")
def evicted_from_a_sound_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """That a taint has just gone the controller may not know."""
    web = pod("web-0", "node-1", True, spec=STAYS)
    history = History(_tainted(), web)
    history.put(node(), by=BY)
    history.wait(10.0 if bad else 1.0)
    history.put(deleted(web, history.t), by=BY)
    return about(history.end(), "KC041")


@CASES.bug("KC041", "evicted too late")
def not_evicted_at_all(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(node(), pod("web-0", "node-1", True, spec=STAYS))
    history.put(_tainted(), by=BY)
    history.wait(500.0 if bad else 200.0)
    history.mark("phase", name="heal")
    return about(history.end(), "KC041")


@CASES.bug("KC041", "eviction rate")
def two_nodes_of_a_zone_at_once(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(*(node(f"node-{index}") for index in (1, 2, 3)))
    history.put(_tainted("node-1"), by=BY)
    history.wait(1.0 if bad else 10.0)
    history.put(_tainted("node-2"), by=BY)
    return about(history.end(), "KC041")


@CASES.bug("KC041", "all zones down")
def tainted_though_no_node_is_up(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(node("node-1"), node("node-2"))
    history.put(node("node-1", ready=None), by=BY)
    history.put(node("node-2", ready=None if bad else True), by=BY)
    history.wait(20.0)
    history.put(_tainted("node-1", ready=False), by=BY)
    return about(history.end(), "KC041")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
