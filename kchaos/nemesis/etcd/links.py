"""Faults of the peer connections: partitions in every shape, one-way loss, delay, narrow bandwidth, resets, slow close."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from kchaos.nemesis.arguments import Argument
from kchaos.nemesis.etcd.target import Target
from kchaos.nemesis.etcd.traces import Traces
from kchaos.nemesis.fault import Active, Evidence, Kind
from kchaos.nemesis.shapes import Cuts, between, bridge, halves, isolate, one_way, ring
from kchaos.real.cluster import Undo

BREAKS_S = 0.3
"""For how long a member's connections are reset, so that those end, too, that are dialled anew at once."""
AGAIN_S = 0.02
Members = tuple[str, ...]
Choose = Callable[[Members, str, Mapping[str, Any]], Cuts]
"""Called with all members, the target (or the leader, for a target ``cluster``), and the step's arguments."""


class _Laid:
    """Something that lies on links, and who looks on meanwhile."""

    _traces: Traces
    _undo: Undo

    def undo(self) -> None:
        """Let everything pass again, as before; what was seen until then is the evidence."""
        try:
            self._traces.close()
        finally:
            self._undo()


class _Links(_Laid):
    """Links that are cut, or have a toxic."""

    def __init__(self, target: Target, pairs: Cuts, toxic: str = "", victims: Members = (), **attributes: int) -> None:
        self._target = target
        self._pairs = pairs
        self._traces = Traces(target, pairs, toxic in ("latency", "bandwidth"), victims)
        links = target.cluster.links
        self._undo = links.toxic(pairs, toxic, **attributes) if toxic else links.cut(pairs)

    def evidence(self) -> Evidence:
        """Return what the cut or the toxic did."""
        return self._traces.so_far()


class _SlowClose(_Laid):
    """Half-open connections: a member loses all that it has with its peers, and they hear of it late.

    Nobody closes a peer connection in time of peace. So the ends that the member holds are closed once, by resetting what its peers send to
    it, while slow close is laid on what it sends to them.
    """

    def __init__(self, target: Target, member: str, delay_ms: int) -> None:
        self._links = target.cluster.links
        peers = _others(target.cluster.members, member)
        self._pairs = one_way((member,), peers)
        self._held: frozenset[tuple[str, str]] = frozenset()
        self._traces = Traces(target, victims=target.cluster.members)  # so that other faults know; of this one it proves nothing
        self._undo = _nothing
        try:
            before = self._open()
            self._undo = self._links.toxic(self._pairs, "slow_close", delay=delay_ms)
            mend = self._links.toxic(one_way(peers, (member,)), "reset_peer", timeout=0)
            try:
                self._look(before, target.ended)
            finally:
                mend()
        except BaseException:
            self.undo()
            raise

    def _look(self, before: Mapping[tuple[str, str], int], ended: Event) -> None:
        """Note whose ends are held back: seen twice, since one that nobody holds back takes a moment as well."""
        until = time.monotonic() + BREAKS_S
        earlier: frozenset[tuple[str, str]] = frozenset()
        while time.monotonic() < until and not ended.is_set():
            late = frozenset(pair for pair, count in self._open().items() if count > before.get(pair, 0))
            self._held |= late & earlier
            earlier = late
            ended.wait(AGAIN_S)

    def _open(self) -> dict[tuple[str, str], int]:
        """Return the bytes of connections that the member has ended and its peer still takes for open."""
        ended = self._links.ended()
        return {pair: ended[pair].received - ended[pair].sent for pair in self._pairs if pair in ended}

    def evidence(self) -> Evidence:
        """Return how many peers took a connection for open that the member had lost."""
        return {"ends_held": len(self._held)}


def _nothing() -> None:
    """Undo what has not been done."""


def _others(members: Members, name: str) -> Members:
    return tuple(one for one in members if one != name)


def _from(members: Members, name: str) -> Members:
    """Return the members, turned so that ``name`` is the first (nobody: as they are)."""
    at = members.index(name) if name in members else 0
    return members[at:] + members[:at]


