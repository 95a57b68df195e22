"""The folder of a run of real etcd: it holds the last run; what kchaos did not write is never touched, what may be the only proof never lost.

A violation on a real cluster can't be made to happen again, so an earlier run goes only if it was judged and nothing was found broken; any
other is moved into a folder of its own. Nothing goes before the new run is written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kchaos.check.verdict import Verdict
from kchaos.engine.output import write_all
from kchaos.errors import HarnessError, InvalidScenario
from kchaos.history.record import FORMAT, Run

RUN, REPORT, RESULT, LOGS = "etcd.run.jsonl", "report.html", "result.json", "logs"
EARLIER = "earlier"
"""Earlier runs that may be the only proof of something are in ``earlier-1``, ``earlier-2``, …"""
_LOG = re.compile(r"(m[1-9]|front|toxiproxy(-m[1-9])?)\.log")
_TITLE = b"<title>kchaos etcd: "
_HEAD = _TAIL = 4096
"""Bytes that hold a page's title, and the last line of a run."""


def refuse_foreign(folder: Path, names: tuple[str, ...] = (RUN, REPORT, RESULT)) -> None:
    """Raise InvalidScenario if a file of someone else lies where one of these, or with a run the logs, are to be written."""
    foreign = [folder / name for name in names if _there(folder / name) and not _OURS[name](folder / name)]
    if RUN in names and not _is_run(folder / RUN):
        foreign += _logs(folder)
    if foreign:
        hint = "name another folder by --out, or move that file away"
        raise InvalidScenario(f"{foreign[0]} was not written by `kchaos etcd`, and would be overwritten", hint=hint)


def save(run: Run, folder: Path) -> tuple[Path, Path | None, list[str]]:
    """Save a run in a folder, or a temporary one if that can't be written; return (its file, whereto an earlier run was moved, what went wrong).

    Raises HarnessError if it can't be saved anywhere.
    """
    moved: list[Path] = []
    stale: list[Path] = []

    def write(part: Path) -> None:  # when the old run goes the new one is whole
        run.save(part)
        if not _is_run(part.with_name(RUN)):
            return
        stale.extend(_files(part.parent))
        if not _worthless(part.parent):
            moved.append(_new(part.parent))
            _set_aside(part.parent, moved[-1])

    where, problems = write_all(folder, lambda _: {RUN: write}, keep=True)
    if where is None:
        raise HarnessError(f"the run can't be saved: {'; '.join(problems)}")
    if where == folder:
        with suppress(OSError):  # what stays all the same is told by its digest to be of another run
            for old in stale:
                old.unlink(missing_ok=True)
            (where / LOGS).rmdir()  # not if others have files in it
    return where / RUN, moved[0] if moved else None, problems


def _set_aside(folder: Path, aside: Path) -> None:
    """Move all that belongs to the run in a folder into another."""
    (folder / RUN).replace(aside / RUN)
    for old in _files(folder):
        whereto = aside / old.relative_to(folder)
        whereto.parent.mkdir(exist_ok=True)
        old.replace(whereto)


def _new(folder: Path) -> Path:
    number = 1
    while True:
        try:
            (aside := folder / f"{EARLIER}-{number}").mkdir()
        except FileExistsError:
            number += 1
        else:
            return aside


def _files(folder: Path) -> Iterator[Path]:
    """Yield what else than the run itself is of a run: report, result and logs, if they are there and ours."""
    yield from (folder / name for name in (REPORT, RESULT) if _OURS[name](folder / name))
    yield from _logs(folder)


def _logs(folder: Path) -> list[Path]:
    """Return logs by names that kchaos gives them; they are of a run if one lies beside."""
    with suppress(OSError):
        return sorted(path for path in (folder / LOGS).iterdir() if _LOG.fullmatch(path.name))
    return []


def _worthless(folder: Path) -> bool:
    """Tell whether the run in a folder was judged, and nothing was found broken."""
    result = _result(folder / RESULT)
    return result.get("verdict") in (Verdict.PASS, Verdict.UNKNOWN) and result.get("digest") == _digest(folder / RUN)


def _digest(run: Path) -> str | None:
    """Return the digest at the end of a saved run; None if it has none."""
    with suppress(OSError, ValueError, KeyError, TypeError), run.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return str(json.loads(file.read().splitlines()[-1])["end"]["digest"])
    return None


def _is_run(path: Path) -> bool:
    """Tell whether a file is a run of etcd, whole or not."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        header = json.loads(file.readline())
        return isinstance(header, dict) and header.get("format") == FORMAT and header.get("scenario", {}).get("system") == "etcd"
    return False


def _is_page(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return _TITLE in file.read(_HEAD)
    return False


def _result(path: Path) -> dict[str, Any]:
    """Return the result of a run of etcd; empty if a file is none."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) and {"schema_version", "kchaos", "backend", "elections", "verdict"} <= found.keys() else {}
    return {}


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


_OURS: Mapping[str, Callable[[Path], bool]] = {RUN: _is_run, REPORT: _is_page, RESULT: lambda path: bool(_result(path))}
