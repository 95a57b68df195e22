"""Tasks of one event loop: waiting until something stops, ending what runs, and keeping the garbage collector out of its way."""

from __future__ import annotations

import asyncio
import gc
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


async def uncollected(stop: asyncio.Event, every_s: float = 1.0) -> None:
    """Until ``stop``, keep what has been recorded from being looked through by Python's garbage collector.

    A history only grows, and has no cycles; yet the collector goes over all of it now and then, while the loop stands still: measured 1 s at
    300,000 operations and 3 s at 900,000, longer than a call may take, so that calls would seem to be unanswered. Cycles that are made
    meanwhile (of errors and tasks) stay until ``stop``.
    """
    try:
        while not await slept(stop, every_s):
            gc.freeze()
    finally:
        gc.unfreeze()
