"""Shapes of network partitions, as pure functions of host names: which directed links are cut.

The vocabulary is Jepsen's (jepsen/src/jepsen/nemesis.clj): isolate, halves, bridge, majorities ring. A cut is a pair (source, target):
what source sends does not arrive at target. No shape names a pair twice or a host to itself; order follows the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

Cuts = tuple[tuple[str, str], ...]
Groups = Sequence[Sequence[str]]


def one_way(sources: Sequence[str], targets: Sequence[str]) -> Cuts:
    """Nothing that ``sources`` send arrives at ``targets``; what comes back does."""
    return tuple(dict.fromkeys((a, b) for a in sources for b in targets if a != b))


def between(some: Sequence[str], others: Sequence[str]) -> Cuts:
    """Nothing passes between the two groups, in either direction."""
    return tuple(dict.fromkeys((*one_way(some, others), *one_way(others, some))))


def isolate(host: str, hosts: Sequence[str]) -> Cuts:
    """One host is cut off from all others."""
    return between((host,), hosts)


def apart(groups: Groups) -> Cuts:
    """Nothing passes between any two groups; inside each everything does. A host in several groups talks to all of these."""
    home: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        for host in group:
            home.setdefault(host, []).append(index)
    return tuple((a, b) for a in home for b in home if a != b and not set(home[a]) & set(home[b]))


def halves(hosts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return two groups; the first is the larger if their number is odd: the majority."""
    middle = (len(hosts) + 1) // 2
    return tuple(hosts[:middle]), tuple(hosts[middle:])


def bridge(some: Sequence[str], middle: str, others: Sequence[str]) -> Cuts:
    """Two groups don't reach each other; ``middle`` reaches both."""
    return apart(((*some, middle), (middle, *others)))


def ring(hosts: Sequence[str]) -> Cuts:
    """Every host reaches a majority (itself and its neighbours on a ring), no two the same one. Three or fewer all reach each other."""
    count = len(hosts)
    reach = (count // 2 + 1) // 2  # so many to each side, and itself, are more than half
    far = [(i, j) for i in range(count) for j in range(count) if min((i - j) % count, (j - i) % count) > reach]
    return tuple((hosts[i], hosts[j]) for i, j in far)


def each_its_own(clients: Sequence[str], servers: Sequence[str]) -> Cuts:
    """Every client reaches one server only, in turn, so that each server has its own clients."""
    cuts: list[tuple[str, str]] = []
    for index, client in enumerate(clients):
        own = servers[index % len(servers)]
        cuts += between((client,), [server for server in servers if server != own])
    return tuple(cuts)
