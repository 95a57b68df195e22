"""Clusters in containers: what goes wrong is one sentence, and nothing is left behind."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real import images
from kchaos.real.containers import ContainerCluster, etcd_version
from kchaos.real.ports import HOST
from tests.real.dockers import ABSENT, docker, left, owned, real, runs
from tests.real.gateway import get, put, until, writes


@real
def test_stop_leaves_nothing(home: Path) -> None:
    cluster = ContainerCluster(3)
    cluster.start()
    (run,) = runs(home)
    assert len(left(run)) == 7  # three members, three proxies, one network
    assert dict(cluster.versions) == {
        "backend": "containers", "etcd": images.ETCD.rpartition(":v")[2], "image": images.ETCD,
        "toxiproxy": images.TOXIPROXY.rpartition(":")[2], "docker": cluster.versions["docker"],
    }  # fmt: skip
    cluster.stop()
    cluster.stop()
    assert (left(run), runs(home)) == ([], [])


@real
def test_a_cluster_can_be_started_again(one: ContainerCluster) -> None:
    put(one, "m1", "k", "v")
    one.stop()
    one.start()
    assert get(one, "m1", "k") is None


@real
def test_data_and_port_outlive_kills_and_logs_tell_of_all_starts(one: ContainerCluster, tmp_path: Path) -> None:
    where = one.endpoint("m1")
    put(one, "m1", "k", "v")
    one.kill("m1")
    assert one.state("m1") == "exited"
    one.kill("m1")
    one.restart("m1")
    assert (one.state("m1"), one.endpoint("m1")) == ("running", where)
    until(lambda: writes(one, "m1"), "it serves again")
    assert get(one, "m1", "k") == "v"
    assert one.log("m1").count("starting an etcd server") == 2
    (kept,) = one.keep_logs(tmp_path / "logs")
    assert kept.read_text(encoding="utf-8").count("starting an etcd server") == 2


@real
def test_a_paused_member_answers_nobody_until_it_is_resumed(one: ContainerCluster) -> None:
    one.pause("m1")
    one.pause("m1")
    assert one.state("m1") == "paused"
    with pytest.raises(OSError):
        put(one, "m1", "k", "v", timeout_s=0.5)
    one.resume("m1")
    one.resume("m1")
    assert one.state("m1") == "running"
    until(lambda: writes(one, "m1"), "it serves again")
    one.pause("m1")
    one.kill("m1")
    assert one.state("m1") == "exited"


@real
def test_a_port_that_was_taken_while_a_member_was_down_is_named(one: ContainerCluster) -> None:
    one.kill("m1")
    host, _, port = one.endpoint("m1").partition(":")
    with socket.create_server((host, int(port))), pytest.raises(HarnessError, match=rf"taken by another program.*{port}"):
        one.restart("m1")
    one.restart("m1")
    assert one.state("m1") == "running"


@real
def test_containers_that_someone_else_removes_are_missed(home: Path) -> None:
    with ContainerCluster(3) as cluster:
        (run,) = runs(home)
        docker("rm", "-f", f"kchaos-{run}-m2")
        with pytest.raises(HarnessError, match="container of m2 was removed"):
            cluster.state("m2")
        docker("kill", f"kchaos-{run}-toxiproxy-m3")
        with pytest.raises(HarnessError, match="Toxiproxy of m3 has ended"):
            cluster.state("m1")
    assert left(run) == []


@real
@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"image": ABSENT}, HarnessError, rf"the image {ABSENT} is not on this machine.*`docker pull {ABSENT}`.*`make tools`"),
        ({"toxiproxy": ABSENT}, HarnessError, f"the image {ABSENT} is not on this machine"),
        ({"image": images.TOXIPROXY}, HarnessError, "holds no such program; is it an image of etcd"),
        ({"toxiproxy": images.ETCD}, HarnessError, "holds no such program"),
        ({"image": "No Image"}, InvalidScenario, "'No Image' is no name of an image"),
        ({"flags": ["--no-such-flag"]}, HarnessError, "etcd m[123] has ended: flag provided but not defined: -no-such-flag"),
    ],
    ids=["absent", "toxiproxy-absent", "no-etcd", "no-toxiproxy", "no-name", "flag"],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(home: Path, arguments: dict[str, Any], error: type[Exception], told: str) -> None:
    cluster = ContainerCluster(3, **arguments)
    with pytest.raises(error, match=told):
        cluster.start()
    assert (owned(), runs(home)) == ([], [])
    cluster.stop()


@pytest.mark.parametrize("size", [0, 2, 4, 7])
def test_sizes_that_no_one_runs_are_refused(size: int) -> None:
    with pytest.raises(InvalidScenario, match=f"a cluster of {size} members"):
        ContainerCluster(size)


def test_an_etcd_that_is_too_old_is_refused() -> None:
    assert etcd_version("etcd Version: 3.4.0-rc.1\nGit SHA: x\n", "image i") == "3.4.0-rc.1"
    with pytest.raises(InvalidScenario, match=r"the image i holds etcd 3\.3\.27; kchaos needs 3\.4 or newer"):
        etcd_version("etcd Version: 3.3.27\n", "i")
    with pytest.raises(InvalidScenario, match="the image i holds no etcd server"):
        etcd_version("hello\n", "i")


def test_nothing_can_be_asked_before_the_start(home: Path) -> None:
    cluster = ContainerCluster(3)
    for call in (lambda: cluster.links, lambda: cluster.endpoint("m1"), lambda: cluster.state("m1"), lambda: cluster.keep_logs(home)):
        with pytest.raises(HarnessError, match="the cluster is not started"):
            call()
    with pytest.raises(InvalidScenario, match="there is no member m9"):
        cluster.endpoint("m9")
    cluster.stop()


@real
def test_ports_are_free_again(home: Path) -> None:
    with ContainerCluster(1) as cluster:
        port = int(cluster.endpoint("m1").rpartition(":")[2])
    with socket.create_server((HOST, port)):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((HOST, port))
