"""A host's disk as a folder of real files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import quote, unquote


class RealDisk:
    """Implements :class:`kchaos.runtime.Disk` on a folder; each path is one file whose name is the path, percent-encoded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _at(self, path: str) -> Path:
        return self._folder / quote(path, safe="")

    def free_share(self) -> float:
        """Return which part of the file system is free."""
        usage = shutil.disk_usage(self._folder)
        return usage.free / usage.total

    def read(self, path: str) -> bytes:
        """Return the content."""
        return self._at(path).read_bytes()

    def append(self, path: str, data: bytes) -> None:
        """Add at the end."""
        with self._at(path).open("ab") as file:
            file.write(data)

    def write(self, path: str, data: bytes) -> None:
        """Replace the content in place."""
        self._at(path).write_bytes(data)

    def sync(self, path: str) -> None:
        """Make the content durable (fsync)."""
        with self._at(path).open("rb+") as file:
            os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        """Rename atomically."""
        self._at(old).replace(self._at(new))

    def sync_dir(self) -> None:
        """Make names durable; a system whose folders can't be opened (Windows) does so by itself."""
        if os.name == "posix":
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def remove(self, path: str) -> None:
        """Remove the file."""
        self._at(path).unlink()

    def listdir(self) -> list[str]:
        """Return all paths, sorted."""
        return sorted(unquote(one.name) for one in self._folder.iterdir())
