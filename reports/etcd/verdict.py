"""The verdict of a run of real etcd in one sentence, and the figures beside it: the same in a terminal and on a page."""

from __future__ import annotations

from kchaos.engine.etcd.result import EtcdFinding, EtcdResult, FaultLine
from kchaos.reports.etcd.words import count

LISTED = 6
BEFORE_S = 2.0
"""What a fault does can show after it is healed: an election takes that long."""


def headline(result: EtcdResult) -> str:
    """Return what came out, of how much."""
    if result.verdict == "fail":
        if not result.findings:
            return f"FAIL: {'; '.join(result.reasons)}"
        first, more = result.findings[0], len(result.findings) - 1
        rest = f" (and {count(more, 'more finding')})" if more > 0 else ""
        return f"FAIL: {first.property} does not hold: {first.summary}{rest}"
    if result.verdict == "pass":
        return f"PASS: {held(result)}, as far as it was asked: {asked(result)}"
    return f"UNKNOWN: {result.reasons[0] if result.reasons else 'too little was asked'}; {asked(result)}"


def also(result: EtcdResult) -> list[str]:
    """Return a line for each property that is broken beside that of the headline: its first finding, and how many there are."""
    by: dict[str, list[EtcdFinding]] = {}
    for one in result.findings:
        by.setdefault(one.id, []).append(one)
    if result.findings:
        del by[result.findings[0].id]
    more = {ident: f" (and {count(len(found) - 1, 'more finding')})" if len(found) > 1 else "" for ident, found in by.items()}
    return [f"{ident} {found[0].property}: {found[0].summary}{more[ident]}" for ident, found in by.items()]


def held(result: EtcdResult) -> str:
    """Return the names of the properties that held."""
    names = named(result, "held")
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(names[:LISTED])}{more}" if names else "nothing was violated"


def named(result: EtcdResult, state: str) -> list[str]:
    """Return the names of the properties that stand so: held, violated, unknown, not exercised."""
    return [result.coverage.names.get(one, one) for one, stands in result.coverage.properties.items() if stands == state]


def asked(result: EtcdResult) -> str:
    """Return how much was put to the test."""
    bit = sum(1 for one in result.faults if one.bit)
    return f"{count(result.operations, 'operation')}, {count(bit, 'fault')} bit"


def figures(result: EtcdResult) -> list[tuple[str, str]]:
    """Return what a reader wants to know of the run, by name."""
    bit = sum(1 for one in result.faults if one.bit)
    without = sum(1 for one in result.faults if one.why)
    missed = f", {without} found no target" if without else ""
    return [
        ("operations", f"{result.operations:,} in {result.seconds:,.1f} s, {result.operations_per_s:,.0f}/s"),
        ("outcomes", f"{result.ok:,} ok, {result.failed:,} failed, {result.unknown:,} unknown"),
        ("faults", f"{bit} bit, {len(result.faults) - bit - without} without effect{missed}, {count(len(result.coverage.faults_never), 'sort')} never exercised"),
        ("cluster", f"{count(result.members, 'member')} ({result.backend}), {count(result.elections, 'election')}"),
    ]


def around(result: EtcdResult, finding: EtcdFinding) -> list[FaultLine]:
    """Return the faults that lasted between the first and the last of a finding's witnesses, or had ended up to :data:`BEFORE_S` before."""
    operations = [one["operation"] for one in finding.proof if "operation" in one]
    start = min([finding.t, *(one["call_s"] for one in operations)]) - BEFORE_S
    end = max([finding.t, *(one["return_s"] for one in operations)])
    return [one for one in result.faults if not one.why and one.at_s <= end and (one.at_s if one.until_s is None else one.until_s) >= start]
