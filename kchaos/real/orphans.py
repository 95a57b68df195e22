"""What dead runs have left in Docker, found by the labels of the things themselves, for runs whose lease no other run looks for.

A lease lies in its user's state folder, where each run sweeps. One that lay elsewhere (XDG_STATE_HOME in a test's own folder) is met by none.
So each container and network also tells its lease's path, and from where that path is seen: the same user, boot and namespaces of Linux. Only
what tells the same place as ours is judged: elsewhere (another container that shares Docker's socket, another machine) the path says nothing.
There its owner is dead if the lease is there and its lock is free, or if it is gone, with its folder, and so is the process that held it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kchaos.real.leases import free

LEASE = "io.kchaos.lease"
PLACE = "io.kchaos.place"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACES = ("mnt", "pid", "user")


class Orphan(NamedTuple):
    """A run that has left something: its id, and what its labels say."""

    run: str
    lease: Path
    owner: int


def place() -> str:
    """Return from where this process sees files and processes, "" where the system does not tell (then nothing here is anyone's orphan)."""
    try:
        seen = [str(Path(f"/proc/self/ns/{one}").readlink()) for one in _NAMESPACES]
        return " ".join((f"uid:{os.getuid()}", f"boot:{_BOOT.read_text(encoding='ascii').strip()}", *seen))
    except OSError:  # no Linux, or no /proc
        return ""


def candidates(labels: Iterable[Mapping[str, str]], run: str, owner: str, here: str) -> list[Orphan]:
    """Return the runs of this place among the labels of all that is in Docker, each once; ``run``, ``owner``: the names of those labels."""
    found: dict[str, Orphan] = {}
    for one in labels:
        pid = one.get(owner, "").rpartition(":")[2]
        lease = Path(one.get(LEASE, ""))
        # a path that is not this run's own file is nobody's
        if here and one.get(PLACE) == here and pid.isdecimal() and lease.is_absolute() and lease.name == f"{one.get(run)}.lease":
            found[one[run]] = Orphan(one[run], lease, int(pid))
    return list(found.values())


@contextmanager
def dead(orphan: Orphan) -> Iterator[bool]:
    """Tell whether a run's owner is dead; meanwhile no other run sweeps it."""
    import psutil

    with free(orphan.lease) as unlocked:
        yield unlocked if unlocked is not None else not psutil.pid_exists(orphan.owner)
