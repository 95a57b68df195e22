"""Every named mutant is killed by a campaign of kchaos, shrinks to a few steps, and is really what is found: without it there is nothing."""

from __future__ import annotations

import pytest

from tests.mutants.hunt import failures, hunt, planted, silent, without
from tests.mutants.mutant import Mutant
from tests.mutants.registry import MUTANTS

STEPS = 8


@pytest.mark.parametrize("mutant", MUTANTS, ids=[one.name for one in MUTANTS])
def test_killed(mutant: Mutant) -> None:
    """The property that was chosen beforehand fails, and does not when nothing is planted."""
    alarms = {one.label: found for one in without(mutant.application, mutant.search) if (found := failures(one, mutant.caught_by))}
    assert alarms == {}
    with planted(mutant):
        killed = hunt(mutant)
    assert killed is not None, "it survived"
    assert killed.steps <= STEPS
    assert silent(mutant, killed.scenario)


def test_mutants_have_names_and_say_what_they_break() -> None:
    names = [one.name for one in MUTANTS]
    assert len(set(names)) == len(names) >= 60
    assert [one.name for one in MUTANTS if not one.promise.endswith(".")] == []
