"""``run``: what a ``@chaos`` test gets: the verdict of its campaign, the findings, a history to look at, and a text that tells it all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from kchaos.check.property import Severity
from kchaos.check.verdict import Finding
from kchaos.engine.output import harmless
from kchaos.engine.replays import Replay
from kchaos.engine.result import Result
from kchaos.history.record import Run
from kchaos.reports.columns import headline

LISTED = 5
"""Further findings that a failure text names; the report has all."""


class Shown(NamedTuple):
    """Where a failure can be seen again: its scenario, its pytest file (empty: there is none), the worst finding they show."""

    fingerprint: str
    scenario: str
    test: str


class ChaosRun:
    """The answer of a campaign. A test that does not look at what it came to (verdict, findings, result) passes only if the verdict is pass."""

    def __init__(
        self, result: Result, replays: dict[str, Replay], healthy: Callable[[], Run], shown: tuple[Shown, ...], problems: tuple[str, ...]
    ) -> None:
        self._result = result
        self.problems = problems
        """What went wrong beside it, in words: files that could not be read or written."""
        self._replays = replays
        self._healthy = healthy
        self._shown = {one.fingerprint: one for one in shown}
        self._judged = False

    @property
    def result(self) -> Result:
        """Return the whole answer, as in result.json (docs/result.md)."""
        self._judged = True
        return self._result

    @property
    def verdict(self) -> str:
        """Return ``pass``, ``fail`` or ``unknown``."""
        return self.result.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why the verdict is *unknown*, in words."""
        return self.result.reasons

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return all findings, the worst first, accepted ones last."""
        return self.result.findings

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Return the findings that make the verdict *fail*."""
        self._judged = True
        return self._failures()

    def _failures(self) -> tuple[Finding, ...]:
        bar = Severity(self._result.fail_on).rank
        return tuple(one for one in self._result.findings if one.severity.rank <= bar and not one.accepted and not one.known)

    @property
    def passed(self) -> bool:
        """Tell whether the verdict is pass, without judging."""
        return self._result.verdict == "pass"

    @property
    def judged(self) -> bool:
        """Tell whether the test has looked at what the campaign came to."""
        return self._judged

    @cached_property
    def history(self) -> Run:
        """Return what happened in the run that shows the worst finding, or in one without faults if there is none."""
        worst = next((self._replays[one.fingerprint] for one in self._result.findings if one.fingerprint in self._replays), None)
        return worst.run if worst is not None else self._healthy()

    @property
    def story(self) -> tuple[str, ...]:
        """Return the worst finding's story, sentence by sentence; empty if there is none."""
        return next((one.story for one in self._result.findings if one.story), ())

    def again(self) -> ChaosRun:
        """Return the same answer for another test, which has not looked at it yet."""
        found = copy.copy(self)
        found._judged = False
        return found

    def told(self) -> str:
        """Return what the text of a failed test ends with; empty if the campaign itself passed."""
        return "" if self._result.verdict == "pass" else str(self)

    def plain(self) -> dict[str, Any]:
        """Return what the session's report needs, as plain values."""
        return {"result": self._result.to_json().decode("utf-8"), "problems": list(self.problems)}

    def __repr__(self) -> str:
        return f"<run: {harmless(headline(self._result))}>"

    def __str__(self) -> str:
        return harmless("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        result, bad = self._result, self._failures()
        lines = [headline(result), f"on {result.topology}; Kubernetes {result.kubernetes}, seed {result.seed}"]
        lines += [f"why: {reason}" for reason in result.reasons] if result.verdict == "unknown" else []
        if not bad:
            return lines + self._warnings()
        worst = next((one for one in bad if one.fingerprint in self._shown), bad[0])
        lines += ["", *_title(worst)]
        if worst.fault:
            lines.append(f"  after: {worst.fault}")
        lines += ["", "how it came to that:", *(f"  {sentence}" for sentence in worst.story)] if worst.story else []
        others = [one for one in bad if one is not worst]
        lines += ["", f"and {len(others)} more:"] if others else []
        lines += [f"  {_line(one)}" for one in others[:LISTED]]
        lines += [f"  … and {len(others) - LISTED} more in the report"] if len(others) > LISTED else []
        return [*lines, *self._warnings(), "", *self._again(worst)]

    def _warnings(self) -> list[str]:
        return ["", *(f"warning: {problem}" for problem in self.problems)] if self.problems else []

    def _again(self, worst: Finding) -> list[str]:
        shown = self._shown.get(worst.fingerprint)
        if shown is None:
            return [f"kchaos explain {worst.id}"]
        return ["the same again:", f"  kchaos replay {shown.scenario}", *([f"  python -m pytest {shown.test}"] if shown.test else [])]


def _title(one: Finding) -> list[str]:
    return [_line(one), *([f"  → {one.advice}"] if one.advice else [])]


def _line(one: Finding) -> str:
    where = f"  [{one.file}:{one.line}]" if one.file else ""
    about = f"{one.object}: " if one.object else ""
    return f"{one.id} {one.property}: {about}{one.summary}{where}"
