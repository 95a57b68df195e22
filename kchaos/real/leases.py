"""What a run owns outside its own process, in a file that is locked as long as the run lives: whoever finds it unlocked cleans up.

A lease is a file of JSON lines in the user's state directory: processes (pid and create time), a folder, a Docker label. Its owner holds
an flock on it, which the kernel drops when the owner ends, however that happens. :func:`sweep`, at the start of each run, takes the lock
of every lease whose owner is dead and removes exactly what it lists: a pid only if its create time is the same, never a name. Every
process also carries the lease's id in its environment (:data:`MARK`), for one that was started in the moment before it was written down.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kchaos.errors import HarnessError

if TYPE_CHECKING:
    import psutil

MARK = "KCHAOS_LEASE"
GONE_WITHIN_S = 10.0
TRIES = 50
"""Files that are begun, if sweeps are quicker each time to lock them; one is rare, so that many in a row have another reason."""
Hook = Callable[[str], None]
"""Called with a Docker label ``key=value``: remove what has it. Raises :class:`Later` if Docker can't be asked now."""


_LOG = logging.getLogger(__name__)


class Later(Exception):
    """What a lease lists can't be removed now; it stays, for a later sweep."""


class Foreign(HarnessError):
    """What a lease lists belongs to another user now: a run as root may have left it."""


def home() -> Path:
    """Return the folder of the leases, made if need be: ``$XDG_STATE_HOME/kchaos/leases``, or a folder of this user in the temp directory."""
    state = os.environ.get("XDG_STATE_HOME")
    choices = [
        (Path(state) if state else Path("~/.local/state").expanduser()) / "kchaos" / "leases",
        Path(tempfile.gettempdir()) / f"kchaos-leases-{os.getuid()}",
    ]
    for folder in choices:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:  # a home that is read-only or does not exist
            continue
        if os.access(folder, os.W_OK | os.X_OK) and folder.stat().st_uid == os.getuid():
            return folder
    raise HarnessError(f"kchaos can't keep a list of what it starts: neither {choices[0]} nor {choices[1]} can be written (set XDG_STATE_HOME)")


class Lease:
    """A run's own lease. It exists from construction until :meth:`release`."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or home()
        for _ in range(TRIES):
            if self._begun(folder):
                return
        raise HarnessError(f"no lease in {folder} can be locked: is it on a file system that knows flock? (set XDG_STATE_HOME to another folder)")

    def _begun(self, folder: Path) -> bool:
        """Make the file; False if a sweep has taken it for a dead run's in the moment between its making and its lock."""
        self.id = uuid.uuid4().hex
        self.path = folder / f"{self.id}.lease"
        young = folder / f"{self.id}.young"
        # locked before it has its name: a sweep never sees a lease without its owner's lock
        self._file: IO[bytes] = young.open("x+b", buffering=0)
        try:
            begun = _lock(self._file) and _same(self._file, young)
            if begun:
                self._write({"owner": os.getpid()})
                young.rename(self.path)
            else:  # the sweep that holds it, or has removed it, does the rest; ours is not in use yet
                self._file.close()
                young.unlink(missing_ok=True)
        except BaseException:
            self._file.close()
            young.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            raise
        return begun

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")  # one call, unbuffered: a line is there, or cut off and then ignored
        except OSError as error:
            raise HarnessError(f"the lease {self.path} can't be written: {error.strerror}") from error

    def own_folder(self, path: Path) -> Path:
        """Make a folder that goes with the run; it is written down first."""
        self._write({"folder": str(path)})
        path.mkdir(parents=True, mode=0o700)
        return path

    def own_process(self, pid: int) -> None:
        """Write down a child; to be called at once after its start."""
        import psutil

        # a child that has ended already is nobody's to kill
        with contextlib.suppress(psutil.NoSuchProcess):
            self._write({"pid": pid, "created": psutil.Process(pid).create_time()})

    def own_label(self, label: str) -> None:
        """Write down the ``key=value`` label of containers, networks and images, before the first of them is made."""
        self._write({"docker": label})

    def environment(self) -> dict[str, str]:
        """Return what must be in the environment of each process of the run."""
        return {MARK: self.id}

    def release(self) -> None:
        """Give the lease back; what it lists must be gone (or call :meth:`clean` first). May be called twice."""
        if not self._file.closed:
            self.path.unlink(missing_ok=True)
            self._file.close()

    def leave(self) -> None:
        """Let go of it without giving it back: what it lists could not be removed now, the next run will try."""
        self._file.close()

    def clean(self, hook: Hook | None = None) -> None:
        """Remove all that the lease lists, as a sweep would do, then give it back; also if someone has removed the file meanwhile."""
        self._file.seek(0)
        _clear(self.id, list(_lines(self._file.read())), hook)
        self.release()


