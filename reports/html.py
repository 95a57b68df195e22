"""The result as one HTML file: offline, readable without scripts, in the dark and in print. Names from manifests are escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from kchaos.engine.result import Result
from kchaos.reports import change
from kchaos.reports.columns import COLUMNS, headline, pods, ranked, seconds, text, worst
from kchaos.reports.diagram import WIDTH, diagram
from kchaos.reports.matrix import table

ROWS = 200
"""Workloads in the table, the worst first; result.json has all."""
DETAILED = 50
"""Workloads in the table of each fault by itself."""
FINDINGS = 100
"""Findings of each sort that are shown, the worst first."""
REMARKS = 40
"""Findings of level info that are shown."""
LISTED = 250
"""Entries of a list of what was assumed, and of what is not modelled."""
BROKEN = 40
"""Properties in the matrix that were violated, those violated most often first."""
FULL = 25
"""Findings whose lists are long; those of the others are shorter."""
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What may not stand in HTML, or can't be written as UTF-8."""


def html(result: Result) -> str:
    """Return the page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=DictLoader(_templates()),
    )  # fmt: skip
    template = environment.get_template("report.html.j2")
    script = resources.files(__package__).joinpath("report.js").read_text(encoding="utf-8")
    columns = [fault.name for fault in result.faults]
    sorts = [(name, faults) for name, faults in COLUMNS if any(fault in columns for fault in faults)]
    open_ = [f for f in result.findings if not f.accepted]
    page = template.render(
        r=result, headline=headline(result), rows=ranked(result)[:ROWS], columns=columns, sorts=sorts, text=text, seconds=seconds,
        script=Markup(script), script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),  # our own text
        pods=pods, worst=worst, pictures={name: diagram(one) for name, one in result.timelines.items()}, width=WIDTH, matrix=table(result.matrix),
        full=FULL, findings=FINDINGS, remarks=REMARKS, broken=BROKEN, listed=LISTED, detailed=DETAILED,
        loud=[f for f in open_ if f.severity.value != "info"], quiet=[f for f in open_ if f.severity.value == "info"],
        accepted=[f for f in result.findings if f.accepted], change_headline=change.headline, change_facts=lambda one: list(change.facts(one)),
        operated=change.operated,
    )  # fmt: skip
    return _UNFIT.sub("\ufffd", page)


def _templates() -> dict[str, str]:
    names = ("report.html.j2", "diagram.svg.j2", "change.html.j2")
    return {name: resources.files(__package__).joinpath(name).read_text(encoding="utf-8") for name in names}
