"""Messages between hosts over links that can be cut, slow, lossy, duplicating or reordering, each direction for itself.

A link carries an ordered, reliable stream as TCP does: what a cut or a loss keeps from arriving is *held* (retransmitted) and
arrives after healing, in order, unless the connection is given up first: after ``GIVE_UP_S`` of a cut both ends are told
``Disconnected`` and what was held is lost. 45 s is client-go's HTTP/2 health check (ReadIdleTimeout 30 s + PingTimeout 15 s,
k8s.io/apimachinery/pkg/util/net/http.go). Messages inside one host take no link and can't be cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kchaos.runtime import Disconnected, Refused

if TYPE_CHECKING:
    from kchaos.sim.noise import Picker
    from kchaos.sim.world import Process, World

GIVE_UP_S = 45.0
RETRANSMIT_S = 0.2
LATENCY_S = 0.0005
"""One-way delay between two hosts of one site, in seconds."""


class Link:
    """The state of one direction between two hosts; all counters are evidence that a fault bit."""

    __slots__ = (
        "cuts", "delay_s", "dropped", "duplicate", "duplicated", "held", "held_total", "jitter_s", "last_at", "loss",
        "lost", "reorder", "reordered", "since",
    )  # fmt: skip

    def __init__(self) -> None:
        self.cuts = 0
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.loss = 0.0
        self.duplicate = 0.0
        self.reorder = 0.0
        self.held: list[tuple[str, str, Any]] = []
        self.last_at = 0.0
        self.since = 0.0
        self.held_total = 0
        self.dropped = 0
        self.lost = 0
        self.duplicated = 0
        self.reordered = 0


class SimNetwork:
    """All links of a world."""

    def __init__(self, world: World, picker: Picker | None) -> None:
        self._world = world
        self._loop = world.loop
        self._links: dict[tuple[str, str], Link] = {}
        self._picker = picker
        self._last: dict[tuple[str, str, int], float] = {}
        self._random: random.Random | None = None
        self.sent = 0

    def link(self, source: str, target: str) -> Link:
        """Return the (possibly new) link from host ``source`` to host ``target``."""
        key = (source, target)
        found = self._links.get(key)
        if found is None:
            found = self._links[key] = Link()
        return found

    def send(self, source: Process, address: str, payload: Any, stream: int | None = None) -> None:
        """Send ``payload`` from a process to ``address`` (host/process); see ``Runtime.send`` for ``stream``."""
        self.sent += 1
        host = source.host.name
        target = address.partition("/")[0]
        at = self._loop._now
        if host != target:
            at += LATENCY_S
            link = self._links.get((host, target))
            if link is not None:
                late = self._through(link, at, source.address, address, payload)
                if late is None:
                    return
                at = late
        if self._picker is not None:
            at += self._picker.hold_s(target)
            if stream is not None:  # what is held is late, and so is all that follows it
                key = (source.address, address, stream)
                at = self._last[key] = max(at, self._last.get(key, 0.0))
        self._loop.schedule(at, self._deliver, (source.address, address, payload), None)

    def _through(self, link: Link, at: float, sender: str, address: str, payload: Any) -> float | None:
        if link.cuts:
            link.held.append((sender, address, payload))
            link.held_total += 1
            return None
        if self._random is None:
            self._random = self._world.random("network")
        at += link.delay_s
        if link.jitter_s:
            at += self._random.random() * link.jitter_s
        if link.loss:
            wait = RETRANSMIT_S
            while self._random.random() < link.loss and wait < GIVE_UP_S:
                link.lost += 1
                at += wait
                wait *= 2
        if link.duplicate and self._random.random() < link.duplicate:
            link.duplicated += 1
            self._loop.schedule(at + RETRANSMIT_S, self._deliver, (sender, address, payload), None)
        if link.reorder and self._random.random() < link.reorder:
            link.reordered += 1
            return at + self._random.random() * RETRANSMIT_S
        at = link.last_at = max(at, link.last_at)  # a stream keeps its order
        return at

    def _deliver(self, sender: str, address: str, payload: Any) -> None:
        process = self._world.processes.get(address)
        if process is None or process.owner.crashed:
            host = self._world.hosts.get(address.partition("/")[0])
            if host is not None and host.up and not isinstance(payload, Refused):
                back = self._world.processes.get(sender)
                if back is not None:
                    self._loop.schedule(self._loop._now + LATENCY_S, self._deliver, (address, sender, Refused(payload)), None)
            elif host is not None:
                self.link(sender.partition("/")[0], host.name).dropped += 1
            return
        owner = process.owner
        if owner.paused:
            self._loop.soon(self._receive, (process, sender, payload), owner)
            return
        loop = self._loop
        loop._owner = owner
        if process.handler is not None:
            process.handler(sender, payload)

    @staticmethod
    def _receive(process: Process, sender: str, payload: Any) -> None:
        if process.handler is not None:
            process.handler(sender, payload)

    # -- faults ------------------------------------------------------------------------------------------------------

    def cut(self, source: str, target: str) -> None:
        """Cut one direction; cuts are counted, so overlapping faults heal one by one."""
        link = self.link(source, target)
        link.cuts += 1
        if link.cuts == 1:
            link.since = self._loop._now
            self._loop.schedule(self._loop._now + GIVE_UP_S, self._give_up, (source, target, link.since), None, None, True)

    def is_cut(self, source: str, target: str) -> bool:
        """Tell whether a round trip between two hosts fails: either direction is cut."""
        there, back = self._links.get((source, target)), self._links.get((target, source))
        return (there is not None and there.cuts > 0) or (back is not None and back.cuts > 0)

    def cuts(self) -> list[tuple[str, str]]:
        """Return the directions that are cut now."""
        return [pair for pair, link in self._links.items() if link.cuts > 0]

    def heal(self, source: str, target: str) -> None:
        """Undo one cut; the last one lets what was held arrive, in order."""
        link = self.link(source, target)
        if link.cuts == 0:
            return
        link.cuts -= 1
        if link.cuts == 0:
            held, link.held = link.held, []
            for sender, address, payload in held:
                at = link.last_at = max(self._loop._now + LATENCY_S, link.last_at)
                self._loop.schedule(at, self._deliver, (sender, address, payload), None)

    def _give_up(self, source: str, target: str, since: float) -> None:
        link = self.link(source, target)
        if not link.cuts or link.since != since:
            return
        link.dropped += len(link.held)
        link.held.clear()
        self.disconnect(source, target)

    def disconnect(self, one: str, other: str) -> None:
        """Tell the processes of both hosts that their connections to the other host are gone."""
        for here, there in ((one, other), (other, one)):
            for process in self._world.processes_on(here):
                self._loop.soon(self._receive, (process, there, Disconnected(there)), process.owner)

    def closed(self, host: str, address: str) -> None:
        """Tell one process that its connections to ``host`` were closed by the other side."""
        process = self._world.processes.get(address)
        if process is not None and not process.owner.crashed:
            tell: Callable[..., None] = self._receive
            self._loop.schedule(self._loop._now + LATENCY_S, tell, (process, host, Disconnected(host)), process.owner)

    def host_gone(self, host: str) -> None:
        """Let peers notice that ``host`` lost power: they hear nothing, and give up after the health-check time."""
        self._loop.schedule(self._loop._now + GIVE_UP_S, self._peers_give_up, (host, self._loop._now), None, None, True)

    def _peers_give_up(self, host: str, since: float) -> None:
        machine = self._world.hosts[host]
        if not machine.up and machine.down_since == since:
            self.host_back(host)

    def host_back(self, host: str) -> None:
        """Let peers hear that no connection to ``host`` stands any more: started again, it knows none of them, and resets them.

        Connections that its processes open from now on are others.
        """
        tell: Callable[..., None] = self._receive
        for process in self._world.processes.values():
            if process.host.name != host and not process.owner.crashed:
                self._loop.soon(tell, (process, host, Disconnected(host)), process.owner)
