"""Clusters in containers: what goes wrong is one sentence, and nothing is left behind, however a run ends."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real import daemon as docker_daemon
from kchaos.real import images, leases
from kchaos.real.backends import cluster_of
from kchaos.real.containers import ContainerCluster, etcd_version
from kchaos.real.daemon import OWNER, RUN, owner, unavailable
from kchaos.real.ports import HOST
from tests.conftest import tool
from tests.real import docker_socket
from tests.real.gateway import get, put, until

real = pytest.mark.needs("docker", "images")
ABSENT = "kchaos.invalid/etcd:v9"

PROGRAM = """
import sys, time
from kchaos.real.backends import cluster_of
from kchaos.real.containers import ContainerCluster
cluster = ContainerCluster(3)
try:
    print("starting", flush=True)
    cluster.start()
    print("started", flush=True)
    time.sleep(600)
finally:
    cluster.stop()
"""


def refusing(test: Any) -> Any:
    """Mark a test in which Docker refuses connections: docker-py 7 does not close a socket whose connect() fails."""
    mark = pytest.mark.filterwarnings("ignore:Exception ignored in.*socket.socket:pytest.PytestUnraisableExceptionWarning")
    return mark(pytest.mark.usefixtures("collected")(test))


@pytest.fixture
def collected() -> Iterator[None]:
    yield
    gc.collect()


def docker(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.split()


def left(run: str) -> list[str]:
    """Return the ids of the containers, networks and volumes that a run has in Docker."""
    label = f"label={RUN}={run}"
    return [
        *docker("ps", "-aq", "--filter", label), *docker("network", "ls", "-q", "--filter", label), *docker("volume", "ls", "-q", "--filter", label)
    ]  # fmt: skip


def owned() -> list[str]:
    """Return what this process has in Docker."""
    label = f"label={OWNER}={owner()}"
    return [*docker("ps", "-aq", "--filter", label), *docker("network", "ls", "-q", "--filter", label)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leases of this test alone: no other run sweeps what it leaves, and it sees its own only."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return leases.home()


def runs(home: Path) -> list[str]:
    return [path.stem for path in home.glob("*.lease")]


@pytest.fixture
def one(home: Path) -> Iterator[ContainerCluster]:
    with ContainerCluster(1) as cluster:
        yield cluster


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
    until(lambda: _served(one), "it serves again")
    assert get(one, "m1", "k") == "v"
    assert one.log("m1").count("starting an etcd server") == 2
    (kept,) = one.keep_logs(tmp_path / "logs")
    assert kept.read_text(encoding="utf-8").count("starting an etcd server") == 2


def _served(cluster: ContainerCluster) -> bool:
    try:
        get(cluster, "m1", "k")
    except OSError:
        return False
    return True


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
    until(lambda: _served(one), "it serves again")
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


@real
def test_ctrl_c_at_any_moment_of_the_start_leaves_nothing(home: Path) -> None:
    for after_s in (0.0, 0.15, 0.4, 0.8, 1.2, 1.6):
        with started_program(home) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "starting\n"
            until(lambda: bool(runs(home)) or program.poll() is not None, "the run has begun")
            (run,) = runs(home)
            time.sleep(after_s)
            program.send_signal(signal.SIGINT)
            assert program.wait(60) != 0
        assert (left(run), runs(home)) == ([], []), after_s


@real
def test_what_a_killed_run_left_is_removed_by_the_next(home: Path) -> None:
    with started_program(home) as program:
        assert program.stdout is not None
        assert [program.stdout.readline(), program.stdout.readline()] == ["starting\n", "started\n"]
        (run,) = runs(home)
        program.kill()
        program.wait()
    assert len(left(run)) == 7
    with ContainerCluster(1):
        assert left(run) == []
        assert run not in runs(home)
    assert runs(home) == []


@real
def test_a_run_killed_while_it_starts_is_removed_by_the_next(home: Path) -> None:
    with started_program(home) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "starting\n"
        until(lambda: bool(runs(home)) and bool(left(runs(home)[0])), "something was made")
        (run,) = runs(home)
        program.kill()
        program.wait()
    time.sleep(2)  # the daemon may still be at what it was asked for last: a sweep finds what is there when it comes
    with ContainerCluster(1):
        assert (left(run), run in runs(home)) == ([], False)


@refusing
@real
@pytest.mark.needs("etcd", "toxiproxy")
def test_what_a_killed_run_left_in_docker_is_removed_by_a_run_of_processes_where_docker_can_be_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started_program(home) as program:
        assert program.stdout is not None
        assert [program.stdout.readline(), program.stdout.readline()] == ["starting\n", "started\n"]
        (run,) = runs(home)
        program.kill()
        program.wait()
    with monkeypatch.context() as without:
        without.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        cluster = cluster_of("process", 1, binary=tool("etcd"))
        cluster.start()
        cluster.stop()
    assert (len(left(run)), runs(home)) == (7, [run])
    cluster = cluster_of("process", 1, binary=tool("etcd"))
    cluster.start()
    cluster.stop()
    assert (left(run), runs(home)) == ([], [])


@contextlib.contextmanager
def started_program(home: Path) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "XDG_STATE_HOME": str(home.parent.parent)}
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ)
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()


@refusing
@real
def test_a_daemon_that_stops_in_the_middle_is_named_and_the_next_run_cleans_up(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "docker.sock")
    with docker_socket.unix(path) as way:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
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
def test_a_daemon_that_hangs_is_given_up(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "docker.sock")
    with docker_socket.unix(path) as way:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
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
def test_a_daemon_that_stops_while_the_cluster_starts_is_named(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "docker.sock")
    with docker_socket.unix(path) as way:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
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


@real
def test_ryuk_is_done_without_where_its_image_cannot_be_had(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_image", ABSENT)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    with ContainerCluster(1) as cluster:
        assert cluster.state("m1") == "running"
        assert testcontainers_config.ryuk_disabled is False  # for us only


@real
def test_ryuk_watches_where_its_image_is_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ryuk's own image can't be had everywhere; any that stays up and listens on 8080 will do to see that it is started."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import Reaper
    from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

    image = f"kchaos.test/ryuk:{os.getpid()}"
    (container,) = docker("create", images.TOXIPROXY)
    docker("commit", "--change", 'CMD ["-host=0.0.0.0", "-port=8080"]', container, image)
    monkeypatch.setattr(testcontainers_config, "ryuk_image", image)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    try:
        with ContainerCluster(1):
            (run,) = runs(home)
            assert docker("ps", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}", "--format", "{{.State}}") == ["running"]
            assert len(docker("ps", "-q", "--filter", f"label={RUN}={run}", "--filter", f"label={LABEL_SESSION_ID}={SESSION_ID}")) == 1
    finally:
        Reaper.delete_instance()
        docker("rm", container)
        docker("rmi", "-f", image)
    until(lambda: docker("ps", "-aq", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}") == [], "it is gone")


@real
def test_a_ryuk_that_does_not_start_is_not_left_half_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.labels import SESSION_ID

    broken = f"kchaos.test/ryuk:{os.getpid()}"
    subprocess.run(["docker", "import", "--change", 'CMD ["/nothing"]', "-", broken], input=_empty_tar(), capture_output=True, check=True)
    monkeypatch.setattr(testcontainers_config, "ryuk_image", broken)
    monkeypatch.setattr(testcontainers_config, "_ryuk_disabled", False)
    try:
        with ContainerCluster(1):
            assert docker("ps", "-aq", "--filter", f"name=testcontainers-ryuk-{SESSION_ID}") == []
    finally:
        docker("rmi", "-f", broken)


def _empty_tar() -> bytes:
    import io
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        folder = tarfile.TarInfo("etc")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    return file.getvalue()


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
