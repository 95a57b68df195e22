"""Recorded questions to CoreDNS and its answers, against ours from the same objects.

Five servers (Corefiles) were asked, A to E; what is none of theirs goes to one outside resolver. Records of a section are compared as
multisets, aliases in order. Of a truncated reply the number of records must agree, and each must be one of the full answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

from kchaos.models.api.tree import Obj
from kchaos.models.conform.judge import Fact
from kchaos.models.network.autopath import along
from kchaos.models.network.dns import Answer, Record, Server, ask
from kchaos.models.network.message import fitted, room
from kchaos.models.network.records import Zone, zone_of
from kchaos.models.network.resolver import search_of

SERVERS: Mapping[str, Server] = {
    "A": Server(),
    "B": Server(ttl=30, pods="verified"),
    "C": Server(("corp.internal.", "10.in-addr.arpa."), ttl=120, pods="disabled", fallthrough=(), endpoint_pod_names=True),
    "D": Server(pods="verified"),
    "E": Server(("cluster.local.",), fallthrough=(".",), namespaces=("prod", "stage"), ignore_empty=True),
}
WITH_AUTOPATH = ("D",)
LOOPBACK = "127.0.0.1"
"""Where all questions came from: autopath takes the pod with that address for the client."""
OUTSIDE: Mapping[tuple[str, str], str] = {
    ("db.example.org.", "A"): "203.0.113.80",
    ("www.example.com.", "A"): "203.0.113.81",
    ("www.example.com.", "AAAA"): "2001:db8::81",
    ("api.partner.example.net.", "A"): "203.0.113.82",
}
"""What the outside resolver knows, for these names and all below them."""


def outside(name: str, kind: str) -> Answer:
    """Answer as the outside resolver of the recordings does."""
    lower = name.lower()
    for (zone, sort), data in OUTSIDE.items():
        if sort == kind and (lower == zone or lower.endswith("." + zone)):
            return Answer("NOERROR", (Record(name, 300, kind, data),))
    known = next((zone for zone, _ in OUTSIDE if lower == zone or lower.endswith("." + zone)), "")
    soa = Record(known or ".", 60, "SOA", "ns.upstream.test. admin.upstream.test. SERIAL 3600 600 86400 60")
    return Answer("NOERROR" if known else "NXDOMAIN", authority=(soa,))


def _client_search(story: Obj, server: Server) -> tuple[str, ...]:
    """Return the search path of the pod that asks; nothing if none has its address."""
    for one in story["objects"]:
        if one["kind"] == "Pod" and (one.get("status") or {}).get("podIP") == LOOPBACK:
            return tuple(domain + "." for domain in search_of(one["metadata"]["namespace"], server.zones[0].rstrip(".")))
    return ()


def _answer(story: Obj, zone: Zone, letter: str, name: str, kind: str) -> Answer:
    server = SERVERS[letter]
    search = _client_search(story, server) if letter in WITH_AUTOPATH else ()
    return along(partial(ask, server, zone, upstream=outside), search, name, kind)


def judge_dns(story: Obj) -> Iterator[Fact]:
    """Judge each answer of a story."""
    zone = zone_of(story["objects"], story["namespaces"])
    for question in story["questions"]:
        name, kind, letter = question["name"], question["type"], question["server"]
        size, edns = question["ednsBufsize"], question["ednsBufsize"] is not None
        whole = _answer(story, zone, letter, name, kind)
        sent = fitted(name, _as_sent(whole, question["reply"]), room(question["transport"], size), edns)
        wrong = _difference(question["reply"], whole, sent.answer, sent.truncated)
        more = f" over {question['transport']}" + (f" with {size} bytes" if edns else "")
        yield Fact("dns", f"server {letter}, {name} {kind}{more}: {question['reply']['rcode']}", not wrong, wrong)


def _as_sent(whole: Answer, reply: Obj) -> Answer:
    """Return an answer in the order in which it was sent: that of endpoints is not defined, and decides how many records fit."""
    places: dict[str, int] = {}
    for index, text in enumerate(reply["answer"]):
        places.setdefault(text, index)
    return whole._replace(answer=tuple(sorted(whole.answer, key=lambda one: places.get(one.text, len(places)))))


def _texts(records: tuple[Record, ...]) -> list[str]:
    return [one.text for one in records]


def _difference(reply: Obj, whole: Answer, sent: Answer, truncated: bool) -> str:
    if (sent.rcode, sent.authoritative, truncated) != (reply["rcode"], reply["aa"], reply["tc"]):
        return f"{sent.rcode}, authoritative {sent.authoritative}, truncated {truncated}"
    for section in ("answer", "authority", "additional"):
        want, have, full = list(reply[section]), _texts(getattr(sent, section)), _texts(getattr(whole, section))
        if reply["tc"]:
            if len(want) != len(have) or Counter(want) - Counter(full):
                return f"{section}: {len(have)} records of {len(full)} fit, {len(want)} were sent"
        elif Counter(want) != Counter(have):
            return f"{section}: missed {list(Counter(want) - Counter(have))[:3]}, besides {list(Counter(have) - Counter(want))[:3]}"
        elif _aliases(want) != _aliases(have):
            return f"{section}: aliases in another order"
    return ""


def _aliases(records: list[str]) -> list[str]:
    return [one for one in records if " CNAME " in one]
