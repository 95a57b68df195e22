"""What a whole run of the tests has left: processes, containers, networks and folders of clusters whose owner is dead. There must be none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil

from kchaos.real import leases
from kchaos.real.daemon import OWNER, RUN

SESSION = "KCHAOS_TESTS"
"""In the environment of all that a run of the tests starts: which run."""


def leftovers(session: str, since: float) -> list[str]:
    """Return in words what is left of a run of the tests; ``since``: when it began, seconds since the epoch."""
    return [*_processes(session), *_folders(since), *_docker(since)]


def _alive(lease: str) -> bool:
    """Tell whether a lease's owner lives: a cluster beside the tests, which is none of their business."""
    path = leases.home() / f"{lease}.lease"
    try:
        with path.open("rb") as file:
            return not leases._lock(file)
    except FileNotFoundError:
        return False


def _processes(session: str) -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            environ = process.environ()
            if environ.get(SESSION) == session and leases.MARK in environ and process.pid != os.getpid():
                yield f"process {process.pid}: {' '.join(process.cmdline())[:100]}"
        except (psutil.Error, OSError):
            continue


def _folders(since: float) -> Iterator[str]:
    for name in ("kchaos-etcd-*", "kchaos-toxiproxy-*"):
        for folder in Path(tempfile.gettempdir()).glob(name):
            if folder.stat().st_mtime >= since and not _alive(folder.name.rpartition("-")[2]):
                yield f"folder {folder}"


def _docker(since: float) -> Iterator[str]:
    if shutil.which("docker") is None:
        return
    for what, listed in (("container", ("ps", "-a")), ("network", ("network", "ls"))):
        form = f'{{{{.ID}}}} {{{{.Label "{RUN}"}}}} {{{{.Label "{OWNER}"}}}} {{{{.CreatedAt}}}}'
        asked = ["docker", *listed, "--filter", f"label={RUN}", "--format", form]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8")
        for line in ran.stdout.splitlines():  # no daemon, no lines: then no test has used it
            ident, lease, owner, day, clock, zone, *_ = line.split()
            made = datetime.fromisoformat(f"{day}T{clock[:8]}{zone}").timestamp()
            if made >= since and not _alive(lease) and not psutil.pid_exists(int(owner.rpartition(":")[2])):
                yield f"{what} {ident} of run {lease}"
