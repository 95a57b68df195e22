"""The requests that users send to Services, and what becomes of them: piecewise constant between changes, never one event per request.

Each Service gets ``rate`` requests a second, spread evenly over the nodes that have power. A client there is a pod outside the application, or,
where NetworkPolicies let only some in, one with the labels that they ask for (admits.py). Its node's rules say with
what probability which endpoint is asked (proxy.py), the overlay's tables whether a packet gets there and back (state.py). Whenever rules,
tables, what runs, or a link changes, the interval is closed and what was lost in it is counted by reason:

- ``no endpoints``: the rules reject the connection; ``dropped``: they drop it (no local endpoint);
- ``refused``: the backend's process does not listen (not started up yet, or past SIGTERM);
- ``timeout``: the backend's node is dead, frozen or cut off;
- ``overlay``: a route, ARP or FDB entry leads nowhere, or overlay packets are lost;
- ``policy``: NetworkPolicies let nobody in to that pod;
- ``no record``, ``stale record``: a headless Service's name has, or had when it was looked up, other addresses (names.py);
- ``dns``: the client's resolver asked only DNS replicas that are dead.

Every request is a connection of its own, but for UDP and where kchaos.yaml says that clients keep their connections (flows.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kchaos.models.network.flows import Held, next_s, tcp, udp
from kchaos.models.network.names import STALE, Names
from kchaos.models.network.proxy import Backend, Entry

Rules = Mapping[str, Entry]
RATE = 10.0
"""Requests a second, if nothing else is said."""
SOON_S = 1e-3
"""Nothing is looked at again sooner: the end of a connection must lie behind by then, whatever was rounded."""
ATTEMPTS = 2
"""resolv.conf(5): a resolver asks twice; each time the rules choose a replica anew."""


Way = tuple[str, str, str, float]
"""From which node, to a pod on which node, why lost, and what share of all requests."""
ON_THE_WAY = ("overlay", "timeout")
"""Reasons of which it is told where requests are lost."""
WAYS = 8
"""Ways that are told at most: those on which most is lost."""


class Fate(NamedTuple):
    """What becomes of a Service's requests: share lost by reason, how many backends answer, and where most is lost."""

    lost: dict[str, float]
    ready: int
    ways: tuple[Way, ...] = ()


class Interval(NamedTuple):
    """A stretch of time in which a Service's fate was constant, at so many requests a second."""

    start_s: float
    end_s: float
    fate: Fate
    rate: float


