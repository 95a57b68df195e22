"""The result in a terminal: verdict, what stands out, the table, the first failure as a story, where everything is."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kchaos.check.verdict import Finding
from kchaos.engine.result import Result, WorkloadResult
from kchaos.models.manifests.load import visible
from kchaos.reports import change
from kchaos.reports.columns import COLUMNS, headline, pods, ranked, text, worst

STYLE = {
    "error": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "": "green",
    "pass": "bold green",
    "fail": "bold red",
    "unknown": "bold magenta",
}
SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs", "ReplicationController": "rc"}
"""kubectl's short names."""
ROWS = 25
LISTED = 12
CLAIM = 120
"""Characters of a claim before it is cut."""


def show(result: Result, console: Console, folder: str = "", quiet: bool = False) -> None:
    """Print the result; names of the user's files can't steer the terminal."""
    diff = result.change.diff if result.change is not None else ""
    result = msgspec.convert(_harmless(msgspec.to_builtins(result)), Result)
    console.print(Text(headline(result), style=STYLE[result.verdict]), soft_wrap=True)
    if quiet:
        return
    for reason in result.reasons[:5] if result.verdict != "pass" else ():
        console.print(Text(f"  {reason}", style="magenta"), soft_wrap=True)
    _notes(result, console)
    console.print(f"on {result.topology}; Kubernetes {result.kubernetes}, seed {result.seed}", style="dim", highlight=False, soft_wrap=True)
    _table(result, console)
    _own(result, console)
    _findings(result, console)
    _story(result, console)
    if result.change is not None:
        change.show(result.change, diff, console)
    _rest(result, console)
    if folder:
        console.print(f"\nReport: {escape(folder)}", highlight=False, soft_wrap=True)


def _harmless(value: Any) -> Any:
    """Return a tree of values whose texts have no control characters."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_harmless(key): _harmless(below) for key, below in value.items()}
    return [_harmless(below) for below in value] if isinstance(value, list | tuple) else value


def _notes(result: Result, console: Console) -> None:
    shown = [n for n in result.notes if n.level == "info"]
    for note in shown[:8]:
        where = f"{note.file}:{note.line}" if note.line else note.file
        console.print(Text(f"  note: {where}: {note.message}", style="dim"), soft_wrap=True)
    if len(shown) > 8:
        console.print(Text(f"  … {len(shown) - 8} more notes (--json lists them)", style="dim"))


def _table(result: Result, console: Console) -> None:
    if not result.workloads:
        return
    columns = [(name, faults) for name, faults in COLUMNS if any(worst(w, faults) is not None for w in result.workloads)]
    if not columns:
        return
    rows = ranked(result)
    spaces = dict.fromkeys(one.workload.split("/")[1] for one in rows)
    console.print("\nseconds in which nobody answered (requests lost): the worst single fault of each sort", style="dim", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    hidden = [name for name, _ in columns if name in ("scaling", "slow start")] if console.width < 100 else []
    hidden = hidden if len(hidden) < len(columns) else []
    columns = [(name, faults) for name, faults in columns if name not in hidden]  # these rarely tell more than a rollout does
    labels = {one.workload: _label(one, len(spaces) == 1) for one in rows[:ROWS]}
    left = console.width - 9 - max(len(label) for label in labels.values())
    wide = max(7, min(9, left // len(columns) - 2))  # cells and titles break at their spaces before names do
    room = max(18, console.width - 9 - (wide + 2) * len(columns))
    table.add_column("workload", overflow="ellipsis", no_wrap=True, max_width=room)
    table.add_column("pods", justify="right", min_width=4)
    for name, _ in columns:
        table.add_column(name, justify="right", width=wide)
    for one in rows[:ROWS]:
        cells = [worst(one, faults) for _, faults in columns]
        table.add_row(
            Text(_middle(labels[one.workload], room)), pods(one),
            *(Text(text(cell), style=STYLE[cell.severity] if cell is not None else "dim") for cell in cells),
        )  # fmt: skip
    console.print(table)
    if hidden:
        console.print(f"  left out for want of room: {' and '.join(hidden)} (the report has them)", style="dim")
    if len(rows) > ROWS:
        console.print(f"  … and {len(rows) - ROWS} more workloads with no more trouble than these", style="dim")
    if any(cell.unbounded for one in rows for cell in one.faults.values()):
        console.print("  + lasts until somebody repairs the fault", style="dim")


def _middle(name: str, room: int) -> str:
    """Return a name that fits: the middle goes first, for names tend to differ at their ends."""
    if len(name) <= room:
        return name
    tail = (room - 1) // 2
    return f"{name[: room - 1 - tail]}…{name[len(name) - tail :]}"


def _label(workload: WorkloadResult, alone: bool) -> str:
    """Return kubectl's short form; without the namespace if there is one only."""
    kind, _, rest = workload.workload.partition("/")
    return f"{SHORT.get(kind, kind.lower())}/{rest.partition('/')[2] if alone else rest}"


