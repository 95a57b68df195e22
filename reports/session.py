"""The report of a pytest session: one HTML file with a row for each campaign and the whole report of each folded away below; or JSON."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

import msgspec
from jinja2 import Environment, StrictUndefined

from kchaos.engine.result import Result
from kchaos.reports.columns import headline
from kchaos.reports.html import html

ORDER = ("fail", "unknown", "pass")


class Row(NamedTuple):
    """One campaign: its name, its verdict in a word and in a sentence, its tests with what they came to, its own report or text (empty: none)."""

    name: str
    verdict: str
    words: str
    tests: dict[str, str]
    page: str
    text: str = ""


def render(document: Mapping[str, Any], suffix: str) -> bytes:
    """Return the report of a session (:meth:`kchaos.testing.session.Session.document`), as a file of that suffix."""
    if suffix == ".json":
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
    rows = sorted(_rows(document), key=lambda row: (ORDER.index(row.verdict), row.name))
    counts = {word: sum(row.verdict == word for row in rows) for word in ORDER}
    script = resources.files(__package__).joinpath("report.js").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("session.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        rows=rows, verdict=next((word for word in ORDER if counts[word]), "unknown"), counts={k: n for k, n in counts.items() if n},
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )  # fmt: skip
    return page.encode("utf-8", "replace")


def _rows(document: Mapping[str, Any]) -> list[Row]:
    out = []
    for entry in document["campaigns"]:
        if entry["result"] is None:
            words = entry.get("words", "no answer: see the test's own failure")
            out.append(Row(entry["name"], entry.get("verdict", "unknown"), words, entry["tests"], "", entry.get("text", "")))
            continue
        result = msgspec.convert(entry["result"], Result)
        out.append(Row(entry["name"], result.verdict, headline(result), entry["tests"], html(result)))
    for nodeid in document["lost"]:
        out.append(Row(nodeid, "unknown", "a worker died during the campaign: what it would have found is not known", {nodeid: "lost"}, ""))
    return out
