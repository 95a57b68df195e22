"""Take named programs out of an archive, however deep archives are nested: `unpack.py ARCHIVE FOLDER NAME...`."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

SMALLEST = 1_000_000
"""Programs are larger than the scripts of the same name."""


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of all files in an archive and in the archives within."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from _one(name, archive.read(name))
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar.getmembers():
            opened = tar.extractfile(member) if member.isfile() else None
            if opened is not None:
                yield from _one(member.name, opened.read())


def _one(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if name.endswith((".zip", ".tgz", ".tar.gz")):
        yield from members(data)
    else:
        yield name, data


def main(archive: str, folder: str, *names: str) -> int:
    """Write the programs; return 1 if one is missing."""
    found: list[str] = []
    for name, data in members(Path(archive).read_bytes()):
        base = name.rsplit("/", 1)[-1]
        if base in names and len(data) > SMALLEST:
            target = Path(folder) / base
            target.write_bytes(data)
            target.chmod(0o755)
            found.append(base)
    missing = [name for name in names if name not in found]
    sys.stdout.write(f"installed: {', '.join(found) or 'nothing'}" + (f"; not found: {', '.join(missing)}" if missing else "") + "\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
