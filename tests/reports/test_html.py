"""The HTML report: one file that asks for nothing, in which names are text, and that stays small."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from kchaos import reports
from kchaos.cli import run_cli
from kchaos.engine.result import BaselineResult
from kchaos.reports.html import Limits, html
from kchaos.reports.offline import MOST
from tests.reports.events import many, report
from tests.reports.hostile import NASTY, finding, large, result, whole
from tests.support import ROOT, SITUATIONS

VOID = {"meta", "br", "hr", "img", "link", "input"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "h3", "p", "code", "article", "span", "strong",
    "details", "summary", "ol", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "svg", "desc", "rect", "line", "path", "text",
    "script", "dl", "dt", "dd", "em", "h4", "nav", "a", "pre",
}  # fmt: skip
ATTRIBUTES = {
    "lang",
    "charset",
    "name",
    "content",
    "http-equiv",
    "class",
    "id",
    "aria-label",
    "role",
    "tabindex",
    "scope",
    "open",
    "start",
    "href",
}
DRAWN = {
    "viewbox",
    "aria-labelledby",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "width",
    "height",
    "d",
    "text-anchor",
    "data-left",
    "data-right",
    "data-at",
    "data-full",
}


class Page(HTMLParser):
    """Tags, attributes and text of a page; says whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.links: list[str] = []
        self.style: list[str] = []
        self.script: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        {"style": self.style, "script": self.script}.get(self.open[-1] if self.open else "", self.text).append(data)


@pytest.mark.parametrize("verdict", ["pass", "fail", "unknown"])
def test_names_are_text(verdict: str) -> None:
    """No tag and no attribute but the template's own; each name is readable as it was written."""
    page = Page(html(whole(verdict=verdict)))
    assert page.open == []
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES | DRAWN
    text = "".join(page.text)
    for name in NASTY[:7]:
        assert f"{name} was away" in text
    for name in NASTY[: Limits().pictures]:
        assert f"drain of {name}, 1.0 s to 9.0 s" in text and f"Pod {name}: {name} → {name}" in text


LONG = "-".join(["name"] * 50)[:253]


@pytest.mark.parametrize(
    "name", ["</script><script>x()</script>", "</style>", "</title>", "' onclick='x()", "שלום עולם", "a" * 253, LONG, "é" * 63, "   "]
)
def test_each_name_is_text(name: str) -> None:
    """Whatever closes a tag, ends an attribute, runs from right to left, or is as long as names may be."""
    page = Page(html(whole((name,))))
    assert page.open == [] and page.tags <= TAGS and page.attributes <= ATTRIBUTES | DRAWN
    assert f"{name} was away" in "".join(page.text)
    assert len(page.script) == len(page.style) == 1


