"""How much memory a process has taken at most."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_mb() -> float:
    """Return the most that this process has held, in MB.

    By Linux's own count: there getrusage also counts what the parent held when it started this one
    (https://man7.org/linux/man-pages/man2/getrusage.2.html: ru_maxrss is kept over execve).
    """
    status = Path("/proc/self/status")
    if status.exists() and (found := _PEAK.search(status.read_text(encoding="ascii"))):
        return int(found[1]) / 1000
    per_mb = 1_000_000 if sys.platform == "darwin" else 1000  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mb
