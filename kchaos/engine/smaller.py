"""Passes of the shrinker that know the system: fewer objects, fewer machines, fewer replicas; and the trial of a candidate.

A candidate on fewer machines or objects is another system: it is booted anew, so these passes come after those over the steps.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from kchaos.canonical import digest
from kchaos.check.property import Property, Severity, Violation
from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.kubernetes import Look, run
from kchaos.engine.scenarios import checked
from kchaos.engine.shrink import STEPS, TRIES, Answer, Pass, Shrunk, shrink, without_chunks
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj
from kchaos.scenario import Scenario

KEPT = 4
"""Booted systems that are kept: a few seeds and shapes of one application."""
_NUMBER = re.compile(r"\d+")
SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


class Systems:
    """Booted systems by topology, inputs and seed; the least used go first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[tuple[str, int], tuple[System, Boot]] = OrderedDict()

    def add(self, scenario: Scenario, system: System, booted: Boot) -> None:
        """Keep what is booted already."""
        self._known[self._key(scenario)] = (system, booted)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)

    def of(self, scenario: Scenario) -> tuple[System, Boot]:
        """Return the system of a scenario, booted. Raises InvalidScenario if the scenario does not make sense."""
        key = self._key(scenario)
        found = self._known.get(key)
        if found is None:
            system = checked(scenario)
            self.add(scenario, system, boot(system, scenario.seed))
            return self._known[key]
        self._known.move_to_end(key)
        return found

    @staticmethod
    def _key(scenario: Scenario) -> tuple[str, int]:
        return digest([scenario.topology, scenario.inputs]), scenario.seed


class Wanted(NamedTuple):
    """What a smaller scenario must still show: this property, broken by this object, no less severely."""

    id: str
    object: str
    severity: Severity
    reason: str | None = None
    """What is to be changed about it, without numbers; None: whatever."""

    @classmethod
    def of(cls, prop: Property, violation: Violation) -> Wanted:
        """Return what shows the same as a violation."""
        return cls(prop.id, violation.object, violation.severity)

    def best(self, violations: Sequence[tuple[Property, Violation]]) -> Violation | None:
        """Return the violation of a run that shows it, the worst first. Names of pods are generated: any pod will do for a pod."""
        found = [
            violation for prop, violation in violations
            if prop.id == self.id and violation.severity.rank <= self.severity.rank and _same(violation.object, self.object)
            and self.reason in (None, _reason(violation))
        ]  # fmt: skip
        return min(found, key=lambda one: one.severity.rank, default=None)


def _reason(violation: Violation) -> str:
    return _NUMBER.sub("#", violation.advice)


def _same(one: str, other: str) -> bool:
    return one == other or (one.startswith("Pod/") and other.startswith("Pod/"))


def trial(wanted: Wanted, systems: Systems, candidate: Scenario, look: Look | None = None) -> Answer:
    """Run a candidate; one that makes no sense (a step whose target is gone, objects that nothing comes of) does not fail."""
    try:
        system, booted = systems.of(candidate)
        outcome = run(system, booted, candidate, look=look)
    except InvalidScenario:
        return Answer(False)
    return Answer(wanted.best(outcome.violations) is not None, outcome.deviations)


def shrink_scenario(
    scenario: Scenario, wanted: Wanted, systems: Systems | None = None, *, tries: int = TRIES, steps: bool = True, whole: bool = True,
    stop: Callable[[], bool] = lambda: False, look: Look | None = None,
) -> Shrunk:  # fmt: skip
    """Return the smallest scenario that shows what is wanted: first fewer and simpler ``steps``, then the ``whole`` system smaller.

    The steps of the result also show it on the original system, whatever was then taken away from that; and a smaller system must show it
    for the same reason: with fewer replicas a budget blocks a drain that blocked it otherwise. ``look``: what judges the cluster itself, if
    that is what showed it.
    """
    known = systems or Systems()
    found = Shrunk(scenario, 0, True)
    for passes in ((STEPS,) if steps else ()) + ((SYSTEM,) if whole else ()):
        if passes is SYSTEM:
            wanted = _for_the_reason(wanted, known, found.scenario, look)
        left = tries - found.tried
        more = shrink(found.scenario, partial(trial, wanted, known, look=look), passes=passes, tries=left, stop=stop)
        found = Shrunk(more.scenario, found.tried + more.tried, found.finished and more.finished)
    return found


def _for_the_reason(wanted: Wanted, systems: Systems, scenario: Scenario, look: Look | None) -> Wanted:
    """Return what is wanted, for the reason for which a scenario shows it."""
    system, booted = systems.of(scenario)
    found = wanted.best(run(system, booted, scenario, look=look).violations)
    return wanted._replace(reason=_reason(found)) if found is not None else wanted


def _with_inputs(scenario: Scenario, **changed: Any) -> Scenario:
    return msgspec.structs.replace(scenario, inputs={**scenario.inputs, **changed})


def fewer_objects(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with fewer objects under test, then with fewer beside them."""
    for field in ("objects", "context"):
        objects: list[Obj] = list(scenario.inputs.get(field, ()))
        for left in without_chunks(objects):
            if left or field == "context":
                yield _with_inputs(scenario, **{field: list(left)})


def fewer_machines(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with one master, then with fewer nodes."""
    if scenario.topology.get("masters", 1) > 1:
        yield msgspec.structs.replace(scenario, topology={**scenario.topology, "masters": 1})
    for left in without_chunks(scenario.topology["nodes"]):
        if left:
            yield msgspec.structs.replace(scenario, topology={**scenario.topology, "nodes": list(left)})


def fewer_replicas(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the scenario with fewer replicas of one workload."""
    objects: list[Obj] = list(scenario.inputs["objects"])
    for index, obj in enumerate(objects):
        count = obj.get("spec", {}).get("replicas", 1) if obj["kind"] in SCALED else 1
        for fewer in (1, count // 2, count - 1) if isinstance(count, int) else ():
            if 1 <= fewer < count:
                smaller = {**obj, "spec": {**obj["spec"], "replicas": fewer}}
                yield _with_inputs(scenario, objects=[*objects[:index], smaller, *objects[index + 1 :]])


SYSTEM: tuple[Pass, ...] = (fewer_objects, fewer_machines, fewer_replicas)
"""The passes over the system."""
