"""Properties of users: each form finds what breaks it, at the right moment, and lets its healthy twin pass."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kchaos.check.property import Severity, Violation
from kchaos.properties.own.declared import UNDECIDED, Declared, property_of
from kchaos.properties.own.functions import Cluster, Function
from tests.properties.objects import pod
from tests.properties.planted import History

READY = "pods.exists(p, p.ready)"


class Story:
    """A pod that is ready or not at moments; chaos begins at 100 s, at which it is ready."""

    def __init__(self, says: str | Function = READY, form: Any = "always", **fields: Any) -> None:
        self.declared = Declared(id="SHOP-1", title="one is ready", form=form, says=says, file="kchaos.yaml", line=7, **fields)
        self.history = History(pod(ready=True), properties=[property_of(self.declared)])
        self.history.mark("phase", name="chaos")

    def ready(self, ready: bool, after_s: float = 0.0) -> Story:
        """Let time pass, then write the pod."""
        self.history.wait(after_s)
        self.history.put(pod(ready=ready))
        return self

    def fault(self, action: str, name: str = "node-pause", step: int = 0, after_s: float = 0.0) -> Story:
        """Inject or heal a fault."""
        self.history.wait(after_s)
        self.history.mark("fault", action=action, name=name, step=step, args={"target": "node-1"}, planned=False)
        return self

    def heal(self, after_s: float = 10.0) -> Story:
        """Heal."""
        self.history.wait(after_s)
        self.history.mark("phase", name="heal")
        return self

    def end(self, after_s: float = 30.0) -> list[Violation]:
        """Return what was found at the end."""
        self.history.wait(after_s)
        return [violation for _, violation in self.history.end()]

    @property
    def exercised(self) -> bool:
        """Tell whether it was put to the test."""
        return self.history.monitors.exercised() == ("SHOP-1",)


def test_always() -> None:
    """A moment is enough; its twin is never broken."""
    (found,) = Story().ready(False, 5).ready(True, 1).end()
    assert (found.t, found.severity, found.root, found.object) == (105.0, Severity.ERROR, "SHOP-1", "Cluster")
    assert "one is ready: broken from 5.0 s on, during no fault" in found.summary
    twin = Story().ready(True, 5)
    assert twin.end() == [] and twin.exercised


def test_before_chaos_nothing_is_claimed() -> None:
    """What happens while components start is not judged; what is so when chaos begins is."""
    story = Story.__new__(Story)
    declared = Declared(id="A", title="a", form="always", says=READY)
    story.history = History(pod(ready=False), properties=[property_of(declared)])
    story.history.put(pod(ready=True))
    story.history.mark("phase", name="chaos")
    assert story.end() == []
    story.history = History(pod(ready=False), properties=[property_of(declared)])
    story.history.mark("phase", name="chaos")
    assert [found.t for found in story.end()] == [100.0]


@pytest.mark.parametrize(("down_s", "broken"), [(9.0, False), (10.0, False), (11.0, True)])
def test_for_s(down_s: float, broken: bool) -> None:
    """Broken for longer than that, counted exactly, though nothing else happens meanwhile."""
    found = Story(for_s=10.0).ready(False, 5).ready(True, down_s).end()
    assert [one.t for one in found] == ([115.0] if broken else [])


def test_for_s_at_the_end() -> None:
    """What is still broken when nothing is left to happen stays so."""
    (found,) = Story(for_s=100.0).ready(False, 5).end(20)
    assert "nothing was left to happen" in found.summary


def test_a_run_that_is_cut_decides_nothing() -> None:
    """Whether it would have come back is not known."""
    story = Story(for_s=100.0).ready(False, 5)
    story.history.monitors._all[0][1]._context.facts["at_rest"] = False  # type: ignore[attr-defined]  # as a run says it
    (found,) = story.end(20)
    assert found.severity is Severity.INFO and found.figures[UNDECIDED]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=12), st.sampled_from([0.0, 3.0]))
def test_never_is_always_not(writes: list[tuple[bool, int]], for_s: float) -> None:
    """Both find the same, at the same time."""
    stories = Story(for_s=for_s), Story(f"!({READY})", "never", for_s=for_s)
    for story in stories:
        for ready, after_s in writes:
            story.ready(ready, after_s)
    first, second = ([(one.t, one.severity) for one in story.end()] for story in stories)
    assert first == second


def test_when() -> None:
    """Only while `when` is true; that it never was is known."""
    assert Story(when="pods.size() == 1").ready(False, 1).end()
    idle = Story(when="pods.size() == 2").ready(False, 1)
    assert idle.end() == [] and not idle.exercised


@pytest.mark.parametrize(("back_s", "broken"), [(29.0, False), (30.0, False), (31.0, True)])
def test_response(back_s: float, broken: bool) -> None:
    """Each time `when` becomes true, within the bound."""
    story = Story(READY, "eventually", when=f"!{READY}", within_s=30.0).ready(False, 5).ready(True, back_s)
    assert [one.t for one in story.end()] == ([135.0] if broken else []) and story.exercised


def test_response_without_a_cause() -> None:
    """Nothing became true: not exercised."""
    story = Story(READY, "eventually", when=f"!{READY}", within_s=30.0).ready(True, 5)
    assert story.end() == [] and not story.exercised


def test_response_is_owed_though_the_cause_has_gone() -> None:
    """What has begun must come, whatever becomes of the cause."""
    story = Story("pods.exists(p, p.ready && p.restarts > 0)", "eventually", when=f"!{READY}", within_s=30.0)
    assert story.ready(False, 5).ready(True, 1).end(60)


@pytest.mark.parametrize(
    ("back_s", "within_s", "t"), [(20.0, 30.0, None), (40.0, 30.0, 141.0), (40.0, None, None), (None, 30.0, 171.0), (None, None, 171.0)]
)
def test_eventually(back_s: float | None, within_s: float | None, t: float | None) -> None:
    """In the end, and not later than the bound after healing (at 111 s)."""
    story = Story(READY, "eventually", within_s=within_s).ready(False, 1).heal()
    if back_s is not None:
        story.ready(True, back_s)
    assert [one.t for one in story.end(60 - (back_s or 0.0))] == ([] if t is None else [t]) and story.exercised


def test_eventually_stays() -> None:
    """Once true is not enough: the bound counts from when it stayed so."""
    assert Story(READY, "eventually", within_s=30.0).heal().ready(False, 1).ready(True, 60).end()


def test_except_during() -> None:
    """While the fault is felt nothing is claimed, and then it is again, though nothing has changed."""
    story = Story(except_during=("node-pause",)).fault("injected", after_s=1).ready(False, 1).fault("healed", after_s=50).ready(True, 20)
    assert story.end(600) == []
    story = Story(except_during=("node-pause",)).fault("injected", after_s=1).ready(False, 1).fault("healed", after_s=50)
    assert [one.t for one in story.end(600)] == [152.0 + 180.0]
    assert Story(except_during=("drain",)).fault("injected", after_s=1).ready(False, 1).end()


def test_faults_at_once() -> None:
    """What more faults than that bring about is told, not held against it."""
    one = Story(faults_at_once=1).fault("injected", after_s=1).ready(False, 1)
    two = Story(faults_at_once=1).fault("injected", after_s=1).fault("injected", "drain", 1).ready(False, 1)
    assert [story.end()[0].severity for story in (one, two)] == [Severity.ERROR, Severity.INFO]


def test_undecided() -> None:
    """An expression without a value breaks nothing and proves nothing."""
    story = Story('pods.all(p, p.labels.app == "web")')
    (found,) = story.end()
    assert (found.severity, found.figures) == (Severity.INFO, {UNDECIDED: True}) and "there is no app" in found.summary
    assert not story.exercised


def some_ready(cluster: Cluster) -> bool:
    """A predicate."""
    return any(one.ready for one in cluster.pods)


def fails(cluster: Cluster) -> bool:
    """A predicate with a mistake."""
    return cluster.workloads["shop/none"].ready > 0


def no_bool(cluster: Cluster) -> int:
    """A predicate that returns something else."""
    return len(cluster.pods)


def test_functions() -> None:
    """A function is judged as an expression is."""
    (found,) = Story(Function(__file__, "some_ready")).ready(False, 5).end()
    assert found.t == 105.0
    assert Story(Function(__file__, "some_ready")).ready(True, 5).end() == []


@pytest.mark.parametrize(("name", "why"), [("fails", "KeyError: 'shop/none' ("), ("no_bool", "returned 1, not True or False")])
def test_functions_that_fail(name: str, why: str) -> None:
    """Their exceptions are told with file and line, and decide nothing."""
    (found,) = Story(Function(__file__, name)).end()
    assert found.figures == {UNDECIDED: True} and why in found.summary


def test_it_travels() -> None:
    """Workers get it in a pickle."""
    prop = property_of(Story().declared)
    assert pickle.loads(pickle.dumps(prop)) == prop
    assert (prop.id, prop.name, prop.file, prop.line, prop.source) == ("SHOP-1", "one-is-ready", "kchaos.yaml", 7, "kchaos.yaml:7")
