"""Unified diffs that `git apply` and `patch -p1` take: bytes for bytes, from the folder where kchaos was called."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import PurePath

CONTEXT = 3
STDIN = "stdin.yaml"
"""What standard input is called in a diff."""
MISSING_END = b"\\ No newline at end of file"


def unified(before: bytes, after: bytes, name: str) -> bytes:
    """Return the diff of one file, empty for none. The format is POSIX' with GNU's mark of a missing last line end."""
    if before == after:
        return b""
    label = name.encode("utf-8", "surrogateescape")
    tail = b"\t" if b" " in label else b""  # GNU patch and git end a name with spaces at a tab
    rows = difflib.diff_bytes(
        difflib.unified_diff, _rows(before), _rows(after), b"a/" + label + tail, b"b/" + label + tail, n=CONTEXT, lineterm=b"\n"
    )
    return b"".join(row if row.endswith(b"\n") else row + b"\n" + MISSING_END + b"\n" for row in rows)


def _rows(data: bytes) -> list[bytes]:
    """Return lines with their ends; only a line feed ends one, as git sees it."""
    return [row + b"\n" for row in data.split(b"\n")[:-1]] + ([data.rpartition(b"\n")[2]] if data and not data.endswith(b"\n") else [])


def changed_lines(diff: bytes) -> int:
    """Return how many lines a diff adds and removes."""
    return sum(row[:1] in (b"+", b"-") and not row.startswith((b"+++ ", b"--- ")) for row in diff.split(b"\n"))


def placed(names: Mapping[str, str], here: str) -> tuple[str, dict[str, str]]:
    """Return (folder, name -> path below it): the current folder, which is "" , if all files are below it, else the nearest above all.

    ``names``: as given by the user -> absolute path; ``here``: the current folder.
    """
    paths = list(names.values())
    root = here
    if any(not PurePath(path).is_relative_to(here) for path in paths):
        root = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    below = {name: PurePath(path).relative_to(root).as_posix() for name, path in names.items()}
    return ("" if root == here else root), below
