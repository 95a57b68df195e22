"""A run as a picture's data: lanes of nodes with the pods on them, bands of faults, curves, and the moment of the violation.

Times are virtual seconds since chaos began. It is small whatever the run was: what is too much for a picture is put together or left
out, and ``left_out`` says so. ``engine/pictures.py`` makes it; reports draw it; ``kchaos run --json`` has it.
"""

from __future__ import annotations

import msgspec

UNPLACED = "no node"
"""The lane of pods that are on no node."""
CONTROL = "control plane"


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a pod's life: ``pending`` (on no node), ``starting``, ``ready``, ``unready``, ``terminating``, ``ended`` or, put together, ``changing``."""

    start: float
    end: float
    state: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One pod while it is on one node."""

    pod: str
    parts: tuple[Part, ...]


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One node; ``more``: pods on it that are left out."""

    name: str
    zone: str = ""
    bars: tuple[Bar, ...] = ()
    more: int = 0


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A fault from its injection until it was healed. ``lanes``: the nodes that it was done to, none if it was something else."""

    label: str
    start: float
    end: float
    lanes: tuple[str, ...] = ()


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane did or told; ``refused``: what it would not do."""

    t: float
    text: str
    refused: bool = False


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of (time, value): each value holds until the next time. ``of``: the workload or Service; ``label``: what is counted."""

    of: str
    label: str
    points: tuple[tuple[float, float], ...]


THERE = "there"
"""Of an object whose state is not told: that it exists."""
SAME = "same"
"""Of something of which only a change is told."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is different at an object, or alike at several; without ``before`` it is new, without ``after`` it is gone."""

    what: str
    before: str = ""
    after: str = ""

    def words(self) -> str:
        """Return ``3/3 → 2/3``, ``new: Running`` or ``gone``."""
        if not self.before:
            return "new" if self.after == THERE else f"new: {self.after}"
        if self.before == SAME:
            return self.after
        after = self.after or "gone"
        return after if self.before == THERE else f"{self.before} → {after}"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A node at a moment. ``state``: empty if all is well, ``off``, ``cut`` (from others), ``hit`` (by another fault), ``notready`` or ``cordoned``;
    ``says``: the same in words. ``pods``: how many of the object's pods there are in which state."""

    name: str
    zone: str = ""
    state: str = ""
    says: str = ""
    pods: dict[str, int] = {}


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences of a story that belong together (``first`` to ``last``, from 1; 0: none), what they changed, and how all stands then.

    ``more``: changes that are left out; ``elsewhere``: nodes that are.
    """

    t: float
    first: int = 0
    last: int = 0
    changes: tuple[Change, ...] = ()
    more: int = 0
    places: tuple[Place, ...] = ()
    elsewhere: int = 0


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest scenario that shows a finding, as steps in words, and its run."""

    steps: tuple[str, ...]
    start_s: float
    end_s: float
    violated_s: float
    lanes: tuple[Lane, ...] = ()
    bands: tuple[Band, ...] = ()
    ticks: tuple[Tick, ...] = ()
    curves: tuple[Curve, ...] = ()
    moments: tuple[Moment, ...] = ()
    left_out: tuple[str, ...] = ()
