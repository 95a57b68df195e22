"""A disk with a crash model: what was not synced may be lost, torn or kept, as the fault says; what was synced stays.

State per file: the content processes see, and the content that is durable. Names (creation, rename, removal) are durable only
after ``sync_dir`` (see "All File Systems Are Not Created Equal", OSDI 2014).
"""

from __future__ import annotations

import errno
import random
from typing import Literal

CrashModel = Literal["keep-synced", "torn", "keep-all"]


class SimDisk:
    """The files of one host; implements :class:`kchaos.runtime.Disk`."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self._live: dict[str, bytes] = {}
        self._durable: dict[str, bytes] = {}
        self._names: dict[str, str] = {}
        self.capacity_bytes = capacity_bytes
        self.taken_share = 0.0
        """Part of the disk that something else has taken: at 1 nothing can be written, whatever the capacity."""
        self.failing: str | None = None
        self.lost_bytes = 0
        self.errors = 0

    def _check(self) -> None:
        if self.failing is not None:
            self.errors += 1
            raise OSError(getattr(errno, self.failing), f"injected {self.failing}")

    def _room(self, more: int) -> None:
        if self.taken_share:
            left = self.free_share()
            full = more > 0 and (left <= 0.0 if self.capacity_bytes is None else more > left * self.capacity_bytes)
        else:
            full = self.capacity_bytes is not None and self._used() + more > self.capacity_bytes
        if full:
            self.errors += 1
            raise OSError(errno.ENOSPC, "no space left on device")

    def _used(self) -> int:
        return sum(map(len, self._live.values()))

    def free_share(self) -> float:
        """Return which part of the disk is free, 0 to 1; one without a capacity is as large as nothing else takes."""
        own = self._used() / self.capacity_bytes if self.capacity_bytes else 0.0
        return max(0.0, round(1.0 - own - self.taken_share, 9))

    def read(self, path: str) -> bytes:
        """Return the content; see :class:`kchaos.runtime.Disk`."""
        self._check()
        if path not in self._live:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return self._live[path]

    def append(self, path: str, data: bytes) -> None:
        """Add at the end."""
        self._check()
        self._room(len(data))
        self._live[path] = self._live.get(path, b"") + data

    def write(self, path: str, data: bytes) -> None:
        """Replace the content."""
        self._check()
        self._room(len(data) - len(self._live.get(path, b"")))
        self._live[path] = data

    def sync(self, path: str) -> None:
        """Make the content durable; on most file systems this also makes a new file's own name durable, which we do not grant."""
        self._check()
        if path not in self._live:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self._durable[path] = self._live[path]

    def rename(self, old: str, new: str) -> None:
        """Rename; durable after :meth:`sync_dir`."""
        self._check()
        if old not in self._live:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        self._live[new] = self._live.pop(old)
        self._names[new] = self._names.pop(old, old)
        if self._names[new] == new:
            del self._names[new]

    def sync_dir(self) -> None:
        """Make the present names durable: each keeps the content last synced, empty if none."""
        self._check()
        self._durable = {path: self._durable.get(self._names.get(path, path), self._durable.get(path, b"")) for path in self._live}
        self._names.clear()

    def remove(self, path: str) -> None:
        """Remove; durable after :meth:`sync_dir`."""
        self._check()
        if path not in self._live:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        del self._live[path]
        self._names.pop(path, None)

    def listdir(self) -> list[str]:
        """Return all paths, sorted."""
        return sorted(self._live)

    def crash(self, model: CrashModel, rng: random.Random) -> int:
        """Lose power; return the number of bytes that were lost.

        ``keep-synced`` keeps what is durable only; ``torn`` keeps a random prefix of each un-synced tail; ``keep-all`` loses nothing.
        """
        before = sum(map(len, self._live.values()))
        if model == "torn":
            survivors = {}
            for path in sorted(self._durable):
                durable, live = self._durable[path], self._live.get(path, b"")
                tail = live[len(durable) :] if live.startswith(durable) else b""
                survivors[path] = durable + tail[: rng.randint(0, len(tail))]
            self._live = survivors
        elif model == "keep-synced":
            self._live = dict(self._durable)
        self._durable = dict(self._live)
        self._names.clear()
        lost = max(0, before - sum(map(len, self._live.values())))
        self.lost_bytes += lost
        return lost
