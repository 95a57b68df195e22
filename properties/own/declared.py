"""Properties that users declare: always, never, and eventually within a bound, of a predicate over the state of the cluster.

The forms are the specification patterns of Dwyer, Avrunin and Corbett ("Patterns in property specifications for finite-state verification",
ICSE 1999): universality, absence, and bounded response; ``for_s`` is what Prometheus' alerting rules call ``for``. Time is virtual, and only a
change can make a predicate change: so what lies between two entries is known exactly.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol, get_args

import msgspec

from kchaos.check.property import Context, Guarantee, Monitor, Property, Severity, Violation
from kchaos.history.record import Entry, Mark, Write
from kchaos.properties.disruption import AT_ONCE, FELT_S, STAGING, fault_words
from kchaos.properties.own.expression import Watch, compiled
from kchaos.properties.own.functions import Called, Function
from kchaos.properties.own.state import MARKS, SOURCES, State, Undecided, Value

Form = Literal["always", "never", "eventually"]
FORMS: tuple[Form, ...] = get_args(Form)
NAME_AT_MOST = 40
UNDECIDED = "undecided"
"""Key of the figures of what could not be told: no breach, but no pass either."""


def undecided(violation: Violation) -> bool:
    """Tell whether this only says that a property could not be told."""
    return bool(violation.figures.get(UNDECIDED))


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One declaration. ``says`` and ``when`` are expressions, or functions in Python; ``file`` and ``line`` are where it stands."""

    id: str
    title: str
    form: Form
    says: str | Function
    when: str | Function = ""
    """Only while (always, never) or whenever (eventually) this is true."""
    for_s: float = 0.0
    """always, never: how long it may be broken."""
    within_s: float | None = None
    """eventually: how soon; from healing on, or from the moment at which ``when`` becomes true."""
    severity: Severity = Severity.ERROR
    source: str = ""
    except_during: tuple[str, ...] = ()
    """Faults while which nothing is claimed."""
    faults_at_once: int | None = None
    """Up to how many faults at once it is claimed for; what more bring about is told as info."""
    file: str = ""
    line: int = 0

    @property
    def words(self) -> str:
        """Return what is claimed, as it was written."""
        when = (
            f" whenever {_told(self.when)}"
            if self.when and self.form == "eventually"
            else f" while {_told(self.when)}"
            if self.when
            else ""
        )
        lasts = f", but for up to {self.for_s:g} s" if self.for_s else f" within {self.within_s:g} s" if self.within_s is not None else ""
        return f"{self.form} {_told(self.says)}{when}{lasts}"


def _told(one: str | Function) -> str:
    return " ".join(one.split()) if isinstance(one, str) else f"{one.name}()"


def property_of(one: Declared) -> Property:
    """Return a declaration as a property like any other."""
    name = re.sub(r"[^a-z0-9]+", "-", one.title.lower()).strip("-")
    while len(name) > NAME_AT_MOST and "-" in name:
        name = name.rpartition("-")[0]
    return Property(
        id=one.id, name=name or one.id.lower(), claim=f"{one.title}: {one.words}", source=one.source or f"{one.file}:{one.line}",
        guarantee=Guarantee.ALWAYS if one.form != "eventually" or one.when else Guarantee.WITHOUT_FAULTS, liveness=one.form == "eventually",
        monitor=Judged(one), file=one.file, line=one.line,
    )  # fmt: skip


class Judged(msgspec.Struct, frozen=True):
    """Makes the monitor of a declaration; it can be sent to another process."""

    declared: Declared

    def __call__(self, context: Context) -> Monitor:
        """Return a monitor for one run."""
        declared = self.declared
        if declared.form != "eventually":
            return _Lasting(declared, context)
        return _Response(declared, context) if declared.when else _Eventually(declared, context)


class Predicate(Protocol):
    """Something that is true, false or undecided now."""

    def value(self) -> Value:
        """Return it."""

    def told(self) -> str:
        """Return in words what it is made of."""


class _Faults:
    """Which faults are felt, and since when and until when: as long as they last, and FELT_S after."""

    def __init__(self, excepted: Iterable[str]) -> None:
        self._excepted = tuple(excepted)
        self.injected: list[dict[str, Any]] = []
        self.most = 0
        """How many were felt at once so far."""
        self._felt: dict[tuple[int, str], float] = {}

    def take(self, mark: Mark) -> None:
        data = mark.data
        if data["name"] in STAGING:
            return
        step = int(data.get("step", -1))
        if data["action"] == "injected":
            self.injected.append(data)
            self._felt[step, data["name"]] = mark.t + FELT_S if data["name"] in AT_ONCE else math.inf
            self.most = max(self.most, sum(until > mark.t for until in self._felt.values()))
        elif data["action"] == "healed" and self._felt.get((step, data["name"])) == math.inf:
            self._felt[step, data["name"]] = mark.t + FELT_S

    def excepted_until(self) -> float:
        """Return until when one of the excepted faults is felt; minus infinity if none ever was."""
        return max((until for (_, name), until in self._felt.items() if name in self._excepted), default=-math.inf)


