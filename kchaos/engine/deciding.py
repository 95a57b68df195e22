"""Which scenarios decide the verdict: those of the findings that fail it, else of warnings, else the one that came closest to trouble."""

from __future__ import annotations

from collections.abc import Sequence

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.cases import Example, Variants
from kchaos.engine.findings import Shown
from kchaos.engine.flips import Deciding
from kchaos.engine.replays import Told


def deciding(shown: Sequence[Shown], told: Told, variants: Variants, examples: Sequence[Example], fail_on: Severity) -> list[Deciding]:
    """Return them, the worst first. What is accepted or known decides nothing."""
    mine = {one.finding.fingerprint: one.example for one in shown}
    open_ = [one for one in told.findings if one.fingerprint in told.replays and not one.accepted and not one.known]
    chosen = [one for one in open_ if one.severity.rank <= fail_on.rank] or [one for one in open_ if one.severity is not Severity.INFO]
    found = [_of(one, example, told, variants) for one in chosen if (example := mine[one.fingerprint]) is not None]
    closest = max((one for one in examples if one.steps), key=_trouble, default=None)
    if not found and closest is not None:
        found = [Deciding(closest.label, variants.whole(closest.case), *variants.of(closest.case))]
    return found


def _of(finding: Finding, example: Example, told: Told, variants: Variants) -> Deciding:
    label = f"{finding.id} {finding.object}: {finding.fault}"
    return Deciding(label, told.replays[finding.fingerprint].scenario, *variants.of(example.case), (finding.id, finding.object))


def _trouble(one: Example) -> tuple[bool, float, float, int]:
    """Return how close an example came to trouble: of one step, since of more less is claimed; outage, lost requests; of equal ones the first."""
    return len(one.steps) == 1, max(one.figures.outage_s.values(), default=0.0), sum(one.figures.lost.values()), -one.number