def _lock(file: IO[bytes]) -> bool:
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """Return the lines of a lease; a last one that was cut off is left out."""
    return _lines(path.read_bytes())


def _lines(content: bytes) -> Iterator[Mapping[str, Any]]:
    for line in content.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                yield told


def sweep(folder: Path | None = None, hook: Hook | None = None) -> list[str]:
    """Remove what runs that are dead have left; return the ids of their leases.

    ``hook`` removes what has a Docker label; a lease with a label stays, for a later sweep, while there is no hook, or Docker can't be asked.
    What belongs to another user stays, too, with a warning in the log.
    """
    folder = folder or home()
    swept = []
    for path in sorted((*folder.glob("*.lease"), *folder.glob("*.young"))):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # its owner, or another sweep, was quicker
            continue
        except PermissionError:
            _LOG.warning("warning: the lease %s of an earlier run is another user's; remove it, and what it lists, as that user", path)
            continue
        with file:
            if not _lock(file) or not _same(file, path):
                continue
            labelled = any("docker" in line for line in entries(path))
            try:
                clear(path, hook)
            except Later:
                continue
            except Foreign as error:
                _LOG.warning("warning: %s (the list of what that run has left is %s)", error, path)
                continue
            if labelled and hook is None:
                continue
            path.unlink(missing_ok=True)
            swept.append(path.stem)
    return swept


@contextlib.contextmanager
def free(path: Path) -> Iterator[bool | None]:
    """Tell whether the owner of a lease is dead, and hold its lock meanwhile; None if there is no such file."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
            yield False
            return
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError:  # not ours to read
        yield False
        return
    with file:
        yield _lock(file) and _same(file, path)


def _same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def clear(path: Path, hook: Hook | None = None) -> None:
    """Remove what a lease lists: processes first, then folders, then what has its Docker label."""
    _clear(path.stem, list(entries(path)), hook)


def _clear(lease: str, found: Sequence[Mapping[str, Any]], hook: Hook | None) -> None:
    _end(lease, {line["pid"]: line["created"] for line in found if "pid" in line})
    for line in found:
        if "folder" in line:
            remove(Path(line["folder"]))
    for line in found:
        if "docker" in line and hook is not None:
            hook(line["docker"])


def _end(lease: str, listed: Mapping[int, float]) -> None:
    """Kill the listed processes, and those that carry the lease's mark, and wait until they are gone."""
    import psutil

    ends, foreign = [], []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            ours = listed.get(process.pid) == process.create_time() or process.environ().get(MARK) == lease
        except (psutil.Error, OSError):  # gone, or another user's: then it is none that we have started
            continue
        if ours:
            try:
                process.kill()
            except psutil.AccessDenied:
                foreign.append(process)
            except psutil.NoSuchProcess:
                pass
            else:
                ends.append(process)
    until = time.monotonic() + GONE_WITHIN_S
    while left := [one for one in ends if not _ended(one)]:
        if time.monotonic() > until:
            raise HarnessError(f"process {left[0].pid} of an earlier run does not end {GONE_WITHIN_S:.0f} s after SIGKILL; end it by hand")
        time.sleep(0.005)
    if foreign:
        raise Foreign(f"process {foreign[0].pid} of an earlier run is another user's; end it as that user")


def _ended(process: psutil.Process) -> bool:
    """Tell whether a process is gone, or holds nothing any more: a zombie that its parent, or a container's lazy init, has not asked for."""
    import psutil

    try:
        if not process.is_running():  # its pid may be another's by now
            return True
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
    except psutil.NoSuchProcess:
        return True
    with contextlib.suppress(ChildProcessError):  # a child of ours whose start was broken off: nobody else asks for it
        os.waitpid(process.pid, os.WNOHANG)
    return True


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; one that is being written to is tried again for a moment."""
    until = time.monotonic() + 2.0
    while True:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except PermissionError as error:
            raise Foreign(f"the folder {folder} of a run can't be removed: {error.strerror}; remove it by hand") from error
        except OSError as error:
            if time.monotonic() > until:
                raise HarnessError(f"the folder {folder} of a run can't be removed: {error.strerror}") from error
            time.sleep(0.05)
        else:
            return
