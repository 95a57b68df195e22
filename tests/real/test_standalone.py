"""A Toxiproxy server alone: it is there once, and gone with its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kchaos.errors import HarnessError
from kchaos.real.leases import home
from kchaos.real.standalone import ToxiproxyServer
from tests.conftest import tool

pytestmark = pytest.mark.needs("toxiproxy")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def running(place: Path) -> list[int]:
    """The servers whose lease lies in this test's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "toxiproxy-server" and process.environ().get("XDG_STATE_HOME") == str(place / "state"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_second_start_is_refused_and_the_first_stays_in_hand(place: Path) -> None:
    server = ToxiproxyServer(str(tool("toxiproxy")))
    server.start()
    try:
        with pytest.raises(HarnessError, match="started already"):
            server.start()
        assert server.api.version() and len(running(place)) == 1
    finally:
        server.stop()
    server.stop()
    assert running(place) == [] and list(home().iterdir()) == []
    assert [one.name for one in place.iterdir()] == ["state"]


def test_it_ends_with_a_program_that_forgets_it(place: Path) -> None:
    script = "import sys; from kchaos.real.standalone import ToxiproxyServer; server = ToxiproxyServer(sys.argv[1]); server.start(); print('up')"
    done = subprocess.run([sys.executable, "-c", script, str(tool("toxiproxy"))], capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("up\n", "")
    assert running(place) == [] and list(home().iterdir()) == []
