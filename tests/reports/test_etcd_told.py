"""From a run with a planted bug to its page: what the checkers say is wrong stands there, with its witnesses."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from kchaos.engine.etcd.judge import result_of
from kchaos.engine.etcd.result import EtcdResult
from kchaos.errors import InvalidScenario
from kchaos.history.operations import Seen
from kchaos.history.record import Header, Mark, Run
from kchaos.reports.etcd.page import html
from kchaos.reports.etcd.terminal import show
from tests.properties.etcd_story import EVENTS, K7, K9, Story
from tests.reports.test_html import Page


def stale_read(story: Story) -> None:
    story.change("read d", revision=4, seen=(Seen(K7, "c", 4, 2, 2), Seen(K9, "b", 3, 1, 3)))


def lost_write(story: Story) -> None:
    story.change("read d", seen=(Seen(K7, "c", 4, 2, 2), Seen(K9, None)))


def missed_event(story: Story) -> None:
    del story.watch[8]  # the progress after it says that all was told


def histories_differ(story: Story) -> None:
    story.logs["m3"] = EVENTS[:4]
    story.hashes["m3"] = 78


def another_write_in_the_log(story: Story) -> None:
    story.logs = dict.fromkeys(story.logs, ((K7, "x", 2, 2, 1), *EVENTS[1:]))


def nobody_answers(story: Story) -> None:
    """All that is known of them is what they said before."""
    story.logs, story.hashes = {}, {}
    story.finals = {member: {"reachable": False} for member in story.finals}


def nobody_leads(story: Story) -> None:
    story.finals = {member: {"reachable": True, "leader": "", "raft_term": 3, "revision": 6} for member in story.finals}


def a_panic(story: Story) -> None:
    story.more.append((1.5, "panic", {"member": "m2", "line": "panic: tocommit(11) is out of range"}))


PLANTS = [stale_read, lost_write, missed_event, histories_differ, another_write_in_the_log, nobody_answers, nobody_leads, a_panic]


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_told(plant: Callable[[Story], None]) -> None:
    """Page and terminal name the property, what is wrong and each witness; operations have their row and their bar."""
    story = Story()
    plant(story)
    run = story.run()
    result = result_of(run, command="kchaos etcd", saved="out/etcd.run.jsonl")
    assert result.verdict == "fail"
    text = html(result, run)
    words = re.sub(r"\s+", " ", " ".join(Page(text).text))
    out = io.StringIO()
    show(result, Console(file=out, width=400))
    for finding in result.findings:
        assert 2 <= len(finding.witness) <= 4 and all(f"  {number}. {told}" in out.getvalue() for number, told in enumerate(finding.witness, start=1))
        assert finding.property in words and finding.summary in words and finding.summary in out.getvalue()
        for one in finding.proof:
            if "operation" in one:
                assert f"{one['operation']['call_s']:.6f}" in words
            else:
                assert one["words"] in words
    drawn = [sum("operation" in one for one in finding.proof) for finding in result.findings]
    assert text.count('<rect class="call') == sum(number for number in drawn if number > 1)
    assert all(one in words for one in result.findings[0].witness)


def test_the_result_can_be_read_again() -> None:
    """As JSON it holds the witnesses as they were, so that a page made of it is the same."""
    story = Story()
    stale_read(story)
    run = story.run()
    result = result_of(run, command="kchaos etcd", saved="")
    again = msgspec.json.decode(msgspec.json.encode(result), type=EtcdResult)
    assert html(again, run) == html(result, run)


def test_a_healthy_run_names_what_held() -> None:
    run = Story().run()
    result = result_of(run, command="kchaos etcd", saved="")
    assert result.verdict == "pass"
    held = [result.coverage.names[one] for one, stands in result.coverage.properties.items() if stands == "held"]
    assert held and all(name in html(result, run) for name in held)


@pytest.mark.parametrize("data", [{}, {"name": ["x"], "member": 3}, {"member": "m1", "event": "started", "t": 1}])
@pytest.mark.parametrize("what", ["phase", "op", "status", "member", "watch", "watched", "panic", "watch-ended"])
def test_a_run_that_was_edited_is_refused_or_shown(what: str, data: dict[str, object]) -> None:
    """Never a traceback: either there is a page, or one sentence says what is wrong."""
    run = Run(Header(), [Mark(1.0, what, data)], "")
    result = result_of(Run(Header(), [], ""), command="", saved="")
    try:
        assert "<html" in html(result, run)
    except InvalidScenario as error:
        assert "not a run of etcd" in str(error)
