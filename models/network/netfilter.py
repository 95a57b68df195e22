"""A packet's way through the chains of one table: all outcomes, each with its probability.

netfilter: a chain is gone through in order; a jump comes back unless something in it decided; RETURN leaves the chain; a built-in chain that
decides nothing has its policy. ``statistic --mode random`` splits the way, so one walk gives the distribution over endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kchaos.models.network.rules import Rule, Table
from kchaos.models.network.tables import NodeTables, Packet

FINAL = ("ACCEPT", "DROP", "REJECT", "DNAT", "MASQUERADE")


class Hook(NamedTuple):
    """What rules can match besides the packet."""

    node: NodeTables
    packet: Packet
    state: str
    """NEW, ESTABLISHED or INVALID; ``NEW,DNAT`` once the destination was changed."""
    interface: str = ""
    now_s: float = 0.0
    hits: set[tuple[str, str]] | None = None
    """If given: (node, ``table chain: rule``) of every rule that matched."""


class Way(NamedTuple):
    """One outcome: with what probability, what was decided, the rule's option, the mark, and the chain that decided."""

    probability: float
    action: str
    option: str
    mark: int
    chain: str


def through(tables: Mapping[str, Table], table: str, chain: str, hook: Hook, mark: int) -> list[Way]:
    """Return all outcomes of a built-in chain."""
    found = tables.get(table)
    if found is None:
        return [Way(1.0, "ACCEPT", "", mark, chain)]
    policy = found.policy.get(chain, "ACCEPT")
    return [way if way.action else way._replace(action=policy) for way in _run(found, table, chain, hook, mark, 0)]


def _run(found: Table, table: str, chain: str, hook: Hook, mark: int, depth: int) -> list[Way]:
    assert depth < 32, "chains must not be circular"
    live = {mark: 1.0}
    out: list[Way] = []
    for rule in found.chains.get(chain, ()):
        packet = hook.packet
        if rule.proto and rule.proto != packet.proto:
            continue
        if rule.dst is not None and (packet.dst & rule.dst.mask == rule.dst.value) == rule.not_dst:
            continue
        if rule.src is not None and (packet.src & rule.src.mask == rule.src.value) == rule.not_src:
            continue
        after: dict[int, float] = {}
        for now, weight in live.items():
            chance = _chance(rule, hook, now)
            if chance < 1.0:
                after[now] = after.get(now, 0.0) + weight * (1.0 - chance)
            if chance <= 0.0:
                continue
            if hook.hits is not None:
                hook.hits.add((hook.node.name, f"{table} {chain}: {rule.render()}"))
            _apply(found, table, chain, rule, hook, now, weight * chance, after, out, depth)
        live = after
        if not live:
            break
    out.extend(Way(weight, "", "", now, chain) for now, weight in live.items())
    return out


def _apply(
    found: Table,
    table: str,
    chain: str,
    rule: Rule,
    hook: Hook,
    mark: int,
    weight: float,
    after: dict[int, float],
    out: list[Way],
    depth: int,
) -> None:
    target = rule.target
    if target in FINAL:
        out.append(Way(weight, target, rule.option, mark, chain))
    elif target == "RETURN":
        out.append(Way(weight, "", "", mark, chain))
    elif target == "MARK":
        value, mask = (int(text, 16) for text in rule.option.split("/"))
        new = (mark & ~mask) ^ value if mask else mark ^ value
        after[new] = after.get(new, 0.0) + weight
    elif not target:
        after[mark] = after.get(mark, 0.0) + weight
    else:
        for way in _run(found, table, target, hook, mark, depth + 1):
            if way.action:
                out.append(way._replace(probability=weight * way.probability))
            else:
                after[way.mark] = after.get(way.mark, 0.0) + weight * way.probability


def _chance(rule: Rule, hook: Hook, mark: int) -> float:
    """Return the probability that a rule matches a packet whose addresses and protocol do."""
    if rule.interface and hook.interface.startswith(rule.interface.rstrip("+")) == rule.not_interface:
        return 0.0
    chance = 1.0
    for kind, negated, a, b in rule.matches:
        if kind == "dport":
            holds = not b or hook.packet.dport == int(b)
        elif kind == "mark":
            value, mask = (int(text, 16) for text in a.split("/"))
            holds = mark & mask == value
        elif kind == "ctstate":
            holds = any(one in hook.state.split(",") for one in a.split(","))
        elif kind == "addrtype":
            holds = hook.node.is_local(hook.packet.dst if a == "dst" else hook.packet.src)
        elif kind == "random":
            chance *= float(a)
            continue
        elif kind == "recent-check":
            seen = hook.node.recent.get(a, {}).get(hook.packet.src)
            holds = seen is not None and hook.now_s - seen < float(b)
        else:
            continue  # comments and counters
        if holds == negated:
            return 0.0
    return chance
