"""Where results go: a folder that can be written, or a temporary one; a full disk or read-only folder loses no verdict."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from kchaos.models.manifests.load import visible

FOLDER = ".kchaos"
PATCH = "fix.patch"
"""What to change, as a diff."""
_REPLAY = re.compile(r"[A-Za-z][A-Za-z0-9._-]*-[0-9a-f]{8}\.(scenario\.json|run\.jsonl)")


def harmless(text: object) -> str:
    """Return text for a terminal: names of the user's files can't steer it. Line ends stay."""
    return "\n".join(visible(line) for line in str(text).replace("\r\n", "\n").split("\n"))


def mute() -> None:
    """Let what is still to be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def name_of(paths: tuple[str, ...]) -> str:
    """Return a folder name for the first input path."""
    first = Path(paths[0]).resolve().name if paths and paths[0] != "-" else "stdin"
    stem = first.rsplit(".", 1)[0] if first.lower().endswith((".yaml", ".yml", ".json")) else first
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "run"


Files = Mapping[str, Callable[[Path], object]]
"""File name -> what writes it to a path."""


def whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: a full disk leaves no half of one."""
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unwritable(folder: Path) -> str:
    """Return why files can't be made in a folder, or it can't be made itself, before there is anything to lose; empty if they can."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def write_all(folder: Path, files_at: Callable[[Path], Files], keep: bool = False) -> tuple[Path | None, list[str]]:
    """Write the files that belong into a folder; if that can't be written, into a temporary one.

    ``files_at`` gets the folder, so that files can name each other. Replays and the patch that an earlier run left there are taken away
    first, unless they are to be kept: they belong to other findings. Return where the files are (None: nowhere) and what went wrong.
    """
    problems: list[str] = []
    candidates: list[Callable[[], Path]] = [lambda: folder, lambda: Path(tempfile.mkdtemp(prefix="kchaos-"))]
    for index, candidate in enumerate(candidates):
        try:
            where = candidate()
            where.mkdir(parents=True, exist_ok=True)
            for old in [] if keep else where.iterdir():
                if _REPLAY.fullmatch(old.name) or old.name == PATCH:
                    old.unlink()
            for name, write in files_at(where).items():
                (where / name).parent.mkdir(exist_ok=True)
                whole(where / name, write)
            return where, problems
        except OSError as error:
            place = str(folder) if index == 0 else "a temporary folder"
            problems.append(f"can't write to {place}: {error.strerror or error}")
    return None, problems
