"""Simulating edited files: booted, a few cases first, then all of level 1; counted, and stopped when the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding, fingerprint
from kchaos.engine.booting import Boot
from kchaos.engine.campaign import Done, campaign
from kchaos.engine.cases import Case, Example, Variants, example
from kchaos.engine.execute import Prepared, Question, assemble, remarks
from kchaos.engine.findings import accepted, of_examples, of_notes, order
from kchaos.engine.sweep import Sweep, choose, sweep
from kchaos.fix.files import Draft
from kchaos.fix.scene import Scene, Weakness
from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.load import load
from kchaos.models.manifests.notes import Note

CASES = 3
"""Of one weakness so many cases are run again before level 1: one of each fault, the first ones."""


class Spent(Exception):
    """The budget of the search is used up."""


class Meter:
    """Counts examples, and stops the search when there were ``examples`` of them or after ``seconds``."""

    def __init__(
        self, examples: int | None, seconds: float, tick: Callable[[int], None] = lambda count: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.examples = 0
        self._tick = tick
        self._most = examples
        self._clock = clock
        self._until = clock() + seconds

    def check(self) -> None:
        """Raise Spent if another example would be too much."""
        if (self._most is not None and self.examples >= self._most) or self._clock() >= self._until:
            raise Spent

    def ran(self, one: Example) -> None:
        """Count one."""
        self.examples += 1
        self._tick(self.examples)


class Attempt(NamedTuple):
    """A draft and what level 1 says of it."""

    draft: Draft
    prepared: Prepared
    done: Done
    findings: tuple[Finding, ...]
    """Errors and warnings that are neither accepted nor known."""
    weak: tuple[Weakness, ...]

    @property
    def score(self) -> tuple[int, int]:
        """Return how many errors and how many warnings there are: by object, and of the files."""
        notes = [one for one in self.findings if not one.examples]
        levels = [*(one.severity for one in self.weak), *(one.severity for one in notes)]
        return (levels.count(Severity.ERROR) + (not self.prepared.booted.at_rest), levels.count(Severity.WARNING))

    def fails(self, fail_on: Severity) -> bool:
        """Tell whether the verdict is fail."""
        return not self.prepared.booted.at_rest or any(one.severity.rank <= fail_on.rank for one in self.findings)


class Lab:
    """Simulates drafts of one question's files."""

    def __init__(self, question: Question, prepared: Prepared, meter: Meter) -> None:
        self.question = question
        self.meter = meter
        self._prepared = prepared
        self._known = {one.fingerprint for one in question.baseline[1].findings} if question.baseline is not None else set()

    def scene(self, draft: Draft, booted: Boot) -> Scene:
        """Return a draft as candidates look at it."""
        return Scene(draft.objects, booted.backing, self.question.kubernetes)

    def boot(self, draft: Draft) -> Prepared:
        """Boot a draft."""
        self.meter.check()
        before = self._prepared.loaded
        return assemble(self.question, before._replace(manifests=tuple(draft.objects.values())), self._prepared.context)

    def cases(self, prepared: Prepared, cases: Sequence[Case]) -> list[Example]:
        """Run some cases."""
        variants = Variants(prepared.system, prepared.booted, self.question.seed)
        out = []
        for number, case in enumerate(cases):
            self.meter.check()
            out.append(example(variants, number, case)[0])
            self.meter.ran(out[-1])
        return out

    def level1(self, draft: Draft) -> Attempt:
        """Run all of level 1. Raises KeyboardInterrupt if that was interrupted."""
        prepared = self.boot(draft)
        prepared = prepared._replace(loaded=prepared.loaded._replace(notes=self._read_again(draft)))
        chosen = choose(self.question.faults, catalog())
        plan = sweep(prepared.system, prepared.booted, chosen, self.question.seed)

        def ran(one: Example) -> None:
            self.meter.ran(one)
            if one.number < len(plan.level1) - 1:
                self.meter.check()

        done = campaign(
            prepared.system, prepared.booted, Sweep(plan.level1, ()), seed=self.question.seed, jobs=self.question.jobs, progress=ran
        )
        if done.interrupted:
            raise KeyboardInterrupt
        return self.attempt(draft, prepared, done)

    def _read_again(self, draft: Draft) -> tuple[Note, ...]:
        """Return what the loader says of the edited texts: a fix must not bring new warnings."""
        return load(draft.written(self.question.texts), self.question.namespace, self.question.kubernetes).notes

    def attempt(self, draft: Draft, prepared: Prepared, done: Done) -> Attempt:
        """Judge what ran."""
        accepts = self.question.settings.accept
        shown = order(
            [*of_examples(done, draft.objects, accepts, prepared.system.properties), *of_notes(self._notes(prepared, done), accepts)]
        )
        found = [one.finding for one in shown if self._counts(one.finding)]
        return Attempt(draft, prepared, done, tuple(found), tuple(self.weaknesses(done.examples)))

    def _notes(self, prepared: Prepared, done: Done) -> list[Note]:
        return remarks(self.question, prepared, done)

    def _counts(self, one: Finding) -> bool:
        return one.severity is not Severity.INFO and not one.accepted and one.fingerprint not in self._known

    def weaknesses(self, examples: Sequence[Example]) -> list[Weakness]:
        """Return what examples showed, object by object, the worst first."""
        groups: dict[tuple[str, str, str], list[tuple[Example, Severity, str]]] = {}
        for one in examples:
            for rule, violation in one.violations:
                root = violation.root or violation.object
                print_ = fingerprint(rule, root)
                if violation.severity is Severity.INFO or print_ in self._known:
                    continue
                if accepted(self.question.settings.accept, rule, print_, (violation.object,)):
                    continue
                groups.setdefault((rule, root, violation.object), []).append((one, violation.severity, violation.summary))
        return sorted((_weakness(key, members) for key, members in groups.items()), key=lambda one: one.severity.rank)


def _weakness(key: tuple[str, str, str], members: list[tuple[Example, Severity, str]]) -> Weakness:
    rule, root, name = key
    _, severity, summary = min(members, key=lambda one: (one[1].rank, len(one[0].steps)))
    cases: dict[str, Case] = {}
    for one, _, _ in sorted(members, key=lambda member: (len(member[0].steps), member[0].number)):
        cases.setdefault(" ".join(step.do for step in one.steps), one.case)
    faults = tuple(dict.fromkeys(step.do for one, _, _ in members for step in one.steps))
    return Weakness(rule, root, name, severity, summary, faults, tuple(cases.values())[:CASES], fingerprint(rule, root))
