"""However a run in containers ends, by Ctrl-C or kill -9 at any moment, nothing is left behind, or the next run removes it."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest

from kchaos.real.backends import cluster_of
from kchaos.real.containers import ContainerCluster
from kchaos.real.daemon import OWNER, RUN
from tests.conftest import tool
from tests.real.dockers import docker, left, real, refusing, runs, started_program
from tests.real.gateway import until


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


def killed(home: Path) -> str:
    """Kill a program that has started its containers; return its run."""
    with started_program(home) as program:
        assert program.stdout is not None
        assert [program.stdout.readline(), program.stdout.readline()] == ["starting\n", "started\n"]
        (run,) = runs(home)
        program.kill()
        program.wait()
    return run


@real
def test_what_a_killed_run_left_is_removed_by_the_next(home: Path) -> None:
    run = killed(home)
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
    run = killed(home)
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


@real
@pytest.mark.parametrize("lies", ["elsewhere", "gone"])
def test_what_a_killed_run_left_is_removed_by_the_next_though_its_lease_is_not_where_that_looks(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lies: str
) -> None:
    with started_program(home) as program, started_program(home) as living:
        for one in (program, living):
            assert one.stdout is not None
            assert [one.stdout.readline(), one.stdout.readline()] == ["starting\n", "started\n"]
        (run,) = {run for run in runs(home) if owner_of(run) == program.pid}
        (other,) = {*runs(home)} - {run}
        program.kill()
        program.wait()
        if lies == "gone":
            shutil.rmtree(home)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        with ContainerCluster(1):
            assert (len(left(run)), len(left(other))) == (0, 7)
        assert lies == "gone" or runs(home) == [other]
        living.send_signal(signal.SIGINT)  # it still knows what is its own
        living.wait(60)
        assert (left(other), home.exists() and runs(home)) == ([], [] if lies == "elsewhere" else False)


def owner_of(run: str) -> int:
    """Return the pid that a run's containers name."""
    (container, *_) = docker("ps", "-aq", "--filter", f"label={RUN}={run}")
    return int(docker("inspect", "--format", f'{{{{index .Config.Labels "{OWNER}"}}}}', container)[0].rpartition(":")[2])
