"""One run at a time writes to a folder; nothing is left of the claim, however a run ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kchaos.engine.claimed import claimed
from kchaos.errors import InvalidScenario

HOLDS = """
import sys, time
from pathlib import Path
from kchaos.engine.claimed import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    """The second is told in a sentence, and the first keeps what is there; afterwards anybody may have it."""
    out = tmp_path / "a" / "b"
    with claimed(out):
        with pytest.raises(InvalidScenario, match="another run is writing to "), claimed(out):
            pytest.fail("held twice")
        assert out.is_dir() and list(out.iterdir()) == []
        with claimed(tmp_path / "a" / "c"):
            pass
    with claimed(out):
        (out / "result.json").write_text("{}", encoding="utf-8")
    assert [one.name for one in out.iterdir()] == ["result.json"]


def test_what_was_made_for_nothing_goes(tmp_path: Path) -> None:
    """A run that fails before it has results leaves no folder; one that was there before stays."""
    with pytest.raises(RuntimeError), claimed(tmp_path / "a" / "b"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with claimed(tmp_path / "mine" / "b"):
        pass
    assert [str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")] == ["mine"]


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(InvalidScenario), claimed(tmp_path / "out"):
            pytest.fail("held twice")
        process.kill()
        process.wait()
    with claimed(tmp_path / "out"):
        pass


def test_a_folder_that_was_removed_in_between_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder took it away after it was opened, before it was locked: the lock would be one of nothing."""
    import fcntl

    out, real, calls = tmp_path / "out", fcntl.flock, []

    def removed(handle: int, how: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            out.rmdir()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", removed)
    with claimed(out):
        assert out.is_dir() and len(calls) == 2
        with pytest.raises(InvalidScenario), claimed(out):
            pytest.fail("held twice")


def test_what_can_not_be_a_folder_is_not_held(tmp_path: Path) -> None:
    """Results go elsewhere then, so there is nothing to hold."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with claimed(tmp_path / "file" / "out"), claimed(tmp_path / "file" / "out"):
        pass
    assert (tmp_path / "file").is_file()
