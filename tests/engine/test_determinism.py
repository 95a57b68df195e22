"""The same scenario gives the same digest: twice, in other processes, under other hash seeds and Pythons, on one process or two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kchaos.engine.booting import boot
from kchaos.engine.campaign import BudgetOption, campaign
from kchaos.engine.kubernetes import run
from kchaos.engine.sweep import sweep
from kchaos.scenario import Scenario
from tests.conftest import OTHER_PYTHON
from tests.drawn import TEXT, scenarios
from tests.support import GUESTBOOK, ROOT, system_of


def pairs(count: int, seed: int) -> None:
    """Run each scenario twice, from boots of its own, and compare."""
    system = system_of(TEXT)
    first = {s: boot(system, s) for s in range(5)}
    second = {s: boot(system, s) for s in range(5)}
    for scenario in scenarios(count, seed):
        one = run(system, first[scenario.seed], scenario).run.digest
        assert run(system, second[scenario.seed], scenario).run.digest == one, scenario


@pytest.mark.parametrize("seed", range(4))
def test_pairs(seed: int) -> None:
    """Two hundred drawn scenarios, each run twice: equal digests."""
    pairs(50, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_pairs(seed: int) -> None:
    """Ten thousand."""
    pairs(250, seed)


SCRIPT = """
import sys
from tests.drawn import TEXT, scenarios
from tests.support import system_of
from kchaos.engine.booting import boot
from kchaos.engine.kubernetes import run
system = system_of(TEXT)
boots = {}
for scenario in scenarios(12, 9):
    if scenario.seed not in boots:
        boots[scenario.seed] = boot(system, scenario.seed)
    print(run(system, boots[scenario.seed], scenario).run.digest)
"""


def _digests(python: str | Path, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(python), "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hash_seeds() -> None:
    """Other processes and other string hashes change nothing."""
    assert _digests(sys.executable, "0") == _digests(sys.executable, "1") == _digests(sys.executable, "random")


@pytest.mark.needs("other-python")
def test_other_python() -> None:
    """Another version of Python changes nothing."""
    ours = _digests(sys.executable, "0")
    theirs = _digests(OTHER_PYTHON, "0")
    assert ours == theirs


def test_number_of_processes() -> None:
    """What is found depends on seed and count alone, never on -j."""
    text = "---\n".join(path.read_text(encoding="utf-8") for path in sorted(GUESTBOOK.glob("*.yaml")))
    system = system_of(text)
    booted = boot(system)
    plan = sweep(system, booted)
    budget = BudgetOption(examples=24)
    alone = campaign(system, booted, plan, budget=budget, jobs=1)
    together = campaign(system, booted, plan, budget=budget, jobs=2)
    assert alone.digest() == together.digest()
    assert alone.examples == together.examples


def test_seeds_differ() -> None:
    """Another seed is another run: digests are not constant."""
    system = system_of(TEXT)
    digests = {run(system, boot(system, seed), Scenario(seed=seed)).run.digest for seed in range(3)}
    assert len(digests) == 3
