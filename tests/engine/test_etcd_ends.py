"""How `kchaos etcd` ends: what could not be cleaned up changes neither the verdict nor what went wrong; --keep holds for every end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kchaos.cli import run_cli
from kchaos.engine.etcd import drive as driving
from kchaos.errors import HarnessError
from tests.engine.test_etcd_folder import run_of


class _Stubborn:
    """A cluster that can't be removed."""

    def start(self) -> None: ...

    def stop(self) -> None:
        raise HarnessError("the Docker daemon no longer answers")

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        folder.mkdir()
        (folder / "m1.log").write_text("a log", encoding="utf-8")
        return (folder / "m1.log",)


def _interrupted() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise driving.Interrupted(run_of(1)) from error


def _failed() -> None:
    raise driving.Failed(run_of(1)) from HarnessError("m2 is gone")


@pytest.mark.parametrize(("end", "code", "said", "kept"), [
    (lambda: run_of(1), 0, "", False),
    (lambda: run_of(1, lost=True), 1, "", True),
    (_interrupted, 130, "interrupted: what was recorded so far is in", False),
    (_failed, 4, "error: m2 is gone", True),
])  # fmt: skip
@pytest.mark.parametrize("keep", [False, True])
def test_a_cluster_that_cannot_be_removed_is_a_warning(
    end: Any, code: int, said: str, kept: bool, keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kchaos.real.backends.cluster_of", lambda *_args, **_options: _Stubborn())
    monkeypatch.setattr(driving, "drive", lambda *_args, **_options: end())
    assert run_cli(["etcd", "--faults", "none", "--budget", "1s", "--out", str(tmp_path / "out"), "-q", *(["--keep"] if keep else [])]) == code
    errors = capfd.readouterr().err
    assert "warning: not all of the cluster could be removed: the Docker daemon no longer answers; the next run tries again" in errors
    assert said in errors and "Traceback" not in errors
    assert (tmp_path / "out" / "logs" / "m1.log").is_file() == (keep or kept)
