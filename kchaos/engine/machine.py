"""ClusterMachine: a state machine over a simulated cluster, for tests. Hypothesis draws what is done; every run is a scenario.

Rules are synchronous and drive the run (:class:`kchaos.engine.kubernetes.Session`). No precondition reads the cluster: they ask only
what the class says, so that Hypothesis can repeat and shrink what it drew. Bundles hold names that rules have put there.
"""

from __future__ import annotations

import math
import sys
import unittest
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, initialize, multiple, precondition, rule
from hypothesis.stateful import invariant as after_each_rule

from kchaos.check.property import Property, Violation
from kchaos.engine.decorators import eventually, invariant
from kchaos.engine.kubernetes import Outcome, Session
from kchaos.engine.scenarios import check_now
from kchaos.engine.seen import Seen
from kchaos.engine.subject import Subject, subject_of
from kchaos.errors import InvalidScenario
from kchaos.models.api.tree import Obj
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.objects import ident
from kchaos.models.manifests.load import Text, load
from kchaos.properties.disruption import FELT_S
from kchaos.scenario import Scenario, Step

__all__ = ["Broken", "ClusterMachine", "eventually", "invariant"]

PACE_S = 1.0
"""Time that passes after each step, so that something can come of it."""
WAITS_S = (1.0, 10.0, 60.0, 240.0)
"""How long to wait: a moment, a probe or two, a grace period, until a lost node's pods are evicted."""
REST_S = 600.0
REPLICAS = (1, 2, 3, 4, 5)
DONE_AT_ONCE = ("rollout", "pod-kill", "container-kill", "oom-kill", "probe-flap", "apply", "patch", "delete", "taint", "scale")
"""What leaves nothing to undo."""


class Broken(AssertionError):
    """Something that must hold does not: the property, how it was broken, and the scenario up to there."""

    def __init__(self, prop: Property, violation: Violation, scenario: Scenario) -> None:
        self.property = prop
        self.violation = violation
        self.scenario = scenario
        super().__init__(f"{prop.id} {violation.object}: {violation.summary}")


@lru_cache(maxsize=256)
def _type_for(ident: str) -> type[Broken]:
    """Return an exception type of its own for each property: Hypothesis tells failures apart by type and place."""
    return type(f"Broken_{ident}", (Broken,), {})


class _TestCase:
    """``Shop.TestCase``: a unittest.TestCase that explores Shop; pytest collects it under the name it is given."""

    def __get__(self, _: object, machine: type[ClusterMachine]) -> type[unittest.TestCase]:
        return _test_case(machine)


@lru_cache
def _test_case(machine: type[ClusterMachine]) -> type[unittest.TestCase]:
    def run_test(self: Any) -> None:
        __tracebackhide__ = True
        from kchaos.engine.explore import explore

        try:
            explore(machine, self.settings, self.kchaos_wish)
        except InvalidScenario as error:
            raise error.with_traceback(None) from None  # the author's mistake, not ours: nobody has to see where it was noticed

    space = {
        "settings": None, "kchaos_machine": machine, "kchaos_wish": None, "runTest": run_test, "__doc__": machine.__doc__,
        "__module__": machine.__module__,
    }  # fmt: skip
    return type(f"{machine.__name__}.TestCase", (unittest.TestCase,), space)


