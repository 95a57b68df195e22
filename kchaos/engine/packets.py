"""What a story says of packets and requests: between which nodes they are lost, why, and how many requests of which Service that came to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

LISTED = 6
"""Services, or ways, that are told one by one."""
CUT = re.compile(r"^the link from (\S+) to (\S+) is cut$")
ANSWER = "the answer: "
REASONS = {
    "no endpoints": "refused: no endpoint", "dropped": "dropped: no endpoint on that node", "refused": "refused: nothing listens",
    "timeout": "no answer", "overlay": "lost between nodes", "policy": "forbidden by NetworkPolicies",
    "no record": "no address: the name was looked up while no pod was ready", "stale record": "sent to an address that is nobody's any more",
    "dns": "no address: every try of a look-up reached a dead DNS replica",
}  # fmt: skip
Zones = Mapping[str, str]
"""The zone of each node."""


def nodes_words(nodes: Sequence[str], zones: Zones) -> str:
    """Return nodes in words: a zone by its name if all of its nodes are there."""
    left = list(nodes)
    words: list[str] = []
    for zone in dict.fromkeys(zones.get(node, "") for node in nodes):
        inside = [node for node, home in zones.items() if home == zone]
        if zone and len(inside) > 1 and all(node in left for node in inside):
            words.append(f"{zone} ({', '.join(inside)})" if len(inside) <= LISTED else f"{zone} ({len(inside)} nodes)")
            left = [node for node in left if node not in inside]
    return ", ".join([*words, *left[:LISTED], *([f"{len(left) - LISTED} more"] if len(left) > LISTED else [])])


def lost_paths(lost: Iterable[Sequence[str]], zones: Zones) -> Iterator[str]:
    """Say between which nodes packets of pods are lost, from a ``paths`` mark: (from, to, why)."""
    by: dict[str, dict[frozenset[str], list[str]]] = {}
    for source, target, why in lost:
        why = why.removeprefix(ANSWER)
        by.setdefault(_general(why, source, target), {}).setdefault(frozenset((source, target)), []).append(why)
    for pairs in by.values():
        for here, there in _sides(list(pairs)):
            whys = [why for pair, told in pairs.items() if pair & set(here) and pair & set(there) for why in dict.fromkeys(told)]
            between = f"packets between pods on {nodes_words(here, zones)} and pods on {nodes_words(there, zones)} are lost"
            yield f"{between}: {_together(list(dict.fromkeys(whys)), here, there)}"
    if not by:
        yield "packets between pods of all nodes arrive again"


def _general(why: str, source: str, target: str) -> str:
    """Return a reason without the names of the two nodes, so that equal ones come together; the direction of a cut stays."""
    cut = CUT.match(why)
    if cut is not None:
        return "cut"
    return re.sub(rf"\b(?:{re.escape(source)}|{re.escape(target)})\b", "·", why)


def _sides(pairs: list[frozenset[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield groups of nodes between which every pair is lost: nodes that lose the same others go together."""
    beside: dict[str, dict[str, None]] = {}
    for pair in pairs:
        first, second = sorted(pair)
        beside.setdefault(first, {})[second] = None
        beside.setdefault(second, {})[first] = None
    groups: dict[tuple[str, ...], list[str]] = {}
    for node in sorted(beside):
        groups.setdefault(tuple(sorted(beside[node])), []).append(node)
    told: set[frozenset[str]] = set()
    for others, nodes in sorted(groups.items(), key=lambda one: (-len(one[0]), one[1])):
        left = [other for other in others if any(frozenset((node, other)) not in told for node in nodes)]
        if left:
            told.update(frozenset((node, other)) for node in nodes for other in left)
            yield nodes, left


def _together(whys: Sequence[str], here: Sequence[str], there: Sequence[str]) -> str:
    if len(whys) == 1:
        return whys[0]
    cuts = [found.groups() for found in map(CUT.match, whys) if found is not None]
    if len(cuts) < len(whys):
        return f"{whys[0]}, and alike on {len(whys) - 1} more"
    forth, back = (all(source in side for source, _ in cuts) for side in (here, there))
    if forth == back:
        return "the links between them are cut"
    first, second = (here, there) if forth else (there, here)
    return f"the links from {', '.join(first[:LISTED])} to {', '.join(second[:LISTED])} are cut, so neither requests nor answers pass"


