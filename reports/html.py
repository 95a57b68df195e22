"""The result as one HTML file: offline, readable without scripts, in the dark and in print. Names from manifests are escaped."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from kchaos.engine.pictures import TIMELINES
from kchaos.engine.result import Result
from kchaos.engine.timeline import Moment
from kchaos.reports import change, recovery
from kchaos.reports.columns import COLUMNS, count, headline, pods, ranked, seconds, text, worst
from kchaos.reports.diagram import LEFT, RIGHT, WIDTH, diagram
from kchaos.reports.matrix import table
from kchaos.reports.offline import MOST, fill
from kchaos.reports.pasted import pytest_file
from kchaos.reports.topology import WIDTH as TOPOLOGY
from kchaos.reports.topology import states, topologies


class Limits(NamedTuple):
    """How many of each sort a page shows, the worst first; it says how many it leaves out, and result.json has all."""

    glance: int = 10
    """Findings in the list at the top."""
    findings: int = 100
    remarks: int = 40
    full: int = 25
    """Findings whose own lists are long; those of the others are shorter."""
    pictures: int = TIMELINES
    rows: int = 200
    """Workloads in the table."""
    detailed: int = 50
    """Workloads in the table of each fault by itself."""
    recoveries: int = 15
    """Rows of recovery times that are not folded away."""
    broken: int = 40
    """Properties in the matrix that were violated."""
    listed: int = 250
    """Entries of lists of what was assumed, and of what is not modelled."""
    notes: int = 200
    inputs: int = 500

    def times(self, share: float) -> Limits:
        """Return a share of them."""
        return Limits(*(int(one * share) for one in self))


_NUMBERED = re.compile(r"\d+\. ([^:]*): ")
"""What a story's sentence begins with."""


def html(result: Result) -> str:
    """Return the page, of at most :data:`MOST` bytes."""
    page = ""
    for share in (1.0, 0.5, 0.2, 0.05, 0.01):
        page = _page(result, Limits().times(share))
        if len(page.encode("utf-8")) <= MOST:
            break
    return page


def _page(result: Result, limits: Limits) -> str:
    columns = [fault.name for fault in result.faults if any(worst(one, (fault.name,)) for one in result.workloads)]
    open_ = [f for f in result.findings if not f.accepted]
    values = {
        "r": result, "headline": headline(result), "rows": ranked(result), "columns": columns,
        "matrix": table(result.matrix, [one.id for one in result.properties]),
        "sorts": [(name, faults) for name, faults in COLUMNS if any(fault in columns for fault in faults)],
        "loud": [f for f in open_ if f.severity.value != "info"], "quiet": [f for f in open_ if f.severity.value == "info"],
        "accepted": [f for f in result.findings if f.accepted], "timelines": dict(list(result.timelines.items())[: limits.pictures]),
    }  # fmt: skip
    return fill("report.html.j2", {**_HELPERS, "limits": limits}, values)


def sentence(text: str, moment: Moment) -> str:
    """Return a story's sentence without its number, which the list has, and without the time that stands above it."""
    found = _NUMBERED.match(text)
    if found is None:
        return text
    alone = moment.t < 0 or found[1] in (f"{moment.t:.1f} s", f"{moment.t:.0f} s")
    return text[found.end() :] if alone else f"{found[1]}: {text[found.end() :]}"


_HELPERS: dict[str, Any] = {
    "text": text, "seconds": seconds, "count": count, "pods": pods, "worst": worst, "sentence": sentence, "diagram": diagram, "frame": (WIDTH, LEFT, RIGHT),
    "change": change, "topologies": topologies, "recoveries": recovery.rows, "states": states, "topology_width": TOPOLOGY,
    "pytest_file": pytest_file,
}  # fmt: skip
"""What templates may call."""