class ClusterMachine(RuleBasedStateMachine):
    """Base of state machines over a simulated cluster. See docs/machine.md.

    A subclass says what is under test (``manifests``), what may be done to it (``faults``: names and groups of `kchaos faults`, user
    operations included), and what its author claims (methods under :func:`invariant` and :func:`eventually`). The built-in properties
    judge every run as well. ``Shop.TestCase`` is the test.
    """

    manifests: ClassVar[Sequence[str] | str] = ()
    """Paths and globs, from the class's own file on, or YAML text."""
    context: ClassVar[Sequence[str] | str] = ()
    """Objects that exist and are not under test, in the same form."""
    faults: ClassVar[Sequence[str] | None] = None
    """What may be done; None: all faults of level 1, drain, rollouts and scaling included."""
    topology: ClassVar[tuple[int, int] | str | None] = None
    """(nodes, zones), or a file as for --topology; None: three zones, and nodes enough for the requests."""
    config: ClassVar[str] = ""
    """A kchaos.yaml: assumptions, and findings that are accepted."""
    fail_on: ClassVar[str] = "error"
    """From which severity on a built-in property fails the test; the author's own claims always do."""
    one_at_a_time: ClassVar[bool | None] = None
    """Whether a fault is over before the next comes: True, False, or drawn for each example."""
    seed: ClassVar[int | None] = None
    """Of the cluster (None: 0) and of what is drawn (None: something else each time)."""
    examples: ClassVar[int] = 50
    steps: ClassVar[int] = 20
    """Rules in an example at most."""
    shrinks: ClassVar[int] = 100
    """Tries that Hypothesis, and after it kchaos' own shrinker, has to make a failure smaller."""
    corpus: ClassVar[str] = "kchaos-corpus"
    """Folder for failures, from the current one on."""

    workloads: Bundle[str] = Bundle("workloads")
    nodes: Bundle[str] = Bundle("nodes")
    pods: Bundle[str] = Bundle("pods")
    objects: Bundle[Obj] = Bundle("objects")
    under_way: Bundle[int] = Bundle("under_way")
    """Steps that can be undone, by index."""

    _kchaos_subject: ClassVar[Subject]
    TestCase = _TestCase()  # type: ignore[assignment]  # Hypothesis' own property has a type of its own

    def __init__(self) -> None:
        super().__init__()
        self._subject = subject_of(type(self))
        self._on_broken: Callable[[Broken], None] = _nobody
        self._on_finished: Callable[[Outcome], None] = _nobody
        self._apart = False
        self._may_wait = not self._subject.faults
        """Whether anything was done that is worth waiting for: Hypothesis leaves rules out of an example, and some would only wait."""
        self._lasting: dict[int, None] = {}
        self._felt_s = 0.0
        self._outside = sys.exc_info()[1]
        self._judged = 0
        subject = self._subject
        self._session = Session(subject.system, subject.booted, subject.scenario, look=subject.look(self))
        self.cluster = Seen(self._session.cluster)

    # -- what rules are made of ----------------------------------------------------------------------------------------

    @property
    def t(self) -> float:
        """Return the virtual seconds since chaos began."""
        return self._session.t

    def do(self, what: str, target: str, **args: Any) -> int:
        """Do one step now, and let a moment pass. Return its index, for :meth:`undo`. Raises InvalidScenario for an unknown one.

        In an example in which things happen one at a time, what is under way is undone first, and is felt no more.
        """
        step = Step(do=catalog().get(what).name, args={"target": target, **args})
        check_now(step, self._subject.system, self._session.cluster.control.store)
        if self._apart:
            for before in list(self._lasting):
                self.undo(before)
            self._session.advance(self._felt_s)
        index = self._session.inject(step)
        self._may_wait = True
        if what not in DONE_AT_ONCE:
            self._lasting[index] = None
        self._felt_s = math.ceil(self.t + FELT_S)
        self.sleep(PACE_S)
        return index

    def undo(self, index: int) -> None:
        """Undo a step now, and let a moment pass; one that is undone already stays so."""
        if index in self._lasting:
            del self._lasting[index]
            self._session.undo(index)
            self._felt_s = math.ceil(self.t + FELT_S)
            self.sleep(PACE_S)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._session.advance(round(self._session.t + seconds, 3))

    @initialize(one_at_a_time=st.booleans())
    def manner(self, one_at_a_time: bool) -> None:
        """Begin an example with many things at once, or with one after the other: for that more is claimed."""
        self._apart = one_at_a_time if self.one_at_a_time is None else self.one_at_a_time

    # -- bundles -------------------------------------------------------------------------------------------------------

    @initialize(target=workloads)
    def known_workloads(self) -> MultipleResults[str]:
        """Begin with the workloads of the manifests."""
        return multiple(*self._subject.booted.workloads)

    @initialize(target=nodes)
    def known_nodes(self) -> MultipleResults[str]:
        """Begin with the nodes, those with pods first."""
        placed = self._subject.booted.placed
        return multiple(*placed, *(name for name in self.cluster.nodes() if name not in placed))

    @initialize(target=objects)
    def known_objects(self) -> MultipleResults[Obj]:
        """Begin with the objects of the manifests."""
        return multiple(*self._subject.objects)

    @precondition(lambda self: "pod-kill" in self._subject.faults)
    @rule(target=pods, workload=workloads)
    def look_at(self, workload: str) -> MultipleResults[str]:
        """Learn how many pods a workload has; each is named by its number, for generated names change with every step before."""
        return multiple(*(f"pod-of({workload}, {number})" for number in range(1, len(self.cluster.pods(workload)) + 1)))

    # -- rules ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._may_wait)
    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.sleep(seconds)

    @precondition(lambda self: self._may_wait)
    @rule()
    def rest(self) -> None:
        """Wait until nothing but upkeep happens."""
        self._session.rest(REST_S)

    @precondition(lambda self: "drain" in self._subject.faults)
    @rule(target=under_way, node=nodes)
    def drain(self, node: str) -> int:
        """Drain a node; to undo it is to uncordon it."""
        return self.do("drain", node)

    @precondition(lambda self: "pod-kill" in self._subject.faults)
    @rule(pod=pods)
    def kill(self, pod: str) -> None:
        """Delete a pod without grace."""
        self.do("pod-kill", pod)

    @precondition(lambda self: bool(self._subject.menu))
    @rule(target=under_way, step=st.runner().flatmap(lambda self: st.sampled_from(self._subject.menu)))
    def inject(self, step: Step) -> MultipleResults[int]:
        """Inject one of the class's faults, or do one of its operations, on one of its targets."""
        index = self.do(step.do, **step.args)
        return multiple() if step.do in DONE_AT_ONCE else multiple(index)

    @precondition(lambda self: bool(self._subject.menu))
    @rule(step=st.runner().flatmap(lambda self: st.sampled_from(self._subject.menu)), seconds=st.sampled_from(WAITS_S))
    def inject_for(self, step: Step, seconds: float) -> None:
        """The same for a while: inject, wait, undo."""
        index = self.do(step.do, **step.args)
        self.sleep(seconds)
        self.undo(index)

    @rule(step=consumes(under_way))
    def heal(self, step: int) -> None:
        """Undo a fault or an operation: power on, uncordon, scale back."""
        self.undo(step)

    @precondition(lambda self: "scale" in self._subject.faults and self._subject.scaled)
    @rule(workload=st.runner().flatmap(lambda self: st.sampled_from(self._subject.scaled)), replicas=st.sampled_from(REPLICAS))
    def scale(self, workload: str, replicas: int) -> None:
        """Give a workload another number of replicas, for good."""
        self.do("scale", workload, replicas=replicas)

    @precondition(lambda self: "apply" in self._subject.faults)
    @rule(obj=objects)
    def apply(self, obj: Obj | str) -> None:
        """Apply an object (also YAML text), as kubectl does it."""
        for one in _objects(obj):
            self.do("apply", ident(one), object=one)

    @precondition(lambda self: "delete" in self._subject.faults)
    @rule(obj=objects)
    def delete(self, obj: Obj | str) -> None:
        """Delete an object; also by name, as ``Kind/namespace/name``."""
        self.do("delete", obj if isinstance(obj, str) else ident(obj))

    # -- judgement -----------------------------------------------------------------------------------------------------

    @after_each_rule()
    def nothing_is_broken(self) -> None:
        """Fail if a property or a claim has been violated by now."""
        self._judge(self._session.violations)

    def _judge(self, violations: Sequence[tuple[Property, Violation]]) -> None:
        __tracebackhide__ = True
        while self._judged < len(violations):
            prop, violation = violations[self._judged]
            self._judged += 1
            if self._subject.counts(prop, violation):
                broken = _type_for(prop.id)(prop, violation, self._session.scenario)
                self._on_broken(broken)
                raise broken

    def teardown(self) -> None:
        """Heal everything, let the cluster settle, and judge the whole; after a failure, only end the run."""
        try:
            if sys.exc_info()[1] is self._outside:
                outcome = self._session.finish()
                self._on_finished(outcome)
                self._judge(outcome.violations)
        finally:
            self._session.close()


