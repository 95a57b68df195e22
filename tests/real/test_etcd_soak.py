"""The long runs on real etcd: healthy ones are never accused, the newest survives all faults, and a version that loses writes is caught."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kchaos.cli import run_cli
from kchaos.engine.etcd.result import EtcdResult
from tests.conftest import TOOLS

pytestmark = [pytest.mark.soak, pytest.mark.needs("etcd", "etcd-3.5.1", "toxiproxy")]
KILLED = ("--members", "1", "--faults", "kill-loop", "--clients", "8")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*arguments: str) -> EtcdResult:
    """Run the command; return its result."""
    run_cli(["etcd", "--out", "out", "-q", *arguments])
    return msgspec.json.decode(Path("out/result.json").read_bytes(), type=EtcdResult)


@pytest.mark.parametrize("seed", range(60))
def test_a_healthy_cluster_is_never_accused(seed: int) -> None:
    result = asked("--faults", "none", "--budget", "10s", "--seed", str(seed))
    assert (result.verdict, result.findings) == ("pass", ())


@pytest.mark.parametrize("seed", range(3))
def test_the_newest_survives_ten_minutes_of_all_faults(seed: int) -> None:
    result = asked("--budget", "10m", "--seed", str(seed))
    assert (result.verdict, result.findings) == ("pass", ())
    assert len(result.faults) >= 30 and not result.coverage.faults_never


def test_a_version_that_loses_acknowledged_writes_is_caught() -> None:
    """etcd 3.5.0 to 3.5.2 can lose what it has acknowledged when it is killed (https://github.com/etcd-io/etcd/issues/13766)."""
    result = asked("--binary", str(TOOLS / "etcd-3.5.1"), *KILLED, "--budget", "10m", "--seed", "3")
    durable = next(one for one in result.findings if one.id == "KC402")
    assert result.verdict == "fail" and 2 <= len(durable.witness) <= 4


def test_the_newest_loses_nothing_to_the_same_kills() -> None:
    result = asked(*KILLED, "--budget", "10m", "--seed", "3")
    assert (result.verdict, result.findings) == ("pass", ())
