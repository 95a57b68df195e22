"""`kchaos run --sweep writes`: the control plane crashes after each single write of each operation."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec
from rich.console import Console

from kchaos.engine.execute import Question, prepare
from kchaos.engine.sweep import choose
from kchaos.engine.writes import WriteResult, operations, sweep_writes
from kchaos.errors import ExitCode
from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.load import visible

SHOWN = 5


def writes(question: Question, as_json: bool, quiet: bool) -> int:
    """Do it; exit 1 if an end state differs or safety is violated, 3 if a crash did not come about or time ran out."""
    prepared = prepare(question)
    system, booted = prepared.system, prepared.booted
    names = choose(question.faults, catalog()) if question.faults is not None else None
    rows: list[dict[str, Any]] = []
    began, ran, cut = time.monotonic(), 0, False
    bar = Console(stderr=True)
    for operation in operations(system, booted, names):
        found: list[WriteResult] = []
        for one in sweep_writes(system, booted, operation, question.seed):
            found.append(one)
            ran += 1
            if bar.is_terminal and not quiet:
                bar.print(f"{ran} crashes tried", end="\r")
            if question.budget.spent(ran, time.monotonic() - began):
                cut = True
                break
        rows.append(_row(operation.do, operation.args["target"], found))
        if cut:
            break
    bad = [row for row in rows if row["differences"] or row["violations"]]
    short = cut or not rows or any(row["crashed"] < row["writes"] for row in rows)
    verdict, code = ("fail", ExitCode.VIOLATION) if bad else ("unknown", ExitCode.UNKNOWN) if short else ("pass", ExitCode.PASS)
    total = {key: sum(row[key] for row in rows) for key in ("writes", "crashed", "equal")}
    if as_json:
        document = {
            "schema_version": 1,
            "sweep": "writes",
            "verdict": verdict,
            "seed": question.seed,
            **total,
            "operations": rows,
            "complete": not cut,
        }
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        return int(code)
    click.echo(
        f"{verdict.upper()}: a crash after each of {total['writes']} writes of {len(rows)} operations: {total['crashed']} came about, "
        f"{total['equal']} ended as the undisturbed run did" + (" (cut short by the budget)" if cut else "")
    )
    if not rows:
        click.echo("no workload here can be rolled, scaled down or drained")
    if not quiet:
        for row in rows:
            _show(row)
    return int(code)


def _row(do: str, target: str, found: list[WriteResult]) -> dict[str, Any]:
    return {
        "operation": do,
        "target": target,
        "writes": len(found),
        "crashed": sum(one.fired for one in found),
        "equal": sum(one.same for one in found),
        "differences": [{"after": one.case.words, "objects": list(one.differences)} for one in found if not one.same],
        "violations": [{"after": one.case.words, "violations": list(one.violations)} for one in found if one.violations],
    }


def _show(row: dict[str, Any]) -> None:
    click.echo(
        visible(f"  {row['operation']} of {row['target']}: {row['crashed']}/{row['writes']} crashes, {row['equal']} equal end states")
    )
    for one in row["differences"][:SHOWN]:
        click.echo(visible(f"    after {one['after']} another end: {', '.join(one['objects'][:SHOWN])}"))
    for one in row["violations"][:SHOWN]:
        click.echo(visible(f"    after {one['after']}: {'; '.join(one['violations'][:2])}"))
