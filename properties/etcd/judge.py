"""A whole run judged by all claims about etcd, with what they were worth: whether each was put to the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kchaos.check.property import Context, Monitors, Property, Violation
from kchaos.history.record import Run
from kchaos.properties.etcd.declared import PROPERTIES


class Judged(NamedTuple):
    """``found``: what is wrong or could not be told (``undecided`` of :mod:`kchaos.properties.own.declared`); ``exercised``: ids."""

    found: tuple[tuple[Property, Violation], ...]
    exercised: tuple[str, ...]


def judge(run: Run, properties: Iterable[Property] = PROPERTIES) -> Judged:
    """Judge a run. Raises InvalidScenario for one whose marks are not those of etcd."""
    monitors = Monitors(properties, Context())
    for entry in run.entries:
        monitors.feed(entry)
    found = monitors.finish(run.entries[-1].t if run.entries else 0.0)
    return Judged(tuple(found), monitors.exercised())
