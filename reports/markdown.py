"""The result as Markdown for a pull-request comment or a step summary: verdict, findings, one story folded away, how to see it again.

GitHub refuses comments over 65,536 characters. Names come from the user's files: none becomes markup, a link, a mention or a reference.
Source: https://github.github.com/gfm/
"""

from __future__ import annotations

import re
import shlex

from kchaos.check.verdict import Finding
from kchaos.engine.result import Result
from kchaos.models.manifests.load import visible
from kchaos.reports.change import markdown as change_of
from kchaos.reports.columns import headline

LIMIT = 60_000
TABLE = 35_000
"""Characters that the table of findings may take."""
CELL = 300
"""Characters of a name or sentence before it is cut."""
REASONS = 5
LISTED = 5
"""Known and mended findings that are named."""
ICONS = {"pass": "✅", "fail": "❌", "unknown": "❔"}
_MARKUP = re.compile(r"([\\`*_\[\]#|~$])")
_FIRST = re.compile(r"^([-+=:])|^(\d+)(?=[.)](?:\s|$))")
"""What begins a list, a rule or a heading, if it comes first."""
_NUMBERED = re.compile(r"^\d+\. ")
_UNFIT = re.compile("[\ud800-\udfff\ufffe\uffff]")
_BREAKS = (("@", "@\u200b"), ("://", ":\u200b//"), ("www.", "www\u200b."), ("WWW.", "WWW\u200b."))
"""A space of no width keeps names from being mentions and links: these are made of plain text too."""


def markdown(result: Result) -> str:
    """Return the document, under ``LIMIT`` characters."""
    parts = [f"### {ICONS[result.verdict]} {prose(headline(result))}", ""]
    if result.verdict != "pass":
        parts += [*(f"- {prose(one)}" for one in result.reasons[:REASONS]), ""]
    parts.append(f"{prose(f'On {result.topology}; Kubernetes {result.kubernetes}, seed {result.seed}.')}\n")
    loud = [f for f in result.findings if not f.accepted and not f.known and f.severity.value != "info"]
    parts += _table(loud)
    parts += _compared(result)
    quiet = sum(f.severity.value == "info" and not f.accepted and not f.known for f in result.findings)
    accepted = sum(bool(f.accepted) for f in result.findings)
    beside = [f"{count} {word}" for count, word in ((quiet, "of level info"), (accepted, "accepted in kchaos.yaml")) if count]
    if beside:
        parts.append(f"Not in the table: {', '.join(beside)}.\n")
    first = next((f for f in loud if f.story), None)
    if first is not None:
        parts += _story(first)
    parts += change_of(result.change, LIMIT - TABLE - 15_000 - len("\n".join(parts[-1:])))
    if result.command:
        parts.append(f"Run by {code(result.command)}\n")
    return "\n".join(parts)


def _compared(result: Result) -> list[str]:
    """Return what the baseline has too, and what of it was mended; folded."""
    if result.baseline is None:
        return []
    out: list[str] = []
    known = [one for one in result.findings if one.known and not one.accepted]
    for title, found in (("known (in the baseline)", known), ("mended", result.baseline.mended)):
        if found:
            lines = [f"- {prose(one.id)} {prose(_object(one))}: {prose(one.summary)}" for one in found[:LISTED]]
            more = [f"- … {len(found) - LISTED} more"] if len(found) > LISTED else []
            out += [f"<details><summary>{len(found)} {title}</summary>", "", *lines, *more, "", "</details>", ""]
    return out


def _table(findings: list[Finding]) -> list[str]:
    if not findings:
        return []
    rows = ["| | Rule | Where | What |", "|---|---|---|---|"]
    size = 0
    for shown, one in enumerate(findings):
        where = f"{one.file}:{one.line}" if one.line else one.file
        what = f"{prose(_object(one))}: " if one.object else ""
        advice = f"<br>→ {prose(one.advice)}" if one.advice else ""
        row = f"| {one.severity.value} | {prose(one.id)} | {cell(where) if where else ''} | {what}{prose(one.summary)}{advice} |"
        size += len(row) + 1
        if size > TABLE:
            return [*rows, "", f"… and {len(findings) - shown} more findings, no worse than these.", ""]
        rows.append(row)
    return [*rows, ""]


def _object(finding: Finding) -> str:
    kind, _, rest = finding.object.partition("/")
    return f"{kind} {rest.strip('/')}".strip()


def _story(finding: Finding) -> list[str]:
    """Return the first story, folded; the lines of it that fit."""
    out = [f"<details><summary>How it came to {prose(finding.id)}: {prose(_object(finding))}</summary>", ""]
    room = LIMIT - TABLE - 10_000
    for number, sentence in enumerate(finding.story):
        told = _NUMBERED.sub("", sentence)
        line = f"{number + 1}. {prose(told)}"
        room -= len(line) + 1
        if room < 0:
            out.append(f"{number + 1}. … {len(finding.story) - number} more")
            break
        out.append(line)
    out += ["", "</details>", ""]
    if finding.replay:
        out.append(f"The same again: {code(f'kchaos replay {shlex.quote(finding.replay)}')}\n")
    return out


def prose(text: str) -> str:
    """Return text that is nothing but text, on one line."""
    told = _cut(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    told = _MARKUP.sub(r"\\\1", told)
    for found, instead in _BREAKS:
        told = told.replace(found, instead)
    return _FIRST.sub(lambda first: f"\\{first[1]}" if first[1] else f"{first[2]}\\", told).replace("\\#", "\\#\u200b")


def code(text: str) -> str:
    """Return text as a code span that nothing in it can end."""
    told = _cut(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", told)), default=0))
    return f"{fence} {told} {fence}" if told.startswith("`") or told.endswith("`") else f"{fence}{told}{fence}"


def cell(text: str) -> str:
    """Return text as a code span in a table, whose cells end at bars even there."""
    return code(text).replace("|", "\\|")


def _cut(text: str) -> str:
    plain = _UNFIT.sub("\ufffd", visible(" ".join(text.split())))
    return plain if len(plain) <= CELL else plain[: CELL - 1] + "…"
