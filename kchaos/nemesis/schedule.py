"""The nemesis: arms the triggers of a scenario's steps, fires them, heals them, and records each with its evidence.

Triggers fire outside any process's context. Symbolic targets are resolved when their step fires; one that means nothing then makes its
step inert, with the reason. Healing first disarms what is still pending, then undoes what is active, last first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from kchaos.nemesis.fault import Active, Catalog, Kind, Together, bit
from kchaos.scenario import At, Nth, Step

C = TypeVar("C")
Mark = Callable[..., None]


class Alarm(Protocol):
    """A pending timer."""

    def cancel(self) -> None:
        """Never fire."""


Schedule = Callable[[float, Callable[[], None]], Alarm]
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
        self._steps = steps
        self._later = later
        self._mark = mark
        self._alarms: dict[int, Alarm] = {}
        self._waiting: dict[int, tuple[Nth, int]] = {}
        self._fired: list[_Fired] = []
        self.pending = 0

    def arm(self) -> None:
        """Start the clock of all triggers: chaos begins."""
        for index, step in enumerate(self._steps):
            self.pending += 1
            if isinstance(step.when, At):
                self._alarms[index] = self._later(step.when.s, partial(self._fire, index))
            else:
                self._waiting[index] = (step.when, 0)

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
            self._fire(index)

    def _fire(self, index: int) -> None:
        self._alarms.pop(index, None)
        self.pending -= 1
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
        if step.for_s is not None:
            self._later(step.for_s, lambda: self._heal(fired))

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

    def _heal(self, fired: _Fired) -> None:
        if fired.healed:
            return
        fired.healed = True
        fired.active.undo()
        if fired.targets:
            self._mark("fault", step=fired.index, name=fired.step.do, action="healed")

    def heal(self) -> None:
        """Disarm what is pending, then undo what is active, last first."""
        for index, alarm in self._alarms.items():
            alarm.cancel()
            self._mark("fault", step=index, name=self._steps[index].do, action="disarmed")
        for index in self._waiting:
            self._mark("fault", step=index, name=self._steps[index].do, action="disarmed")
        self._alarms.clear()
        self._waiting.clear()
        self.pending = 0
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
