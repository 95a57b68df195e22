"""JUnit XML: well-formed whatever the names are; failures are findings as bad as the bar."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from kchaos.check.property import Severity
from kchaos.properties.catalog import CATALOG
from kchaos.reports.junit import junit
from tests.reports.hostile import NASTY, large, result


def suite(data: bytes) -> ElementTree.Element:
    """Return the root; fails if it is not well-formed."""
    return ElementTree.fromstring(data)  # its own output


@pytest.mark.parametrize("text", NASTY, ids=repr)
def test_hostile_names(text: str) -> None:
    """One name in all places: the document is well-formed, and has the name as text."""
    root = suite(junit(result((text,))))
    message = next(root.iter("failure")).get("message", "")
    if text.isprintable() and text.isascii():
        assert message == f"Deployment/{text}/{text}: {text} was away"
    assert "was away" in message
    assert {node.tag for node in root.iter()} <= {"testsuite", "testcase", "failure", "system-out", "error"}


def test_every_rule_is_a_case() -> None:
    """Those without a finding pass; accepted findings are no failures."""
    root = suite(junit(result()))
    names = [case.get("name", "").split()[0] for case in root.iter("testcase")]
    assert set(CATALOG) <= set(names) and len(names) == len(set(names)) == int(root.get("tests", "0"))
    assert len(list(root.iter("failure"))) == int(root.get("failures", "0")) == len(NASTY)
    assert root.get("errors") == "0"


def test_the_bar() -> None:
    """--fail-on warning turns warnings into failures; below the bar they are output."""
    assert [len(list(suite(junit(large(), bar)).iter("failure"))) for bar in (Severity.ERROR, Severity.WARNING)] == [0, 500]
    assert "application-with-a-long-name-1" in str(next(suite(junit(large())).iter("system-out")).text)


def test_unknown_is_an_error() -> None:
    """Never shown green."""
    root = suite(junit(result(("a",), verdict="unknown")))
    assert root.get("errors") == "1"
    assert [node.get("message") for node in root.iter("error")] == ["a"]


def test_where_and_what_to_change() -> None:
    """File and line first, then the story, then the advice."""
    text = str(next(suite(junit(result(("a",)))).iter("failure")).text)
    assert text.splitlines() == ["a.yaml:3", "0. a", "1. a", "2. a", "→ change a"]
