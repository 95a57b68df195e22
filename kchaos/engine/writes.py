"""The sweeps over writes: one operation of a user, disturbed at each single write that controllers and the scheduler make for it.

First the operation runs undisturbed and the writes are counted; then it runs again for each of them and each way of disturbing. A
level-triggered control plane ends in the same state each time. Here it crashes: the process that wrote dies right after the commit,
before it hears the answer (Sieve, OSDI '22, calls this the intermediate-state pattern). :mod:`kchaos.engine.stale` has another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kchaos.engine.booting import Boot, System
from kchaos.engine.endstate import destroyed, destructions, different, end_state
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.sweep import sweep
from kchaos.engine.triggers import commit, commits
from kchaos.history.record import Run
from kchaos.models.controlplane import MANAGER, SCHEDULER
from kchaos.properties.common import begins_deletion
from kchaos.properties.own.declared import UNDECIDED
from kchaos.scenario import Nth, Scenario, Step

OTHERS = ("user", "kubelet", "kube-controller-manager", "")
"""Who writes without being a controller; the manager's own writes are to its Lease."""
_DONE = {"ADDED": "creation", "MODIFIED": "change", "DELETED": "removal"}


class Moment(NamedTuple):
    """One write of the undisturbed run: the ``n``-th of its type, kind and actor since chaos began."""

    event: dict[str, str]
    n: int
    t: float
    """Virtual seconds at which it came."""
    weighty: bool
    """Something was made or asked to go."""

    @property
    def actor(self) -> str:
        """Return who wrote."""
        return self.event["actor"]

    @property
    def words(self) -> str:
        """Return ``creation 3 of pods by replicaset-controller``."""
        return f"{_DONE[self.event['type']]} {self.n} of {self.event['resource']} by {self.actor}"

    @property
    def when(self) -> Nth:
        """Return the trigger that fires right after its commit."""
        return Nth(self.event, self.n)

    @property
    def process(self) -> str:
        """Return the process whose leader wrote."""
        return SCHEDULER if self.actor == SCHEDULER else MANAGER


class Case(NamedTuple):
    """One disturbance at one write, in words and as faults."""

    moment: Moment
    words: str
    steps: tuple[Step, ...]


Disturb = Callable[[Boot, Sequence[Moment], int], Sequence[Case]]
"""Called with all writes of the operation and which of them is meant; the cases are about that one."""


class CaseResult(NamedTuple):
    """What one disturbance came to: whether it came about, and what is wrong.

    ``differences``: roles with another end state, and in what; ``destroyed``: roles of which more was deleted; ``violations``: of safety.
    """

    case: Case
    fired: bool
    differences: tuple[str, ...]
    destroyed: tuple[str, ...]
    violations: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Tell whether the end state is the undisturbed one."""
        return not self.differences

    @property
    def wrong(self) -> bool:
        """Tell whether there is anything to report."""
        return bool(self.differences or self.destroyed or self.violations)


def crash(booted: Boot, found: Sequence[Moment], index: int) -> Sequence[Case]:
    """Return the crash of the process that wrote."""
    moment = found[index]
    return [Case(moment, f"crash after {moment.words}", (Step(do="leader-crash", args={"target": moment.process}, when=moment.when),))]


def moments(run: Run) -> list[Moment]:
    """Return each write that controllers and the scheduler made in an undisturbed run while the operation went on."""
    counts: dict[tuple[str, str, str], int] = {}
    out = []
    for write in commits(run):
        if write.actor not in OTHERS and not write.actor.startswith("csi-"):
            key = (write.actor, write.resource, write.type)
            counts[key] = counts.get(key, 0) + 1
            weighty = write.type != "MODIFIED" or begins_deletion(write)
            out.append(Moment(commit(write), counts[key], write.t, weighty))
    return out


def operations(system: System, booted: Boot, names: list[str] | None = None) -> list[Step]:
    """Return what is tried: a rollout of each workload, a scale-down of each StatefulSet, a drain of the first node with pods.

    ``names``: only these faults and operations, on all their targets.
    """
    if names is not None:
        return sweep(system, booted, names).singles
    steps = sweep(system, booted, ["rollout", "scale-down", "drain"]).singles
    drains = [step for step in steps if step.do == "drain"][:1]
    scaled = [step for step in steps if step.do == "scale-down" and step.args["target"].startswith("StatefulSet/")]
    return [*(step for step in steps if step.do == "rollout"), *scaled, *drains]


def sweep_writes(system: System, booted: Boot, operation: Step, disturb: Disturb = crash, seed: int = 0) -> Iterator[CaseResult]:
    """Yield the result of each disturbance of one operation."""
    alone = run(system, booted, Scenario(seed=seed, steps=(operation,)))
    wanted, before, known = end_state(alone.run), destructions(alone.run), _unsafe(alone)
    writes = moments(alone.run)
    for index in range(len(writes)):
        for case in disturb(booted, writes, index):
            found = run(system, booted, Scenario(seed=seed, steps=(operation, *case.steps)))
            fired = all(line["status"] == "bit" for line in found.steps[1:])
            gone = destroyed(before, destructions(found.run))
            bad = tuple(text for what, text in _unsafe(found).items() if what not in known)
            yield CaseResult(case, fired, different(wanted, end_state(found.run)), gone, bad)


def _unsafe(outcome: Outcome) -> dict[tuple[str, str, str], str]:
    """Return what of safety was violated, by property, object and root: not what says how long nobody answered."""
    return {
        (prop.id, v.object, v.root): f"{prop.id} {v.object}: {v.summary}"
        for prop, v in outcome.violations
        if not prop.id.startswith("KC2") and not v.figures.get(UNDECIDED)
    }
