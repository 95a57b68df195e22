"""`kchaos faults`, `kchaos properties`, `kchaos schema`: what exists."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from kchaos.engine.settings import schema as settings_schema
from kchaos.models.faults.catalog import catalog
from kchaos.models.manifests.notes import RULES
from kchaos.properties.catalog import CATALOG


def faults(as_json: bool) -> int:
    """List faults."""
    kinds = list(catalog())
    if as_json:
        click.echo(json.dumps([
            {"name": k.name, "summary": k.summary, "class": k.klass, "target": k.target, "planned": k.planned, "evidence": k.evidence}
            for k in kinds
        ], indent=2))  # fmt: skip
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("fault", "target", "planned", "what happens", "evidence"):
        table.add_column(title, overflow="fold")
    for k in kinds:
        table.add_row(k.name, k.target, "yes" if k.planned else "", k.summary, k.evidence)
    Console().print(table)
    return 0


def properties(as_json: bool) -> int:
    """List properties and the loader's rules."""
    if as_json:
        rows = [
            {"id": p.id, "name": p.name, "claim": p.claim, "source": p.source, "guarantee": p.guarantee.value, "liveness": p.liveness}
            for p in CATALOG.values()
        ]
        rows += [
            {"id": r.id, "name": r.name, "claim": r.claim, "source": r.source, "guarantee": "always", "liveness": False} for r in RULES
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("id", "name", "claim", "guaranteed"):
        table.add_column(title, overflow="fold")
    for p in CATALOG.values():
        table.add_row(p.id, p.name, p.claim, p.guarantee.value)
    for r in RULES:
        table.add_row(r.id, r.name, r.claim, "of input")
    Console().print(table)
    return 0


def schema() -> int:
    """Print the JSON Schema of kchaos.yaml."""
    click.echo(json.dumps(settings_schema(), indent=2))
    return 0