def _nobody(_: object) -> None:
    """Nobody listens."""


def _objects(obj: Obj | str) -> list[Obj]:
    """Return the objects of YAML text; an object is itself."""
    if not isinstance(obj, str):
        return [obj]
    loaded = load([Text("apply", obj.encode("utf-8"))])
    for note in loaded.notes:
        if note.level == "error":
            raise InvalidScenario(note.message, hint=note.hint)
    return [one.obj for one in loaded.manifests]


def profile(machine: type[ClusterMachine], base: hypothesis.settings | None) -> hypothesis.settings:
    """Return the Hypothesis settings of a run: our own, whatever profile is loaded.

    Under CI=1 Hypothesis loads a profile that draws the same examples each time and keeps no database; a search for chaos has to go on.
    ``base``: what its author set as ``TestShop.settings``; number of examples and steps, phases and verbosity are taken from it.
    """
    own: dict[str, Any] = {
        "derandomize": False, "database": None, "deadline": None, "print_blob": False, "report_multiple_bugs": False,
        "suppress_health_check": list(hypothesis.HealthCheck),
    }  # fmt: skip
    if base is not None:
        return hypothesis.settings(base, **own)
    phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    return hypothesis.settings(max_examples=machine.examples, stateful_step_count=machine.steps, phases=phases, **own)
