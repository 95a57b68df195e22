"""Cuts and toxics of directed pairs, decided purely: what is laid now says which toxics each proxy must have, and a difference is applied.

A connection carries data both ways, and which side dialled it is etcd's affair (a follower dials the stream on which it is sent the log).
So what concerns the data from a to b is laid on the upstream of proxy a->b *and* on the downstream of b->a.

A cut is a ``timeout`` toxic of 0 ms: it takes data in and drops it, as a network does that loses every packet; when it goes, Toxiproxy
closes the connections that have lost data, so no stream is ever resumed with a hole. Disabling the proxy a->b instead, the other way to
stop it, closes the connections a has dialled, and with them the streams on which b answers: a one-way cut would be none (measured: see
docs/adr/0007-peer-proxies-of-processes.md).

A stream of a proxy has one toxic at a time: where a cut overlaps with something else the cut counts, else what was laid last. With several,
Toxiproxy 2.12 crashes: it forgets to take a toxic off a connection that is about to end, and if a later toxic (slow close, latency) still
holds that one, the next toxic finds one place too many (``index out of range`` in ToxicLink.AddToxic, link.go; seen here within a minute).
And it waits for ever, with its lock held, to lay a toxic on a connection whose receiver does not read (a paused member, once the kernel's
buffers are full). So the connections of such a proxy, and of one that is cut both ways, are closed before, by disabling it for a moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kchaos.errors import HarnessError, InvalidScenario
from kchaos.real.cluster import LinkBytes, Undo

if TYPE_CHECKING:
    from kchaos.real.toxiproxy import Proxy, Toxiproxy

Pair = tuple[str, str]
CUT = "timeout"
ATTRIBUTES = {
    CUT: ("timeout",), "latency": ("latency", "jitter"), "bandwidth": ("rate",), "reset_peer": ("timeout",), "slow_close": ("delay",),
}  # fmt: skip
"""What each toxic takes (https://github.com/Shopify/toxiproxy#toxics): ms, but for rate in KB/s."""


class Layer(NamedTuple):
    """One cut or toxic that is laid on the data of some pairs."""

    pairs: tuple[Pair, ...]
    kind: str
    attributes: tuple[tuple[str, int], ...] = ()


Attributes = tuple[tuple[str, int], ...]


class Spot(NamedTuple):
    """Where a toxic can be: on which proxy (source, target), on which stream."""

    proxy: Pair
    stream: str


class Toxic(NamedTuple):
    """What is laid at a spot."""

    kind: str
    attributes: Attributes


Wanted = Mapping[Spot, Toxic]


class Change(NamedTuple):
    """One call to Toxiproxy: ``toxic`` None removes what is there; ``new`` adds, else attributes are changed."""

    spot: Spot
    toxic: Toxic | None
    new: bool = False


def wanted(layers: Iterable[Layer]) -> Wanted:
    """Return which toxic must be where for these layers, the earliest first: a cut before all else, then the later one."""
    found: dict[Spot, Toxic] = {}
    for layer in layers:
        toxic = Toxic(layer.kind, layer.attributes)
        for a, b in layer.pairs:
            for spot in (Spot((a, b), "upstream"), Spot((b, a), "downstream")):
                if layer.kind == CUT or spot not in found or found[spot].kind != CUT:
                    found[spot] = toxic
    return found


def difference(now: Wanted, then: Wanted) -> tuple[Change, ...]:
    """Return the calls that lead from one state to another: additions first, so that no pair is whole for a moment between two layers."""
    added = [Change(spot, toxic, True) for spot, toxic in then.items() if spot not in now]
    changed: list[Change] = []
    for spot, toxic in then.items():
        if spot in now and now[spot].kind != toxic.kind:
            changed += (Change(spot, None), Change(spot, toxic, True))
        elif spot in now and now[spot] != toxic:
            changed.append(Change(spot, toxic))
    return (*added, *changed, *(Change(spot, None) for spot in now if spot not in then))


HOLD = ("latency", "bandwidth", "slow_close")
"""Toxics that hold data back. Toxiproxy 2.12, which takes one off a connection that nobody reads any more, waits 5 s for each piece held (link.go)."""


def to_renew(now: Wanted, then: Wanted) -> tuple[Pair, ...]:
    """Return the proxies that lose a toxic which holds data back: they are made anew, so that none is taken off an open connection."""
    lost = (spot for spot, toxic in now.items() if toxic.kind in HOLD and (spot not in then or then[spot].kind != toxic.kind))
    return tuple(dict.fromkeys(spot.proxy for spot in lost))


def to_close(changes: Iterable[Change], then: Wanted, silent: Callable[[str], bool]) -> tuple[Pair, ...]:
    """Return the proxies whose connections are closed before these changes.

    Those that are cut both ways from now on, or that lead from or to the silent.
    """

    def closes(change: Change) -> bool:
        pair = change.spot.proxy
        whole = all((found := then.get(Spot(pair, stream))) is not None and found.kind == CUT for stream in ("upstream", "downstream"))
        return whole or any(silent(member) for member in pair)

    return tuple(dict.fromkeys(change.spot.proxy for change in changes if closes(change)))


class ToxicLinks:
    """Implements :class:`kchaos.real.cluster.Links`. ``proxies``: the server and the proxy's name of each directed pair.

    ``traffic`` counts what passes while connections live; without it, what Toxiproxy counts of those that have ended is all there is.
    ``silent`` tells of a member whether it is paused now. Calls may come from several threads.
    """

    def __init__(
        self,
        proxies: Mapping[Pair, tuple[Toxiproxy, str]],
        traffic: Callable[[], Mapping[Pair, LinkBytes]] | None = None,
        silent: Callable[[str], bool] = lambda _member: False,
    ) -> None:
        self._proxies = dict(proxies)
        self._traffic = traffic
        self._silent = silent
        self._disabled: set[Pair] = set()
        self._unsure: dict[Pair, None] = {}
        """Proxies of which a call failed, so that nobody knows what they have; in order."""
        self._homes: dict[Pair, Proxy] = {}
        """Where the proxies listen that were made anew, or are about to be."""
        self._layers: dict[int, Layer] = {}
        self._laid: dict[Spot, Toxic] = {}
        self._number = 0
        self._lock = threading.Lock()

    def cut(self, pairs: Sequence[Pair]) -> Undo:
        """Let no data pass from source to target until undone."""
        return self._lay(Layer(self._known(pairs), CUT, (("timeout", 0),)))

    def toxic(self, pairs: Sequence[Pair], kind: str, **attributes: int) -> Undo:
        """Lay a toxic on the data from source to target of each pair until undone. Raises InvalidScenario for one that does not exist."""
        takes = ATTRIBUTES.get(kind)
        if takes is None or kind == CUT:
            raise InvalidScenario(f"there is no toxic {kind}", hint="latency, bandwidth, reset_peer, slow_close")
        if strange := [name for name in attributes if name not in takes]:
            raise InvalidScenario(f"the toxic {kind} takes no {strange[0]}", hint=", ".join(takes))
        full = tuple((name, attributes.get(name, 0)) for name in takes)  # all, so that a change leaves nothing of what was before
        return self._lay(Layer(self._known(pairs), kind, full))

    def heal(self) -> None:
        """Undo everything at once."""
        with self._lock:
            self._layers.clear()
            self._apply()

    def bytes(self) -> Mapping[Pair, LinkBytes]:
        """Return what was sent and what arrived of the data of each directed pair."""
        return self._traffic() if self._traffic is not None else self.ended()

    def ended(self) -> Mapping[Pair, LinkBytes]:
        """Return what Toxiproxy 2.12 has counted (link.go): received when a connection's source ends it, sent when its target is told so.

        A connection whose end slow close holds back has been received and is not sent yet.
        """
        pages = {id(server): server.passed() for server, _ in {id(one[0]): one for one in self._proxies.values()}.values()}
        found: dict[Pair, LinkBytes] = {}
        for a, b in self._proxies:
            received = sent = 0
            for pair, stream in (((a, b), "upstream"), ((b, a), "downstream")):
                if pair in self._proxies:
                    server, name = self._proxies[pair]
                    passed = pages[id(server)].get((name, stream))
                    received, sent = (received + passed.received, sent + passed.sent) if passed else (received, sent)
            found[a, b] = LinkBytes(received, sent)
        return found

    def _known(self, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
        if strange := [pair for pair in pairs if pair not in self._proxies]:
            raise InvalidScenario(f"there is no link from {strange[0][0]} to {strange[0][1]}")
        return tuple(pairs)

    def _lay(self, layer: Layer) -> Undo:
        with self._lock:
            self._number += 1
            number = self._number
            self._layers[number] = layer
            try:
                self._apply()
            except BaseException:  # whoever laid it gets no undo: what is there of it is taken back with the next change at the latest
                del self._layers[number]
                raise

        def undo() -> None:
            with self._lock:
                if self._layers.pop(number, None) is not None:
                    self._apply()

        return undo

    def _apply(self) -> None:
        """Bring Toxiproxy to what the layers want; what was done is noted call by call, so that a failure in the middle loses nothing."""
        then = wanted(self._layers.values())
        for pair in dict.fromkeys((*self._unsure, *to_renew(self._laid, then))):
            self._renew(pair, then)
        changes = difference(self._laid, then)
        try:
            for pair in to_close(changes, then, self._silent):
                server, proxy = self._proxies[pair]
                self._disabled.add(pair)
                server.enable(proxy, False)
            for change in changes:
                self._unsure[change.spot.proxy] = None
                self._change(change)
                del self._unsure[change.spot.proxy]
        finally:
            for pair in tuple(self._disabled):
                server, proxy = self._proxies[pair]
                server.enable(proxy)
                self._disabled.discard(pair)

    def _renew(self, pair: Pair, then: Wanted) -> None:
        """Take a proxy away with its connections and toxics, and make it again where it was.

        It listens only when it has its toxics, so that nothing passes through a cut meanwhile. If a call of these fails, it may be there or not,
        whatever the answer would have been: so the next try looks first.
        """
        server, name = self._proxies[pair]
        self._unsure[pair] = None
        there = server.proxies().get(name)
        home = self._homes.setdefault(pair, there) if there is not None else self._homes.get(pair)
        if home is None:
            raise HarnessError(f"Toxiproxy's proxy {name} was removed by someone else")
        if there is not None:
            server.delete(name)
        for spot in [spot for spot in self._laid if spot.proxy == pair]:
            del self._laid[spot]
        server.create(name, home.listen, home.upstream, enabled=False)
        for spot, toxic in then.items():
            if spot.proxy == pair:
                self._change(Change(spot, toxic, True))
        server.enable(name)
        self._disabled.discard(pair)
        del self._unsure[pair]

    def _change(self, change: Change) -> None:
        spot = change.spot
        server, proxy = self._proxies[spot.proxy]
        name = f"kchaos_{spot.stream}"
        if change.toxic is None:
            server.remove_toxic(proxy, name)
            del self._laid[spot]
            return
        if change.new:
            server.add_toxic(proxy, name, change.toxic.kind, spot.stream, dict(change.toxic.attributes))
        else:
            server.update_toxic(proxy, name, dict(change.toxic.attributes))
        self._laid[spot] = change.toxic