def line(finding: Finding) -> Text:
    """Return a finding as one styled paragraph."""
    out = Text()
    out.append(f"{finding.severity.value:7} ", style=STYLE[finding.severity.value])
    out.append(f"{finding.id} ")
    where = f"{finding.file}:{finding.line}" if finding.file else ""
    if finding.object:
        kind, _, rest = finding.object.partition("/")
        out.append(f"{kind} {rest.strip('/')}".strip() + ": ", style="bold")
    out.append(finding.summary)
    if where:
        out.append(f"  [{where}]", style="dim")
    if finding.advice:
        out.append(f"\n        → {finding.advice}", style="dim")
    if finding.known:
        out.append("\n        known: in the baseline", style="green")
    if finding.accepted:
        out.append(f"\n        accepted: {finding.accepted}", style="green")
    return out


def _short(claim: str) -> str:
    return claim if len(claim) <= CLAIM else f"{claim[: CLAIM - 1]}…"


def _own(result: Result, console: Console) -> None:
    """Print how the properties of users stand."""
    if not result.properties:
        return
    console.print("\nyour properties", style="dim")
    wide = max(len(one.id) for one in result.properties)
    for one in result.properties[:ROWS]:
        style = STYLE["fail"] if one.violated else STYLE["pass"] if one.exercised else STYLE["unknown"]
        console.print(
            Text(f" {one.id:{wide}}  ").append(one.standing, style=style).append(f"  {_short(one.claim)}", style="dim"), soft_wrap=True
        )
    if len(result.properties) > ROWS:
        console.print(f"  … and {len(result.properties) - ROWS} more, which the report has", style="dim")


def _findings(result: Result, console: Console) -> None:
    rows = [f for f in result.findings if f.severity.value != "info" or f.accepted]
    infos = [f for f in result.findings if f.severity.value == "info" and not f.accepted and not f.figures.get("unknown")]
    counts = [f"{len(found)} {word}{'s' if len(found) > 1 else ''}" for found, word in ((rows, "finding"), (infos, "remark")) if found]
    if counts:
        console.print(f"\n{' and '.join(counts)}:", style="bold")
    for finding in rows[:LISTED]:
        console.print(line(finding), soft_wrap=True)
    if len(rows) > LISTED:
        console.print(f"  … {len(rows) - LISTED} more: see the report, or --json", style="dim")
    if result.baseline is not None:
        for finding in result.baseline.mended[:LISTED]:
            console.print(Text(f"mended  {finding.id} {finding.object}: {finding.summary}", style="green"), soft_wrap=True)
        if len(result.baseline.mended) > LISTED:
            console.print(f"  … {len(result.baseline.mended) - LISTED} more are mended", style="dim")
    for finding in infos[:3]:
        console.print(line(finding), soft_wrap=True)
    if len(infos) > 3:
        console.print(f"  … {len(infos) - 3} more remark{'s' if len(infos) > 4 else ''} of level info", style="dim")


def _story(result: Result, console: Console) -> None:
    first = next((f for f in result.findings if f.story and not f.accepted and not f.known and f.severity.value != "info"), None)
    if first is None:
        return
    figures = first.figures
    shrunk = f" (shrunk from {figures['shrunk_from']} steps to {figures['shrunk_to']})" if "shrunk_from" in figures else ""
    console.print(f"\nHow it came to {first.id}{shrunk}:", style="bold", highlight=False)
    for sentence in first.story:
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    if first.replay:
        console.print(Text(f"  the same again: kchaos replay {shlex.quote(first.replay)}", style="dim"), soft_wrap=True)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _rest(result: Result, console: Console) -> None:
    inert = [f"{fault.name} ({fault.inert} of {fault.exercised})" for fault in result.faults if fault.inert]
    if inert:
        says = f"\nInjected without effect, so nothing is claimed of these times: {_some(inert)}"
        console.print(says, style="dim", highlight=False, soft_wrap=True)
    if result.coverage.never:
        says = f"Never exercised: {_some(result.coverage.never)} (--faults NAME or a larger --budget does)"
        console.print(says, style="dim", highlight=False, soft_wrap=True)
    if result.not_modelled:
        console.print("\nNot modelled, and so without influence here:", style="dim")
        for one in result.not_modelled[:8]:
            console.print(Text(f"  {one}", style="dim"), soft_wrap=True)
        if len(result.not_modelled) > 8:
            console.print(f"  … {len(result.not_modelled) - 8} more", style="dim")
    defaults = result.assumptions.get("defaults", {})
    if defaults:
        console.print(
            Text(
                f"\nAssumed where YAML does not tell (kchaos.yaml changes it): containers answer {defaults.get('start_s', 0):g} s after they start,"
                f" stop answering {defaults.get('accepts_after_sigterm_s', 0):g} s after SIGTERM; {defaults.get('requests_per_s', 0):g} requests/s"
                " to each Service; a StatefulSet of three or more needs more than half of its members.",
                style="dim",
            ),
            soft_wrap=True,
        )
