"""`kchaos faults`, `kchaos properties`, `kchaos schema`: what exists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from kchaos.engine.settings import FILE, load_settings
from kchaos.engine.settings import schema as settings_schema
from kchaos.models.faults.catalog import catalog
from kchaos.models.faults.symbols import words_for
from kchaos.models.manifests.notes import RULES
from kchaos.nemesis.etcd.catalog import catalog as etcd_catalog
from kchaos.nemesis.etcd.target import SYMBOLS
from kchaos.nemesis.fault import Kind
from kchaos.properties.catalog import CATALOG
from kchaos.properties.etcd import ETCD
from kchaos.properties.own.declared import Declared, property_of


def faults(as_json: bool, system: str = "kubernetes") -> int:
    """List the faults of the simulated Kubernetes, or of a real etcd."""
    kinds: list[Kind[Any]] = list(catalog()) if system == "kubernetes" else list(etcd_catalog())
    if as_json:
        click.echo(json.dumps([
            {
                "name": k.name, "summary": k.summary, "class": k.klass, "target": k.target, "planned": k.planned, "evidence": k.evidence,
                "symbols": words_for(k, k.target) if system == "kubernetes" else list(SYMBOLS) if k.target == "member" else [],
                "arguments": [{"name": one.name, "default": one.default, "is": one.words} for one in k.arguments],
            }
            for k in kinds
        ], indent=2))  # fmt: skip
        return 0
    titles = ("fault", "target", "planned", "what happens", "evidence")
    _print(titles, [(k.name, k.target, "planned" if k.planned else "", k.summary, k.evidence) for k in kinds])
    return 0


def properties(as_json: bool, config: Path | None = None) -> int:
    """List properties and the loader's rules; those that kchaos.yaml declares come first."""
    own = own_declared(config)
    known = [*(property_of(one) for one in own), *CATALOG.values(), *ETCD.values()]
    if as_json:
        rows = [
            {"id": p.id, "name": p.name, "claim": p.claim, "source": p.source, "guarantee": p.guarantee.value, "liveness": p.liveness}
            for p in known
        ]
        rows += [
            {"id": r.id, "name": r.name, "claim": r.claim, "source": r.source, "guarantee": "always", "liveness": False} for r in RULES
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    listed = [(p.id, p.name, p.claim, "" if p.file else p.guarantee.value) for p in known]
    _print(("id", "name", "claim", "guaranteed"), [*listed, *((r.id, r.name, r.claim, "of input") for r in RULES)])
    return 0


def own_declared(config: Path | None) -> tuple[Declared, ...]:
    """Return what ``config`` declares, or the kchaos.yaml of the current folder, if there is one."""
    if config is None and not Path(FILE).is_file():
        return ()
    return load_settings(config or Path(FILE)).declared()


def _print(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in a terminal; elsewhere one line for each entry, for grep and people alike."""
    console = Console()
    if console.is_terminal and console.width >= 60:
        table = Table(box=None, pad_edge=False)
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        rest = "  ".join(one for one in row[2:] if one)
        click.echo(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {rest}")


def schema() -> int:
    """Print the JSON Schema of kchaos.yaml."""
    click.echo(json.dumps(settings_schema(), indent=2))
    return 0
