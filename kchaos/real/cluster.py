"""A real etcd cluster behind one interface, whatever it runs on: local processes or containers.

All calls are synchronous and take well under a second, but for :meth:`Cluster.start`; an asyncio program calls them in a thread. What the
environment does wrong is a :class:`kchaos.errors.HarnessError` of one sentence that says how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from kchaos.errors import HarnessError

Undo = Callable[[], None]


class MemberExited(HarnessError):
    """A member ended by itself as soon as it was started again: its own doing, unlike a full disk or a port that is taken."""


class LinkBytes(NamedTuple):
    """Of the data from source to target, in bytes: what the source has sent, and what has arrived. The rest is held, or dropped."""

    received: int
    sent: int


class Links(Protocol):
    """The peer connections of a cluster: one Toxiproxy proxy per directed pair (source dials target).

    A connection carries data both ways, so that a cut of a -> b drops what a sends on the connections that it has dialled (upstream of the
    proxy a->b) and on those that b has dialled (downstream of b->a); measured in docs/adr/0007-peer-proxies-of-processes.md.
    """

    def cut(self, pairs: Sequence[tuple[str, str]]) -> Undo:
        """Let no data pass from source to target, for each pair, until the undo that is returned is called.

        Cuts and toxics may overlap: a pair is whole again when the last of them is undone. Calling an undo twice does nothing.
        """

    def toxic(self, pairs: Sequence[tuple[str, str]], kind: str, **attributes: int) -> Undo:
        """Lay a toxic on the data from source to target of each pair, until it is undone: latency (latency, jitter ms), bandwidth
        (rate KB/s), reset_peer (timeout ms), slow_close (delay ms). Where toxics overlap on a
        pair the later one counts, and a cut before all.
        """

    def heal(self) -> None:
        """Undo everything at once."""

    def bytes(self) -> Mapping[tuple[str, str], LinkBytes]:
        """Return what was sent and what arrived of the data of each directed pair since the start; a member that is down keeps its figures."""

    def ended(self) -> Mapping[tuple[str, str], LinkBytes]:
        """Return the same of connections alone: ``received`` of those that the source has ended, ``sent`` of those whose end the target knows."""


class Cluster(Protocol):
    """1, 3 or 5 etcd members with Toxiproxy between them."""

    @property
    def members(self) -> tuple[str, ...]:
        """Return their names: m1, m2, …"""

    @property
    def links(self) -> Links:
        """Return their peer connections."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Return what runs: etcd, toxiproxy, backend, and for containers docker and image; known once started."""

    def start(self) -> None:
        """Start all, and wait until every member answers a linearizable read. Raises HarnessError; then nothing is left."""

    def stop(self) -> None:
        """Leave no process, container, network, port or directory; may be called twice, and after a start that failed."""

    def endpoint(self, member: str) -> str:
        """Return where clients reach it, host:port; the same over restarts."""

    def kill(self, member: str) -> None:
        """SIGKILL it, and wait until it is gone; nothing happens if it does not run."""

    def restart(self, member: str) -> None:
        """Start a killed member again with its data; does not wait until it serves. Raises MemberExited if it exits at once."""

    def pause(self, member: str) -> None:
        """SIGSTOP it (containers: freeze)."""

    def resume(self, member: str) -> None:
        """SIGCONT it."""

    def state(self, member: str) -> str:
        """Return running, paused or exited."""

    def disturbed(self, member: str) -> str:
        """Return in a sentence that someone else has ended a member, or holds it; "" of one that runs, or ended by itself or by :meth:`kill`."""

    def log(self, member: str) -> str:
        """Return what it wrote, over all its starts."""

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        """Copy the logs of all members and proxies into a folder."""