def _halves(members: Members, leader: str, args: Mapping[str, Any]) -> Cuts:
    """Cut a majority from a minority; the leader is in the one that ``leader_in`` says."""
    order = _from(members, leader)
    larger, smaller = halves(order if args["leader_in"] == "majority" else (*_others(order, order[0]), order[0]))
    return between(larger, smaller)


def _bridge(members: Members, leader: str, _args: Mapping[str, Any]) -> Cuts:
    """Cut two groups from each other; a member that does not lead reaches both, so that the leader sees a part only."""
    order = _from(members, leader)
    half = len(order) // 2
    return bridge(order[:half], order[half], order[half + 1 :])


def _pairs_of(members: Members, name: str, _args: Mapping[str, Any]) -> Cuts:
    return isolate(name, members)


def _cutting(name: str, summary: str, choose: Choose, target: str, *arguments: Argument, level1: bool = True) -> Kind[Target]:
    def inject(what: Target, args: dict[str, Any]) -> Active:
        victim = what.leader if target == "cluster" else args["target"]
        return _Links(what, choose(what.cluster.members, victim, args), victims=(victim,) if target == "member" else ())

    return Kind(
        name=name, summary=summary, klass="network", target=target, arguments=arguments, level1=level1, inject=inject,
        evidence="applied index that stands still, terms, leaders, failed peer connections, bytes held",
    )  # fmt: skip


def _poisoned(name: str, summary: str, toxic: str, evidence: str, *arguments: Argument) -> Kind[Target]:
    """Return a kind that lays a toxic on all connections of a member, both ways; the arguments are the toxic's attributes."""

    def inject(what: Target, args: dict[str, Any]) -> Active:
        attributes = {one.name.partition("_")[0]: int(args[one.name]) for one in arguments}
        return _Links(what, isolate(args["target"], what.cluster.members), toxic, (args["target"],), **attributes)

    return Kind(name=name, summary=summary, klass="network", target="member", arguments=arguments, inject=inject, evidence=evidence)


_SIDE = Argument("leader_in", "minority", choices=("minority", "majority"))
KINDS: tuple[Kind[Target], ...] = (
    _cutting("isolate", "a member is cut off from all others", _pairs_of, "member"),
    _cutting("partition-halves", "a majority and a minority of the members don't reach each other", _halves, "cluster", _SIDE),
    _cutting("partition-bridge", "two groups don't reach each other, one member reaches both", _bridge, "cluster"),
    _cutting("partition-ring", "every member reaches a majority, no two the same one (five members)",
             lambda members, leader, _: ring(_from(members, leader)), "cluster"),
    _cutting("one-way-from", "what a member sends to its peers is lost; what they send arrives",
             lambda members, name, _: one_way((name,), _others(members, name)), "member"),
    _cutting("one-way-to", "what a member's peers send to it is lost; what it sends arrives",
             lambda members, name, _: one_way(_others(members, name), (name,)), "member"),
    _poisoned("latency", "all that passes between a member and its peers is late", "latency", "bytes held, terms, leaders",
              Argument("latency_ms", 100, 1, 10_000, whole=True, usual=(20, 400)), Argument("jitter_ms", 50, 0, 10_000, whole=True, usual=(0, 200))),
    _poisoned("bandwidth", "a member's peer connections are narrow", "bandwidth", "bytes held, applied index that stands still",
              Argument("rate_kb_s", 20, 1, 100_000, whole=True, usual=(2, 20))),
    _poisoned("reset", "a member's peer connections are reset, again and again", "reset_peer", "failed peer connections",
              Argument("timeout_ms", 200, 0, 60_000, whole=True, usual=(0, 500))),
    Kind(name="slow-close", summary="a member's peer connections break, and its peers hear of it late", klass="network", target="member",
         arguments=(Argument("delay_ms", 1000, 1, 60_000, whole=True, usual=(100, 2000)),), evidence="peers whose connection ended late",
         inject=lambda target, args: _SlowClose(target, args["target"], args["delay_ms"])),
)  # fmt: skip
