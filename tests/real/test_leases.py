"""Leases: what a dead run has left is removed, exactly that, and nothing of a run that lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from kchaos.errors import HarnessError
from kchaos.real import leases
from kchaos.real.leases import MARK, Lease, entries, home, remove, sweep

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
Spawn = Callable[..., subprocess.Popen]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    started = []

    def one(**environ: str) -> subprocess.Popen:
        process = subprocess.Popen(SLEEPER, env={**os.environ, **environ}, stdin=subprocess.DEVNULL)
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def dies(folder: Path, *lines: dict) -> Path:
    """Leave the lease of a run that is dead: nobody holds its lock."""
    path = folder / "0123.lease"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in ({"owner": 1}, *lines)))
    return path


def gone(process: subprocess.Popen) -> bool:
    """Tell whether it has ended; what killed it was not its parent's wait."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_processes_and_folders_of_a_dead_run_are_removed(tmp_path: Path, spawn: Spawn) -> None:
    process = spawn()
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    leases = tmp_path / "leases"
    leases.mkdir()
    path = dies(leases, {"folder": str(data)}, {"pid": process.pid, "created": psutil.Process(process.pid).create_time()})
    assert sweep(leases) == ["0123"]
    assert gone(process)
    assert not data.exists()
    assert not path.exists()


def test_a_pid_that_is_now_another_process_is_left_alone(tmp_path: Path, spawn: Spawn) -> None:
    process = spawn()
    dies(tmp_path, {"pid": process.pid, "created": psutil.Process(process.pid).create_time() - 60})
    assert sweep(tmp_path) == ["0123"]
    assert process.poll() is None


def test_a_process_that_was_not_written_down_yet_is_known_by_its_mark(tmp_path: Path, spawn: Spawn) -> None:
    marked, other = spawn(**{MARK: "0123"}), spawn(**{MARK: "4567"})
    dies(tmp_path)
    sweep(tmp_path)
    assert gone(marked)
    assert other.poll() is None


def test_a_living_run_keeps_all(tmp_path: Path, spawn: Spawn) -> None:
    lease = Lease(tmp_path)
    process = spawn(**lease.environment())
    lease.own_process(process.pid)
    data = lease.own_folder(tmp_path / "data")
    assert sweep(tmp_path) == []
    assert process.poll() is None
    assert data.is_dir()
    lease.clean()
    assert gone(process)
    assert not data.exists()
    assert list(tmp_path.iterdir()) == []
    lease.release()  # a second time


def test_a_run_whose_lease_someone_else_has_removed_still_cleans_up(tmp_path: Path, spawn: Spawn) -> None:
    (tmp_path / "leases").mkdir()
    lease = Lease(tmp_path / "leases")
    process = spawn()
    lease.own_process(process.pid)
    data = lease.own_folder(tmp_path / "data")
    remove(tmp_path / "leases")
    lease.own_label("a=b")
    asked: list[str] = []
    lease.clean(asked.append)
    assert gone(process)
    assert (data.exists(), asked) == (False, ["a=b"])


def test_children_do_not_keep_the_lock_of_their_parent(tmp_path: Path, spawn: Spawn) -> None:
    script = "import sys, subprocess; from pathlib import Path; from kchaos.real.leases import Lease; lease = Lease(Path(sys.argv[1]));"
    script += "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=-3, env=lease.environment()); lease.own_process(p.pid);"
    script += "print(p.pid, flush=True); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    parent = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, encoding="utf-8", check=False, timeout=30)
    child = psutil.Process(int(parent.stdout))
    assert len(sweep(tmp_path)) == 1
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_line_cut_in_half_is_left_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    path = dies(tmp_path, {"folder": str(data)})
    with path.open("ab") as file:
        file.write(b'{"pid": 1, "crea')
    assert [*entries(path)] == [{"owner": 1}, {"folder": str(data)}]
    sweep(tmp_path)
    assert not data.exists()


def test_a_docker_label_is_for_the_hook_and_waits_for_one(tmp_path: Path) -> None:
    asked: list[str] = []
    path = dies(tmp_path, {"docker": "kchaos.lease=0123"})
    assert sweep(tmp_path) == []
    assert path.exists()
    assert sweep(tmp_path, asked.append) == ["0123"]
    assert asked == ["kchaos.lease=0123"]
    assert not path.exists()


