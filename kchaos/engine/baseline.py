"""A run held against an earlier one: what was found then is known and decides nothing; what is gone is mended, if it was tried again."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding, Verdict
from kchaos.engine.cases import NO_FAULT, OF, THEN
from kchaos.engine.result import BaselineResult, Counts, Result


def against(result: Result, before: Result, file: str) -> Result:
    """Return the result with the findings of ``before`` as known ones, after the new, and the verdict that the new ones give.

    Findings are compared by fingerprint, so lines, seeds and figures may change. Doubts stay: they may hide something new.
    """
    prints = {one.fingerprint for one in before.findings}
    marked = [msgspec.structs.replace(one, known=one.fingerprint in prints) for one in result.findings]
    findings = tuple(sorted(marked, key=lambda one: (bool(one.accepted), one.known)))
    now = {one.fingerprint for one in findings}
    gone = tuple(one for one in before.findings if one.fingerprint not in now and tried(one, before, result))
    verdict = judge(findings, Severity(result.fail_on), unknown=bool(result.reasons))
    baseline = BaselineResult(file=file, known=sum(one.known for one in findings), mended=gone)
    return msgspec.structs.replace(result, findings=findings, verdict=verdict.value, exit_code=int(verdict.exit_code), baseline=baseline)


def judge(findings: Iterable[Finding], fail_on: Severity, unknown: bool) -> Verdict:
    """Return fail if a finding that is neither accepted nor known is as bad as ``fail_on``, else unknown if there are doubts, else pass."""
    if any(one.severity.rank <= fail_on.rank for one in findings if not one.accepted and not one.known):
        return Verdict.FAIL
    return Verdict.UNKNOWN if unknown else Verdict.PASS


def tried(one: Finding, before: Result, now: Result) -> bool:
    """Tell whether a run has tried what showed a finding of an earlier one; if not, as in a shard, nothing is known of it."""
    counts = now.examples
    if now.shard or counts.interrupted or counts.level1_done < counts.level1:
        return False
    if not one.examples or one.fault == NO_FAULT:
        return True
    steps = one.fault.split(THEN)
    if any(step.partition(OF)[0] not in {fault.name for fault in now.faults} for step in steps):
        return False
    return len(steps) == 1 or (before.seed == now.seed and _no_less(counts, before.examples))


def _no_less(now: Counts, then: Counts) -> bool:
    return now.pairs_done >= then.pairs_done and now.drawn >= then.drawn and now.triggered >= then.triggered
