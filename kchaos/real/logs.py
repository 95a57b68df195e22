"""What an etcd log (3.4 to 3.6) says of itself: panics, fatal errors, corruption, elections; pure, line by line.

etcd writes one JSON object a line (zap); what the Go runtime or a library prints (``panic:``, ``fatal error:``) stands raw between them.
A word in the middle of a message or of a dumped configuration proves nothing, so JSON lines are judged by their level and message only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_RAW = re.compile(r"^(panic: |fatal error: |unexpected fault address|SIG[A-Z]+: |runtime: (out of memory|goroutine stack exceeds))")
_CORRUPT = re.compile(
    r"alarm raised.*|.*(data corruption|corrupt alarm|found data inconsistency|found hash mismatch|checkInitialHashKV failed"
    r"|initial corruption check.*mismatch|corrupt check failed|tocommit\(\d+\) is out of range|file corrupted|crc mismatch)",
    re.IGNORECASE,
)
_BENIGN = re.compile(r"not fatal|repaired|starting initial corruption check|initial corruption checking passed", re.IGNORECASE)
_LEADER = re.compile(r"^\S+ became leader at term (\d+)")
_FULL = "no space left on device"
_TAKEN = "address already in use"
_GOROUTINE = re.compile(r"^goroutine \d+ \[")
LONGEST = 600
"""Characters of a line that are told."""


def _told(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def alarms(log: str) -> Iterator[str]:
    """Yield each line that tells of a panic, a fatal error or corrupt data; not the traces of goroutines that follow."""
    previous = ""
    for line in log.splitlines():
        told = _told(line)
        if told is None:
            # zap's panic is printed twice: as JSON, and by the runtime, which repeats its message
            if _RAW.match(line) and not (previous and line.startswith("panic: ") and line[7:].startswith(previous[:40])):
                yield line[:LONGEST]
            elif _GOROUTINE.match(line):
                previous = ""
            continue
        level, message = str(told.get("level", "")), str(told.get("msg", ""))
        if level in ("panic", "fatal", "dpanic"):
            previous = message
            yield line[:LONGEST]
        elif level in ("error", "warn") and _corrupt(message, told):
            yield line[:LONGEST]


def _corrupt(message: str, told: dict[str, Any]) -> bool:
    if _BENIGN.search(message):
        return False
    if message.startswith("alarm raised"):
        return "CORRUPT" in str(told.get("alarm", ""))
    return bool(_CORRUPT.match(message)) or bool(_CORRUPT.match(str(told.get("error", ""))))


def elections(log: str) -> list[int]:
    """Return the terms in which this member became leader, in order."""
    found = []
    for line in log.splitlines():
        told = _told(line)
        hit = _LEADER.match(str(told.get("msg", ""))) if told else None
        if hit:
            found.append(int(hit[1]))
    return found


def reason(log: str) -> str:
    """Return why a member ended, in few words, from the end of its log: a full disk, a port that is taken, its last alarm, its last line."""
    lines = log.strip().splitlines()[-60:]
    for line in reversed(lines):
        if _FULL in line:
            return "the disk that holds its data is full (no space left on device); free some, or set TMPDIR to a folder with room"
        if _TAKEN in line:
            found = re.search(r"listen tcp (\S+?): bind", line)
            return f"{found[1] if found else 'its port'} is taken by another program"
    found_alarms = list(alarms("\n".join(lines)))
    if found_alarms:
        return _short(found_alarms[-1])
    told = [line for line in lines if not line.startswith(("\t", "goroutine ", "main.", "runtime."))]
    return _short(told[-1]) if told else "it wrote nothing"


def _short(line: str) -> str:
    told = _told(line)
    if told is None:
        return line[:LONGEST]
    error = told.get("error")
    return f"{told.get('msg', '')}" + (f": {error}" if error else "")
