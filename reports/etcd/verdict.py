"""The verdict of a run of real etcd in one sentence, and the figures beside it: the same in a terminal and on a page."""

from __future__ import annotations

from kchaos.engine.etcd.result import EtcdResult, FaultLine
from kchaos.reports.etcd.words import count

LISTED = 6


def headline(result: EtcdResult) -> str:
    """Return what came out, of how much."""
    if result.verdict == "fail":
        first = result.findings[0].summary if result.findings else "; ".join(result.reasons)
        more = len(result.findings) - 1
        rest = f" (and {count(more, 'more finding')})" if more > 0 else ""
        return f"FAIL: {first}{rest}"
    if result.verdict == "pass":
        return f"PASS: {held(result)}, as far as it was asked: {asked(result)}"
    return f"UNKNOWN: {result.reasons[0] if result.reasons else 'too little was asked'}; {asked(result)}"


def held(result: EtcdResult) -> str:
    """Return which properties held."""
    names = [name for name, stands in result.coverage.properties.items() if stands == "held"]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more} held" if names else "nothing was violated"


def asked(result: EtcdResult) -> str:
    """Return how much was put to the test."""
    bit = sum(1 for one in result.faults if one.bit)
    return f"{count(result.operations, 'operation')}, {count(bit, 'fault')} bit"


def figures(result: EtcdResult) -> list[tuple[str, str]]:
    """Return what a reader wants to know of the run, by name."""
    bit = sum(1 for one in result.faults if one.bit)
    return [
        ("operations", f"{result.operations:,} in {result.seconds:,.1f} s, {result.operations_per_s:,.0f}/s"),
        ("outcomes", f"{result.ok:,} ok, {result.failed:,} failed, {result.unknown:,} unknown"),
        ("faults", f"{bit} bit, {len(result.faults) - bit} without effect, {count(len(result.coverage.faults_never), 'sort')} never exercised"),
        ("cluster", f"{count(result.members, 'member')} ({result.backend}), {count(result.elections, 'election')}"),
    ]


def around(result: EtcdResult, start: float, end: float, before_s: float = 2.0) -> list[FaultLine]:
    """Return the faults that lasted while something happened, or had ended not long before."""
    return [one for one in result.faults if not one.why and one.at_s <= end and (one.until_s if one.until_s is not None else one.at_s) >= start - before_s]
