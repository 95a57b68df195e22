"""A pod's resolver: search path, ndots, and a cache of positive and negative answers.

resolv.conf(5), as the kubelet writes it (pkg/kubelet/network/dns): ``search NS.svc.ZONE svc.ZONE ZONE``, ``options ndots:5``; RFC 2308: a
negative answer is kept as long as the smaller of the SOA's TTL and its last field. The cache is plain data that the caller keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from kchaos.models.network.dns import Answer

NDOTS = 5
Ask = Callable[[str, str], Answer]


class Kept(NamedTuple):
    """One cached answer, until when."""

    answer: Answer
    until_s: float


Cache = Mapping[tuple[str, str], Kept]


class Resolved(NamedTuple):
    """What a lookup came to: the name that answered, the names asked of a server in order, and the cache afterwards."""

    answer: Answer
    name: str
    asked: tuple[str, ...]
    cache: Cache


def search_of(namespace: str, zone: str = "cluster.local") -> tuple[str, ...]:
    """Return a pod's search path (dnsPolicy ClusterFirst)."""
    return (f"{namespace}.svc.{zone}", f"svc.{zone}", zone)


def candidates(name: str, search: tuple[str, ...], ndots: int = NDOTS) -> list[str]:
    """Return the absolute names to try, in order: with fewer dots than ``ndots`` the search path comes first."""
    if name.endswith("."):
        return [name]
    alone = name + "."
    longer = [f"{name}.{one.rstrip('.')}." for one in search]
    return [alone, *longer] if name.count(".") >= ndots else [*longer, alone]


def lifetime_s(answer: Answer) -> float:
    """Return how long an answer may be kept; 0 for failures."""
    if answer.rcode not in ("NOERROR", "NXDOMAIN"):
        return 0.0
    if answer.answer:
        return float(min(one.ttl for one in answer.answer))
    found = [min(one.ttl, int(one.data.split()[-1])) for one in answer.authority if one.type == "SOA"]
    return float(min(found)) if found else 0.0


def resolve(name: str, kind: str, search: tuple[str, ...], ask: Ask, now_s: float = 0.0, cache: Cache | None = None) -> Resolved:
    """Look a name up: the first candidate with records wins; one that exists without them is remembered as the answer if none has."""
    kept = dict(cache or {})
    asked: list[str] = []
    best: tuple[Answer, str] | None = None
    for one in candidates(name, search):
        known = kept.get((one.lower(), kind))
        if known is not None and known.until_s > now_s:
            answer = known.answer
        else:
            answer = ask(one, kind)
            asked.append(one)
            keep_s = lifetime_s(answer)
            if keep_s > 0:
                kept[one.lower(), kind] = Kept(answer, now_s + keep_s)
        if answer.answer or answer.rcode not in ("NOERROR", "NXDOMAIN"):
            return Resolved(answer, one, tuple(asked), kept)
        if best is None or (best[0].rcode == "NXDOMAIN" and answer.rcode == "NOERROR"):
            best = (answer, one)
    assert best is not None
    return Resolved(*best, tuple(asked), kept)
