"""What flips the verdict: the scenarios that decide it, run again with one assumption changed at a time.

Assumptions say what YAML does not, so a verdict that hangs on one is worth no more than it. The cluster is taken as it was booted: a changed
assumption counts for what happens from then on (containers that start or stop, requests). Each costs an example for each scenario, so
they are few: a tenth of the campaign's. What is tried first is what flips most often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Property, Severity, Violation
from kchaos.engine.booting import Boot, System
from kchaos.engine.findings import accepted
from kchaos.engine.kubernetes import run
from kchaos.engine.settings import Accept
from kchaos.engine.system import build
from kchaos.models.api.tree import Obj, get
from kchaos.scenario import Scenario

TRIES = 24
"""Examples that are run again at most, whatever the campaign was."""
SHARE = 0.1
"""Of the campaign's examples."""
LEAST = 6
"""Examples that are run again without a budget, even if the campaign was short."""
SCENARIOS = 3
PER_SCENARIO = 8
"""Tries that one scenario more takes: it is worth more to change more assumptions of the worst."""
FROM_ZERO: dict[str, float] = {"accepts_after_sigterm_s": 5.0, "outage_s": 60.0}
"""What can't be doubled."""
_ORDER = (
    ("start_s", 2.0), ("accepts_after_sigterm_s", 2.0), ("exit_after_s", 2.0), ("keeps_connections", 0.0), ("outage_s", 2.0), ("start_s", 0.5),
    ("requests_per_s", 2.0), ("requests_per_s", 0.5), ("quorum", 0.0), ("exit_after_s", 0.5), ("prestop_s", 2.0), ("prestop_s", 0.5),
    ("run_s", 2.0), ("run_s", 0.5), ("image_pull_s", 2.0), ("image_pull_s", 0.5), ("accepts_after_sigterm_s", 0.5), ("outage_s", 0.5),
)  # fmt: skip


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One assumption changed, and what came of it; nothing if all stayed as it was.

    ``mended``: findings that their scenario no longer shows; ``new``: what is violated now and was not; ``figures``: by how much it is better or
    worse; ``verdict``: what it would be, if that is certain and another. (That one scenario passes does not make all pass.)
    """

    assumption: str
    was: str
    value: str
    mended: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    verdict: str = ""

    @property
    def flips(self) -> bool:
        """Tell whether a finding came or went."""
        return bool(self.mended or self.new)


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """``scenarios``: what was run again, in words; ``left_out``: changes that the budget had no room for."""

    scenarios: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    left_out: int = 0


class Deciding(NamedTuple):
    """A scenario that decides, in words, and what it runs on. ``finding``: (property, object) that it shows, if any."""

    label: str
    scenario: Scenario
    system: System
    booted: Boot
    finding: tuple[str, str] | None = None


class Change(NamedTuple):
    """One assumption changed, in the inputs of a scenario."""

    assumption: str
    was: str
    value: str
    assumptions: dict[str, Any]


def tries_of(examples: int, budget: int | None) -> int:
    """Return how many examples may be run again, of a campaign of that many; ``budget``: of examples, if one was given."""
    share = int(SHARE * (examples if budget is None else budget))
    return min(TRIES, share if budget is not None else max(LEAST, share))


def flips(
    deciding: Sequence[Deciding], *, verdict: str, fail_on: Severity, accepts: Sequence[Accept] = (), tries: int = TRIES,
    until: Callable[[], bool] = lambda: False,
) -> Flips:  # fmt: skip
    """Change one assumption after the other; ``until``: no more when it says so."""
    chosen = deciding[: max(1, min(SCENARIOS, tries // PER_SCENARIO))]
    if not chosen or tries < 2 * len(chosen) or until():
        return Flips()
    before = [_violations(one, None) for one in chosen]
    left = tries - len(chosen)
    tried: list[Tried] = []
    planned = list(_changes(chosen[0].system))
    for change in planned:
        if left < len(chosen) or until():
            break
        left -= len(chosen)
        after = [_violations(one, change) for one in chosen]
        tried.append(_compared(change, chosen, before, after, verdict, fail_on, accepts))
    return Flips(scenarios=tuple(one.label for one in chosen), tried=tuple(tried), left_out=len(planned) - len(tried))


_Found = Mapping[tuple[str, str], Violation]


def _violations(one: Deciding, change: Change | None) -> _Found:
    """Return the worst violation of each property by each root cause."""
    system = one.system
    if change is not None:
        system = build(msgspec.to_builtins(system.topology), {**system.inputs, "assumptions": change.assumptions})
    found: dict[tuple[str, str], Violation] = {}
    pairs: list[tuple[Property, Violation]] = run(system, one.booted, one.scenario).violations
    for prop, violation in pairs:
        key = (prop.id, violation.root or violation.object)
        if key not in found or violation.severity.rank < found[key].severity.rank:
            found[key] = violation
    return found


def _compared(
    change: Change, chosen: Sequence[Deciding], before: Sequence[_Found], after: Sequence[_Found], verdict: str, fail_on: Severity,
    accepts: Sequence[Accept],
) -> Tried:  # fmt: skip
    mended: list[str] = []
    new: list[str] = []
    figures: list[str] = []
    fails = False
    for one, then, now in zip(chosen, before, after, strict=True):
        for key, violation in now.items():
            counts = violation.severity is not Severity.INFO and not accepted(accepts, key[0], "", (violation.object,))
            if counts and (key not in then or violation.severity.rank < then[key].severity.rank):
                new.append(f"{violation.severity.value} {key[0]} {violation.object}: {violation.summary}")
                fails = fails or violation.severity.rank <= fail_on.rank
        for key, violation in then.items():
            if one.finding is None or (key[0], violation.object) != one.finding:
                continue
            if key not in now or now[key].severity is Severity.INFO is not violation.severity:
                mended.append(f"{key[0]} {violation.object}")
            else:
                figures += _figures(violation, now[key])
    flipped = "fail" if fails and verdict != "fail" else ""
    return Tried(
        assumption=change.assumption, was=change.was, value=change.value, mended=tuple(dict.fromkeys(mended)), new=tuple(dict.fromkeys(new)),
        figures=tuple(dict.fromkeys(figures)), verdict=flipped,
    )  # fmt: skip


def _figures(then: Violation, now: Violation) -> Iterator[str]:
    for name, words in (("outage_s", "s of outage"), ("lost_requests", "requests lost")):
        a, b = then.figures.get(name), now.figures.get(name)
        if a is not None and b is not None and a != b:
            yield f"{a:.0f} → {b:.0f} {words}"


# -- which changes ---------------------------------------------------------------------------------------------------------


def _changes(system: System) -> Iterator[Change]:
    """Yield those that can matter to what is under test, the most telling first."""
    said: dict[str, Any] = system.inputs["assumptions"]
    defaults = msgspec.to_builtins(system.assumptions.default)
    for name, factor in _ORDER:
        if not _matters(name, system.objects):
            continue
        value = _other(name, defaults[name], factor)
        if value is None:
            continue
        workloads = {key: _own(own, name, factor) for key, own in said["workloads"].items()}
        changed = {"defaults": {**said["defaults"], name: value}, "workloads": workloads}
        apart = sum(name in own for own in said["workloads"].values())
        more = f" (and alike in {apart} workload{'s' if apart > 1 else ''})" if apart else ""
        yield Change(name, _words(defaults[name]), _words(value) + more, changed)


def _own(own: Mapping[str, Any], name: str, factor: float) -> dict[str, Any]:
    """Return a workload's own assumptions, changed alike."""
    other = _other(name, own[name], factor) if name in own else None
    return {**own, **({name: other} if other is not None else {})}


def _other(name: str, value: Any, factor: float) -> Any:
    """Return the changed value: a number times the factor, the other truth; a quorum of one, if it is the majority. None: there is none."""
    if name == "keeps_connections":
        return not value
    if name == "quorum":
        return 1 if value != 1 else None
    if not value:
        return FROM_ZERO.get(name) if factor > 1 else None
    return round(value * factor, 3)


def _words(value: Any) -> str:
    if value is None:
        return "the majority"
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()


def _matters(name: str, objects: Sequence[Obj]) -> bool:
    """Tell whether an assumption can change anything for these objects."""
    if name == "quorum":
        return any(one["kind"] == "StatefulSet" for one in objects)
    if name in ("requests_per_s", "keeps_connections", "accepts_after_sigterm_s"):
        return any(one["kind"] == "Service" for one in objects)
    pods = [get(one, "spec", "jobTemplate", "spec", "template", "spec") or get(one, "spec", "template", "spec") or {} for one in objects]
    if name == "run_s":
        return any(one["kind"] in ("Job", "CronJob") for one in objects) or any(pod.get("initContainers") for pod in pods)
    if name == "prestop_s":
        return any(get(c, "lifecycle", "preStop", "exec") for pod in pods for c in pod.get("containers") or ())
    return True
