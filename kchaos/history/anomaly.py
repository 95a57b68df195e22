"""Anomalies: a contradiction in a history, by rule, in words, with the two to four operations or events that show it (Jepsen's word)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from kchaos.history.operations import Operation, Outcome, mark_data

Judged = Literal["ok", "violation", "unknown"]

MOST = 5
"""How many anomalies of one rule are told one by one; the rest are counted."""


WITNESSES = 4
"""How many witnesses an anomaly has at most; two suffice, and one does where there is no other."""

ALONE = "nothing else on record bears on it"
"""What an anomaly says that has one witness only."""


class Witness(NamedTuple):
    """One thing that somebody saw: an operation of the history (``number``: its place there), or, without one, something else in words."""

    number: int
    operation: Operation | None
    words: str

    def data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        out: dict[str, Any] = {"words": self.words}
        if self.operation is not None:
            out |= {"index": self.number, "operation": mark_data(self.operation)}
        return out


class Anomaly(NamedTuple):
    """One contradiction; ``at_s``: when a client could know of it, seconds."""

    rule: str
    words: str
    at_s: float
    witnesses: tuple[Witness, ...]


class Judgement(NamedTuple):
    """What a checker concludes of a history. ``unknown`` has a ``reason``, ``violation`` has anomalies (``total``: how many there are in all)."""

    verdict: Judged
    anomalies: tuple[Anomaly, ...] = ()
    total: int = 0
    reason: str = ""


def judgement(anomalies: Sequence[Anomaly], reason: str = "", untold: int = 0) -> Judgement:
    """Return what follows from the anomalies of a history: the first few of each rule, and how many there are; ``untold``: without words."""
    told: list[Anomaly] = []
    by_rule: dict[str, int] = {}
    for one in anomalies:
        by_rule[one.rule] = by_rule.get(one.rule, 0) + 1
        if by_rule[one.rule] <= MOST:
            told.append(one)
    verdict: Judged = "violation" if anomalies else "unknown" if reason else "ok"
    return Judgement(verdict, tuple(told), len(anomalies) + untold, "" if anomalies else reason)


def anomaly(rule: str, words: str, at_s: float, shown: Sequence[Witness]) -> Anomaly:
    """Return an anomaly of whose witnesses there may be too few or too many: if there is but one it says so, and past four the first ones go."""
    return Anomaly(rule, words if len(shown) > 1 else f"{words} ({ALONE})", at_s, tuple(shown[-WITNESSES:]))


def witness(index: int, operation: Operation) -> Witness:
    """Return an operation as a witness."""
    return Witness(index, operation, words_of(operation))


def seconds(t: float) -> str:
    """Return an instant of the run as it is written everywhere: milliseconds decide who came first."""
    return f"{t:.3f} s"


def words_of(one: Operation) -> str:
    """Return an operation as a sentence's beginning: who asked whom for what, when, and what came back."""
    asked = f"process {one.process} {_asked(one)} at {one.member}"
    if one.outcome == Outcome.OK:
        return f"{asked}, called at {seconds(one.call_s)}, {_answered(one)} at {seconds(one.return_s)} as {'' if is_write(one) else 'of '}revision {one.revision}"
    if one.outcome == Outcome.UNKNOWN:
        why = f" ({one.error})" if one.error else ""
        return f"{asked}, called at {seconds(one.call_s)}, without an answer{why}: it may have taken effect at any time since, or never"
    return f"{asked}, called at {seconds(one.call_s)}, which failed ({one.error})"


def is_write(one: Operation) -> bool:
    """Tell whether an acknowledged operation took a revision: it changed something."""
    return one.succeeded and bool(one.writes) and (one.deleted > 0 or any(value is not None for _, value in one.writes))


def _asked(one: Operation) -> str:
    if one.kind == "serializable-get":
        return f"read {', '.join(one.reads)} (serializable)"
    parts = []
    if one.writes:
        parts.append(", ".join(f"wrote {key}={value}" if value is not None else f"deleted {key}" for key, value in one.writes))
    if one.reads:
        parts.append("read " + ", ".join(one.reads))
    if one.compares:
        wanted = " and ".join(f"{key} is absent" if mod == 0 else f"{key} is of revision {mod}" for key, mod in one.compares)
        return f"{' and '.join(parts) or 'asked'} if {wanted}"
    return " and ".join(parts) or "asked nothing"


def _answered(one: Operation) -> str:
    what = "acknowledged" if is_write(one) else "answered"
    told = [as_seen(s) for s in one.seen]
    if one.compares and not one.succeeded:
        told.insert(0, "not so")
    elif one.writes and not is_write(one):
        told.insert(0, "nothing to delete")
    return f"{what} ({'; '.join(told)})" if told else what


def as_seen(seen: Iterable[Any]) -> str:
    """Return what is known of a key: value, revision and how often it was written since it was made."""
    key, value, mod, version, create = seen
    if value is None and not mod:
        return f"{key} absent"
    return f"{key}={value}, mod_revision {mod}, version {version}, create_revision {create}"
