"""Tasks of one event loop: waiting until something stops, and ending what runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any


async def slept(stop: asyncio.Event, seconds: float) -> bool:
    """Wait, at most until ``stop``; True if that came first."""
    if seconds <= 0:
        return stop.is_set()
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """End tasks, and wait for them. What one of them has failed with, if it was not this, is raised."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    for outcome in await asyncio.gather(*ending, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
