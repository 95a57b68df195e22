"""What tests of containers ask of Docker itself, by its command, and a program that runs a cluster until it is ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kchaos.real.daemon import OWNER, RUN, owner

real = pytest.mark.needs("docker", "images")
PLACE = "KCHAOS_TEST_PLACE"
"""In the environment of a test and its program: the place of :mod:`kchaos.real.orphans`, so that tests beside it don't sweep what it leaves."""
ABSENT = "kchaos.invalid/etcd:v9"

PROGRAM = """
import os, sys, time
from kchaos.real import orphans
from kchaos.real.containers import ContainerCluster
orphans.place = lambda: os.environ["KCHAOS_TEST_PLACE"]
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


def docker(*words: str) -> list[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, encoding="utf-8", check=True).stdout.split()


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


def runs(home: Path) -> list[str]:
    return [path.stem for path in home.glob("*.lease")]


@contextmanager
def started_program(home: Path) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "XDG_STATE_HOME": str(home.parent.parent)}
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", env=environ)
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()