def test_a_folder_is_written_down_before_it_is_made(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    file = tmp_path / "in-the-way"
    file.write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="in-the-way"):
        lease.own_folder(file)
    assert {"folder": str(file)} in list(entries(lease.path))
    lease.release()


def test_leases_are_kept_in_the_users_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert home() == tmp_path / "kchaos" / "leases"
    assert home().stat().st_mode & 0o077 == 0


def test_where_there_is_no_home_the_temp_folder_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(in_the_way))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert home() == tmp_path / f"kchaos-leases-{os.getuid()}"
    monkeypatch.setattr("tempfile.tempdir", str(in_the_way))
    with pytest.raises(HarnessError, match="set XDG_STATE_HOME"):
        home()


@pytest.mark.parametrize("removes", [False, True], ids=["holds", "removes"])
def test_a_sweep_between_the_making_of_a_lease_and_its_lock_only_makes_it_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removes: bool
) -> None:
    """Either it holds the lock for a moment still, or it has taken the file away, and the lock would be on a file without a name."""
    lock, met = leases._lock, []

    def swept(file: IO[bytes]) -> bool:
        if met:
            return lock(file)
        (young,) = tmp_path.glob("*.young")
        met.append(young)
        if removes:
            assert sweep(tmp_path) == [young.stem]
            return lock(file)
        with young.open("rb") as other:
            assert lock(other)
            return lock(file)

    monkeypatch.setattr(leases, "_lock", swept)
    lease = Lease(tmp_path)
    assert [*tmp_path.iterdir()] == [lease.path]
    assert lease.id != met[0].stem
    assert sweep(tmp_path) == []
    lease.release()


def test_a_file_system_that_locks_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_lock", lambda _file: False)
    with pytest.raises(HarnessError, match=r"no lease in .* can be locked"):
        Lease(tmp_path)
    assert [*tmp_path.iterdir()] == []


MAKER = """
import sys
from pathlib import Path
from kchaos.real.leases import Lease, sweep
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    lease = Lease(folder)
    sweep(folder)
    lease.own_label("a=b")
    assert lease.path.exists()
    lease.release()
"""


def test_processes_that_make_and_sweep_leases_at_the_same_time_never_take_each_others(tmp_path: Path) -> None:
    makers = [subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path), "200"], stderr=subprocess.PIPE, text=True, encoding="utf-8") for _ in range(3)]
    ends = [(maker.communicate(timeout=120)[1], maker.returncode) for maker in makers]
    assert ends == [("", 0)] * 3
    assert [*tmp_path.iterdir()] == []


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")


def test_what_is_another_users_stays_and_is_told(tmp_path: Path, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """As after `sudo kchaos etcd` that was killed: it keeps nobody from working, and what is ours goes all the same."""
    theirs, ours = spawn(), spawn()
    monkeypatch.setattr(psutil.Process, "kill", lambda self: denied(self.pid) if self.pid == theirs.pid else psutil.Process.terminate(self))

    def denied(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    path = dies(tmp_path, *({"pid": one.pid, "created": psutil.Process(one.pid).create_time()} for one in (theirs, ours)))
    assert sweep(tmp_path) == [] and path.exists()
    assert gone(ours) and theirs.poll() is None
    assert [(record.levelname, f"process {theirs.pid} of an earlier run is another user's" in record.message) for record in caplog.records] == [
        ("WARNING", True)
    ]


def test_a_lease_that_is_not_ours_to_read_keeps_nobody_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = dies(tmp_path)
    real = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> IO[Any]:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert sweep(tmp_path) == [] and path.exists()
    assert str(path) in caplog.text


def test_a_folder_that_is_not_ours_to_remove_keeps_nobody_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    path = dies(tmp_path, {"folder": str(data)})

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(leases.shutil, "rmtree", refused)
    assert sweep(tmp_path) == [] and path.exists()
    assert str(data) in caplog.text and "by hand" in caplog.text
