"""A folder that one run at a time writes its results to: two would overwrite and mix each other's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kchaos.errors import InvalidScenario


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be, by an flock on itself: no file is left in it, and the kernel lets go however the run ends.

    Raises InvalidScenario if another run holds it. A folder that can't be made, read or locked (some network file systems) is not held;
    where one can't be written, results go elsewhere (:func:`kchaos.engine.output.write_all`).
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        handle = _locked(folder)
    except BlockingIOError as error:
        raise InvalidScenario(f"another run is writing to {folder}", hint="wait until it has ended, or name another folder by --out") from error
    except OSError:  # nothing to hold: the run goes on without, as its results will
        handle = None
    try:
        yield
    finally:
        for one in made:
            with suppress(OSError):  # not empty, as it should be
                one.rmdir()
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int:
    """Return a handle of the folder with a lock on it. Raises BlockingIOError if another has it, OSError if there can't be any."""
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        except FileNotFoundError:  # its last holder has removed it in this moment, as here above: make it anew
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
