"""`kchaos run --sweep writes|stale`: each operation, disturbed at each single write of the control plane."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import click
import msgspec
from rich.console import Console

from kchaos.engine.execute import Question, prepare
from kchaos.engine.machines import Machines
from kchaos.engine.stale import stale, with_masters
from kchaos.engine.sweep import choose
from kchaos.engine.writes import CaseResult, Disturb, crash, operations, sweep_writes
from kchaos.errors import ExitCode
from kchaos.models.api.tree import Obj
from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.load import visible

SHOWN = 5


class Sort(NamedTuple):
    """One sort of sweep over writes: how it disturbs, and what the command says of it."""

    disturb: Disturb
    title: str
    noun: str


SORTS = {
    "writes": Sort(crash, "a crash after", "crashes"),
    "stale": Sort(stale, "an old view (kept, and restarted into) at", "old views"),
}


def writes(sort: str, question: Question, as_json: bool, quiet: bool) -> int:
    """Do it; exit 1 if an end state differs, more is destroyed or safety is violated, 3 if a case did not come about or time ran out."""
    prepared = prepare(_with_masters(question) if sort == "stale" else question)
    system, booted = prepared.system, prepared.booted
    names = choose(question.faults, catalog()) if question.faults is not None else None
    rows: list[dict[str, Any]] = []
    began, ran, cut = time.monotonic(), 0, False
    bar = Console(stderr=True)
    for operation in operations(system, booted, names):
        found: list[CaseResult] = []
        for one in sweep_writes(system, booted, operation, SORTS[sort].disturb, question.seed):
            found.append(one)
            ran += 1
            if bar.is_terminal and not quiet:
                bar.print(f"{ran} {SORTS[sort].noun} tried", end="\r")
            if question.budget.spent(ran, time.monotonic() - began):
                cut = True
                break
        rows.append(_row(operation.do, operation.args["target"], found))
        if cut:
            break
    bad = any(row["findings"] for row in rows)
    idle = [f"{row['operation']} of {row['target']}" for row in rows if not row["cases"]]
    short = cut or not rows or bool(idle) or any(row["came_about"] < row["cases"] for row in rows)
    verdict, code = ("fail", ExitCode.VIOLATION) if bad else ("unknown", ExitCode.UNKNOWN) if short else ("pass", ExitCode.PASS)
    total = {key: sum(row[key] for row in rows) for key in ("writes", "cases", "came_about", "equal")}
    if as_json:
        document = {
            "schema_version": 1, "sweep": sort, "verdict": verdict, "seed": question.seed, **total, "operations": rows, "complete": not cut,
        }  # fmt: skip
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        return int(code)
    click.echo(
        f"{verdict.upper()}: {SORTS[sort].title} each of {total['writes']} writes of {len(rows)} operations: {total['came_about']} of "
        f"{total['cases']} came about, {total['equal']} ended as the undisturbed run did" + (" (cut short by the budget)" if cut else "")
    )
    if names == []:
        click.echo("no operation is chosen: name some, such as --faults rollout,drain")
    elif not rows:
        click.echo("no workload here can be rolled, scaled down or drained")
    for name in idle if not cut else ():
        click.echo(visible(f"{name} brings about no write, so nothing is known: name operations, such as --faults rollout,drain"))
    if not quiet:
        for row in rows:
            _show(row, SORTS[sort].noun)
    return int(code)


def _with_masters(question: Question) -> Question:
    """Ask the same of machines with enough API servers."""

    def machines(objects: Sequence[Obj]) -> Machines:
        found = question.machines(objects)
        return found._replace(topology=with_masters(found.topology))

    return question._replace(machines=machines)


def _row(do: str, target: str, found: list[CaseResult]) -> dict[str, Any]:
    return {
        "operation": do,
        "target": target,
        "writes": len(dict.fromkeys((*one.case.moment.event.items(), one.case.moment.n) for one in found)),
        "cases": len(found),
        "came_about": sum(one.fired for one in found),
        "equal": sum(one.same for one in found),
        "findings": [
            {
                "case": one.case.words, "steps": msgspec.to_builtins(one.case.steps), "other_end": list(one.differences),
                "destroyed": list(one.destroyed), "violations": list(one.violations),
            }
            for one in found if one.wrong
        ],
    }  # fmt: skip


def _show(row: dict[str, Any], noun: str) -> None:
    click.echo(
        visible(f"  {row['operation']} of {row['target']}: {row['came_about']}/{row['cases']} {noun}, {row['equal']} equal end states")
    )
    for one in row["findings"][:SHOWN]:
        said = [f"another end: {', '.join(one['other_end'][:SHOWN])}"] if one["other_end"] else []
        said += [f"deleted although wanted: {', '.join(one['destroyed'][:SHOWN])}"] if one["destroyed"] else []
        said += one["violations"][:2]
        click.echo(visible(f"    {one['case']}: {'; '.join(said)}"))
    if len(row["findings"]) > SHOWN:
        click.echo(f"    and {len(row['findings']) - SHOWN} more (--json tells all)")