class _Monitor(ABC):
    """What all forms share: the state, the faults, and what is said of a breach."""

    def __init__(self, declared: Declared, context: Context) -> None:
        self.declared = declared
        self._judged = False
        """Whether it was ever decided, while or after ``when`` was true."""
        self._context = context
        self._state = State.of(context)
        self._faults = _Faults(declared.except_during)
        self._tables: dict[str, None] = {}
        self._says = self._predicate(declared.says)
        self._when = self._predicate(declared.when) if declared.when else None
        self._chaos_s: float | None = None
        self._undecided: tuple[float, str] | None = None
        self._told = False
        self._object = self._named()

    @property
    def exercised(self) -> bool:
        """Tell whether it was put to the test: it is broken, or it was judged and never undecided."""
        return self._told or (self._judged and self._undecided is None)

    def _predicate(self, one: str | Function) -> Predicate:
        found: Watch | Called
        if isinstance(one, str):
            found = Watch(compiled(one), self._state)
            self._tables |= dict.fromkeys(compiled(one).reads.tables)
        else:
            found = Called(one, self._state)
            self._tables |= dict.fromkeys(SOURCES)
        return found

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        """Return a handler for what its tables are made of."""
        return {resource: self._entry for table in self._tables for resource in SOURCES[table]}

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        """Return a handler for what the state takes."""
        return {what: self._entry for what in MARKS if what != "members" or "workloads" in self._tables}

    def _entry(self, entry: Entry) -> Iterable[Violation]:
        self._state.feed(entry)
        if self._chaos_s is not None:
            yield from self._pass(entry.t)
        if isinstance(entry, Mark) and entry.what == "fault":
            self._faults.take(entry)
        elif isinstance(entry, Mark) and entry.what == "phase":
            self._phase(entry)
        if self._chaos_s is not None and not self._told:
            yield from self._look(entry.t)

    def _phase(self, mark: Mark) -> None:
        if mark.data["name"] == "chaos":
            self._chaos_s = mark.t

    def _pass(self, t: float) -> Iterable[Violation]:
        """Let time pass until ``t``."""
        return ()

    @abstractmethod
    def _look(self, t: float) -> Iterable[Violation]:
        """Judge what is now."""

    def _value(self, one: Predicate, t: float, counts: bool = True) -> bool | None:
        """Return what a predicate is; None if that is undecided, which is told in the end if it ``counts``."""
        value = one.value()
        if isinstance(value, Undecided):
            if self._undecided is None and counts:
                self._undecided = (t, value.why)
            return None
        return value

    def _breach(self, t: float, how: str, met: str = "") -> Violation:
        """Return a breach at ``t``."""
        self._told = True
        declared, most = self.declared, self.declared.faults_at_once
        beyond = most is not None and self._faults.most > most
        during = fault_words(self._faults.injected)
        text = f"{declared.title}: {how}, during {during}" + (f" ({met})" if met else "")
        return Violation(
            t=t, object=self._object, summary=text, severity=Severity.INFO if beyond else declared.severity, root=declared.id,
            advice=f"{self._faults.most} faults at once are more than is claimed" if beyond else "",
        )  # fmt: skip

    def _named(self) -> str:
        """Return the workload or Service that the expression names first, as users name objects."""
        reads = compiled(self.declared.says).reads.tables if isinstance(self.declared.says, str) else {}
        for table in ("workloads", "endpoints"):
            for key in reads[table].named if table in reads else ():
                row = self._state.tables[table].rows.get(key)
                if row is not None:
                    return f"{getattr(row, 'kind', 'Service')}/{row.namespace}/{row.name}"
        return "Cluster"

    def _since(self, t: float) -> str:
        return f"{t - (self._chaos_s or 0.0):.1f} s"

    def finish(self, t: float) -> Iterable[Violation]:
        """Return what only the end shows, and whether something was undecided."""
        yield from self._pass(t)
        if not self._told and self._chaos_s is not None:
            yield from self._end(t)
        if self._undecided is not None:
            at, why = self._undecided
            yield Violation(
                t=at, object=self._object, summary=f"{self.declared.title}: can't be told at {self._since(at)}: {why}", severity=Severity.INFO,
                root=f"{self.declared.id} {UNDECIDED}", advice=_ADVICE[isinstance(self.declared.says, str)], figures={UNDECIDED: True},
            )  # fmt: skip

    def _end(self, t: float) -> Iterable[Violation]:
        """Judge what the end shows."""
        return ()


_ADVICE = {
    True: 'ask first whether it is there: has(p.labels.app) && …, "shop/web" in workloads && …',
    False: "let the function say True or False where something is missing",
}


