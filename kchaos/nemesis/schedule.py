"""The nemesis: arms the triggers of a scenario's steps, fires them, heals them, and records each with its evidence.

Steps with an event as trigger wait for it here; those with a time are fired and undone by whoever drives the run (:meth:`Nemesis.fire`,
:meth:`Nemesis.undo`), so that a run that is made up as it goes and one that follows a scenario are the same. Triggers fire outside any
process's context. Symbolic targets are resolved when their step fires; one that means nothing then makes its step inert, with the reason.
Healing first disarms what is still pending, then undoes what is active, last first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

import msgspec

from kchaos.nemesis.fault import Active, Catalog, Evidence, Kind, Together, bit
from kchaos.scenario import At, Nth, Step

C = TypeVar("C")
Mark = Callable[..., None]


Schedule = Callable[[float, Callable[[], None]], object]
"""Called with (seconds from now, callback)."""


class _Fired:
    """A step that has fired: what it did to each of its targets, or why it had none."""

    def __init__(self, index: int, step: Step) -> None:
        self.index = index
        self.step = step
        self.targets: list[str] = []
        self.actives: list[Active] = []
        self.why = ""
        self.healed = False

    @property
    def active(self) -> Active:
        """Return all that was injected as one."""
        return self.actives[0] if len(self.actives) == 1 else Together(self.actives)


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
        fired = _Fired(index, step)
        found = self._catalog.resolve(self._cluster, kind, kind.target, str(step.args.get("target", "")), "")
        if not found.names:
            fired.why = found.words
        for name in found.names:
            args = self._arguments(kind, {**step.args, "target": name}, fired)
            if args is None:
                continue
            said = {"asked": step.args["target"], "words": found.words} if found.words else {}
            self._mark("fault", step=index, name=step.do, action="injected", args=args, planned=kind.planned, **said)
            fired.targets.append(name)
            fired.actives.append(kind.inject(self._cluster, kind.complete(args)))
        if not fired.actives:
            self._mark("fault", step=index, name=step.do, action="unresolved", args=step.args, why=fired.why)
        self._fired.append(fired)
        if step.for_s is not None and isinstance(step.when, Nth):
            self._later(step.for_s, lambda: self._heal(fired))

    def undo(self, index: int) -> None:
        """Heal what a step has done, if it has fired and is not healed."""
        for fired in self._fired:
            if fired.index == index:
                self._heal(fired)

    def evidence(self, index: int) -> Evidence:
        """Return what a step has done so far: counters, empty if it has not fired or had no target."""
        return next((fired.active.evidence() for fired in self._fired if fired.index == index and fired.actives), {})

    def injected(self, index: int) -> tuple[Active, ...]:
        """Return what a step has injected: nothing if it has not fired or had no target."""
        return tuple(active for fired in self._fired if fired.index == index for active in fired.actives)

    def lasted(self, index: int, for_s: float) -> None:
        """Write down for how long a step's fault was left: what :meth:`undo` was called after."""
        self._steps[index] = msgspec.structs.replace(self._steps[index], for_s=for_s)

    def _arguments(self, kind: Kind[C], args: dict[str, Any], fired: _Fired) -> dict[str, Any] | None:
        """Return a step's arguments with those that are targets resolved to names, None (and why) if one is nothing now."""
        for one in kind.arguments:
            if one.target:
                found = self._catalog.resolve(self._cluster, kind, one.target, str(args.get(one.name, one.default)), args["target"])
                if not found.names:
                    fired.why = found.words
                    return None
                args[one.name] = ",".join(found.names)
        return args

    def targets(self, names: Collection[str]) -> tuple[str, ...]:
        """Return what steps of some names were done to, as far as they have fired."""
        return tuple(target for fired in self._fired if fired.step.do in names for target in fired.targets)

    def _heal(self, fired: _Fired) -> None:
        if fired.healed:
            return
        fired.healed = True
        fired.active.undo()
        if fired.targets:
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
        """Return what each step came to: name, args, ``status`` bit | inert | disarmed, evidence; record it too.

        With a symbolic target also ``targets``, what it was then, and ``why`` if it was nothing.
        """
        out: list[dict[str, Any]] = []
        fired = {one.index: one for one in self._fired}
        for index, step in enumerate(self._steps):
            one = fired.get(index)
            line: dict[str, Any] = {"step": index, "name": step.do, "args": step.args, "status": "disarmed", "evidence": {}}
            if one is not None:
                evidence = one.active.evidence()
                line |= {"status": "bit" if bit(evidence) else "inert", "evidence": evidence}
                if not one.targets:
                    line["why"] = one.why
                elif one.targets != [step.args.get("target", "")]:
                    line["targets"] = one.targets
            out.append(line)
            self._mark("evidence", **line)
        return out
