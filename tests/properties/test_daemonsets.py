"""Planted bugs of DaemonSets."""

from __future__ import annotations

import pytest

from kchaos.models.api.pods import owner_reference
from kchaos.models.api.tree import put
from kchaos.properties.daemonsets import TOLERATED
from tests.properties.objects import condition, deleted, node, obj, pod
from tests.properties.planted import Case, Cases, Found, History, about

CASES = Cases()


def _agents(*nodes: str, want: int = 2, told: int = 2) -> Found:
    status = {"desiredNumberScheduled": want, "currentNumberScheduled": told, "numberAvailable": told}
    agent = obj("apps/v1", "DaemonSet", "agent", {}, status)
    return History(agent, *(pod(f"agent-{i}", where, True, agent) for i, where in enumerate(nodes))).end()


@CASES.bug("KC031", "eligible nodes")
def a_node_without_its_daemon(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", *([] if bad else ["node-2"]), told=1 if bad else 2)


@CASES.bug("KC031", "eligible nodes")
def a_daemon_that_only_the_status_knows(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", *([] if bad else ["node-2"]))


@CASES.bug("KC031", "two per node")
def two_daemons_on_one_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _agents("node-1", "node-2", "node-2" if bad else "node-3", want=2 if bad else 3, told=2 if bad else 3)


# -- updates -----------------------------------------------------------------------------------------------------------


def _update(down: int, most: int = 1, ill: bool = False, of: str = "new") -> Found:
    """Take the daemon of node-1 away for an update while ``down`` others have long been not ready.

    ``ill``: it has just become so itself; ``of``: the revision of those that are down.
    """
    spec = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}}
    daemon = obj("apps/v1", "DaemonSet", "agent", spec, {"desiredNumberScheduled": 4, "currentNumberScheduled": 4})
    owned = {"ownerReferences": [owner_reference(daemon)]}
    new = {**obj("apps/v1", "ControllerRevision", "agent-new", labels={"controller-revision-hash": "new"}, **owned), "revision": 2}
    old = {"controller-revision-hash": "old"}
    others = {"controller-revision-hash": of}
    pods = [
        pod(f"agent-{i}", f"node-{i}", i > down + 1 or i == 1, daemon, labels=others if 1 < i <= down + 1 else old) for i in range(1, 5)
    ]
    history = History(daemon, new, *(node(f"node-{i}") for i in range(1, 5)), *pods)
    first = pods[0]
    if ill:
        first = history.put(put(first, [condition("Ready", False, since_s=history.t - 1.0)], "status", "conditions"), by="node-controller")
    history.put(deleted(first, history.t), by="daemon-set-controller")
    return about(history.end(), "KC131")


@CASES.bug("KC131", "daemons at once")
def one_taken_while_another_is_down(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _update(1 if bad else 0)


@CASES.bug("KC131", "daemons at once")
def one_that_is_down_may_go(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """Whatever else is: it takes nobody's place (daemon/update.go: rollingUpdate deletes old pods that are unavailable at once)."""
    return _update(1, ill=not bad)


@CASES.bug("KC131", "daemons at once")
def old_ones_that_are_down_are_replaced_beside(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """They are no reason to wait (daemon/update.go: allowedReplacementPods); a new one that is down is."""
    return _update(1, of="new" if bad else "old")


@CASES.bug("KC131", "daemons at once")
def more_taken_than_may_be_unavailable(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _update(2, most=2 if bad else 3)


@CASES.bug("KC131", "daemon tolerations")
def a_daemon_that_leaves_with_its_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    daemon = obj("apps/v1", "DaemonSet", "agent", {}, {})
    known = [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect} for key, effect in TOLERATED.items()]
    history = History(daemon, node())
    history.put(pod("agent-1", owner=daemon, spec={"tolerations": known[1:] if bad else known}), by="daemon-set-controller")
    return about(history.end(), "KC131")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
