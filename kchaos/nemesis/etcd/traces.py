"""Evidence that a fault bit: what changed in the members and between them while it lasted, and what nothing else can have caused.

Four things: a member whose applied index stands still while another's goes on, a new term or leader, broken connections between peers
(etcd's own counters), and bytes that one member has sent and the other has not got. None of it says by itself who caused it, so

- what the whole cluster shows (terms, leaders, broken connections) counts for a fault that met a calm cluster (:meth:`Target.calm`), and as
  long as it is alone; terms and leaders only if the leader before or after is one of those whom the fault is about;
- from the moment another fault comes, members that this one disturbs are left out, and links from and to them. What was seen before stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from kchaos.nemesis.etcd.target import Status, Target
from kchaos.nemesis.fault import Evidence

MOVES = 20
"""Entries that another member must have applied for a stand-still to count: fewer can be an idle cluster, or a poll between two batches."""
BEHIND_S = 0.5
"""For how long a member must have been so far behind: a follower hears of what is committed within a heartbeat, 100 ms."""
HELD, HELD_SHARE = 1000, 0.2
"""Bytes, and share of all that was sent, that must not have arrived to count as held where links are cut. Where connections are slow what is
under way is late, not lost, and less of it: there :data:`READS` is the bound.
"""
READS = 1.5
"""The counters of two members are read at two instants, so they differ by what passes while all are read; it does not pass evenly, so this many
times that must be missing.
"""
Pairs = Sequence[tuple[str, str]]
Counts = dict[str, int | float]


class Traces:
    """Looks on from injection to :meth:`close`; ``pairs`` are the links that the fault is about. Made before anything is done."""

    def __init__(self, target: Target, pairs: Pairs = (), slowed: bool = False, victims: Sequence[str] = ()) -> None:
        self._target = target
        self._victims = tuple(victims) or target.cluster.members
        """Who may stand still for it."""
        self._pairs = tuple(pairs)
        self.touched = frozenset((*self._victims, *(name for pair in pairs for name in pair)))
        self._slowed = slowed
        self._leaders: frozenset[str] = frozenset()
        self._last: dict[str, Status] = {}
        self._since: dict[str, tuple[float, int]] = {}
        self._behind: dict[str, float] = {}
        self._lag = 0
        self._still_s = 0.0
        self._trouble = target.trouble()
        disturbed = [other.touched for other in target.watched]
        self._alone = target.watch(self)
        """Whether what the whole cluster shows is this fault's doing."""
        self._others = target.unsettled.union(*disturbed)
        """Whom other faults disturb, or have disturbed and it is not over yet."""
        self._term = target.term
        self._leader = target.leader
        began = target.now()
        self._before = target.cluster.links.bytes() if self._pairs else {}
        self._read_at = target.now()
        self._reading_s = self._read_at - began
        self._clean: Counts = {}
        self._found: Counts | None = None
        target.listeners.append(self._seen)

    def overlap(self, members: frozenset[str]) -> None:
        """Keep what was seen until now, and leave out from now on whatever those members show, and the cluster as a whole."""
        self._clean = self._counted()
        self._alone = False
        self._others |= members

    def _seen(self, member: str, status: Status) -> None:
        """Take one status: a member stands still while its applied index is what it was, and the others' rises."""
        if status.leader in self._target.cluster.members and status.leader != self._leader:
            self._leaders |= {status.leader}
        if member not in self._victims or member in self._others:
            self._last[member] = status
            return
        front = max((one.applied for one in self._last.values()), default=status.applied)
        before = self._last.get(member)
        self._last[member] = status
        if before is None or before.applied != status.applied:
            self._since[member] = (status.t, max(front, status.applied))
            self._behind.pop(member, None)
            return
        since, front_then = self._since.setdefault(member, (status.t, front))
        if front - front_then >= MOVES and status.t - self._behind.setdefault(member, status.t) >= BEHIND_S:
            self._still_s = max(self._still_s, status.t - since)
            self._lag = max(self._lag, front - status.applied)

    def close(self) -> Evidence:
        """Stop looking, and return what was seen; the same again when called again."""
        if self._found is None:
            self._target.listeners.remove(self._seen)
            self._found = self._counted()
            self._target.unwatch(self)
        return {**self._found}

    def so_far(self) -> Evidence:
        """Return what was seen until now."""
        return {**(self._found if self._found is not None else self._counted())}

    def _failures(self) -> int:
        """Return how many more connections broke, member by member: one that has started anew counts from 0."""
        before = self._trouble
        return int(sum(now - before.get(name, 0.0) if now >= before.get(name, 0.0) else now for name, now in self._target.trouble().items()))

    def _counted(self) -> Counts:
        """Return what is seen now, and where it was more before another fault came: that."""
        found: Counts = {"stood_still_s": round(self._still_s, 2), "applied_lag": self._lag}
        if self._alone:
            about_it = self._leader in self._victims or any(name in self._victims for name in self._leaders)
            terms = max(0, self._target.term - self._term)
            found |= {"terms": terms * about_it, "new_leaders": len(self._leaders) * about_it, "peer_failures": self._failures()}
        if self._pairs:
            found["bytes_held"] = self._held()
        return found | {name: value for name, value in self._clean.items() if value > found.get(name, 0)}

    def _held(self) -> int:
        """Return how much more of what was sent has not arrived than before; 0 if two readings differ by as much."""
        began = self._target.now()
        after = self._target.cluster.links.bytes()
        reading_s = self._reading_s + self._target.now() - began
        held = passed = 0
        for pair in self._pairs:
            if pair in after and pair in self._before and not self._others.intersection(pair):
                now, before = after[pair], self._before[pair]
                received, sent = now.received - before.received, now.sent - before.sent
                held += max(0, received - sent)
                passed += max(0, sent)
        share = READS * reading_s / max(began - self._read_at, 0.001)
        return held if held > max(HELD, (share if self._slowed else max(share, HELD_SHARE)) * (held + passed)) else 0
