"""A cluster of etcd that only writes down what is done to it, and what its members tell is told by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kchaos.nemesis.etcd.catalog import catalog
from kchaos.nemesis.etcd.target import Target
from kchaos.real.cluster import LinkBytes, Undo

Pairs = Sequence[tuple[str, str]]


class FakeLinks:
    """Keeps what is laid on which pairs."""

    def __init__(self) -> None:
        self.laid: list[tuple[str, tuple[tuple[str, str], ...], dict[str, int]]] = []
        self.counts: dict[tuple[str, str], LinkBytes] = {}
        self.slow: set[tuple[str, str]] = set()

    def cut(self, pairs: Pairs) -> Undo:
        return self._lay("cut", pairs, {})

    def toxic(self, pairs: Pairs, kind: str, **attributes: int) -> Undo:
        return self._lay(kind, pairs, attributes)

    def _lay(self, kind: str, pairs: Pairs, attributes: dict[str, int]) -> Undo:
        entry = (kind, tuple(pairs), attributes)
        self.laid.append(entry)
        return lambda: self.laid.remove(entry)

    def heal(self) -> None:
        self.laid.clear()

    def bytes(self) -> Mapping[tuple[str, str], LinkBytes]:
        return dict(self.counts)

    def ended(self) -> Mapping[tuple[str, str], LinkBytes]:
        """Connections whose data back is reset have ended; how many of their ends are held back stands in ``slow``."""
        broken = {(b, a) for kind, pairs, _ in self.laid if kind == "reset_peer" for a, b in pairs}
        return {pair: LinkBytes(300, 0 if pair in self.slow else 300) for pair in broken} if broken else {("m1", "m2"): LinkBytes(900, 0)}


class Clock:
    """The time of a run, set by hand."""

    def __init__(self) -> None:
        self.t = 0.0

    def __call__(self) -> float:
        return self.t


class FakeCluster:
    """Members that are running, paused or exited."""

    def __init__(self, count: int) -> None:
        self.members = tuple(f"m{n}" for n in range(1, count + 1))
        self.links = FakeLinks()
        self.versions: Mapping[str, str] = {}
        self.states = dict.fromkeys(self.members, "running")
        self.logs: dict[str, str] = {}
        self.ended: dict[str, str] = {}

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def endpoint(self, member: str) -> str:
        return f"{member}:2379"

    def kill(self, member: str) -> None:
        self.states[member] = "exited"

    def restart(self, member: str) -> None:
        assert self.states[member] == "exited"
        self.states[member] = "running"

    def pause(self, member: str) -> None:
        self.states[member] = "paused"

    def resume(self, member: str) -> None:
        self.states[member] = "running"

    def state(self, member: str) -> str:
        return self.states[member]

    def log(self, member: str) -> str:
        return self.logs.get(member, "")

    def disturbed(self, member: str) -> str:
        return self.ended.get(member, "")

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        return ()


def tell(target: Target, t: float, member: str, applied: int = 100, term: int = 2, leader: str = "m1") -> None:
    target.observe(t, {"member": member, "revision": 1, "raft_term": term, "raft_applied_index": applied, "leader": leader, "raft_index": applied, "db_size": 0})


def calm_down(target: Target, t: float, applied: int = 100, term: int = 2, leader: str = "m1") -> None:
    """Let all members tell the same from two seconds before ``t`` until then."""
    assert isinstance(target.now, Clock)
    for at in (t - 2.0, t):
        target.now.t = at
        target.trouble()
        for name in target.cluster.members:
            tell(target, at, name, applied, term, leader)
    assert target.calm()


def inject(target_: Target, name: str, /, **args: Any) -> Any:
    kind = catalog().get(name)
    return kind.inject(target_, kind.complete(args))


def cut(target: Target) -> set[tuple[str, str]]:
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    return {pair for kind, pairs, _ in links.laid for pair in pairs if kind == "cut"}
