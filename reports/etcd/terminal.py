"""A run of real etcd in a terminal: verdict, figures, findings with their witnesses, faults that bit or did not, where everything is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from kchaos.engine.etcd.result import EtcdFinding, EtcdResult
from kchaos.models.manifests.load import visible
from kchaos.reports.etcd.verdict import around, figures, headline, named
from kchaos.reports.etcd.words import facts
from kchaos.reports.terminal import STYLE

LISTED = 10
WITNESSES = 4


def show(result: EtcdResult, console: Console, report: str = "", quiet: bool = False) -> None:
    """Print the result; what keys, values and errors hold can't steer the terminal. ``report``: where the page is."""
    result = msgspec.convert(harmless(msgspec.to_builtins(result)), EtcdResult)
    console.print(Text(headline(result), style=STYLE[result.verdict]), soft_wrap=True)
    if quiet:
        return
    for reason in result.reasons[1:LISTED] if result.verdict == "unknown" else ():
        console.print(Text(f"  {reason}", style="magenta"), soft_wrap=True)
    told = [*(f"{name} {version}" for name, version in result.versions.items()), f"seed {result.seed}"]
    console.print(Text(", ".join(told), style="dim"), soft_wrap=True)
    for name, value in figures(result):
        console.print(Text(f"  {name:<11}", style="dim").append(value, style="default"), soft_wrap=True)
    for one in result.findings[:LISTED]:
        _finding(result, one, console)
    if len(result.findings) > LISTED:
        console.print(f"  … {len(result.findings) - LISTED} more: see the report, or --json", style="dim")
    _faults(result, console)
    for remark in result.coverage.remarks[:LISTED]:
        console.print(Text(f"remark: {remark}", style="yellow"), soft_wrap=True)
    untested = named(result, "not exercised")
    if untested:
        console.print(Text(f"Not exercised, so nothing is claimed: {_some(untested)}", style="dim"), soft_wrap=True)
    if result.not_modelled:
        console.print(Text(f"Not modelled: {'; '.join(result.not_modelled[:LISTED])}", style="dim"), soft_wrap=True)
    console.print()
    if report:
        console.print(Text(f"Report: {report}"), soft_wrap=True)
    if result.run:
        console.print(Text(f"Run:    {result.run}  (kchaos etcd check judges it again)"), soft_wrap=True)


def harmless(value: Any) -> Any:
    """Return a tree of values whose texts have no control characters."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {harmless(key): harmless(below) for key, below in value.items()}
    return [harmless(below) for below in value] if isinstance(value, list | tuple) else value


def _finding(result: EtcdResult, one: EtcdFinding, console: Console) -> None:
    console.print()
    console.print(
        Text(f"{one.severity.value:7} ", style=STYLE[one.severity.value]).append(f"{one.id} {one.property}: ", style="bold").append(one.summary), soft_wrap=True
    )  # fmt: skip
    console.print(Text(f"  claim: {one.claim}" + (f" [{one.source}]" if one.source else ""), style="dim"), soft_wrap=True)
    for number, witness in enumerate(one.witness[:WITNESSES], start=1):
        console.print(Text(f"  {number}. {witness}"), soft_wrap=True)
    if len(one.witness) > WITNESSES:
        console.print(f"  … {len(one.witness) - WITNESSES} more witnesses", style="dim")
    near = around(result, one)
    if near:
        says = "; ".join(f"{fault.name} {', '.join(fault.targets)} at {fault.at_s:.1f} s{'' if fault.bit else ' (inert)'}" for fault in near[:LISTED])
        console.print(Text(f"  faults around it: {says}", style="dim"), soft_wrap=True)
    if one.times > 1:
        console.print(f"  seen {one.times:,} times; this is the first", style="dim", highlight=False)


def _faults(result: EtcdResult, console: Console) -> None:
    console.print()
    for word, style, found in (
        ("Faults that bit", "default", [one for one in result.faults if one.bit]),
        ("Without effect, so nothing is claimed of them", "yellow", [one for one in result.faults if not one.bit and not one.why]),
        ("Not injected", "yellow", [one for one in result.faults if one.why]),
    ):
        if not found:
            continue
        names = Counter(one.name for one in found)
        why = "; ".join(dict.fromkeys(one.why for one in found if one.why))
        says = _some([name if number == 1 else f"{name} ×{number}" for name, number in names.items()])
        console.print(Text(f"{word}: ", style=style).append(says + (f" ({why})" if why else "")), soft_wrap=True)
        told = next((one for one in found if facts(one.evidence)), None)
        if told is not None:
            console.print(Text(f"  such as {told.name} {', '.join(told.targets)}: {facts(told.evidence)}", style="dim"), soft_wrap=True)
    if result.coverage.faults_never:
        console.print(Text(f"Never exercised: {_some(result.coverage.faults_never)} (--faults NAME or a larger --budget does)", style="dim"), soft_wrap=True)


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:LISTED]) + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")
