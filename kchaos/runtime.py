"""What a component may touch: time, tasks, network, disk, randomness and the wall clock; nothing else.

A component is written once against :class:`Runtime` and runs unchanged in the simulated world (``kchaos.sim``: virtual time,
deterministic) and on stock asyncio (``kchaos.real``). ``tests/kchaos/test_runtime_conformance.py`` holds both to one contract:

- ``now`` never goes back; a timer never fires early; timers of one process due at the same instant fire in the order they were set.
- messages between two processes arrive in the order they were sent unless a fault says otherwise, or not at all.
- a message to a process that does not listen comes back to the sender's handler as :class:`Refused`.
- a task that raises is reported as a failure of the whole run, never dropped.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

Handler = Callable[[str, Any], None]
"""Called with the sender's address and the payload of each message that arrives."""


class Timer(Protocol):
    """A callback that has yet to fire."""

    def cancel(self) -> None:
        """Never fire; without effect when it has fired."""


class Task(Protocol):
    """A coroutine under way."""

    def cancel(self) -> object:
        """Raise ``CancelledError`` inside the coroutine at its next wait."""

    def done(self) -> bool:
        """Tell whether the coroutine has ended."""


class Gate(Protocol):
    """A one-shot rendezvous: one side opens it with a value, the other awaits it."""

    def open(self, value: Any = None) -> None:
        """Let the waiter go on with ``value``; a second call has no effect."""

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` in the waiter; without effect once open."""

    def wait(self) -> Awaitable[Any]:
        """Return what to await: the value, or the error raised. At most one waiter."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Returned to the sender of ``payload`` when the host is up but no such process listens (TCP reset)."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Told to a listener when its connections to ``host`` are given up: nothing came through for the health-check time."""

    host: str


class Disk(Protocol):
    """Files of one host. Paths are plain strings with ``/``; contents are bytes.

    What survives a crash is what the last ``sync`` of that path made durable; see ``kchaos.sim.disk`` for the crash model.
    """

    def read(self, path: str) -> bytes:
        """Return the whole content. Raises FileNotFoundError, or OSError(EIO) under a fault."""

    def append(self, path: str, data: bytes) -> None:
        """Add ``data`` at the end, creating the file. Not durable before ``sync``. Raises OSError(ENOSPC|EIO)."""

    def write(self, path: str, data: bytes) -> None:
        """Replace the content in place (not atomic over a crash). Raises OSError(ENOSPC|EIO)."""

    def sync(self, path: str) -> None:
        """Make the file's content durable (fsync). Raises OSError(EIO); then nothing is promised for this file."""

    def rename(self, old: str, new: str) -> None:
        """Rename atomically; the new name is durable only after ``sync_dir``."""

    def sync_dir(self) -> None:
        """Make names (creations, renames, removals) durable (fsync of the directory)."""

    def remove(self, path: str) -> None:
        """Remove the file. Raises FileNotFoundError."""

    def listdir(self) -> list[str]:
        """Return all paths, sorted."""

    def free_share(self) -> float:
        """Return which part of the disk is free, from 0 to 1."""


class Runtime(Protocol):
    """All that one process may touch."""

    @property
    def host(self) -> str:
        """Return the name of the machine this process runs on."""

    @property
    def address(self) -> str:
        """Return this process's network address, ``host/process``."""

    @property
    def disk(self) -> Disk:
        """Return the host's disk."""

    def now(self) -> float:
        """Return monotonic seconds on this host's clock."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch as this host's (possibly wrong) clock shows."""

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any, background: bool = False) -> Timer:
        """Call back after ``delay_s`` (>= 0) seconds of this host's clock.

        ``background`` marks periodic upkeep (heartbeats, resyncs): a run may end while only such timers are left.
        """

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call back before any timer, after what is already due."""

    async def sleep(self, delay_s: float, *, background: bool = False) -> None:
        """Wait for ``delay_s`` seconds of this host's clock."""

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> Task:
        """Start ``coroutine`` as a task of this process."""

    def gate(self) -> Gate:
        """Return a new closed gate."""

    def random(self, purpose: str) -> random.Random:
        """Return this process's stream of random numbers for ``purpose``; the same object at each call."""

    def listen(self, handler: Handler) -> None:
        """Receive this process's messages, :class:`Refused` and :class:`Disconnected` with ``handler`` from now on."""

    def send(self, address: str, payload: Any, stream: int | None = None) -> None:
        """Send an immutable, JSON-like ``payload`` to ``address``; it arrives later, or never.

        Messages with the same ``stream`` to one address arrive in the order in which they were sent, as the frames of one HTTP/2
        stream do; others may overtake each other.
        """
