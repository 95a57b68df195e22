"""A DNS reply on the wire: how long it is, and what is left of one that does not fit.

RFC 1035 4.1.4 (compression: a name's tail that was written before is a pointer of two bytes), RFC 2782 (the target of SRV is never
compressed), RFC 6891 (EDNS: a client may take more than 512 bytes over UDP). A server fills the sections in order and stops at the first
record that does not fit; the rest, and the flag TC, tell the client to ask again over TCP.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kchaos.models.network.dns import Answer, Record

HEADER, QUESTION, FIXED, OPT, POINTER = 12, 4, 10, 11, 2
"""Bytes of the header, of a question's type and class, of a record's fixed part, of the OPT record, and of a pointer."""
UDP, TCP = 512, 65535
MAX_OFFSET = 1 << 14
"""A pointer reaches no further."""
_PLAIN = {"A": 4, "AAAA": 16}
_NUMBERS = {"SRV": 6, "MX": 2, "SOA": 20}
"""Bytes of the numbers beside the names in a record's data."""
_NAMES = {"CNAME": 1, "PTR": 1, "NS": 1, "SOA": 2, "SRV": 1, "MX": 1}


class Sent(NamedTuple):
    """What a client gets."""

    answer: Answer
    truncated: bool


def room(transport: str, edns_size: int | None = None) -> int:
    """Return how many bytes a reply may have."""
    return TCP if transport == "tcp" else max(UDP, edns_size or UDP)


def fitted(name: str, answer: Answer, size: int, edns: bool = False) -> Sent:
    """Return a reply to a question for ``name`` in at most ``size`` bytes."""
    sections = (answer.answer, answer.authority, answer.additional)
    own = OPT if edns else 0
    if HEADER + QUESTION + _length(name) + own + sum(_record(one, 0, None) for section in sections for one in section) <= size:
        return Sent(answer, False)
    left = size - own
    seen: dict[str, None] = {}
    at = HEADER + QUESTION + _name(name, HEADER, seen, True)
    kept: list[tuple[Record, ...]] = []
    for section in sections:
        at, count = _fill(section, left, at, seen) if at < left else (at, 0)
        kept.append(section[:count])
    whole = all(len(a) == len(b) for a, b in zip(kept, sections, strict=True))
    return Sent(answer._replace(answer=kept[0], authority=kept[1], additional=kept[2]), not whole)


def _fill(records: Iterable[Record], size: int, at: int, seen: dict[str, None]) -> tuple[int, int]:
    """Return where a section ends and how many of its records fit; a section that is cut leaves no room for the next."""
    count = 0
    for one in records:
        at += _record(one, at, seen)
        if at > size:
            return size, count
        count += 1
    return at, count


def _length(name: str) -> int:
    """Return the length of a name in full: each label with its length byte, and the root."""
    return 1 if name == "." else len(name) + 1


def _name(name: str, at: int, seen: dict[str, None] | None, compress: bool) -> int:
    """Return the length of a name at an offset, and remember its tails."""
    if seen is None or name == ".":
        return _length(name)
    found, used, tail = -1, 0, name.lower()
    while tail:
        if tail in seen:
            found = used
            break
        if at + used < MAX_OFFSET:
            seen[tail] = None
        label, _, tail = tail.partition(".")
        used += len(label) + 1
    return found + POINTER if found >= 0 and compress else _length(name)


def _record(one: Record, at: int, seen: dict[str, None] | None) -> int:
    """Return the length of a record at an offset."""
    size = _name(one.name, at, seen, True) + FIXED
    if one.type in _PLAIN:
        return size + _PLAIN[one.type]
    if one.type not in _NAMES:
        return size + len(one.data) - 1  # one character string: its length byte instead of two quotes
    size += _NUMBERS.get(one.type, 0)
    words = one.data.split()
    for name in words[-1:] if one.type in ("SRV", "MX") else words[: _NAMES[one.type]]:
        size += _name(name, at + size, seen, one.type != "SRV")
    return size
