"""Figures of one run: how long each workload had nobody who answers or too few, and how many requests each Service lost. Never judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kchaos.history.record import Mark, Run

DEFAULT_RATE = 10.0


class Back(NamedTuple):
    """How long a workload had fewer pods that answer than when chaos began; ``when``: ``chaos``, ``healed`` (only then all were back) or ``never``."""

    s: float
    when: str


class Figures(NamedTuple):
    """``outage_s`` by workload, ``lost`` requests by Service (namespace/name), ``back``: the longest time that each workload lacked pods."""

    outage_s: dict[str, float]
    lost: dict[str, float]
    back: dict[str, Back]


def measure(run: Run, rates: Mapping[str, float]) -> Figures:
    """Return the figures of chaos, healing and settling."""
    members = _Members()
    lost: dict[str, float] = {}
    chaos_s: float | None = None
    last = 0.0
    for entry in run.entries:
        last = entry.t
        if not isinstance(entry, Mark):
            continue
        what, data = entry.what, entry.data
        if what == "phase":
            if data["name"] == "chaos":
                chaos_s = entry.t
            members.phase(data["name"])
        elif what == "members":
            members.count(entry.t, data["workload"], int(data["serving"]))
        elif what == "traffic" and chaos_s is not None:
            length = data["end"] - max(data["start"], chaos_s)
            if length > 0 and data["lost"]:
                rate = rates.get(data["service"], DEFAULT_RATE)
                lost[data["service"]] = lost.get(data["service"], 0.0) + sum(data["lost"].values()) * rate * length
    members.finish(last)
    return Figures(
        {k: round(v, 1) for k, v in members.outage.items()}, {k: round(v, 1) for k, v in lost.items() if v >= 0.05}, dict(members.back)
    )


class _Members:
    """Follows how many pods of each workload answer."""

    def __init__(self) -> None:
        self._phase = ""
        self._serving: dict[str, int] = {}
        self._full: dict[str, int] = {}
        """As of the begin of chaos."""
        self._down: dict[str, float] = {}
        self._lacks: dict[str, float] = {}
        self.outage: dict[str, float] = {}
        self.back: dict[str, Back] = {}

    def phase(self, name: str) -> None:
        """Begin a phase."""
        self._phase = name
        if name == "chaos":
            self._full = dict(self._serving)

    def count(self, t: float, workload: str, count: int) -> None:
        """Take a count over."""
        before = self._serving.get(workload, 0)
        self._serving[workload] = count
        if self._phase in ("", "boot"):
            return
        if count == 0 and before > 0:
            self._down[workload] = t
        elif count > 0 and workload in self._down:
            self.outage[workload] = self.outage.get(workload, 0.0) + t - self._down.pop(workload)
        full = self._full.get(workload, 0)
        if count < full:
            self._lacks.setdefault(workload, t)
        elif workload in self._lacks:
            self._recovered(t, workload, "chaos" if self._phase == "chaos" else "healed")

    def _recovered(self, t: float, workload: str, when: str) -> None:
        took = Back(round(t - self._lacks.pop(workload), 1), when)
        known = self.back.get(workload)
        if known is None or took.s > known.s:
            self.back[workload] = took

    def finish(self, last: float) -> None:
        """End the run: what lacks pods now lacks them for good."""
        for workload, start in self._down.items():
            self.outage[workload] = self.outage.get(workload, 0.0) + last - start
        for workload in list(self._lacks):
            self._recovered(last, workload, "never")
