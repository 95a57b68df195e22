"""Markdown: short enough for a comment; names are text, never markup, links or mentions."""

from __future__ import annotations

import re

import msgspec
import pytest

from kchaos.check.property import Severity
from kchaos.reports.markdown import LIMIT, cell, code, markdown, prose
from tests.reports.hostile import NASTY, finding, large, result


@pytest.mark.parametrize(
    "text", [*NASTY, "@everyone", "#1", "![x](https://evil.example/x.png)", "| a | b |", "`x`", "</details>"], ids=repr
)
def test_hostile_names(text: str) -> None:
    """One name in all places: the table keeps its columns, and outside of code nothing of the name is markup."""
    page = markdown(result((text,)))
    page.encode("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| error")]
    assert len(rows) == 1 and len(re.findall(r"(?<!\\)\|", rows[0])) == 5
    outside = re.sub(r"(`+)[^\n]*?[^`]\1(?!`)", "", page).replace("<br>", "")
    tags = re.findall(r"<[^>]*>", outside)
    assert tags == ["<details>", "<summary>", "</summary>", "</details>"]
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(|@\w|://|\\#\d", outside)
    assert all(c.isprintable() or c in "\n\u200b\u202e" for c in page)


def test_what_a_reader_needs() -> None:
    """Verdict, file and line, what to change, the story folded, the replay, the command."""
    page = markdown(result(("web",)))
    assert page.startswith("### ❌ FAIL: 1 error, ")
    assert "| error | KC202 | `web.yaml:3` | Deployment web/web: web was away<br>→ change web |" in page
    assert "<details><summary>How it came to KC202" in page and "\n1. web\n2. web\n3. web\n\n</details>" in page
    assert "The same again: `kchaos replay web.json`" in page
    assert "Not in the table: 1 of level info, 1 accepted in kchaos.yaml." in page
    assert page.endswith("Run by `kchaos run web`\n")


def test_unknown_says_why() -> None:
    """A pass has no reasons to tell; what is unknown has."""
    assert "### ❔ UNKNOWN: web" in (page := markdown(result(("web",), "unknown"))) and "\n- web\n" in page
    assert "\n- web\n" not in markdown(result(("web",), "pass"))


def test_a_large_result_fits() -> None:
    """Also if every character has to be escaped; what is left out is counted."""
    one = large()
    assert "more findings, no worse than these" in markdown(one)
    worst = tuple(finding("&" * 5000, n, Severity.ERROR, lines=900) for n in range(500))
    page = markdown(msgspec.structs.replace(one, findings=worst, reasons=("&" * 9000,) * 90, verdict="unknown", command="&" * 9000))
    assert len(page) < LIMIT
    assert page.count("<details>") == page.count("</details>") == 1


def test_code_spans() -> None:
    """Nothing in it ends one; bars end cells even there."""
    assert code("a``b`c") == "```a``b`c```"
    assert code("`a") == "`` `a ``"
    assert cell("a|b") == "`a\\|b`" and code("a|b") == "`a|b`"


def test_prose_has_no_lists() -> None:
    """`1.` or `-` at the beginning would be one; elsewhere they stay as they are."""
    assert prose("- a") == "\\- a" and prose("--- a (--b)") == "\\--- a (--b)" and prose("1) a") == "1\\) a"
    assert prose("1. a\n2. b") == "1\\. a 2. b"
