"""When which fault comes: by the seed alone, each sort before any comes again, none longer than chaos lasts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kchaos.engine.etcd.schedule import draw, fitting
from kchaos.nemesis.etcd.catalog import catalog
from kchaos.scenario import At

MEMBERS = {n: tuple(f"m{i}" for i in range(1, n + 1)) for n in (1, 3, 5)}


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 5]), st.floats(5, 300))
def test_a_seed_gives_one_schedule_that_ends_in_time_and_that_the_faults_take(seed: int, count: int, chaos_s: float) -> None:
    kinds = fitting(tuple(catalog()), count)
    steps = draw(seed, kinds, MEMBERS[count], chaos_s)
    assert steps == draw(seed, kinds, MEMBERS[count], chaos_s)
    for step in steps:
        assert isinstance(step.when, At) and step.when.s <= chaos_s
        catalog().get(step.do).complete(step.args)


def test_every_sort_comes_before_any_comes_again() -> None:
    kinds = fitting(tuple(catalog()), 5)
    names = [step.do for step in draw(3, kinds, MEMBERS[5], 10_000.0)]
    assert set(names[: len(kinds)]) == {kind.name for kind in kinds}


def test_two_faults_of_links_never_overlap() -> None:
    known = catalog()
    for seed in range(50):
        ends_s = 0.0
        for step in draw(seed, fitting(tuple(known), 5), MEMBERS[5], 300.0):
            assert isinstance(step.when, At)
            if known.get(step.do).klass == "network":
                assert step.when.s >= ends_s
                ends_s = step.when.s + (step.for_s or 0.0)


def test_one_member_alone_has_no_peers() -> None:
    assert {kind.klass for kind in fitting(tuple(catalog()), 1)} == {"process"}
    assert "partition-ring" not in {kind.name for kind in fitting(tuple(catalog()), 3)}


def test_other_seeds_give_other_schedules() -> None:
    kinds = fitting(tuple(catalog()), 3)
    assert len({str(draw(seed, kinds, MEMBERS[3], 60.0)) for seed in range(20)}) == 20