@pytest.mark.parametrize("make", [whole, large])
def test_it_asks_for_nothing(make: object) -> None:
    """No link, no picture, no import, one script that is our own; a policy forbids what could slip through."""
    assert callable(make)
    page = Page(html(make()))
    assert not page.tags & {"link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    assert page.links and all(re.fullmatch("#[0-9a-f]{16}", one) for one in page.links)  # within the page
    assert not page.attributes & {"src", "srcset", "style", "action", "background", "data", "poster"}
    assert not [name for name in page.attributes if name.startswith("on")]
    script = (Path(reports.__file__).parent / "report.js").read_text(encoding="utf-8")
    assert page.script == [script] and "http" not in script and len(script.encode()) < 40_000
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in html(make())
    style = "".join(page.style)
    assert "url(" not in style and "@import" not in style and "http" not in style
    assert "default-src 'none'" in html(make())


def test_a_large_result_stays_small() -> None:
    """Under a megabyte for a thousand workloads, a thousand findings and 5,000 files; what is left out is said."""
    text = html(large())
    assert len(text.encode("utf-8")) <= MOST
    assert Page(text).open == []
    left_out = [int(one) for one in re.findall(r"… and (\d+) more", text)]
    assert sum(left_out) > 5_000 and text.count("<article") < 200 and "more workloads" in text


def test_many_events_stay_small() -> None:
    """A run of 100,000 events, shown in five findings, stays below a megabyte as a page and as data, and what is put together is said."""
    text = report(many(100_000), result(("x",)))
    assert len(text.encode("utf-8")) < MOST
    assert Page(text).open == [] and "closer together" in text and "and 8 more nodes" in text


def test_what_fits_is_shown() -> None:
    """A result of the usual size has all its lists in full."""
    text = html(result())
    assert text.count("… and") == 1 and f"… and {len(NASTY) - Limits().glance} more" in text  # at the top
    assert text.count("<article") == 2 * len(NASTY)


def test_what_is_known_and_what_is_mended() -> None:
    """Against a baseline: known findings are marked, mended ones are listed, and it is said that the known decide nothing."""
    one = result()
    known = tuple(msgspec.structs.replace(finding, known=True) for finding in one.findings)
    baseline = BaselineResult(file="old.json", known=len(known), mended=(finding("gone", 77),))
    page = Page(html(msgspec.structs.replace(one, findings=known, baseline=baseline)))
    text = " ".join(page.text)
    assert "old.json" in text and "gone was away" in text and "mended" in text and "known" in text


def test_the_nine_nouns() -> None:
    """Each is explained, as docs/README.md names them."""
    named = re.findall(r"\[(\w+)\]\(\1\.md\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    text = html(result())
    assert len(named) == 9 and all(f"<dt>{noun}</dt>" in text for noun in named)


def test_it_can_be_written(tmp_path: Path) -> None:
    """Whatever characters a name has."""
    (tmp_path / "report.html").write_text(html(result()), encoding="utf-8")


def test_report_renders_the_same_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`kchaos report` makes from result.json what `kchaos run` made: HTML and JUnit, byte for byte."""
    first, again = tmp_path / "first", tmp_path / "again"
    app = SITUATIONS / "budget-blocks-drain.yaml"
    assert (
        run_cli(["run", str(app), "--faults", "drain", "--budget", "3", "--corpus", "none", "--out", str(first), "-o", "html,junit,json"])
        == 1
    )
    assert run_cli(["report", str(first / "result.json"), "-o", "html,junit", "--out", str(again)]) == 0
    for name in ("report.html", "junit.xml"):
        assert (again / name).read_bytes() == (first / name).read_bytes()
    assert "never ends" in (again / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "says"),
    [(None, "can't read the result"), (b"{", "not a result"), (b'{"schema_version": 0}', "of this version"), (b"[]", "not a result")],
)
def test_report_of_something_else(data: bytes | None, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the file, what is wrong; no traceback."""
    file = tmp_path / "result.json"
    if data is not None:
        file.write_bytes(data)
    assert run_cli(["report", str(file)]) == 2
    printed = capfd.readouterr().err
    assert f"error: {file}: " in printed and says in printed and "Traceback" not in printed


def _luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = "".join(2 * one for one in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """Text has 4.5 : 1 and what is drawn 3 : 1 against what is behind it (WCAG 2.2, 1.4.3 and 1.4.11)."""
    root = re.findall(r":root \{([^}]*)\}", "".join(Page(html(result())).style))[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", root))

    def ratio(front: str, back: str) -> float:
        one, other = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
        return (one + 0.05) / (other + 0.05)

    texts = [
        ("fg", "bg"),
        ("fg", "soft"),
        ("fg", "band"),
        ("error", "band"),
        ("dim", "bg"),
        ("dim", "soft"),
        ("error", "bg"),
        ("warning", "bg"),
        ("pass", "bg"),
    ]
    texts += [(front, f"{sort}-bg") for sort in ("error", "warning", "pass", "unknown") for front in ("fg", "dim", sort)]
    drawn = [(bar, back) for bar in ("ready", "starting", "unready", "going", "error", "dim") for back in ("bg", "error-bg")]
    found = {pair: ratio(*pair) for pair in texts + drawn}
    assert not {pair: value for pair, value in found.items() if value < (4.5 if pair in texts else 3.0)}
