"""What a campaign has exercised: faults that bit, pairs of them, and transitions between the decisions of each controller.

A *decision* is a write of a component other than users and kubelets, by what it does: ``replicaset-controller create pods``. A *transition* is
two of them in a row by one component. A scenario that shows a transition nobody has seen is worth varying; a fault that never bit is
worth trying. (The idea is that of coverage-guided fuzzing; for event histories see Mallory, CCS 2023.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from kchaos.history.record import Run, Write

UNDECIDED = ("user", "kubelet", "")
"""Who writes without deciding: people, and kubelets that tell what is."""
VERBS = {"ADDED": "create", "DELETED": "delete"}


def decision(write: Write) -> str:
    """Return what a write does, in words: verb, kind, and for a change whether of the desired state, the status or the metadata."""
    verb = VERBS.get(write.type)
    if verb is not None:
        return f"{verb} {write.resource}"
    before, after = write.prev or {}, write.obj
    if before.get("metadata", {}).get("deletionTimestamp") != after.get("metadata", {}).get("deletionTimestamp"):
        return f"delete {write.resource}"
    if before.get("spec") != after.get("spec"):
        return f"update {write.resource}"
    return f"update {write.resource}/status" if before.get("status") != after.get("status") else f"annotate {write.resource}"


def transitions(run: Run) -> tuple[str, ...]:
    """Return the transitions of a run, each once, sorted: ``replicaset-controller: create pods > update replicasets/status``."""
    last: dict[str, str] = {}
    found: dict[str, None] = {}
    for entry in run.entries:
        if not isinstance(entry, Write) or entry.actor in UNDECIDED:
            continue
        now = decision(entry)
        found[f"{entry.actor}: {last.get(entry.actor, 'start')} > {now}"] = None
        last[entry.actor] = now
    return tuple(sorted(found))


def by_component(seen: Iterable[str]) -> dict[str, int]:
    """Return how many transitions each component made."""
    out: dict[str, int] = {}
    for one in seen:
        actor = one.partition(":")[0]
        out[actor] = out.get(actor, 0) + 1
    return dict(sorted(out.items()))


class Summary(NamedTuple):
    """Coverage in figures, for reports. ``never``: faults that have targets here and never bit."""

    faults: tuple[int, int]
    pairs: tuple[int, int]
    transitions: int
    by_component: Mapping[str, int]
    never: tuple[str, ...]
    pairs_seen: tuple[tuple[str, str], ...] = ()
    transitions_seen: tuple[str, ...] = ()


class Coverage:
    """Gathers what examples exercised. ``possible``: the faults that have a target in this system."""

    def __init__(self, possible: Iterable[str]) -> None:
        self.bit: dict[str, int] = dict.fromkeys(possible, 0)
        self._pairs: dict[tuple[str, str], None] = {}
        self._transitions: dict[str, None] = {}

    def add(self, report: Sequence[Mapping[str, Any]], seen: Iterable[str]) -> bool:
        """Count one example: what its steps came to and its transitions. Tell whether it showed a transition for the first time."""
        names = sorted({line["name"]: None for line in report if line["status"] == "bit"})
        for name in names:
            self.bit[name] = self.bit.get(name, 0) + 1
        self._pairs.update(dict.fromkeys(combinations(names, 2)))
        before = len(self._transitions)
        self._transitions.update(dict.fromkeys(seen))
        return len(self._transitions) > before

    def summary(self) -> Summary:
        """Return what has been exercised, and what never."""
        kinds = len(self.bit)
        seen = tuple(sorted(self._transitions))
        never = tuple(name for name, times in self.bit.items() if not times)
        pairs = (len(self._pairs), kinds * (kinds - 1) // 2)
        return Summary((kinds - len(never), kinds), pairs, len(seen), by_component(seen), never, tuple(sorted(self._pairs)), seen)