class Losses:
    """Requests lost since chaos began: by Service and reason, and on which ways."""

    def __init__(self) -> None:
        self._lost: dict[str, dict[str, float]] = {}
        self._ways: dict[str, dict[tuple[str, str], float]] = {}

    def add(self, data: Mapping[str, Any], chaos_s: float) -> None:
        """Count a ``traffic`` mark."""
        length = data["end"] - max(data["start"], chaos_s)
        if length <= 0:
            return
        requests = length * float(data.get("rate", 10.0))
        table = self._lost.setdefault(data["service"], {})
        for why, share in data["lost"].items():
            table[why] = table.get(why, 0.0) + share * requests
        ways = self._ways.setdefault(data["service"], {})
        for source, target, _, share in data.get("ways") or ():
            ways[source, target] = ways.get((source, target), 0.0) + share * requests

    def tell(self, zones: Zones) -> Iterator[str]:
        """Say how many requests each Service lost, why and on which way: those with most first, those of one fate together."""
        totals = {service: sum(table.values()) for service, table in self._lost.items()}
        fates: dict[str, list[str]] = {}
        for service in sorted(totals, key=lambda one: (-round(totals[one]), one)):
            if totals[service] >= 0.5:
                fates.setdefault(self._fate(service, zones), []).append(service)
        for text, services in list(fates.items())[:LISTED]:
            names = ", ".join(services[:LISTED]) + (f" and {len(services) - LISTED} more" if len(services) > LISTED else "")
            yield f"Service {names} lost {text}" if len(services) == 1 else f"Services {names} lost, each, {text}"
        if len(fates) > LISTED:
            rest = [one for services in list(fates.values())[LISTED:] for one in services]
            yield f"{len(rest)} more Services lost {sum(totals[one] for one in rest):.0f} requests"

    def _fate(self, service: str, zones: Zones) -> str:
        reasons = sorted(self._lost[service].items(), key=lambda one: (-one[1], one[0]))
        shares = zip(whole([count for _, count in reasons]), reasons, strict=True)
        counted = [(count, REASONS.get(why, why)) for count, (why, _) in shares if count]
        total = f"{sum(count for count, _ in counted)} requests"
        if len(counted) == 1:
            return f"{total}, {counted[0][1]}{self._where(service, zones)}"
        return f"{total}: {', '.join(f'{count} {why}' for count, why in counted)}{self._where(service, zones)}"

    def _where(self, service: str, zones: Zones) -> str:
        """Return the ways on which requests got lost: from where, to pods on which node."""
        to: dict[str, dict[str, float]] = {}
        for (source, target), count in self._ways[service].items():
            if count >= 0.5:
                to.setdefault(target, {})[source] = count
        parts = [
            f"{sum(table.values()):.0f} from {nodes_words(sorted(table), zones)} to its pods on {target}"
            for target, table in sorted(to.items())
        ]
        return f" ({'; '.join(parts[:3])}{'; …' if len(parts) > 3 else ''})" if parts else ""


def whole(parts: Sequence[float]) -> list[int]:
    """Return whole numbers that add up to the rounded sum (largest remainders)."""
    out = [math.floor(part) for part in parts]
    left = round(sum(parts)) - sum(out)
    for index in sorted(range(len(parts)), key=lambda one: (out[one] - parts[one], one))[:left]:
        out[index] += 1
    return out


def failed_lookups(data: Mapping[str, Any]) -> str:
    """Say what a ``lookups`` mark means."""
    dead, of = int(data["dead"]), int(data["replicas"])
    if not dead:
        return "look-ups of names succeed again: the dead DNS replica is out of its Service"
    return f"{dead} of {of} DNS replicas does not answer: {100 * data['lost']:.0f} % of look-ups fail, both tries of a resolver reach it"
