"""Targets of faults on clusters that are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kchaos.nemesis.etcd import target as targets
from kchaos.nemesis.etcd.target import Target
from tests.nemesis.etcd_fakes import Clock, FakeCluster, calm_down


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Target]:
    """Return what makes a target of so many members at 0 s, calm and m1 leading; no member has trouble with its peers, and each serves at once."""
    monkeypatch.setattr(targets, "peer_trouble", lambda endpoint: 0.0)
    monkeypatch.setattr(targets, "serves", lambda endpoint: True)

    def made(count: int) -> Target:
        target = Target(FakeCluster(count), lambda what, **data: None, Clock())
        calm_down(target, 0.0)
        return target

    return made
