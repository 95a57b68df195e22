"""Leases of each test alone, and a cluster of one container."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kchaos.real import leases, orphans
from kchaos.real.containers import ContainerCluster
from tests.real.dockers import PLACE


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of this test alone: no other run sweeps what it leaves, and it sees its own only."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv(PLACE, str(tmp_path))
    monkeypatch.setattr(orphans, "place", lambda: os.environ[PLACE])
    return leases.home()


@pytest.fixture
def one(home: Path) -> Iterator[ContainerCluster]:
    with ContainerCluster(1) as cluster:
        yield cluster
