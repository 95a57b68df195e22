"""The Kubernetes backend of the engine: runs scenarios from a booted image.

Phases: boot, chaos, heal, settle, final. A phase ends as soon as nothing but upkeep is left to happen. All runs are a :class:`Session`:
:func:`run` drives it by the times of a scenario, a state machine by its rules; the same steps give the same run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from kchaos.check.property import Context, Monitors, Property, Violation
from kchaos.engine.booting import QUIET_S, Boot, System, ready_counts
from kchaos.errors import HarnessError
from kchaos.history.record import Run
from kchaos.history.view import View
from kchaos.models.api.pods import is_true, phase
from kchaos.models.api.request import Request
from kchaos.models.apiserver.store import Event
from kchaos.models.cluster import SOON_S, Cluster
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.jobs import job_of, runs
from kchaos.models.faults.objects import RESIZE, Asked
from kchaos.models.network.traffic import RATE
from kchaos.nemesis.fault import Evidence
from kchaos.nemesis.schedule import Nemesis
from kchaos.properties.catalog import CATALOG
from kchaos.properties.corruption import attributed
from kchaos.scenario import At, Nth, Scenario, Step
from kchaos.sim.noise import Deviations, Noise
from kchaos.sim.world import EPOCH_S

BACKOFF_S = 330.0
"""Longer than the longest back-off of a kubelet (MaxContainerBackOff and image back-off, 300 s)."""
BEFORE_CHAOS_S = 8.0
"""Components start and elect their leaders before chaos begins."""
LOOK_S = 1.0
"""How often somebody looks at the cluster itself, while anything changes."""
STEP_S = 5.0
"""How often it is asked whether chaos is over."""


class Outcome(NamedTuple):
    """One example: its run, what was violated, what each step came to."""

    scenario: Scenario
    run: Run
    violations: list[tuple[Property, Violation]]
    steps: list[dict[str, Any]]
    virtual_s: float
    exercised: tuple[str, ...] = ()
    """Which properties of users were put to the test."""
    deviations: Deviations = Deviations()
    """What schedule noise did: the same run under these is the same run."""


Look = Callable[[Cluster, bool], Iterable[tuple[Property, Violation]]]
"""Judges a cluster as it is; the second argument tells whether all is healed and at rest. It must change nothing."""


def _watch(cluster: Cluster, booted: Boot, settings: Mapping[str, Any]) -> None:
    """Send requests to the Services, and to those headless ones of which it is said how clients look them up."""
    rates: Mapping[str, float] = settings.get("rates", {})
    looked_up: Mapping[str, float] = settings.get("looked_up", {})
    named = [service for service in looked_up if booted.backing.get(service)]
    for service in named:
        cluster.names.watch(service, looked_up[service])
    for service in (*booted.services, *(service for service in named if service in cluster.names.entries)):
        cluster.traffic.watch(service, float(rates.get(service, RATE)), service in settings.get("kept", ()))


class Session:
    """One run under way: started from the image, advanced and disturbed step by step, and finished.

    Times are virtual seconds since chaos began. ``scenario`` gives seed, noise, budget and the steps to begin with; further ones can be
    injected. ``look`` judges the cluster itself: every second in which anything was recorded, after each step, and at the end.
    """

    def __init__(
        self, system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None = None, look: Look | None = None
    ) -> None:
        noise: Noise = msgspec.convert(scenario.noise, Noise)
        self._scenario = scenario
        self._system = system
        self._booted = booted
        self._look = look
        self._looked = -1
        self.cluster = Cluster(
            system.topology, seed=scenario.seed, noise=noise, constants=system.constants, assumptions=system.assumptions, image=booted.image,
            webhooks=system.webhooks, jobs=runs(list(system.objects)),
        )  # fmt: skip
        self._loop = self.cluster.world.loop
        self._began_s = self._loop.time()
        self._facts: dict[str, Any] = {
            "epoch_s": EPOCH_S, "ready_before": booted.ready_before, "noise": scenario.noise.get("type", "quiet") != "quiet",
        }  # fmt: skip
        self._monitors = self._judged_by([*CATALOG.values(), *system.properties] if properties is None else properties)
        self._nemesis: Nemesis[Cluster] = Nemesis(
            self.cluster, catalog(), scenario.steps, lambda delay, callback: self._loop.schedule(self._loop.time() + delay, callback, (), None),
            self.cluster.recorder.mark,
        )  # fmt: skip
        self._listens = False
        self._followed = False
        self.t = 0.0
        self._start_s = 0.0
        self._begin()

    def _judged_by(self, properties: Sequence[Property]) -> Monitors:
        tables = self._booted.image.store.tables
        view = View({plural: table for plural, table in tables.items() if plural != "leases"})
        settings = {**self._system.settings, "backing": self._booted.backing, "pods_behind": self._booted.pods_behind}
        monitors = Monitors(properties, Context(view, settings, self._facts))
        self.cluster.recorder.listeners.append(monitors.feed)
        return monitors

    def _begin(self) -> None:
        cluster = self.cluster
        _watch(cluster, self._booted, self._system.settings)
        cluster.recorder.mark("phase", name="boot")
        cluster.run_for(BEFORE_CHAOS_S)
        cluster.traffic_changed()
        cluster.run_for(0.001)
        cluster.recorder.mark("phase", name="chaos")
        self._start_s = self._loop.time()
        if self._nemesis.listens:
            self._listen()

    @property
    def violations(self) -> list[tuple[Property, Violation]]:
        """Return what has been violated so far, in the order found."""
        return self._monitors.violations

    @property
    def scenario(self) -> Scenario:
        """Return what was done so far as a scenario; run, it is this run again."""
        if self._followed:
            return self._scenario
        least = max(self._scenario.budget.chaos_at_least_s, self.t)
        budget = msgspec.structs.replace(self._scenario.budget, chaos_at_least_s=least, chaos_s=max(self._scenario.budget.chaos_s, least))
        return msgspec.structs.replace(self._scenario, steps=self._nemesis.steps, budget=budget)

    # -- driving -------------------------------------------------------------------------------------------------------

    def advance(self, to_s: float) -> None:
        """Let time pass until ``to_s``; times that are over change nothing."""
        while self.t < to_s:
            at = to_s if self._look is None else min(to_s, (math.floor(self.t / LOOK_S) + 1) * LOOK_S)
            self.cluster.world.run(self._start_s + at)
            self.t = at
            self._glance()

    def rest(self, at_most_s: float) -> None:
        """Let time pass until nothing but upkeep happens, for ``at_most_s`` at the longest."""
        end = self.t + at_most_s
        while self.t < end:
            self.advance(min(end, (math.floor(self.t / STEP_S) + 1) * STEP_S))
            if self.cluster.quiet(QUIET_S):
                self.advance(min(end, self.t + SOON_S))  # what was due meanwhile may have begun something
                if self.cluster.quiet(QUIET_S):
                    return

    def inject(self, step: Step) -> int:
        """Do one step more: now, or when its event comes. Return its index.

        The time in ``step.when`` is set to now. A step that waits for an event must come before any other and before time passes.
        """
        if isinstance(step.when, Nth):
            if self.t > 0:
                raise HarnessError("a step that waits for an event must be armed when chaos begins: events are counted from then on")
            index = self._nemesis.add(step)
            self._listen()
            return index
        index = self._nemesis.add(msgspec.structs.replace(step, when=At(self.t)))
        self._now(partial(self._nemesis.fire, index))
        return index

    def undo(self, index: int) -> None:
        """Undo a step now. What was done at this instant comes first: a moment passes."""
        when = self._nemesis.steps[index].when
        self.advance(round(self.t + 0.001, 3))
        if isinstance(when, At):
            self._nemesis.lasted(index, round(self.t - when.s, 6))
        self._now(partial(self._nemesis.undo, index))

    def evidence(self, index: int) -> Evidence:
        """Return what a step has really done so far."""
        return self._nemesis.evidence(index)

    def answered(self, index: int) -> bool:
        """Tell whether nothing that a step asks as a user still waits for the API server's answer."""
        return all(one.answered for one in self._nemesis.injected(index) if isinstance(one, Asked))

    def follow(self) -> None:
        """Do and undo the scenario's steps that have a time, each when it is due, as far as chaos may last."""
        self._followed = True
        due: list[tuple[float, int, int, int]] = []
        for index, step in enumerate(self._nemesis.steps):
            if isinstance(step.when, At):
                due.append((step.when.s, 1, index, 0))
                if step.for_s is not None:  # at one instant what is over goes first
                    due.append((round(step.when.s + step.for_s, 6), 0 if step.for_s else 1, index, 1))
        for at, _, index, over in sorted(due):
            if at > self._scenario.budget.chaos_s:
                break
            self.advance(at)
            self._now(partial(self._nemesis.undo if over else self._nemesis.fire, index))

    def finish(self) -> Outcome:
        """Let chaos run out, heal, let the cluster settle, and judge the whole."""
        cluster, scenario = self.cluster, self.scenario
        self.advance(scenario.budget.chaos_at_least_s)
        self.rest(max(0.0, scenario.budget.chaos_s - self.t))
        cluster.traffic.finish()
        cluster.recorder.mark("phase", name="heal")
        self._nemesis.heal()
        cluster.traffic_changed()
        cluster.recorder.mark("phase", name="settle")
        cluster.run_until_quiet(scenario.budget.settle_s, QUIET_S)
        if not self._recovered():  # a back-off may still run out: containers and images are tried again within five minutes
            cluster.last_change_s = self._loop.time()  # of healing, which a kubelet that waits does not notice
            cluster.run_until_quiet(scenario.budget.settle_s, BACKOFF_S)
        cluster.traffic.finish()
        cluster.audit_network()
        steps = self._nemesis.report()
        self._facts["rollback_targets"] = self._targets("rollback")
        self._facts["resized"] = self._targets(*RESIZE)
        self._facts["at_rest"] = cluster.quiet(QUIET_S)
        cluster.recorder.mark("phase", name="final")
        self._ask(True)
        violations = self._monitors.finish(self._loop.time())
        cluster.recorder.describe({**msgspec.to_builtins(scenario), "topology": {}, "inputs": {"digest": self._system.digest}})
        made = cluster.world.picker.made() if cluster.world.picker is not None else Deviations()
        finished = cluster.recorder.finish()
        found = attributed(violations, finished)
        return Outcome(scenario, finished, found, steps, self._loop.time() - self._began_s, self._monitors.exercised(), made)

    def _recovered(self) -> bool:
        """Tell whether every workload that nobody has resized has as many ready pods as before, and every Job that was made has ended."""
        store = self.cluster.control.store
        made = [store.get("jobs", job_of(target).partition("/")[2]) for target in self.cluster.jobs if target not in self._booted.workloads]
        if any(job is not None and not (is_true(job, "Complete") or is_true(job, "Failed")) for job in made):
            return False
        counts = ready_counts(store)
        resized = self._targets(*RESIZE)
        return all(counts.get(owner, 0) >= count for owner, count in self._booted.ready_before.items() if owner not in resized)

    def _targets(self, *names: str) -> tuple[str, ...]:
        """Return what steps of some names were done to."""
        return self._nemesis.targets(names)

    def close(self) -> None:
        """End the run."""
        self.cluster.close()

    # -- below ---------------------------------------------------------------------------------------------------------

    def _now(self, callback: Callable[[], None]) -> None:
        """Call inside the world, and let happen what follows at once."""
        self._loop.soon(callback, (), None)
        self.cluster.world.run(self._start_s + self.t)
        self._glance()

    def _glance(self) -> None:
        if self._look is not None and len(self.cluster.recorder.entries) != self._looked:
            self._looked = len(self.cluster.recorder.entries)
            self._ask(False)

    def _ask(self, at_end: bool) -> None:
        """Let somebody look; what is broken is told once."""
        told = {prop.id for prop, _ in self._monitors.violations}
        for prop, violation in self._look(self.cluster, at_end) if self._look is not None else ():
            if prop.id not in told:
                self._monitors.violations.append((prop, violation))

    def _listen(self) -> None:
        """Show requests and commits to the triggers."""
        if self._listens:
            return
        self._listens = True
        nemesis = self._nemesis

        def on_request(request: Request) -> None:
            if nemesis.listens:
                nemesis.observe({
                    "on": "request", "verb": request.verb, "resource": request.resource, "subresource": request.subresource,
                    "name": request.name, "namespace": request.namespace, "actor": request.identity.actor,
                })  # fmt: skip

        def on_commit(event: Event) -> None:
            if nemesis.listens:
                told = {"phase": phase(event.obj)} if event.resource == "pods" else {}
                nemesis.observe(
                    {"on": "commit", "type": event.type, "resource": event.resource, "key": event.key, "actor": event.actor, **told}
                )

        self.cluster.control.hooks.on_request.append(on_request)
        self.cluster.control.store.subscribe(on_commit)


def run(
    system: System, booted: Boot, scenario: Scenario, properties: Sequence[Property] | None = None, look: Look | None = None
) -> Outcome:
    """Run one scenario from the booted image and judge it."""
    session = Session(system, booted, scenario, properties, look)
    try:
        session.follow()
        return session.finish()
    finally:
        session.close()
