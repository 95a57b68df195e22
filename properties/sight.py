"""Whether the control plane sees what happens: what it does on an old view is not held against it (guarantee *as the component saw it*)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Violation
from kchaos.history.record import Mark
from kchaos.properties.disruption import SORTS

CLEAR = (*(name for name, sort in SORTS.items() if sort != "network"), "zone-power-loss", "drain", "run-job")
"""Faults of nodes and containers, and operations: no request, watch, process or link of the control plane is touched by them."""


class Sighted(BaseMonitor):
    """Knows whether any fault has touched the control plane yet; from then on its components may act on an old view."""

    stands: tuple[str, ...] = ()
    """Further faults that the claim stands."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sighted = True

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        """Follow faults."""
        return {"fault": self.fault}

    def fault(self, mark: Mark) -> Iterable[Violation]:
        """Note a fault."""
        if mark.data["action"] == "injected" and mark.data["name"] not in (*CLEAR, *self.stands):
            self.sighted = False
        return ()
