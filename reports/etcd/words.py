"""What a client asked and what it was told, in words: for tables, pictures and the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kchaos.history.operations import Operation, Outcome, Seen

LONGEST = 120
"""Letters of a key, a value or an error before it is cut: some stores hold a megabyte."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text's begin, with how many letters are left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more)"


def count(number: int, word: str) -> str:
    """Return ``1 fault``, ``1,204 faults``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def assigned(key: str, value: str | None) -> str:
    """Return ``a = 5``; ``a absent`` if there is no value."""
    return f"{shortened(key)} absent" if value is None else f"{shortened(key)} = {shortened(value)}"


def asked(one: Operation) -> str:
    """Return a request: ``put a = 5``, ``cas: if a is of revision 7, put a = 6``."""
    writes = [f"delete {shortened(key)}" if value is None else f"put {assigned(key, value)}" for key, value in one.writes]
    reads = [f"{'serializable ' if one.serializable else ''}get {shortened(key)}" for key in one.reads]
    does = ", ".join([*reads, *writes])
    if not one.compares:
        return does or one.kind
    ifs = " and ".join(f"{shortened(key)} is {f'of revision {revision}' if revision else 'absent'}" for key, revision in one.compares)
    return f"{one.kind}: if {ifs}, {does or 'nothing'}"


def saw(one: Seen) -> str:
    """Return what a read saw: ``a = 5 (revision 7)``."""
    return assigned(one.key, one.value) + (f" (written at revision {one.mod_revision})" if one.value is not None else "")


def answered(one: Operation) -> str:
    """Return an answer: ``ok, revision 8``, ``unknown: deadline exceeded``."""
    if one.outcome != Outcome.OK:
        return f"{one.outcome}: {shortened(one.error) or 'no reason given'}"
    parts = ["ok"] if one.succeeded or not one.compares else ["not done: a comparison did not hold"]
    parts += [saw(seen) for seen in one.seen]
    if any(value is None for _, value in one.writes) and one.succeeded:
        parts.append(f"{count(one.deleted, 'key')} deleted")
    return ", ".join(parts)


def facts(values: Mapping[str, Any]) -> str:
    """Return ``kills 3, new leaders 1``; what is zero or empty is left out."""
    return ", ".join(f"{name.replace('_', ' ')} {shortened(str(value))}" for name, value in values.items() if value not in (0, "", None))


def frequent(texts: Sequence[str], most: int = 3, letters: int = 100) -> str:
    """Return the most frequent of some texts with how often each is there, and how many others there are."""
    found = Counter(texts).most_common()
    parts = [shortened(text, letters) + (f" (×{number:,})" if number > 1 else "") for text, number in found[:most]]
    return "; ".join([*parts, *([f"and {count(len(found) - most, 'other reason')}"] if len(found) > most else [])])
