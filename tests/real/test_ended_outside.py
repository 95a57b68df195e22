"""A member that someone else ends, or the kernel for lack of memory, is no finding about etcd: it is told, and the run proves nothing more."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kchaos.real.base import from_outside
from kchaos.real.cluster import Cluster
from kchaos.real.containers import ContainerCluster
from kchaos.real.processes import ProcessCluster
from tests.conftest import tool
from tests.real.dockers import docker, runs
from tests.real.gateway import until, writes

BACKENDS = [
    pytest.param("process", marks=pytest.mark.needs("etcd", "toxiproxy")),
    pytest.param("containers", marks=pytest.mark.needs("docker", "images")),
]


@pytest.fixture(params=BACKENDS)
def one(request: pytest.FixtureRequest, home: Path) -> Iterator[Cluster]:
    backend = {"process": lambda: ProcessCluster(1, str(tool("etcd")), toxiproxy=str(tool("toxiproxy"))), "containers": lambda: ContainerCluster(1)}
    cluster: Cluster = backend[request.param]()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def end(cluster: Cluster, home: Path, number: signal.Signals) -> None:
    if cluster.versions["backend"] == "process":
        os.kill(_etcd().pid, number)
    else:
        docker("kill", "--signal", number.name, f"kchaos-{runs(home)[0]}-m1")
    until(lambda: cluster.state("m1") == "exited", "it has ended")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_member_that_someone_else_ends_is_told_from_one_that_a_fault_kills(one: Cluster, home: Path, number: signal.Signals) -> None:
    assert one.disturbed("m1") == ""
    one.kill("m1")
    assert one.disturbed("m1") == ""
    one.restart("m1")
    until(lambda: writes(one, "m1"), "it serves again")
    end(one, home, number)
    assert "m1 was " in one.disturbed("m1") and "from outside" in one.disturbed("m1")
    one.kill("m1")  # comes too late
    assert "from outside" in one.disturbed("m1")
    one.restart("m1")
    assert one.disturbed("m1") == ""


def test_a_member_that_someone_else_stops_is_told_from_one_that_a_fault_pauses(one: Cluster, home: Path) -> None:
    one.pause("m1")
    assert one.disturbed("m1") == ""
    one.resume("m1")
    assert one.disturbed("m1") == ""
    if one.versions["backend"] == "process":
        os.kill(_etcd().pid, signal.SIGSTOP)
    else:
        docker("pause", f"kchaos-{runs(home)[0]}-m1")
    until(lambda: "stopped from outside" in one.disturbed("m1"), "it stands still")


def _etcd() -> psutil.Process:
    (etcd,) = [child for child in psutil.Process().children() if "--listen-client-urls" in child.cmdline()]
    return etcd


def test_only_signals_that_no_program_sends_itself_come_from_outside() -> None:
    assert "by SIGKILL: someone else than kchaos did so, or the kernel for lack of memory" in from_outside("m1", -signal.SIGKILL)
    assert "kernel" not in from_outside("m1", -signal.SIGTERM) != ""
    for own in (1, 2, -signal.SIGSEGV, -signal.SIGABRT):
        assert from_outside("m1", own) == ""
