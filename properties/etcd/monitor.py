"""The monitor of all etcd properties: marks are collected once for all of them, and each is judged at the end, by a pure checker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from kchaos.check.property import BaseMonitor, Context, Severity, Violation
from kchaos.errors import InvalidScenario
from kchaos.history.anomaly import Anomaly, Judgement
from kchaos.history.collected import Collected, agreed
from kchaos.history.events import Log
from kchaos.history.lately import Lately
from kchaos.history.record import Mark
from kchaos.history.watches import LATE, Watched, watches
from kchaos.properties.own.declared import UNDECIDED


class Whole:
    """What the monitors of one run share: the marks, and what several of them need of it, worked out once."""

    def __init__(self) -> None:
        self.collected = Collected()
        self.owner: object = None
        """The monitor that takes the marks in."""

    @cached_property
    def logs(self) -> dict[str, Log]:
        """Return the history of each member."""
        return self.collected.logs()

    @cached_property
    def log(self) -> Log | None:
        """Return the history that most members tell."""
        return agreed(self.logs)

    @cached_property
    def watched(self) -> Watched:
        """Return what the watchers got wrong."""
        return watches(self.collected.stretches, self.collected.operations, self.log, self.collected.late)

    @property
    def lately(self) -> Lately:
        """Return what is on record of each member."""
        return Lately(self.collected.lives, self.collected.statuses, self.collected.silences, self.collected.operations)

    def unless_unread(self, found: Judgement, what: str) -> Judgement:
        """Return a judgement that is no "ok" if a member would not tell what it is based on: ``what`` is log or hash."""
        missing = [one for one in self.collected.unread if one.what == what]
        if found.verdict != "ok" or not missing:
            return found
        return Judgement("unknown", reason="; ".join(f"{one.member} did not tell its {what}: {one.error}" for one in missing))

    @cached_property
    def final_s(self) -> float | None:
        """Return when the final reads began."""
        return next((t for t, name in self.collected.phases if name == "final"), None)


class EtcdMonitor(BaseMonitor, ABC):
    """Judges one property at the end; ``about``: what its violations are of, ``system`` for the cluster as a whole."""

    about: ClassVar[str] = "etcd"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.exercised = False
        whole = context.shared.get(Whole)
        if whole is None:
            whole = context.shared[Whole] = Whole()
        self.whole: Whole = whole
        if self.whole.owner is None:
            self.whole.owner = self

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        """Collect, if no other monitor does."""
        if self.whole.owner is not self:
            return {}
        return {what: _collecting(take) for what, take in self.whole.collected.handlers().items()}

    @abstractmethod
    def judge(self, whole: Whole) -> Judgement:
        """Return what the checker says; set ``exercised``."""

    def finish(self, t: float) -> Iterable[Violation]:
        """Judge all that was collected."""
        found = self.judge(self.whole)
        if found.verdict == "unknown":
            yield Violation(t=t, object=self.about, summary=found.reason, root=UNDECIDED, figures={UNDECIDED: True})
        for one in found.anomalies:
            yield _violation(one, t, self.about, found.total)


def _violation(one: Anomaly, t: float, about: str, total: int) -> Violation:
    figures: dict[str, Any] = {
        "witness": [witness.words for witness in one.witnesses],
        "witnesses": [witness.data() for witness in one.witnesses],
        "total": total,
    }
    severity = Severity.WARNING if one.rule == LATE else Severity.ERROR
    return Violation(severity=severity, t=one.at_s or t, object=about, summary=one.words, root=one.rule, figures=figures)


def _collecting(take: Callable[[Mark], None]) -> Callable[[Mark], Iterable[Violation]]:
    def collect(mark: Mark) -> Iterable[Violation]:
        try:
            take(mark)
        except (msgspec.ValidationError, KeyError) as error:
            missing = f"no `{error.args[0]}`" if isinstance(error, KeyError) else str(error)
            raise InvalidScenario(
                f"not a run of etcd: the `{mark.what}` entry at {mark.t} s is not one: {missing}", hint="the file was edited; run it again"
            ) from error
        return ()

    return collect
