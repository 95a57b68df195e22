"""The result as one HTML file: offline, readable without scripts, in the dark and in print. Names from manifests are escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from kchaos.engine.pictures import TIMELINES
from kchaos.engine.result import Result
from kchaos.engine.timeline import Moment
from kchaos.reports import change, recovery
from kchaos.reports.columns import COLUMNS, count, headline, pods, ranked, seconds, text, worst
from kchaos.reports.diagram import LEFT, RIGHT, WIDTH, diagram
from kchaos.reports.matrix import table
from kchaos.reports.pasted import pytest_file
from kchaos.reports.topology import WIDTH as TOPOLOGY
from kchaos.reports.topology import states, topologies

MOST = 1_000_000
"""Bytes of a page: one that would be larger has shorter lists and fewer pictures."""


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
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What may not stand in HTML, or can't be written as UTF-8."""


def html(result: Result) -> str:
    """Return the page, of at most :data:`MOST` bytes."""
    page = ""
    for share in (1.0, 0.5, 0.2, 0.05, 0.01):
        page = _page(result, Limits().times(share))
        if len(page.encode("utf-8")) <= MOST:
            break
    return page


def _page(result: Result, limits: Limits) -> str:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=DictLoader(_templates()),
    )  # fmt: skip
    environment.globals.update(_HELPERS, limits=limits)
    environment.filters["zip"] = zip
    script = resources.files(__package__).joinpath("report.js").read_text(encoding="utf-8")
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    columns = [fault.name for fault in result.faults if any(worst(one, (fault.name,)) for one in result.workloads)]
    open_ = [f for f in result.findings if not f.accepted]
    page = environment.get_template("report.html.j2").render(
        r=result, headline=headline(result), rows=ranked(result), columns=columns, matrix=table(result.matrix, [one.id for one in result.properties]),
        sorts=[(name, faults) for name, faults in COLUMNS if any(fault in columns for fault in faults)],
        loud=[f for f in open_ if f.severity.value != "info"], quiet=[f for f in open_ if f.severity.value == "info"],
        accepted=[f for f in result.findings if f.accepted], timelines=dict(list(result.timelines.items())[: limits.pictures]),
        script=Markup(script), style=Markup(style), script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),  # our own text
    )  # fmt: skip
    return _UNFIT.sub("\ufffd", page)


def sentence(text: str, moment: Moment) -> str:
    """Return a story's sentence without its number, which the list has, and without the time that stands above it."""
    found = _NUMBERED.match(text)
    if found is None:
        return text
    alone = moment.t < 0 or found[1] in (f"{moment.t:.1f} s", f"{moment.t:.0f} s")
    return text[found.end() :] if alone else f"{found[1]}: {text[found.end() :]}"


def _templates() -> dict[str, str]:
    files = resources.files(__package__).iterdir()
    return {one.name: one.read_text(encoding="utf-8") for one in files if one.name.endswith(".j2")}


_HELPERS: dict[str, Any] = {
    "text": text, "seconds": seconds, "count": count, "pods": pods, "worst": worst, "sentence": sentence, "diagram": diagram, "frame": (WIDTH, LEFT, RIGHT),
    "change": change, "topologies": topologies, "recoveries": recovery.rows, "states": states, "topology_width": TOPOLOGY,
    "pytest_file": pytest_file,
}  # fmt: skip
"""What templates may call."""
