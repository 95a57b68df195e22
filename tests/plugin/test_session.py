"""One report per session: on one process and on several, in any order, and when a worker dies."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import Project

pytest_plugins = ["pytester"]
FOUR = "".join(
    f'@chaos("deploy/{"blocked" if n == 2 else "healthy"}.yaml", faults="drain", examples=3)\ndef test_{n}(run):\n    pass\n\n'
    for n in range(4)
)


def document(project: Project) -> dict[str, Any]:
    """Return the session's JSON report."""
    found: dict[str, Any] = json.loads((project.path / "out.json").read_text(encoding="utf-8"))
    return found


def leftovers() -> list[str]:
    """Return session folders that were not taken away."""
    return [one.name for one in Path(tempfile.gettempdir()).glob("kchaos-session-*")]


def verdicts(project: Project) -> dict[str, tuple[str, str]]:
    """Return verdict and digest of each campaign."""
    return {one["name"]: (one["result"]["verdict"], one["result"]["digest"]) for one in document(project)["campaigns"]}


def test_workers_make_the_same_report(project: Project) -> None:
    """``-n 2`` and one process come to the same verdicts and digests; nothing is left behind."""
    project.test(FOUR)
    before = leftovers()
    project.run("--kchaos-report=out.json", "test_app.py").assert_outcomes(passed=3, failed=1)
    alone = verdicts(project)
    assert [verdict for verdict, _ in alone.values()] == ["pass", "pass", "fail", "pass"]
    (project.path / "out.json").unlink()
    again = project.run_apart("-n2", "--kchaos-report=out.json", "--kchaos-report=out.html", "test_app.py")
    again.assert_outcomes(passed=3, failed=1)
    apart = verdicts(project)
    assert apart == {**alone, "test_app.py::test_2": apart["test_app.py::test_2"]}
    assert again.stdout.str().count("kchaos: 4 campaigns: 1 fail, 3 pass") == 1
    assert leftovers() == before
    page = (project.path / "out.html").read_text(encoding="utf-8")
    assert page.count("<iframe") == 4 and page.index("test_app.py::test_2") < page.index("test_app.py::test_0")


def test_a_worker_that_dies_loses_nothing_that_has_ended(project: Project) -> None:
    """Campaigns that have ended are in the report, also that of the test that dies; the one that had only begun is named as lost."""
    project.test(
        FOUR
        + """
import os

@chaos("deploy/healthy.yaml", faults="drain", examples=3)
def test_dies_after(run):
    os._exit(3)

@chaos("deploy/healthy.yaml", faults="drain", examples=3)
def test_dies_before(run):
    pass
"""
    )
    (project.path / "conftest.py").write_text("""
import os, pytest
import kchaos.testing.asking as asking
before = asking.execute

def dying(question, listener=None):
    if "test_dies_before" in question.command:
        os._exit(3)
    return before(question, listener)

asking.execute = dying
""", encoding="utf-8")  # fmt: skip
    result = project.run_apart("-n2", "--kchaos-report=out.json", "--kchaos-report=out.html", "test_app.py")
    found = document(project)
    assert [one["name"].rpartition("::")[2] for one in found["campaigns"]] == ["test_0", "test_1", "test_2", "test_3", "test_dies_after"]
    assert found["lost"] == ["test_app.py::test_dies_before"]
    result.stdout.fnmatch_lines(["kchaos: 6 campaigns: 1 fail, 4 pass, 1 lost with a worker"])
    assert "what it would have found is not known" in (project.path / "out.html").read_text(encoding="utf-8")


def test_tests_and_their_outcomes_are_in_the_report(project: Project) -> None:
    """Also where several share a campaign; names from outside are no markup."""
    project.test("""
@chaos("deploy/blocked.yaml", faults="drain", examples=3)
class TestShop:
    def test_a(self, run):
        assert run.verdict == "fail"

    @pytest.mark.parametrize("x", ["<b>&"])
    def test_b(self, run, x):
        pass
""")
    project.run("--kchaos-report=out.json", "--kchaos-report=out.html")
    (one,) = document(project)["campaigns"]
    assert one["tests"] == {"test_app.py::TestShop::test_a": "passed", "test_app.py::TestShop::test_b[<b>&]": "failed"}
    page = (project.path / "out.html").read_text(encoding="utf-8")
    assert "<b>&" not in page and "test_b[&lt;b&gt;&amp;]" in page


def test_no_campaign_no_report(project: Project) -> None:
    """A suite without any leaves no file and no word."""
    project.test("def test_it():\n    pass\n")
    result = project.run()
    assert "kchaos:" not in result.stdout.str() and not (project.path / ".kchaos").exists()


def test_a_report_that_cant_be_written_is_told(project: Project) -> None:
    """The verdicts stand."""
    project.test(FOUR)
    (project.path / "file").write_text("", encoding="utf-8")
    result = project.run("--kchaos-report=file/out.html")
    result.assert_outcomes(passed=3, failed=1)
    assert re.search(r"kchaos: warning: can't write the report .*file/out.html: ", result.stdout.str())


def test_ctrl_c_ends_the_session(project: Project) -> None:
    """A campaign that is interrupted is no answer: pytest stops, and what had ended before is in the report."""
    project.test(FOUR)
    (project.path / "conftest.py").write_text("""
import msgspec
import kchaos.testing.asking as asking
before = asking.execute

def interrupted(question, listener=None):
    answer = before(question, listener)
    counts = msgspec.structs.replace(answer.result.examples, interrupted="test_1" in question.command)
    return answer._replace(result=msgspec.structs.replace(answer.result, examples=counts))

asking.execute = interrupted
""", encoding="utf-8")  # fmt: skip
    result = project.run_apart("--kchaos-report=out.json", "-p", "no:xdist")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert [(one["name"], one["verdict"]) for one in document(project)["campaigns"]] == [("test_app.py::test_0", "pass")]
