"""A Docker daemon that is missing, stops, hangs or is on another host is one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError

from kchaos.errors import HarnessError
from kchaos.real import daemon as docker_daemon
from kchaos.real.containers import ContainerCluster
from kchaos.real.daemon import unavailable
from tests.real import docker_socket
from tests.real.dockers import left, real, refusing, runs


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker_socket.Way]:
    """Lead all that kchaos asks of Docker through a socket that can be broken."""
    path = str(tmp_path / "docker.sock")
    with docker_socket.unix(path) as way:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield way


@refusing
@real
def test_a_daemon_that_stops_in_the_middle_is_named_and_the_next_run_cleans_up(
    home: Path, way: docker_socket.Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ContainerCluster(1)
    cluster.start()
    (run,) = runs(home)
    way.cut()
    for call in (lambda: cluster.kill("m1"), lambda: cluster.state("m1"), lambda: cluster.log("m1"), cluster.stop):
        with pytest.raises(HarnessError, match="the Docker daemon no longer answers"):
            call()
    cluster.stop()  # nothing more to do
    monkeypatch.delenv("DOCKER_HOST")
    assert len(left(run)) == 2
    with ContainerCluster(1):
        assert left(run) == []


@refusing
@real
def test_a_daemon_that_hangs_is_given_up(home: Path, way: docker_socket.Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_daemon, "TIMEOUT_S", 10.0)
    cluster = ContainerCluster(1)
    cluster.start()
    (run,) = runs(home)
    way.hold()
    with pytest.raises(HarnessError, match=r"the Docker daemon no longer answers: it could not list containers .*timed out"):
        cluster.kill("m1")
    way.cut()
    with pytest.raises(HarnessError, match="the Docker daemon no longer answers"):
        cluster.stop()
    monkeypatch.delenv("DOCKER_HOST")
    with ContainerCluster(1):
        assert left(run) == []


@refusing
@real
def test_a_daemon_that_stops_while_the_cluster_starts_is_named(home: Path, way: docker_socket.Way, monkeypatch: pytest.MonkeyPatch) -> None:
    before = docker_daemon.Daemon.network

    def network(self: docker_daemon.Daemon, name: str) -> str:
        way.cut()
        return before(self, name)

    monkeypatch.setattr(docker_daemon.Daemon, "network", network)
    with pytest.raises(HarnessError, match="the Docker daemon no longer answers: it could not make a network"):
        ContainerCluster(3).start()
    monkeypatch.delenv("DOCKER_HOST")
    with ContainerCluster(1):
        assert len(runs(home)) == 1


@refusing
def test_no_daemon_is_one_sentence(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(
        HarnessError, match=r"none\.sock does not answer \(its socket does not exist\): see that DOCKER_HOST is right; --backend process"
    ):
        ContainerCluster(1).start()
    assert runs(home) == []


@real
def test_a_daemon_on_another_host_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with docker_socket.tcp("127.0.0.2") as (_, port):
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.2:{port}")
        with pytest.raises(HarnessError, match=r"the Docker daemon is on another host, 127\.0\.0\.2: not supported"):
            ContainerCluster(1).start()
    assert runs(home) == []


@pytest.mark.parametrize(
    ("words", "installed", "host", "told"),
    [
        (
            "('Connection aborted.', PermissionError(13, 'Permission denied'))",
            True,
            "",
            "may not be used by this user: run as root, or join the group docker",
        ),
        ("('Connection aborted.', FileNotFoundError(2, 'No such file'))", False, "", "Docker is not installed: install Docker Engine"),
        (
            "('Connection aborted.', FileNotFoundError(2, 'No such file'))",
            True,
            "",
            "does not answer (its socket does not exist): start it",
        ),
        (
            "('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))",
            True,
            "",
            "does not answer (connection refused): start it",
        ),
        (
            "something else",
            False,
            "tcp://h:1",
            "the Docker daemon at DOCKER_HOST=tcp://h:1 does not answer (something else): see that DOCKER_HOST",
        ),
    ],
)
def test_why_docker_cannot_be_had_is_told(words: str, installed: bool, host: str, told: str) -> None:
    said = unavailable(words, installed, host)
    assert told in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("mkdir /var/lib/docker/x: no space left on device", "the disk that holds Docker's data is full"),
        (
            "Bind for 127.0.0.1:20001 failed: port is already allocated",
            "a port that it publishes is taken by another program (Bind for 127.0.0.1:20001",
        ),
        ("listen tcp4 127.0.0.1:20001: bind: address already in use", "a port that it publishes is taken by another program"),
    ],
)
def test_common_errors_of_the_daemon_are_told_in_words_that_say_what_to_do(words: str, told: str) -> None:
    def fails() -> None:
        raise APIError("500 Server Error", explanation=words)

    with pytest.raises(HarnessError, match=re.escape(f"Docker could not start m1: {told}")):
        docker_daemon.guarded("start m1", fails)
