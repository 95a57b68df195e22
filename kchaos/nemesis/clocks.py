"""Faults of clocks: a step, a constant skew, a drift. Timers run on the monotonic clock, timestamps on the wall clock."""

from __future__ import annotations

from kchaos.nemesis.fault import Evidence
from kchaos.sim.world import World


class Skew:
    """A host's wall clock is ``by_s`` seconds off until healing (a step each time)."""

    def __init__(self, world: World, host: str, by_s: float) -> None:
        self._host = world.hosts[host]
        self._by_s = by_s
        self._host.skew_s += by_s

    def undo(self) -> None:
        """Step back."""
        self._host.skew_s -= self._by_s

    def evidence(self) -> Evidence:
        """Return the skew in seconds."""
        return {"skew_s": self._by_s}


class Drift:
    """A host's monotonic clock runs ``rate`` times as fast as true time until healing."""

    def __init__(self, world: World, host: str, rate: float) -> None:
        self._world = world
        self._host = world.hosts[host]
        self._rate = rate
        self._began = world.loop.time()
        self._off = 0.0
        self._host.set_rate(self._began, self._host.rate * rate)

    def undo(self) -> None:
        """Run as before again (another drift may go on); what was gained or lost stays."""
        now = self._world.loop.time()
        self._off = (now - self._began) * (self._rate - 1.0)
        self._host.set_rate(now, round(self._host.rate / self._rate, 12))

    def evidence(self) -> Evidence:
        """Return the seconds gained or lost."""
        return {"drift_s": round(self._off, 3)}
