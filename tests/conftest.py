"""Shared by all tests: what a test needs besides Python is said by ``@pytest.mark.needs("helm")``; what is missing is counted at the end.

With ``KCHAOS_REQUIRE=all`` in the environment a missing tool fails the test instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from kchaos.real import images

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".tools" / "bin"
OTHER_PYTHON = ROOT / ".tools" / "python-other" / "bin" / "python"
AXE = ROOT / ".tools" / "axe.min.js"
_MISSING = pytest.StashKey[Counter]()
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
    if name == "toxiproxy":
        name = "toxiproxy-server"
    own = TOOLS / name
    return str(own) if own.exists() else shutil.which(name)


@cache
def _docker(*command: str) -> str | None:
    docker = shutil.which("docker")
    try:
        answered = docker is not None and subprocess.run([docker, *command], capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        answered = False
    return docker if answered else None


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
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if PREFIX in reason:
            counts[reason.partition(PREFIX)[2]] += 1
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{PREFIX}{name} ({count} test{'s' if count > 1 else ''})")
