"""What is copied from the report's page does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from html import unescape
from pathlib import Path

import msgspec
import pytest

from kchaos.cli import run_cli
from kchaos.reports.pasted import pytest_file
from tests.reports.hostile import NASTY, finding
from tests.support import SITUATIONS


def _copied(page: str) -> str:
    return unescape(page.partition('aria-label="a pytest file for this finding"><code class="copy">')[2].partition("</code>")[0])


def test_the_pytest_file_of_a_finding_fails_as_the_run_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied from the page into a file, in the folder where the command was given."""
    monkeypatch.chdir(tmp_path)
    assert run_cli(["run", str(SITUATIONS / "budget-blocks-drain.yaml"), "--corpus", "none", "--out", "out", "--quiet"]) == 1
    (tmp_path / "test_copied.py").write_text(_copied((tmp_path / "out" / "report.html").read_text(encoding="utf-8")), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_copied.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", env={**os.environ, "PYTEST_ADDOPTS": ""}, check=False)
    assert ran.returncode == 1 and "1 failed" in ran.stdout and "AssertionError" in ran.stdout, ran.stdout


def test_names_of_manifests_stay_text_in_the_pytest_file() -> None:
    """A hostile name neither ends its string nor its docstring."""
    compile(pytest_file(msgspec.structs.replace(finding("x"), object=f'"""{NASTY}\n', replay=f"out/{NASTY}.json")), "test_copied.py", "exec")
