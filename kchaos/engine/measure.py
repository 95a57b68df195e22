"""Figures of one run: how long each workload had nobody who answers, and how many requests each Service lost. Unlike findings, never judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kchaos.history.record import Mark, Run

DEFAULT_RATE = 10.0


class Figures(NamedTuple):
    """``outage_s`` by workload, ``lost`` requests by Service (namespace/name), ``ended``: the workload is still down at the end."""

    outage_s: dict[str, float]
    lost: dict[str, float]


def measure(run: Run, rates: Mapping[str, float]) -> Figures:
    """Return the figures of chaos, healing and settling."""
    serving: dict[str, int] = {}
    down: dict[str, float] = {}
    outage: dict[str, float] = {}
    lost: dict[str, float] = {}
    chaos_s: float | None = None
    last = 0.0
    for entry in run.entries:
        last = entry.t
        if not isinstance(entry, Mark):
            continue
        what, data = entry.what, entry.data
        if what == "phase" and data["name"] == "chaos":
            chaos_s = entry.t
        elif what == "members":
            workload, count = data["workload"], int(data["serving"])
            before = serving.get(workload, 0)
            serving[workload] = count
            if chaos_s is None:
                continue
            if count == 0 and before > 0:
                down[workload] = entry.t
            elif count > 0 and workload in down:
                outage[workload] = outage.get(workload, 0.0) + entry.t - down.pop(workload)
        elif what == "traffic" and chaos_s is not None:
            length = data["end"] - max(data["start"], chaos_s)
            if length > 0 and data["lost"]:
                rate = rates.get(data["service"], DEFAULT_RATE)
                lost[data["service"]] = lost.get(data["service"], 0.0) + sum(data["lost"].values()) * rate * length
    for workload, start in down.items():
        outage[workload] = outage.get(workload, 0.0) + last - start
    return Figures({k: round(v, 1) for k, v in outage.items()}, {k: round(v, 1) for k, v in lost.items() if v >= 0.05})
