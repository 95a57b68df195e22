"""What a mutant is: one safeguard of the models taken away, from outside, by replacing functions.

A module of mutants has one list and a function for each: its name says what the mutant does, its docstring which promise that breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from kchaos.engine.settings import Settings
from kchaos.models.topology import Topology, spread_over_zones
from kchaos.scenario import Step

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


class Application(NamedTuple):
    """Manifests, the machines for them, and what kchaos.yaml says of them."""

    name: str
    text: str
    topology: Topology = spread_over_zones(3, 3)
    settings: Settings = Settings()


class Search(NamedTuple):
    """A campaign: ``faults`` as --faults has them (empty: level 1), situations that no sweep has, ``more`` examples after level 1."""

    faults: str = ""
    situations: tuple[tuple[Step, ...], ...] = ()
    triggers: bool = False
    more: int = 0


class Mutant(NamedTuple):
    """One safeguard taken away; the property that must notice it, in a campaign over an application."""

    name: str
    promise: str
    plant: Plant
    caught_by: str
    application: Application
    search: Search


class Mutants(list[Mutant]):
    """The mutants of one module."""

    def caught_by(
        self, ident: str, application: Application, faults: str = "", *situations: tuple[Step, ...], triggers: bool = False, more: int = 0
    ) -> Callable[[Plant], Plant]:
        """Add the decorated function as a mutant."""

        def add(plant: Plant) -> Plant:
            name = plant.__name__.replace("_", "-")
            promise = " ".join((plant.__doc__ or "").split())
            self.append(Mutant(name, promise, plant, ident, application, Search(faults, situations, triggers, more)))
            return plant

        return add
