"""What an etcd log (3.4 to 3.6) says of itself: panics, fatal errors, corruption, elections; pure, line by line.

etcd writes one JSON object a line (zap); what the Go runtime or a library prints (``panic:``, ``fatal error:``) stands raw between them.
A word in the middle of a message or of a dumped configuration proves nothing, so JSON lines are judged by their level and message only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from kchaos.errors import HarnessError
from kchaos.real.cluster import Cluster, MemberExited

_RAW = re.compile(r"^(panic: |fatal error: |unexpected fault address|SIG[A-Z]+: |runtime: (out of memory|goroutine stack exceeds))")
_CORRUPT = re.compile(
    r".*(data corruption|corrupt alarm|found data inconsistency|found hash mismatch|checkInitialHashKV failed"
    r"|initial corruption check.*mismatch|corrupt check failed|tocommit\(\d+\) is out of range|file corrupted|crc mismatch)",
    re.IGNORECASE,
)
_BENIGN = re.compile(r"not fatal|repaired|starting initial corruption check|initial corruption checking passed", re.IGNORECASE)
_LEADER = re.compile(r"^\S+ became leader at term (\d+)")
_FULL = "no space left on device"
TAKEN = "address already in use"
_GOROUTINE = re.compile(r"^goroutine \d+ \[")
_WRONG_FLAG = ("flag provided but not defined", "invalid value ", "flag needs an argument")
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
    """Yield each line that tells of a panic, a fatal error or corrupt data, without its stack, cut at :data:`LONGEST` characters.

    A disk that is full is no fault of etcd: it ends so by design, and :func:`reason` says it.
    """
    for line, told in _alarms(log.splitlines()):
        yield (line if told is None else json.dumps({name: value for name, value in told.items() if name != "stacktrace"}))[:LONGEST]


def _alarms(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield (line, what it decodes to if it is JSON)."""
    said = ""  # zap prints a panic as JSON, and then the Go runtime prints its message again
    for line in lines:
        told = _told(line)
        if told is None:
            if _RAW.match(line) and not (said and line.startswith(f"panic: {said}"[:60])) and _FULL not in line:
                yield line, None
            elif _GOROUTINE.match(line):
                said = ""
            continue
        level, message = str(told.get("level", "")), str(told.get("msg", ""))
        if level in ("panic", "fatal", "dpanic"):
            said = message
            if _FULL not in f"{message} {told.get('error', '')}":
                yield line, told
        elif level in ("error", "warn") and _corrupt(message, told):
            yield line, told


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
    lines = log.strip().splitlines()
    if lines and (wrong := next((line for line in lines if line.startswith(_WRONG_FLAG)), "")):
        return wrong[:LONGEST]  # its whole usage follows
    lines = lines[-60:]
    for line in reversed(lines):
        if _FULL in line:
            return "the disk that holds its data is full (no space left on device); free some, or set TMPDIR to a folder with room"
        if TAKEN in line:
            found = re.search(r"listen tcp (\S+?): bind", line)
            return f"{found[1] if found else 'its port'} is taken by another program"
    if found_alarms := list(_alarms(lines)):
        return _short(*found_alarms[-1])
    said = [line for line in lines if line and not line.startswith(("\t", "goroutine ", "main.", "runtime."))]
    return _short(said[-1], _told(said[-1])) if said else "it wrote nothing"


def _short(line: str, told: dict[str, Any] | None) -> str:
    if told is None:
        return line[:LONGEST]
    error = told.get("error")
    return f"{told.get('msg', '')}{f': {error}' if error else ''}"[:LONGEST]


def outside(log: str) -> bool:
    """Tell whether a member ended for what it can't help: a full disk, or a port that another program has taken."""
    end = "\n".join(log.strip().splitlines()[-60:])
    return _FULL in end or TAKEN in end


def disturbed(cluster: Cluster, member: str) -> str:
    """Return in a sentence what a member can't help: someone else has ended it or holds it, or it has ended for a full disk or a taken port; else ""."""
    if told := cluster.disturbed(member):
        return told
    if cluster.state(member) == "exited" and outside(log := cluster.log(member)):
        return f"etcd {member} has ended: {reason(log)}"
    return ""


def exited(member: str, log: str) -> HarnessError:
    """Return what to raise of a member that ended as soon as it was started again; ``log`` is of that start."""
    words = f"etcd {member} exits at once when it is started again: {reason(log)}"
    return HarnessError(words) if outside(log) else MemberExited(words)