class Traffic:
    """Watches a set of Services. ``check(backend, from_node)`` returns why a request would fail, or an empty string.

    ``asked(service, pods)`` is told whenever the pods that any node's rules send requests to are others.
    """

    def __init__(
        self,
        now: Callable[[], float],
        rules: Callable[[], Mapping[str, Rules]],
        check: Callable[[Backend, str], str],
        closed: Callable[[str, Interval], None],
        asked: Callable[[str, tuple[str, ...]], None],
        names: Names,
        later: Callable[[float], None] = lambda delay_s: None,
    ) -> None:
        self._now = now
        self._rules = rules
        self._check = check
        self._closed = closed
        self._asked = asked
        self._names = names
        self._later = later
        self._due: dict[float, None] = {}
        """When connections that are kept end: for these moments a look is due already."""
        self._pods: dict[str, tuple[str, ...]] = {}
        self._flows: dict[tuple[str, str], dict[Backend, Held]] = {}
        """Connections that are kept, by Service and node."""
        self._kept: dict[str, None] = {}
        self._open: dict[str, tuple[float, Fate]] = {}
        self.services: dict[str, float] = {}
        """Requests a second, by Service."""
        self.rules_changed = True
        """A node has other rules than before, or there are other nodes with power."""
        self._entries: dict[str, list[Entry | None]] = {}
        """Each Service's entries in the nodes' rules, when they were looked at last."""
        self._sources: tuple[str, ...] = ()
        """The nodes of those rules."""
        self._all = True
        self._pods_changed: dict[str, None] = {}
        """What changed since the last look: anything at all; or these pods."""
        self.dns_dead = 0.0
        """Share of DNS replicas that are dead and still asked."""

    def watch(self, service: str, rate: float = RATE, kept: bool = False) -> None:
        """Send requests to a Service (namespace/name) from the next change on. ``kept``: over TCP connections that clients keep."""
        self.services[service] = rate
        if kept:
            self._kept[service] = None

    def changed(self, pod: str = "") -> None:
        """Something changed that decides the fate of requests: of those to that pod, or of any. Look at it with :meth:`recompute`."""
        if pod:
            self._pods_changed[pod] = None
        else:
            self._all = True

    def recompute(self) -> None:
        """Close the intervals whose fate is another from now on."""
        now = self._now()
        tables = self._rules()
        concerned = {**self._touched(), **dict.fromkeys(self._names.entries)}  # names are kept while what they say changes
        if self.rules_changed:
            self.rules_changed = False
            concerned |= self._compare(tables)
        for service, rate in self.services.items():
            found = self._open.get(service)
            if found is not None and service not in concerned and not self._all:
                continue
            fate = self._fate(service, tables)
            if found is not None:
                if found[1] == fate:
                    continue
                if now > found[0]:
                    self._closed(service, Interval(found[0], now, found[1], rate))
            self._open[service] = (now, fate)
        self._all = False

    def _touched(self) -> dict[str, None]:
        """Return the Services of which some client's requests go to pods that have changed."""
        pods, self._pods_changed = self._pods_changed, {}
        if not pods or self._all:
            return {}
        found = {service: None for service, behind in self._pods.items() if any(pod in pods for pod in behind)}
        for (service, _), flows in self._flows.items():
            if any(backend.pod in pods for backend in flows):
                found[service] = None
        return found

    def _compare(self, tables: Mapping[str, Rules]) -> dict[str, None]:
        """Return the Services of which a node's rules are others than before, and tell which pods they send requests to."""
        sources = tuple(tables)
        others = sources != self._sources
        self._sources = sources
        found: dict[str, None] = {}
        for service in self.services:
            entries = [table.get(service) for table in tables.values()]
            before = self._entries.get(service)
            if not others and before is not None and all(one is other for one, other in zip(entries, before, strict=True)):
                continue
            self._entries[service] = entries
            found[service] = None
            pods = tuple(sorted({backend.pod for entry in entries if entry is not None for _, backend in entry.spread}))
            if self._pods.get(service, ()) != pods:
                self._pods[service] = pods
                self._asked(service, pods)
        return found

    def finish(self) -> None:
        """Close all intervals."""
        now = self._now()
        for service, (start, fate) in self._open.items():
            if now > start:
                self._closed(service, Interval(start, now, fate, self.services[service]))
        self._open.clear()

    def unresolved(self) -> float:
        """Return the share of look-ups that fail: all tries of a resolver reach dead replicas."""
        return self.dns_dead**ATTEMPTS

    def _fate(self, service: str, tables: Mapping[str, Rules]) -> Fate:
        lost: dict[str, float] = {}
        if not tables:
            return Fate(lost, 0)
        unresolved = 0.0 if service in self._kept else self.unresolved()  # who keeps a connection looks no name up
        if unresolved:
            lost["dns"] = unresolved
        share = (1.0 - unresolved) / len(tables)
        answering: dict[str, None] = {}
        ways: dict[tuple[str, str, str], float] = {}
        named = self._names.entries.get(service)
        for node, table in tables.items():
            entry = named or table.get(service)
            sent = entry.spread if entry is not None else ()
            left = 0.0 if sent else 1.0
            if entry is not None and (service in self._kept or entry.use[0][0].protocol == "udp"):
                sent = self._held(service, node, entry)
                left = max(0.0, 1.0 - sum(weight for weight, _ in sent))
            if left > 1e-9:
                why = entry.reason if entry is not None else "no endpoints"
                lost[why] = lost.get(why, 0.0) + share * left
            for weight, backend in sent:
                why = STALE if named is not None and self._names.stale(backend) else self._check(backend, node)
                if why:
                    lost[why] = lost.get(why, 0.0) + share * weight
                    if why in ON_THE_WAY:
                        way = (node, backend.node, why)
                        ways[way] = ways.get(way, 0.0) + share * weight
                else:
                    answering[backend.pod or backend.address] = None
        if self._flows:
            self._forget(service, tables)
        worst = sorted(ways.items(), key=lambda one: (-one[1], one[0]))[:WAYS] if ways else ()
        told = tuple((*way, round(value, 6)) for way, value in worst)
        return Fate({reason: round(value, 6) for reason, value in sorted(lost.items())}, len(answering), told)

    # -- connections that are kept -------------------------------------------------------------------------------------

    def _held(self, service: str, node: str, entry: Entry) -> tuple[tuple[float, Backend], ...]:
        """Return where the kept connections of a node's clients go now."""
        before = self._flows.get((service, node), {})
        if entry.use[0][0].protocol == "udp":
            flows = udp(before, entry)
        else:
            now = self._now()
            flows = tcp(before, entry, lambda backend: self._check(backend, node), now)
            end_s = next_s(flows)
            self._due = {due: None for due in self._due if due > now + SOON_S}
            if end_s is not None and end_s not in self._due:  # each end once: every look at many flows would ask again otherwise
                self._due[end_s] = None
                self._later(max(SOON_S, end_s - now))
        self._flows[service, node] = flows
        return tuple((held.share, backend) for backend, held in flows.items())

    def _forget(self, service: str, tables: Mapping[str, Rules]) -> None:
        """Clients on a node without power are gone with their connections; so are those of a Service that is gone."""
        named = service in self._names.entries
        for key in [key for key in self._flows if key[0] == service and not named and service not in tables.get(key[1], ())]:
            del self._flows[key]
