"""Shared by all tests: what a test needs besides Python is said by ``@pytest.mark.needs("helm")``; what is missing is counted at the end.

With ``KCHAOS_REQUIRE=all`` in the environment a missing tool fails the test instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from kchaos.real import images
from tests.leftovers import SESSION, leftovers

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".tools" / "bin"
OTHER_PYTHON = ROOT / ".tools" / "python-other" / "bin" / "python"
AXE = ROOT / ".tools" / "axe.min.js"
_BEGAN = pytest.StashKey[float]()
_LEFT = pytest.StashKey[list[str]]()
SETUPTOOLS = 77
"""As [build-system] in pyproject.toml says."""
PREFIX = "not run: needs "


def tool(name: str) -> str | None:
    """Return the path of a tool, None if it is not installed."""
    if name == "browser":
        return next((found for one in ("chromium", "google-chrome", "chromium-browser") if (found := shutil.which(one))), None)
    if name == "other-python":
        return str(OTHER_PYTHON) if OTHER_PYTHON.exists() else None
    if name == "axe-core":
        return str(AXE) if AXE.exists() else None
    if name == "setuptools":  # new enough to build a wheel without a network
        new_enough = int(version("setuptools").partition(".")[0]) >= SETUPTOOLS if find_spec("setuptools") is not None else False
        return name if new_enough else None
    if name == "docker":  # the program alone is of no use
        return _docker("info")
    if name == "images":
        return _docker("image", "inspect", images.ETCD, images.TOXIPROXY)
    if name == "mount":  # of a disk in memory: root, on Linux, and not in every container
        return _mounts()
    if name == "toxiproxy":
        name = "toxiproxy-server"
    own = TOOLS / name
    return str(own) if own.exists() else shutil.which(name)


@cache
def _mounts() -> str | None:
    mount, unshare = shutil.which("mount"), shutil.which("unshare")
    if mount is None or unshare is None:
        return None
    tried = subprocess.run([unshare, "--mount", mount, "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)  # gone with its namespace
    return mount if tried.returncode == 0 else None


@cache
def _docker(*command: str) -> str | None:
    docker = shutil.which("docker")
    try:
        answered = docker is not None and subprocess.run([docker, *command], capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        answered = False
    return docker if answered else None


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in a shell's background; programs that are started would ignore Ctrl-C too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # likewise under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if not hasattr(config, "workerinput"):  # workers of pytest-xdist inherit the environment
        os.environ.setdefault(SESSION, uuid.uuid4().hex)
        config.stash[_BEGAN] = time.time()


@pytest.hookimpl(trylast=True)  # pytest-xdist ends its workers before
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run of the tests if it has left anything of a real cluster: no process, container, network or folder."""
    began = session.config.stash.get(_BEGAN, None)
    if began is not None and (found := leftovers(os.environ[SESSION], began)):
        session.config.stash[_LEFT] = found
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("needs"):
            missing = [name for name in mark.args if tool(name) is None]
            if missing and os.environ.get("KCHAOS_REQUIRE") != "all":
                item.add_marker(pytest.mark.skip(reason=PREFIX + ", ".join(missing)))


@pytest.fixture(autouse=True)
def _needed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for mark in request.node.iter_markers("needs"):
        missing = [name for name in mark.args if tool(name) is None]
        if missing:
            pytest.fail(PREFIX + ", ".join(missing) + " (KCHAOS_REQUIRE=all)")
        monkeypatch.setenv("PATH", f"{TOOLS}{os.pathsep}{os.environ['PATH']}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for one in terminalreporter.config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"left behind by the tests: {one}", red=True)
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if PREFIX in reason:
            counts[reason.partition(PREFIX)[2]] += 1
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{PREFIX}{name} ({count} test{'s' if count > 1 else ''})")
