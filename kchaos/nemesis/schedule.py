"""The nemesis: arms the triggers of a scenario's steps, fires them, heals them, and records each with its evidence.

Steps with an event as trigger wait for it here; those with a time are fired and undone by whoever drives the run (:meth:`Nemesis.fire`,
:meth:`Nemesis.undo`), so that a run that is made up as it goes and one that follows a scenario are the same. Triggers fire outside any
process's context. Healing first disarms what is still pending, then undoes what is active, last first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

import msgspec

from kchaos.nemesis.fault import Active, Catalog, bit
from kchaos.scenario import At, Nth, Step

C = TypeVar("C")
Mark = Callable[..., None]


Schedule = Callable[[float, Callable[[], None]], object]
"""Called with (seconds from now, callback)."""


class _Fired:
    def __init__(self, index: int, step: Step, active: Active, planned: bool) -> None:
        self.index = index
        self.step = step
        self.active = active
        self.planned = planned
        self.healed = False


class Nemesis(Generic[C]):
    """The faults of one run. ``later`` schedules a callback of the world, ``mark`` records."""

    def __init__(self, cluster: C, catalog: Catalog[C], steps: Sequence[Step], later: Schedule, mark: Mark) -> None:
        self._cluster = cluster
        self._catalog = catalog
        self._steps: list[Step] = []
        self._later = later
        self._mark = mark
        self._timed: dict[int, None] = {}
        self._waiting: dict[int, tuple[Nth, int]] = {}
        self._fired: list[_Fired] = []
        for step in steps:
            self.add(step)

    def add(self, step: Step) -> int:
        """Take one more step, and return its index: from now on it waits for its event, or for :meth:`fire`."""
        index = len(self._steps)
        self._steps.append(step)
        if isinstance(step.when, At):
            self._timed[index] = None
        else:
            self._waiting[index] = (step.when, 0)
        return index

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return all steps, fired or not."""
        return tuple(self._steps)

    @property
    def listens(self) -> bool:
        """Tell whether any trigger still waits for an event."""
        return bool(self._waiting)

    def observe(self, event: dict[str, str]) -> None:
        """Show one event to the triggers that wait for an n-th one; those that are due fire at once."""
        due = []
        for index, (trigger, seen) in list(self._waiting.items()):
            if all(fnmatchcase(event.get(key, ""), pattern) for key, pattern in trigger.event.items()):
                seen += 1
                if seen >= trigger.n:
                    del self._waiting[index]
                    due.append(index)
                else:
                    self._waiting[index] = (trigger, seen)
        for index in due:
            self.fire(index)

    def fire(self, index: int) -> None:
        """Inject a step's fault now."""
        self._timed.pop(index, None)
        step = self._steps[index]
        kind = self._catalog.get(step.do)
        self._mark("fault", step=index, name=step.do, action="injected", args=step.args, planned=kind.planned)
        fired = _Fired(index, step, kind.inject(self._cluster, step.args), kind.planned)
        self._fired.append(fired)
        if step.for_s is not None and isinstance(step.when, Nth):
            self._later(step.for_s, lambda: self._heal(fired))

    def undo(self, index: int) -> None:
        """Heal what a step has done, if it has fired and is not healed."""
        for fired in self._fired:
            if fired.index == index:
                self._heal(fired)

    def lasted(self, index: int, for_s: float) -> None:
        """Write down for how long a step's fault was left: what :meth:`undo` was called after."""
        self._steps[index] = msgspec.structs.replace(self._steps[index], for_s=for_s)

    def _heal(self, fired: _Fired) -> None:
        if fired.healed:
            return
        fired.healed = True
        fired.active.undo()
        self._mark("fault", step=fired.index, name=fired.step.do, action="healed")

    def heal(self) -> None:
        """Disarm what is pending, then undo what is active, last first."""
        for index in self._timed:
            self._mark("fault", step=index, name=self._steps[index].do, action="disarmed")
        for index in self._waiting:
            self._mark("fault", step=index, name=self._steps[index].do, action="disarmed")
        self._timed.clear()
        self._waiting.clear()
        for fired in reversed(self._fired):
            self._heal(fired)

    def report(self) -> list[dict[str, Any]]:
        """Return what each step came to: name, args, ``status`` bit | inert | disarmed, evidence; record it too."""
        out: list[dict[str, Any]] = []
        fired = {one.index: one for one in self._fired}
        for index, step in enumerate(self._steps):
            one = fired.get(index)
            if one is None:
                line: dict[str, Any] = {
                    "step": index,
                    "name": step.do,
                    "args": step.args,
                    "status": "disarmed",
                    "evidence": {},
                }
            else:
                evidence = one.active.evidence()
                status = "bit" if bit(evidence) else "inert"
                line = {"step": index, "name": step.do, "args": step.args, "status": status, "evidence": evidence}
            out.append(line)
            self._mark("evidence", **line)
        return out
