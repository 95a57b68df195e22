"""iptables rules as data: one rule is its matches in order and a target; it renders to the line of `iptables-save` and is read back from it.

iptables-extensions(8) names the matches; the order of options in a line is that of `iptables-save` 1.8.9 (source, destination, interface,
protocol, then the matches as they were given). Only what kube-proxy and flannel's ip-masq write is known; anything else is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kchaos.models.network.addresses import Net, net


class Match(NamedTuple):
    """One ``-m``: its kind, whether it is negated, and its one or two arguments."""

    kind: str
    negated: bool = False
    a: str = ""
    b: str = ""


class Rule(NamedTuple):
    """One rule; ``target`` may be empty (a rule that only counts)."""

    target: str
    option: str = ""
    """What follows the target: ``10.244.1.2:8080`` of DNAT, ``0x4000/0x4000`` of MARK, the ICMP type of REJECT."""
    src: Net | None = None
    dst: Net | None = None
    proto: str = ""
    matches: tuple[Match, ...] = ()
    not_src: bool = False
    not_dst: bool = False
    interface: str = ""
    not_interface: bool = False

    def render(self) -> str:
        """Return the line of `iptables-save`, without ``-A CHAIN``."""
        out: list[str] = []
        if self.src is not None:
            out.append(f"{'! ' if self.not_src else ''}-s {self.src.text}")
        if self.dst is not None:
            out.append(f"{'! ' if self.not_dst else ''}-d {self.dst.text}")
        if self.interface:
            out.append(f"{'! ' if self.not_interface else ''}-i {self.interface}")
        if self.proto:
            out.append(f"-p {self.proto}")
        out.extend(_match_text(match) for match in self.matches)
        if self.target:
            out.append(f"-j {self.target}{_option_text(self.target, self.option)}")
        return " ".join(out)


Chain = tuple[Rule, ...]
Chains = Mapping[str, Chain]


class Table(NamedTuple):
    """One table (``nat``, ``filter``): chains by name, and the policy of the built-in ones."""

    chains: Chains
    policy: Mapping[str, str]


def comment(text: str) -> Match:
    """Return ``-m comment``."""
    return Match("comment", False, text)


def dport(proto: str, port: int) -> Match:
    """Return ``-m tcp --dport 80``."""
    return Match("dport", False, proto, str(port))


def random(probability: float) -> Match:
    """Return ``-m statistic``: the kernel keeps round(p * 2^31) / 2^31, kube-proxy writes ten decimals (computeProbability)."""
    kept = round(float(f"{probability:.10f}") * 2**31) / 2**31
    return Match("random", False, f"{kept:.11f}")


def _match_text(match: Match) -> str:
    sign = "! " if match.negated else ""
    kind, a, b = match.kind, match.a, match.b
    if kind == "comment":
        return f'-m comment --comment "{a}"' if " " in a or "/" in a else f"-m comment --comment {a}"
    if kind == "dport":
        return f"-m {a} --dport {b}" if b else f"-m {a}"
    if kind == "random":
        return f"-m statistic --mode random --probability {a}"
    if kind == "ctstate":
        return f"-m conntrack {sign}--ctstate {a}"
    if kind == "mark":
        return f"-m mark {sign}--mark {a}"
    if kind == "addrtype":
        return f"-m addrtype --{a}-type {b}"
    if kind == "recent-check":
        return f"-m recent --rcheck --seconds {b} --reap --name {a} --mask 255.255.255.255 --rsource"
    if kind == "recent-set":
        return f"-m recent --set --name {a} --mask 255.255.255.255 --rsource"
    assert kind == "nfacct", kind
    return f"-m nfacct --nfacct-name  {a}"


def _option_text(target: str, option: str) -> str:
    words = {"DNAT": "--to-destination", "MARK": "--set-xmark", "REJECT": "--reject-with"}
    if target == "MASQUERADE":
        return f" {option}" if option else ""
    return f" {words[target]} {option}" if target in words else ""


def parse(line: str) -> Rule:
    """Read a line as :meth:`Rule.render` writes it. Raises ValueError for what is not known."""
    words = iter(shlex.split(line))
    fields: dict[str, Any] = {}
    matches: list[Match] = []
    target = option = ""
    negated = False
    for word in words:
        if word == "!":
            negated = True
            continue
        if word in ("-s", "-d"):
            side = "src" if word == "-s" else "dst"
            fields[side] = net(next(words))
            fields[f"not_{side}"] = negated
        elif word == "-i":
            fields["interface"], fields["not_interface"] = next(words), negated
        elif word == "-p":
            fields["proto"] = next(words)
        elif word == "-m":
            matches.extend(_parse_match(next(words), words))
        elif word == "--dport":
            matches[-1] = Match("dport", False, matches[-1].a, next(words))
        elif word == "-j":
            target = next(words)
        elif word in ("--to-destination", "--set-xmark", "--reject-with"):
            option = next(words)
        elif word == "--random-fully":
            option = word
        else:
            raise ValueError(f"not known in a rule: {word} ({line})")
        negated = False
    return Rule(target, option, matches=tuple(matches), **fields)


def _parse_match(kind: str, words: Iterator[str]) -> Iterable[Match]:
    if kind in ("tcp", "udp", "sctp"):
        return [Match("dport", False, kind)]
    word = next(words)
    negated = word == "!"
    if negated:
        word = next(words)
    if word in ("--comment", "--ctstate", "--mark"):
        return [Match(word[2:], negated, next(words))]
    if word == "--nfacct-name":
        return [Match("nfacct", False, next(words))]
    if word in ("--dst-type", "--src-type"):
        return [Match("addrtype", False, word[2:5], next(words))]
    if word == "--mode":
        next(words)
        next(words)
        return [Match("random", False, next(words))]
    if word == "--rcheck":
        found = [next(words) for _ in range(8)]  # --seconds N --reap --name NAME --mask M --rsource
        return [Match("recent-check", False, found[4], found[1])]
    if word == "--set":
        found = [next(words) for _ in range(5)]
        return [Match("recent-set", False, found[1])]
    raise ValueError(f"not known in a rule: -m {kind} {word}")


def read_tables(saved: Mapping[str, Mapping[str, Mapping[str, object]]]) -> dict[str, Table]:
    """Read tables in the form ``{table: {"policy": {...}, "chains": {chain: [line, ...]}}}``."""
    out: dict[str, Table] = {}
    for table, content in saved.items():
        chains: dict[str, Chain] = {}
        for chain, lines in content["chains"].items():
            assert isinstance(lines, list)
            chains[chain] = tuple(parse(line) for line in lines)
        out[table] = Table(chains, {chain: str(policy) for chain, policy in content["policy"].items()})
    return out


def written(tables: Mapping[str, Table]) -> dict[str, dict[str, list[str]]]:
    """Return ``{table: {chain: [line, ...]}}``."""
    return {table: {chain: [rule.render() for rule in rules] for chain, rules in one.chains.items()} for table, one in tables.items()}
