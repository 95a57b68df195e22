"""The reports that can be written, by name: the file of each, and what makes it. What is not asked for is not imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kchaos.check.property import Severity
from kchaos.engine.result import Result
from kchaos.errors import InvalidScenario


class Format(NamedTuple):
    """One sort of report: its file's name, and its bytes for a result."""

    file: str
    render: Callable[[Result], bytes]


def _html(result: Result) -> bytes:
    from kchaos.reports.html import html

    return html(result).encode("utf-8")


def _junit(result: Result) -> bytes:
    from kchaos.reports.junit import junit

    return junit(result, Severity(result.fail_on))


def _json(result: Result) -> bytes:
    return result.to_json()


def _sarif(result: Result) -> bytes:
    from pathlib import Path

    from kchaos.reports.sarif import repository, sarif

    here = Path.cwd()
    return sarif(result, here, repository(here))


def _markdown(result: Result) -> bytes:
    from kchaos.reports.markdown import markdown

    return markdown(result).encode("utf-8")


FORMATS: dict[str, Format] = {
    "html": Format("report.html", _html),
    "junit": Format("junit.xml", _junit),
    "json": Format("result.json", _json),
    "sarif": Format("kchaos.sarif", _sarif),
    "md": Format("report.md", _markdown),
}


def parse(text: str) -> tuple[str, ...]:
    """Return the names in a list such as ``html,sarif``, each once. Raises InvalidScenario for one that is not known."""
    found = tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not found:
        raise InvalidScenario("no report is named", hint=f"write one or more of {', '.join(FORMATS)}")
    for one in found:
        if one not in FORMATS:
            raise InvalidScenario(f"no such report: {one}", hint=f"known: {', '.join(FORMATS)}")
    return found
