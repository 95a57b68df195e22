"""How faults are put together into the few columns that a person reads."""

from __future__ import annotations

import re

from kchaos.engine.result import BaselineResult, Cell, Result, WorkloadResult

COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("node lost", ("node-power-loss", "node-pause", "network-partition", "out-of-service", "disk-full")),
    ("zone lost", ("zone-power-loss",)),
    ("drain", ("drain",)),
    ("rollout", ("rollout", "rollback", "image-pull-failure")),
    ("slow start", ("slow-start",)),
    ("scaling", ("scale-up", "scale-down")),
    ("network", (
        "overlay-loss", "stale-fdb", "proxy-stopped", "dns-replica-dead", "lease-lost", "zone-partition", "partition-halves",
        "partition-bridge", "partition-ring", "apiserver-partition", "apiserver-each",
    )),
    ("crash", ("pod-kill", "container-kill", "oom-kill", "probe-flap")),
)  # fmt: skip
ENDLESS = {"KC203": "never ends", "KC204": "never ends", "KC201": "no place", "KC069": "not again"}
"""What a cell says of violations that are not seconds without an answer."""
_RANK = {"error": 0, "warning": 1, "info": 2, "": 3}


def worst(workload: WorkloadResult, faults: tuple[str, ...]) -> Cell | None:
    """Return the worst of some faults' cells; None if none of them was exercised on the workload."""
    if not workload.ready:
        return None  # it never came up: faults show nothing
    cells = [workload.faults[name] for name in faults if name in workload.faults and workload.faults[name].examples]
    if not cells:
        return None
    return min(cells, key=lambda c: (_RANK[c.severity], -c.outage_s, -c.lost_requests))


def pods(workload: WorkloadResult) -> str:
    """Return how many pods: ``3``; ``2/3`` if not all were ready without any fault."""
    return str(workload.replicas) if workload.ready >= workload.replicas else f"{workload.ready}/{workload.replicas}"


def text(cell: Cell | None) -> str:
    """Return a cell: ``ok``, ``353 s``, ``5 s (50)`` with 50 lost requests, ``-`` if not exercised."""
    if cell is None:
        return "-"
    parts = [ENDLESS[cell.rule]] if cell.rule in ENDLESS and cell.severity in ("error", "warning") else []
    if cell.outage_s >= 0.05:
        parts.append(f"{seconds(cell.outage_s)}{'+' if cell.unbounded else ''}")
    if cell.lost_requests >= 0.5:
        parts.append(f"({count(cell.lost_requests)})")
    return " ".join(parts) or "ok"


def count(value: float) -> str:
    """Return ``650`` or ``3.5k``."""
    return f"{value:.0f}" if value < 1000 else f"{value / 1000:.1f}k"


def seconds(value: float) -> str:
    """Return ``5 s`` or ``1.2 s`` or ``12 min``."""
    if value >= 600:
        return f"{value / 60:.0f} min"
    return f"{value:.0f} s" if value >= 2 else f"{value:.1f} s"


def ranked(result: Result) -> list[WorkloadResult]:
    """Return the workloads, those with the most trouble first."""

    def key(one: WorkloadResult) -> tuple[int, float, str]:
        cells = list(one.faults.values())
        return (min((_RANK[c.severity] for c in cells), default=3), -max((c.outage_s for c in cells), default=0.0), one.workload)

    return sorted(result.workloads, key=key)


HEADLINES = {"pass": "PASS", "fail": "FAIL", "unknown": "UNKNOWN"}


def new(found: str) -> str:
    """Return ``no new finding``, ``2 new errors and 1 new warning``."""
    return re.sub(r"\b(finding|error|warning)", r"new \1", found)


def _compared(baseline: BaselineResult) -> str:
    return f"{baseline.known} known, {len(baseline.mended)} mended"


def headline(result: Result) -> str:
    """Return the verdict in one sentence."""
    open_ = [f for f in result.findings if not f.accepted and not f.known]
    counts = {level: sum(1 for f in open_ if f.severity.value == level) for level in ("error", "warning")}
    found = " and ".join(f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n) or "no finding"
    if result.baseline is not None:
        found = f"{new(found)} ({_compared(result.baseline)})"
    tried = f"{found} in {result.examples.run} examples ({result.examples.words()})"
    if result.examples.level1 <= 1 and result.examples.run <= 1 and not result.examples.corpus:
        tried = f"{found}, and no fault was tried"
    shard = f" (shard {result.shard})" if result.shard else ""
    word = HEADLINES[result.verdict] + shard + (" (interrupted)" if result.examples.interrupted else "")
    if result.verdict in ("pass", "fail"):
        return f"{word}: {tried}"
    why = f": {result.reasons[0]}" if result.reasons else ""
    more = f" (and {len(result.reasons) - 1} more reason{'s' if len(result.reasons) > 2 else ''})" if len(result.reasons) > 1 else ""
    return f"{word}{why}{more}; {tried}"
