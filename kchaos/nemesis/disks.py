"""Faults of disks: one that runs full. Writes that need room fail with ENOSPC; what is there can be read, replaced by less, and removed."""

from __future__ import annotations

from kchaos.nemesis.fault import Evidence
from kchaos.sim.world import World


class FullDisk:
    """Something takes a host's disk up to ``free`` of its size (0: nothing is left) until healing."""

    def __init__(self, world: World, host: str, free: float = 0.0) -> None:
        self._disk = world.hosts[host].disk
        self._errors = self._disk.errors
        self._taken = max(0.0, self._disk.free_share() - free)
        self._disk.taken_share += self._taken
        self._over = False

    def undo(self) -> None:
        """Give the room back; a second time does nothing."""
        if not self._over:
            self._over = True
            self._disk.taken_share -= self._taken

    def evidence(self) -> Evidence:
        """Return which part of the disk was taken, and how many writes failed."""
        return {"share_taken": round(self._taken, 6), "writes_failed": self._disk.errors - self._errors}
