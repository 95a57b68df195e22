"""Helpers of tests: a system from YAML text, one example of it, the command line in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kchaos.engine.booting import Boot, System, boot
from kchaos.engine.campaign import BudgetOption
from kchaos.engine.execute import Answer, Question, execute
from kchaos.engine.kubernetes import Outcome, run
from kchaos.engine.machines import of_numbers
from kchaos.engine.settings import Settings
from kchaos.engine.system import build, inputs_of
from kchaos.models.manifests.load import Loaded, Text, load
from kchaos.scenario import Scenario, Step

ROOT = Path(__file__).parent.parent
SITUATIONS = ROOT / "fixtures" / "situations"
GUESTBOOK = ROOT / "fixtures" / "applications" / "guestbook"


def loaded(text: str, name: str = "input.yaml") -> Loaded:
    """Return what the loader makes of a text."""
    return load([Text(name, text.encode())])


def system_of(text: str, nodes: int = 6, zones: int = 3, settings: Settings | None = None) -> System:
    """Return a system of manifests on that many nodes."""
    objects = [one.obj for one in loaded(text).manifests]
    topology = msgspec.to_builtins(of_numbers(nodes, zones, objects).topology)
    return build(topology, inputs_of(objects, [], settings or Settings(), "1.34"))


def step(do: str, target: str, **args: Any) -> Step:
    """Return a step at the begin of chaos."""
    return Step(do=do, args={"target": target, **args})


def one(system: System, *steps: Step, booted: Boot | None = None, seed: int = 0) -> Outcome:
    """Run one example."""
    return run(system, booted or boot(system, seed), Scenario(seed=seed, steps=steps))


def ask(paths: Sequence[Path], **options: Any) -> Answer:
    """Ask `kchaos run`'s question of files."""
    files = [file for path in paths for file in (sorted(path.glob("*.yaml")) if path.is_dir() else [path])]
    texts = [Text(file.name, file.read_bytes()) for file in files]
    nodes, zones = options.pop("nodes", None), options.pop("zones", None)
    budget = BudgetOption.of(options.pop("budget", None))
    return execute(Question(texts=texts, machines=lambda objects: of_numbers(nodes, zones, objects), budget=budget, **options))
