"""Evidence that a fault bit: what changed in the members and between them while it lasted.

Four things that only a working fault can cause: a member whose applied index stands still while another's goes on, a new term or leader,
broken connections between peers (etcd's own counters), and bytes that Toxiproxy took and did not pass on.
"""

from __future__ import annotations

from collections.abc import Sequence

from kchaos.nemesis.etcd.target import Status, Target
from kchaos.nemesis.fault import Evidence

MOVES = 20
"""Entries that another member must have applied for a stand-still to count: fewer can be an idle cluster, or a poll between two batches."""
HELD, HELD_SHARE = 1000, 0.2
"""Bytes, and share of all that was sent, that must not have arrived to count as held: the counters of two members are read at two
instants, which without any fault makes a difference of up to 4 kB, or 1.5 % of what passes (measured at 1,500 operations per second).
"""
LATE_SHARE = 0.03
"""The same where connections are slow: what is under way is late, not lost, and less of it."""
Pairs = Sequence[tuple[str, str]]


class Traces:
    """Looks on from injection to :meth:`close`; ``pairs`` are the links that the fault is about."""

    def __init__(self, target: Target, pairs: Pairs = (), slowed: bool = False, victims: Sequence[str] = ()) -> None:
        self._target = target
        self._victims = tuple(victims) or target.cluster.members
        """Who may stand still for it."""
        self._pairs = tuple(pairs)
        self._slowed = slowed
        self._term = target.term
        self._leader = target.leader
        self._leaders: set[str] = set()
        self._last: dict[str, Status] = {}
        self._since: dict[str, tuple[float, int]] = {}
        self._lag = 0
        self._still_s = 0.0
        self._before = target.cluster.links.bytes() if self._pairs else {}
        self._trouble = target.trouble()
        target.opened += 1
        target.open += 1
        self._number = target.opened
        self._alone = target.open == 1
        self._found: Evidence | None = None
        target.listeners.append(self._seen)

    def _seen(self, member: str, status: Status) -> None:
        """Take one status: a member stands still while its applied index is what it was, and the others' rises."""
        if status.leader and status.leader != self._leader:
            self._leaders.add(status.leader)
        if member not in self._victims:
            self._last[member] = status
            return
        front = max((one.applied for one in self._last.values()), default=status.applied)
        before = self._last.get(member)
        self._last[member] = status
        if before is None or before.applied != status.applied:
            self._since[member] = (status.t, max(front, status.applied))
            return
        since, front_then = self._since.setdefault(member, (status.t, front))
        if front - front_then >= MOVES:
            self._still_s = max(self._still_s, status.t - since)
            self._lag = max(self._lag, front - status.applied)

    def close(self) -> Evidence:
        """Stop looking, and return what was seen; the same again when called again."""
        if self._found is None:
            self._target.listeners.remove(self._seen)
            self._found = self._counted()
            self._target.open -= 1
        return self._found

    def so_far(self) -> Evidence:
        """Return what was seen until now."""
        return self._found if self._found is not None else self._counted()

    def _failures(self) -> int:
        """Return how many more connections broke, member by member: one that has started anew counts from 0."""
        before = self._trouble
        return int(sum(now - before.get(name, 0.0) if now >= before.get(name, 0.0) else now for name, now in self._target.trouble().items()))

    def _counted(self) -> Evidence:
        after = self._target.cluster.links.bytes() if self._pairs else {}
        held = passed = 0
        for pair in self._pairs:
            if pair in after and pair in self._before:
                received = after[pair].received - self._before[pair].received
                sent = after[pair].sent - self._before[pair].sent
                held += max(0, received - sent)
                passed += max(0, sent)
        found: Evidence = {"stood_still_s": round(self._still_s, 2), "applied_lag": self._lag}
        if self._alone and self._number == self._target.opened:  # else another fault may have caused what is seen of the whole cluster
            found |= {"terms": max(0, self._target.term - self._term), "new_leaders": len(self._leaders), "peer_failures": self._failures()}
        if self._pairs:
            share = LATE_SHARE if self._slowed else HELD_SHARE
            found["bytes_held"] = held if held > max(HELD, share * (held + passed)) else 0
        return found
