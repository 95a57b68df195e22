"""API timestamps: metav1.Time has whole seconds, metav1.MicroTime six digits; both UTC, RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=65536)
def _whole(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(epoch_s: float) -> str:
    """Return ``2026-01-01T00:00:00Z`` for seconds since the Unix epoch, cut to whole seconds."""
    return _whole(int(epoch_s))


def micro(epoch_s: float) -> str:
    """Return ``2026-01-01T00:00:00.000000Z``."""
    whole = int(epoch_s)
    return f"{_whole(whole)[:-1]}.{min(999_999, round((epoch_s - whole) * 1_000_000)):06d}Z"


@lru_cache(maxsize=65536)
def parse(text: str) -> float:
    """Return seconds since the Unix epoch of an RFC 3339 timestamp. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
