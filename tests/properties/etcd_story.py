"""A run of three members of etcd, told by hand: healthy as it stands, and open to every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kchaos.history.operations import Operation, Outcome, Seen, mark_data
from kchaos.history.record import Header, Mark, Run
from kchaos.properties.etcd import ETCD, judge
from tests.properties.planted import Found

MEMBERS = ("m1", "m2", "m3")
K7, K9 = "k7", "k9"
EVENTS: tuple[tuple[Any, ...], ...] = (
    (K7, "a", 2, 2, 1), (K9, "b", 3, 3, 1), (K7, "c", 4, 2, 2), (K7, "d", 5, 2, 3), (K9, "d", 5, 3, 2), (K9, None, 6, 0, 0),
)  # fmt: skip
"""The history of the story: key, value, mod_revision, create_revision, version."""


EVENTS_7 = (*EVENTS, (K7, "e", 7, 2, 4))


def op(t: float, kind: str, revision: int, process: int = 1, member: str = "m1", **more: Any) -> Operation:
    return Operation(process, member, kind, call_s=t, return_s=t + 0.004, outcome=Outcome.OK, revision=revision, **more)


class Story:
    """A healthy run; a case changes what it names before :meth:`judged`."""

    def __init__(self) -> None:
        self.operations = {
            "put a": op(1.0, "put", 2, writes=((K7, "a"),)),
            "put b": op(1.1, "put", 3, 2, "m2", writes=((K9, "b"),)),
            "read a": op(1.2, "get", 3, 3, "m3", reads=(K7,), seen=(Seen(K7, "a", 2, 1, 2),)),
            "cas c": op(1.3, "cas", 4, compares=((K7, 2),), writes=((K7, "c"),)),
            "old": op(1.4, "serializable-get", 3, 3, "m3", reads=(K7,), seen=(Seen(K7, "a", 2, 1, 2),)),
            "txn d": op(1.5, "txn", 5, 2, "m2", writes=((K7, "d"), (K9, "d"))),
            "delete": op(1.6, "delete", 6, writes=((K9, None),), deleted=1),
            "read d": op(1.7, "get", 6, 3, "m3", reads=(K7, K9), seen=(Seen(K7, "d", 5, 3, 2), Seen(K9, None))),
            "late": op(1.8, "serializable-get", 6, 3, "m3", reads=(K9,), seen=(Seen(K9, None),)),
        }
        self.watch: list[tuple[float, str, dict[str, Any]]] = [
            (0.9, "watch", {"watcher": "w", "member": "m2", "prefix": "k", "from_revision": 2}),
            (0.91, "watch-created", {"watcher": "w", "revision": 1}),
            (1.21, "watched", {"watcher": "w", "revision": 3, "events": [EVENTS[0], EVENTS[1]]}),
            (1.31, "watched", {"watcher": "w", "revision": 4, "events": [EVENTS[2]]}),
            (1.32, "watch-ended", {"watcher": "w", "reason": "connection"}),
            (1.4, "watch", {"watcher": "w", "member": "m3", "prefix": "k", "from_revision": 5}),
            (1.41, "watch-created", {"watcher": "w", "revision": 4}),
            (1.51, "watched", {"watcher": "w", "revision": 5, "events": [EVENTS[3], EVENTS[4]]}),
            (1.61, "watched", {"watcher": "w", "revision": 6, "events": [EVENTS[5]]}),
            (1.9, "progress", {"watcher": "w", "revision": 6}),
        ]
        self.logs: dict[str, Sequence[Sequence[Any]]] = dict.fromkeys(MEMBERS, EVENTS)
        self.more: list[tuple[float, str, dict[str, Any]]] = [(0.0, "member", {"member": member, "event": "started"}) for member in MEMBERS]
        self.more += [(1.0 + i / 4, "status", {"member": "m1", "revision": 2 + i, "raft_term": 2, "leader": "m1"}) for i in range(4)]
        self.hashes: dict[str, int] = dict.fromkeys(MEMBERS, 77)
        self.finals: dict[str, dict[str, Any]] = {member: {"reachable": True, "leader": "m1", "raft_term": 2, "revision": 6} for member in MEMBERS}

    def change(self, name: str, **fields: Any) -> None:
        self.operations[name] = self.operations[name]._replace(**fields)

    def run(self) -> Run:
        """Return the run, as it is read from a file."""
        marks = [(one.return_s, "op", mark_data(one)) for one in self.operations.values()] + self.watch + self.more
        marks.append((2.0, "phase", {"name": "final"}))
        for member, value in self.hashes.items():
            marks.append((2.1, "hash", {"member": member, "revision": 6, "hash": value, "compact_revision": -1}))
        for member, events in self.logs.items():
            half, last = len(events) // 2, max(6, *(event[2] for event in events))
            marks.append((2.2, "log", {"member": member, "from_revision": 1, "revision": last, "events": list(events[:half])}))
            marks.append((2.2, "log", {"member": member, "from_revision": 1, "revision": last, "events": list(events[half:])}))
        for member, final in self.finals.items():
            marks.append((2.3, "final", {"member": member, **final}))
        entries = [Mark(t, what, msgspec.json.decode(msgspec.json.encode(data))) for t, what, data in sorted(marks, key=lambda one: one[0])]
        return Run(Header(scenario={"system": "etcd"}), list(entries), "")

    def judged(self, *idents: str) -> Found:
        """Return what is found by the properties that a case is about: one thing wrong is mostly a breach of several claims."""
        return list(judge(self.run(), [ETCD[ident] for ident in idents]).found)


    def late_write(self, call_s: float = 1.62) -> None:
        """Add a write without an answer, which took revision 7, if it took any."""
        self.operations["late write"] = Operation(9, "m1", "put", call_s, call_s + 0.03, Outcome.UNKNOWN, writes=((K7, "e"),), error="timeout")

    def status(self, t: float, member: str, revision: int, term: int = 2, *, asked_s: float = 0.0, leader: str = "m1") -> None:
        """Add a member's status, asked for right before it was told if nothing else is said."""
        data = {"member": member, "revision": revision, "raft_term": term, "leader": leader, "asked_s": asked_s or t - 0.004}
        self.more.append((t, "status", data))
