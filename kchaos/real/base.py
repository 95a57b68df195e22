"""What both backends of a cluster have alike: its members' names, what is known once it is started, and its life as a context manager."""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real.links import ToxicLinks

SIZES = (1, 3, 5)


OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What no program does to itself; the others that end one (SEGV, ABRT, …) are its own doing."""


def from_outside(member: str, code: int) -> str:
    """Return who ended a member; ``code`` as subprocess tells it: negative for a signal. An etcd that is told to end as a container's first process ends with 0."""
    if code == 0:
        return f"etcd {member} was told to end from outside, by someone else than kchaos: what came afterwards proves nothing; run again"
    if -code in OUTSIDE:
        by = signal.Signals(-code).name
        memory = ", or the kernel for lack of memory" if -code == signal.SIGKILL else ""
        return f"etcd {member} was ended from outside by {by}: someone else than kchaos did so{memory}; what came afterwards proves nothing; run again"
    return ""


def held(member: str) -> str:
    """Return that a member stands still though no fault has paused it."""
    return f"etcd {member} was stopped from outside (SIGSTOP, docker pause), by someone else than kchaos: what came afterwards proves nothing; run again"


class Base(ABC):
    """The part of :class:`kchaos.real.cluster.Cluster` that does not depend on what it runs on. ``flags``: for each etcd, after kchaos's own.

    Raises InvalidScenario for a size that nobody runs.
    """

    def __init__(self, size: int, flags: Sequence[str]) -> None:
        if size not in SIZES:
            raise InvalidScenario(f"a cluster of {size} members can't be had", hint="1, 3 or 5")
        self.members = tuple(f"m{index}" for index in range(1, size + 1))
        self._flags = tuple(flags)
        self._versions: dict[str, str] = {}
        self._links: ToxicLinks | None = None
        self._lock = threading.RLock()
        self._owner = os.getpid()

    @property
    def versions(self) -> Mapping[str, str]:
        """Return what runs: etcd, toxiproxy, backend, and for containers docker and image; known once started."""
        return self._versions

    @property
    def links(self) -> ToxicLinks:
        """Return the peer connections. Raises HarnessError if the cluster is not started."""
        if self._links is None:
            raise HarnessError("the cluster is not started")
        return self._links

    @abstractmethod
    def start(self) -> None:
        """Start all, and wait until every member answers a linearizable read. Raises HarnessError or InvalidScenario; then nothing is left."""

    @abstractmethod
    def stop(self) -> None:
        """Leave nothing; may be called twice, and after a start that failed."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _elsewhere(self) -> bool:
        """Tell whether this is a fork of the program that has started it, whose cluster is not its to stop."""
        return os.getpid() != self._owner

    def _known(self, member: str) -> None:
        if member not in self.members:
            raise InvalidScenario(f"there is no member {member}", hint=", ".join(self.members))
