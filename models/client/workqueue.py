"""The work queue of a controller: keys without doubles, one worker a key at a time, exponential back-off per key.

Rules: k8s.io/client-go/util/workqueue (default controller rate limiter: 5 ms doubling to 1000 s per item; the overall 10 qps bucket
of 100 is not modelled, it only delays bursts of over 100 failures). Workers are started on demand, up to ``workers`` at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from kchaos.models.api.errors import ApiError
from kchaos.runtime import Runtime, Timer

BASE_S = 0.005
MAX_S = 1000.0


class WorkQueue:
    """Calls ``sync(key)`` for each key added; an ApiError puts the key back with back-off. Other errors fail the run."""

    def __init__(
        self,
        rt: Runtime,
        name: str,
        sync: Callable[[str], Awaitable[None]],
        workers: int = 5,
        base_s: float = BASE_S,
        max_s: float = MAX_S,
    ) -> None:
        self._rt = rt
        self.name = name
        self._sync = sync
        self._workers = workers
        self._base_s, self._max_s = base_s, max_s
        self._queue: deque[str] = deque()
        self._dirty: dict[str, None] = {}
        self._active: dict[str, None] = {}
        self._failures: dict[str, int] = {}
        self._timers: dict[str, tuple[float, Timer]] = {}
        self._running = False
        self.on_error: Callable[[str, ApiError], None] | None = None

    def start(self) -> None:
        """Begin to work on what was added."""
        self._running = True
        self._feed()

    def stop(self) -> None:
        """Take up nothing new."""
        self._running = False

    def add(self, key: str) -> None:
        """Sync ``key`` soon: once, however often it is added before; again, if it is being worked on now."""
        if key in self._dirty:
            return
        self._dirty[key] = None
        if key not in self._active:
            self._queue.append(key)
            self._feed()

    def add_after(self, key: str, delay_s: float) -> None:
        """Sync ``key`` in ``delay_s`` seconds; the earliest of several wins (delaying_queue.go)."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._rt.now() + delay_s
        found = self._timers.get(key)
        if found is not None:
            if found[0] <= due:
                return
            found[1].cancel()
        self._timers[key] = (due, self._rt.call_later(delay_s, self._due, key))

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def add_rate_limited(self, key: str) -> None:
        """Sync ``key`` after its back-off."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._max_s, self._base_s * 2 ** min(failures, 30)))

    def forget(self, key: str) -> None:
        """Start the back-off of ``key`` afresh."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """Return how often ``key`` was put back since it was last forgotten."""
        return self._failures.get(key, 0)

    def _feed(self) -> None:
        while self._running and self._queue and len(self._active) < self._workers:
            key = self._queue.popleft()
            del self._dirty[key]
            self._active[key] = None
            self._rt.spawn(self._work(key), f"{self.name} {key}")

    async def _work(self, key: str) -> None:
        try:
            await self._sync(key)
        except ApiError as error:
            if self.on_error is not None:
                self.on_error(key, error)
            self.add_rate_limited(key)
        else:
            self.forget(key)
        del self._active[key]
        if key in self._dirty:
            self._queue.append(key)
        self._feed()