class _Bounded(_Monitor):
    """Something opens at a moment, and must close before a limit."""

    def __init__(self, declared: Declared, context: Context) -> None:
        super().__init__(declared, context)
        self._opened: float | None = None
        self._met = ""
        """What the predicate was made of when it opened."""
        self._limit = declared.for_s

    def _pass(self, t: float) -> Iterable[Violation]:
        if self._opened is not None and not self._told and t - self._opened > self._limit:
            yield self._broken(self._opened)

    def _open(self, t: float) -> None:
        if self._opened is None:
            self._opened, self._met = t, self._says.told()

    @abstractmethod
    def _broken(self, opened: float) -> Violation:
        """Return the breach of what opened then."""

    def _end(self, t: float) -> Iterable[Violation]:
        if self._opened is None:
            return
        if self._context.facts.get("at_rest", True):
            how = f"not so from {self._since(self._opened)} on, and {t - self._opened:.0f} s later nothing was left to happen"
            yield self._breach(t, how, self._met)
        elif self._undecided is None:
            self._undecided = (t, "the run ended before its time was over")


class _Lasting(_Bounded):
    """Always and never: judged at every change."""

    def __init__(self, declared: Declared, context: Context) -> None:
        super().__init__(declared, context)
        self._wrong: bool | None = None
        """Whether it is broken now; None: undecided, or nothing is claimed now."""
        self._looked_s = -math.inf

    def _pass(self, t: float) -> Iterable[Violation]:
        again = self._faults.excepted_until()
        if self._looked_s < again <= t and not self._told:  # from here on it is claimed again, though nothing has changed
            self._looked_s = again
            yield from self._judge(again)
        yield from super()._pass(t)

    def _look(self, t: float) -> Iterable[Violation]:
        self._looked_s = t
        excepted = t < self._faults.excepted_until()
        when = self._value(self._when, t, not excepted) if self._when is not None else True
        says = self._value(self._says, t, not excepted) if when else None
        self._wrong = says is (self.declared.form == "never") if says is not None else False if when is False else None
        self._judged |= says is not None and not excepted
        if excepted:
            self._opened = None
        else:
            yield from self._judge(t)

    def _judge(self, t: float) -> Iterable[Violation]:
        if self._wrong:
            self._open(t)
            if not self._limit:
                yield self._broken(t)
        elif self._wrong is False:
            self._opened = None

    def _broken(self, opened: float) -> Violation:
        lasting = f" for more than {self._limit:g} s" if self._limit else ""
        return self._breach(opened + self._limit, f"broken{lasting} from {self._since(opened)} on", self._met)


class _Response(_Bounded):
    """Eventually with a ``when``: each time that becomes true, the other follows within the bound."""

    def __init__(self, declared: Declared, context: Context) -> None:
        super().__init__(declared, context)
        self._limit = declared.within_s if declared.within_s is not None else math.inf
        self._was = False

    def _look(self, t: float) -> Iterable[Violation]:
        assert self._when is not None
        excepted = t < self._faults.excepted_until()
        when = self._value(self._when, t, not excepted)
        if when is None:
            return ()
        begins, self._was = when and not self._was, when
        if excepted:
            self._opened = None
        elif begins or self._opened is not None:
            self._judged |= begins
            if self._value(self._says, t):
                self._opened = None
            else:
                self._open(t)
        return ()

    def _broken(self, opened: float) -> Violation:
        return self._breach(opened + self._limit, f"did not come about in the {self._limit:g} s after {self._since(opened)}", self._met)


class _Eventually(_Monitor):
    """Eventually without a ``when``: it holds at the end, and has done so since no later than ``within_s`` after healing."""

    def __init__(self, declared: Declared, context: Context) -> None:
        super().__init__(declared, context)
        self._healed_s: float | None = None
        self._true_s: float | None = None
        self._met = ""

    def _phase(self, mark: Mark) -> None:
        super()._phase(mark)
        if mark.data["name"] == "heal":
            self._healed_s = mark.t

    def _look(self, t: float) -> Iterable[Violation]:
        if self._healed_s is None:
            return ()
        value = self._says.value()
        if value is True:
            self._true_s = t if self._true_s is None else self._true_s
            return ()
        if value is False and (self._true_s is not None or not self._met):
            self._met = self._says.told()
        self._true_s = None
        return ()

    def _end(self, t: float) -> Iterable[Violation]:
        if self._healed_s is None or self._faults.excepted_until() > -math.inf:
            return
        value, within = self._value(self._says, t), self.declared.within_s
        if value is None:
            return
        self._judged = True
        if not value:
            yield self._breach(t, f"not so {t - self._healed_s:.0f} s after healing, at the end", self._says.told())
        elif within is not None and self._true_s is not None and self._true_s - self._healed_s > within:
            how = f"so only {self._true_s - self._healed_s:.0f} s after healing, not within {within:g} s"
            yield self._breach(self._healed_s + within, how, self._met)
