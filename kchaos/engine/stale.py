"""The sweep over stale views: at each write of an operation, the component that wrote sees the cluster as it was before that write.

The watch cache of an API server stops following the store just before the write; the other servers stay fresh. Three ways to such a view:
the component goes on from its own cache, which its server no longer tells anything; it starts again at once and lists the frozen one; or it
goes on with a fresh server and goes back in time when it starts again, after it has next made or deleted something (time travel,
https://github.com/kubernetes/kubernetes/issues/59848). Then the cache catches up. What it saw meanwhile is old but was true once; it must
neither destroy anything for it nor end elsewhere (Sieve, OSDI '22: stale-state pattern).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kchaos.engine.booting import Boot
from kchaos.engine.writes import Case, Moment
from kchaos.models.api.tree import get
from kchaos.models.controlplane import RESTART_S
from kchaos.models.topology import Topology
from kchaos.scenario import Step

MASTERS = 3
"""One server is frozen, and the kubelets of the others see what happens."""
BEHIND_S = 12.0
"""How long the view of a component that goes on is old: longer than a request is waited for."""
AFTER_RESTART_S = 8.0
"""How long one that has started again works from the old view. Altogether shorter than silent nodes are stood."""


def with_masters(topology: Topology) -> Topology:
    """Return the same machines with enough API servers that one can be stale alone."""
    return topology if topology.masters >= MASTERS else msgspec.structs.replace(topology, masters=MASTERS)


def stale(booted: Boot, found: Sequence[Moment], index: int) -> Sequence[Case]:
    """Return the ways to see what was before a write; the last only if something weighty follows."""
    moment = found[index]
    own = leader(booted, moment.process)
    other = next(host for host in (f"master-{i}" for i in range(MASTERS)) if host != own)

    def frozen(server: str, for_s: float) -> Step:
        return Step(do="stale-apiserver", args={"target": server}, when=moment.when, for_s=for_s)

    def again(after: Moment) -> Step:
        return Step(do="leader-crash", args={"target": moment.process, "server": other}, when=after.when)

    restart_s = RESTART_S + AFTER_RESTART_S
    cases = [
        Case(moment, f"old view from {moment.words} on", (frozen(own, BEHIND_S),)),
        Case(moment, f"restart into the view before {moment.words}", (frozen(other, restart_s), again(moment))),
    ]
    later = next((one for one in found[index + 1 :] if one.actor == moment.actor and one.weighty), None)
    if later is not None:
        words = f"after {later.words}, restart into the view before {moment.words}"
        cases.append(Case(moment, words, (frozen(other, later.t - moment.t + restart_s), again(later))))
    return cases


def leader(booted: Boot, process: str) -> str:
    """Return the master whose process leads when a run begins; it asks the API server beside it."""
    lease = booted.image.store.tables["leases"][f"kube-system/{process}"]
    return str(get(lease, "spec", "holderIdentity"))
