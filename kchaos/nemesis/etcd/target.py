"""What the faults of a run of real etcd act on: the cluster, and what its members last said of themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from kchaos.nemesis.fault import Kind
from kchaos.nemesis.targets import Call, Resolved
from kchaos.real.cluster import Cluster
from kchaos.real.probe import peer_trouble, serves

AGAIN_S = 0.02
SERVES_WITHIN_S = 15.0
"""How long a fault that restarts members waits for one to serve again: recovery of its log, and an election or two."""
CALM_S = 1.0
"""How long term, leader and connections must have been as they are for a cluster to be calm. An election takes 1 to 2 s from the last heartbeat,
but once peers hear each other again a heartbeat comes every 100 ms, and none begins any more.
"""
CALM_WITHIN_S = 5.0
"""How long a fault waits for that: what comes of the one before is over in 3 s as a rule."""
FRESH_S = 1.0
"""How old an answer of a member may be; four a second are asked for."""
LATE_S = 0.75
"""A member of a calm cluster has applied what any had applied so long ago."""
LOOK_S = 0.2
SYMBOLS = {"leader()": "who leads now", "follower()": "the first member that does not lead now"}
"""Symbolic targets for a member, resolved when the fault fires."""


class Status(NamedTuple):
    """A member's answer to Maintenance.Status; ``leader`` is the name of whom it follows, empty if of nobody."""

    t: float
    revision: int
    term: int
    applied: int
    leader: str


class Watching(Protocol):
    """What looks on while a fault lasts."""

    @property
    def touched(self) -> frozenset[str]:
        """Return the members that its fault disturbs."""

    def overlap(self, members: frozenset[str]) -> None:
        """Hear, before it happens, that another fault is going to disturb these."""


class Target:
    """A cluster under faults. ``mark`` records; ``status`` marks are shown to it by :meth:`observe`; ``now`` is the clock of their times."""

    def __init__(self, cluster: Cluster, mark: Callable[..., None], now: Callable[[], float] = time.monotonic) -> None:
        self.cluster = cluster
        self.mark = mark
        self.now = now
        self.statuses: dict[str, Status] = {}
        self.listeners: list[Callable[[str, Status], None]] = []
        self.down: set[str] = set()
        """Whom a fault has killed and not started again, and whose own end is recorded already."""
        self.watched: tuple[Watching, ...] = ()
        """Those that look on at faults now."""
        self.unsettled: frozenset[str] = frozenset()
        """Whom faults have disturbed that have ended since the cluster was last known to be calm."""
        self._healed_at = float("-inf")
        """When a fault has last ended."""
        self._view: tuple[int, str] | None = None
        self._since = 0.0
        """Since when all members tell of one term and one leader: ``_view``, None if they don't."""
        self._fronts: tuple[tuple[float, int], ...] = ()
        """How far the first had applied at some times, of late. Replaced, never changed: another thread reads it."""
        self._troubles: dict[str, float] | None = None
        self._quiet_since = 0.0
        self.ended = threading.Event()
        """Set when the run is broken off: a fault that takes its time gives up then."""

    def observe(self, t: float, data: Mapping[str, Any]) -> None:
        """Take a ``status`` mark; one of a member that did not answer only says that the cluster is not whole."""
        if "error" in data:
            self._view = None
            return
        status = Status(t, data["revision"], data["raft_term"], data["raft_applied_index"], data["leader"])
        self.statuses[data["member"]] = status
        views = {(one.term, one.leader) for one in self.statuses.values()}
        view = views.pop() if len(views) == 1 and len(self.statuses) == len(self.cluster.members) else None
        if view is not None and view[1] not in self.cluster.members:  # nobody leads, or somebody whose name is not known yet
            view = None
        if view is None or view != self._view:
            self._since = t
        self._view = view
        self._fronts = (*self._fronts[-100:], (t, max(one.applied for one in self.statuses.values())))
        for listener in tuple(self.listeners):
            listener(data["member"], status)

    def calm(self) -> bool:
        """Tell whether all members answer, and have followed one leader in one term for a while, none lagging, no connection breaking.

        That while begins at the end of the last fault at the earliest.
        """
        now = self.now()
        newest = tuple(self.statuses.values())
        since = max(self._since, self._quiet_since, self._healed_at)
        if self._view is None or any(one.t < now - FRESH_S for one in newest) or now - since < CALM_S:
            return False
        known = max((front for t, front in self._fronts if t <= now - LATE_S), default=0)
        return all(one.applied >= known for one in newest)

    def watch(self, one: Watching) -> bool:
        """Note who looks on at a fault that is about to begin; those who look on at others hear of it before.

        Return whether it is alone, and meets a calm cluster.
        """
        alone = not self.watched and self.calm()
        if alone:
            self.unsettled = frozenset()
        for other in self.watched:
            other.overlap(one.touched)
        self.watched = (*self.watched, one)
        return alone

    def unwatch(self, one: Watching) -> None:
        """Note that it has ended."""
        self.watched = tuple(other for other in self.watched if other is not one)
        self.unsettled |= one.touched
        self._healed_at = self.now()

    def await_calm(self, within_s: float = CALM_WITHIN_S) -> bool:
        """Wait until the cluster is calm, so that what is seen from now on is not the aftermath of what has been; tell whether it came to be so."""
        until = self.now() + within_s
        while True:
            self.trouble()
            if self.calm():
                self.unsettled = frozenset()
                return True
            if self.now() >= until or self.ended.wait(LOOK_S):
                return False

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
        told = {name: one for name, one in found.items() if one is not None}
        if told != self._troubles:
            self._troubles, self._quiet_since = told, self.now()
        return told

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
