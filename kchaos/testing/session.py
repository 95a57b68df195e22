"""One report per pytest session: what each campaign and state machine came to, gathered where the session is led, also from workers that died later.

A worker's entry travels on the report of the test phase in which its campaign ended, as plain JSON. Which campaigns have begun is noted in
a folder of the session, so that one during which a worker died is told too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kchaos.testing.options import Options

ATTRIBUTE = "_kchaos"
"""Of a pytest report: what the plugin has to tell of it, a dict of plain values."""
FOLDER = "kchaos_begun"
"""Of a worker's input: where it notes which campaigns it has begun."""


def begin(config: pytest.Config, nodeid: str) -> None:
    """Note that a worker begins the campaign of a test; where nobody else leads, nothing has to be noted."""
    folder = getattr(config, "workerinput", {}).get(FOLDER)
    if folder and Path(folder).is_dir():  # a worker on another machine has no such folder
        (Path(folder) / _note(nodeid)).touch()


def no_owner(scenario: Path) -> str:
    """Return in words that a scenario was to be run and belongs to no test."""
    return f"no test that was collected has found {scenario.name} (`kchaos replay` shows it alone)"


def _note(nodeid: str) -> str:
    return hashlib.sha256(nodeid.encode("utf-8", "replace")).hexdigest()


class Session:
    """The campaigns of a session by name, and what their tests came to: a plugin of pytest where the session is led."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._folder: Path | None = None
        self._entries: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, None] = {}
        self._lost: dict[str, None] = {}
        """Tests during whose campaign a worker died."""
        self._written: list[Path] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist where to note what it begins."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="kchaos-session-"))
        node.workerinput[FOLDER] = str(self._folder)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report carries, and the test's outcome."""
        told = getattr(report, ATTRIBUTE, None)
        if told is not None:
            self._take(told, report.nodeid)
        if report.when == "call" or report.outcome != "passed":
            for entry in self._entries.values():
                before = entry["tests"].get(report.nodeid)
                if before is not None and before != "failed":  # what has failed in any phase stays so
                    entry["tests"][report.nodeid] = report.outcome

    def _take(self, told: Mapping[str, Any], nodeid: str) -> None:
        entry = self._entries.setdefault(told["name"], {"name": told["name"], "tests": {}, "result": None})
        entry["tests"].setdefault(nodeid, "not finished")
        entry |= {name: told[name] for name in ("verdict", "words", "text") if name in told}
        if told.get("result"):
            entry["result"] = json.loads(told["result"])
            entry["verdict"] = entry["result"]["verdict"]
            self._problems |= dict.fromkeys(told["problems"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """Take note of the test during which a worker died, if its campaign had begun and has not been told."""
        told = any(crashitem in entry["tests"] for entry in self._entries.values())
        if self._folder is not None and not told and (self._folder / _note(crashitem)).exists():
            self._lost[crashitem] = None

    def pytest_sessionfinish(self) -> None:
        """Write the report, if there was any campaign."""
        if not self._entries and not self._lost:
            return
        from kchaos.engine.output import whole
        from kchaos.reports.session import render

        for path in self._options.reports:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                whole(path, partial(Path.write_bytes, data=render(self.document(), path.suffix)))
                self._written.append(path)
            except OSError as error:
                self._problems[f"can't write the report {path}: {error.strerror or error}"] = None

    def pytest_unconfigure(self) -> None:
        """Take the folder away, however the session ended."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def document(self) -> dict[str, Any]:
        """Return the session as one JSON document: campaigns by name, and tests during whose campaign a worker died."""
        entries = [self._entries[name] for name in sorted(self._entries)]
        return {"format": "kchaos-session", "version": 1, "campaigns": entries, "lost": sorted(self._lost)}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say in a few lines what the campaigns came to, and where the report is."""
        if not self._entries and not self._lost:
            if self._options.replay is not None:
                terminalreporter.write_line(f"kchaos: {no_owner(self._options.replay)}")
            return
        results = [entry["result"] for entry in self._entries.values() if entry["result"]]
        counts = {word: sum(entry.get("verdict") == word for entry in self._entries.values()) for word in ("fail", "unknown", "pass")}
        counts["lost with a worker"] = len(self._lost)
        total = len(self._entries) + len(self._lost)
        terminalreporter.write_line(
            f"kchaos: {total} campaign{'s' if total != 1 else ''}: " + ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        )
        for nodeid in self._lost:
            terminalreporter.write_line(f"kchaos: a worker died during the campaign of {nodeid}: what it would have found is not known")
        for one in results:
            for file in one["corpus"].get("mended", ()):
                terminalreporter.write_line(f"kchaos: mended: {file} does not fail any more")
        for problem in self._problems:
            terminalreporter.write_line(f"kchaos: warning: {problem}")
        for path in self._written:
            terminalreporter.write_line(f"kchaos: report: {os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path}")
