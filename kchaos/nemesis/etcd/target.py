"""What the faults of a run of real etcd act on: the cluster, and what its members last said of themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kchaos.nemesis.fault import Kind
from kchaos.nemesis.targets import Call, Resolved
from kchaos.real.cluster import Cluster
from kchaos.real.probe import peer_trouble, serves

AGAIN_S = 0.02
SERVES_WITHIN_S = 15.0
"""How long a fault that restarts members waits for one to serve again: recovery of its log, and an election or two."""
SYMBOLS = {"leader()": "who leads now", "follower()": "the first member that does not lead now"}
"""Symbolic targets for a member, resolved when the fault fires."""


class Status(NamedTuple):
    """A member's answer to Maintenance.Status; ``leader`` is the name of whom it follows, empty if of nobody."""

    t: float
    revision: int
    term: int
    applied: int
    leader: str


class Target:
    """A cluster under faults. ``mark`` records; ``status`` marks are shown to it by :meth:`observe`."""

    def __init__(self, cluster: Cluster, mark: Callable[..., None]) -> None:
        self.cluster = cluster
        self.mark = mark
        self.statuses: dict[str, Status] = {}
        self.listeners: list[Callable[[str, Status], None]] = []
        self.down: set[str] = set()
        """Whom a fault has killed and not started again, and whose own end is recorded already."""
        self.open = 0
        """How many faults are being watched now."""
        self.opened = 0
        """How many have been since the run began."""
        self.ended = threading.Event()
        """Set when the run is broken off: a fault that takes its time gives up then."""

    def observe(self, t: float, data: Mapping[str, Any]) -> None:
        """Take a ``status`` mark; one of a member that did not answer changes nothing."""
        if "error" in data:
            return
        status = Status(t, data["revision"], data["raft_term"], data["raft_applied_index"], data["leader"])
        self.statuses[data["member"]] = status
        for listener in tuple(self.listeners):
            listener(data["member"], status)

    @property
    def term(self) -> int:
        """Return the highest term that any member has told of."""
        return max((one.term for one in self.statuses.values()), default=0)

    @property
    def leader(self) -> str:
        """Return whom the members of the highest term follow; empty if nobody is known."""
        return next((one.leader for one in self.statuses.values() if one.term == self.term and one.leader), "")

    def trouble(self) -> dict[str, float]:
        """Return how often each member's connections to its peers broke, of those that answer."""
        running = [name for name in self.cluster.members if self.cluster.state(name) == "running"]
        found = {name: peer_trouble(self.cluster.endpoint(name)) for name in running}
        return {name: one for name, one in found.items() if one is not None}

    def await_serving(self, member: str) -> float | None:
        """Wait until a member serves; return the seconds it took, None if it took longer than :data:`SERVES_WITHIN_S` or the run is over.

        That is no error here: whether all members serve once everything is healed is what KC410 judges.
        """
        began = time.monotonic()
        while not serves(self.cluster.endpoint(member)):
            if time.monotonic() - began > SERVES_WITHIN_S or self.ended.wait(AGAIN_S):
                return None
        return time.monotonic() - began


def resolve(target: Target, kind: Kind[Target], sort: str, text: str, _of: str) -> Resolved:
    """Return what a step's target stands for now: a member by name, ``leader()`` or ``follower()``; ``cluster``."""
    if sort == "cluster":
        return Resolved(("cluster",))
    call = Call.of(text)
    if call is None:
        known = text in target.cluster.members
        return Resolved((text,)) if known else Resolved((), f"there is no member {text}: {', '.join(target.cluster.members)}")
    leader = target.leader
    if not leader:
        return Resolved((), "nobody leads now")
    if call.word == "leader":
        return Resolved((leader,), "the leader")
    others = [name for name in target.cluster.members if name != leader]
    return Resolved((others[0],), "a follower") if others else Resolved((), "the only member leads")
