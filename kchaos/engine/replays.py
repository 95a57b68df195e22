"""For each finding the scenario that shows it, as small as can be, its story, and what the corpus keeps of it.

What several steps brought about is shrunk first: nobody reads a dozen faults. The tries are shared by all findings, the worst first; when they
are spent, the rest is told as it was found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.cases import Example, Variants, example, label_of
from kchaos.engine.findings import Shown
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.shrink import TRIES
from kchaos.engine.smaller import Systems, Wanted, shrink_scenario
from kchaos.engine.story import Sentence, numbered, sentences
from kchaos.history.record import Run
from kchaos.scenario import Scenario

STORIES = 25
"""Findings that get a story and a replay file; more than a person reads."""
KEPT = 3
"""Failures that are kept in the corpus, of one run; each costs tries."""
SMALLER = 30
"""Tries that making the system of a kept failure smaller may take."""
PATIENCE_S = 2.0
"""For how long stories are told after an interruption."""


class Replay(NamedTuple):
    """The scenario that shows a finding, and its run."""

    name: str
    scenario: Scenario
    run: Run
    sentences: Sequence[Sentence] = ()
    """Its story."""


class Told(NamedTuple):
    """Findings with stories; replays by fingerprint; scenarios for the corpus by fingerprint."""

    findings: list[Finding]
    replays: dict[str, Replay]
    corpus: dict[str, Replay]


class _Teller:
    def __init__(self, variants: Variants, tries: int, until: Callable[[], bool]) -> None:
        self._variants = variants
        self._left = tries
        self._until = until
        self._runs: dict[int, Outcome] = {}

    def outcome(self, one: Example) -> Outcome:
        """Run an example again, once."""
        if one.number not in self._runs:
            self._runs[one.number] = example(self._variants, one.number, one.case)[1]
        return self._runs[one.number]

    def smallest(self, finding: Finding, one: Example) -> tuple[Finding, Scenario, Run]:
        """Return a finding as its smallest scenario shows it, that scenario, and its run."""
        scenario, outcome = self._variants.whole(one.case), self.outcome(one)
        worth = finding.severity is not Severity.INFO and len(one.steps) > 1
        if not worth or self._left <= 0 or self._until():
            return finding, scenario, outcome.run
        system, booted = self._variants.of(one.case)
        systems = Systems()
        systems.add(scenario, system, booted)
        wanted = Wanted(finding.id, finding.object, finding.severity)
        found = shrink_scenario(scenario, wanted, systems, tries=min(TRIES, self._left), whole=False, stop=self._until)
        self._left -= found.tried
        again = run(system, booted, found.scenario)
        violation = wanted.best(again.violations)
        assert violation is not None, "the shrinker returned what does not fail"
        figures = {**violation.figures, "shrunk_from": len(one.steps), "shrunk_to": len(found.scenario.steps), "tries": found.tried}
        told = msgspec.structs.replace(
            finding, summary=violation.summary, fault=label_of(found.scenario.steps), t=round(violation.t, 3), figures=figures,
            advice=violation.advice, object=violation.object,
        )  # fmt: skip
        return told, found.scenario, again.run

    def kept(self, finding: Finding, scenario: Scenario) -> Scenario:
        """Return a scenario on a smaller system, for the corpus."""
        if self._left <= 0 or self._until():
            return scenario
        wanted = Wanted(finding.id, finding.object, finding.severity)
        found = shrink_scenario(scenario, wanted, tries=min(SMALLER, self._left), steps=False, stop=self._until)
        self._left -= found.tried
        return found.scenario


def tell(
    variants: Variants, shown: Sequence[Shown], *, fail_on: Severity = Severity.ERROR, known: Sequence[str] = (), tries: int = TRIES,
    interrupted: bool = False, until: Callable[[], bool] = lambda: False, smaller: bool = True,
) -> Told:  # fmt: skip
    """Tell the stories of findings. ``known``: beginnings of fingerprints that the corpus has already; ``until``: no more tries when it says so.

    ``smaller``: whether what the corpus keeps is made to fail on a smaller cluster.
    """
    begun = time.monotonic()

    def impatient() -> bool:
        return interrupted and time.monotonic() - begun > PATIENCE_S

    teller = _Teller(variants, 0 if interrupted else tries, until)
    told = Told([], {}, {})
    for one in shown:
        finding = one.finding
        if one.example is None or len(told.replays) >= STORIES or impatient():
            told.findings.append(finding)
            continue
        finding, scenario, its_run = teller.smallest(finding, one.example)
        name = f"{finding.id}-{finding.fingerprint[:8]}"
        scenario = msgspec.structs.replace(scenario, name=f"{finding.id} {finding.property}: {finding.summary}"[:200])
        replay = Replay(name, scenario, its_run, sentences(its_run, finding.object))
        told.replays[finding.fingerprint] = replay
        told.findings.append(msgspec.structs.replace(finding, story=tuple(numbered(replay.sentences)), replay=f"{name}.scenario.json"))
        failing = finding.severity.rank <= fail_on.rank and not finding.accepted and bool(scenario.steps)
        if failing and not any(finding.fingerprint.startswith(one) for one in known if one) and len(told.corpus) < KEPT and not interrupted:
            told.corpus[finding.fingerprint] = Replay(name, teller.kept(finding, scenario) if smaller else scenario, its_run)
    return told
