"""The page of a run of real etcd: what it says, that it is one file in which keys and errors are text, and that it stays small."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kchaos import reports
from kchaos.check.verdict import Verdict
from kchaos.engine.etcd.result import FaultLine
from kchaos.history.operations import Operation, Outcome, Seen, mark_data
from kchaos.history.record import Header, Mark, Run, load
from kchaos.reports.etcd.facts import Stretch, facts, quantile
from kchaos.reports.etcd.merging import between, columns, spans
from kchaos.reports.etcd.overtime import overtime
from kchaos.reports.etcd.page import html, listed
from kchaos.reports.etcd.witness import Shown, clashes, drawn, witnesses
from kchaos.reports.etcd.words import frequent
from kchaos.reports.offline import MOST
from tests.reports.etcdrun import MEMBERS, etcd_result, etcd_run, killed_often, lost_write
from tests.reports.hostile import NASTY
from tests.reports.test_html import ATTRIBUTES, DRAWN, TAGS, Page


def page(verdict: Verdict = Verdict.FAIL, text: str = "", **more: int) -> Page:
    return Page(html(etcd_result(verdict, text, **more), etcd_run(400, text=text)))


def words(of: Page) -> str:
    return re.sub(r"\s+", " ", " ".join(of.text))


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("name", [*NASTY, "</script><script>x()</script>", "</style>", "</title>", "' onclick='x()", "é" * 3000, ""])
def test_what_clients_and_servers_said_is_text(verdict: Verdict, name: str) -> None:
    """No tag and no attribute but the template's own, whatever keys, values and errors hold; it can be written as UTF-8."""
    found = page(verdict, name)
    assert found.open == [] and found.tags <= TAGS and found.attributes <= ATTRIBUTES | DRAWN | {"colspan"}
    assert len(found.script) == len(found.style) == 1
    html(etcd_result(verdict, name), etcd_run(50, text=name)).encode("utf-8")
    if name and name.isprintable() and len(name) < 100:
        assert name in "".join(found.text)


def test_the_page_asks_for_nothing() -> None:
    """No link out, no picture, no import, one script that is our own; a policy forbids what could slip through."""
    text = html(etcd_result(Verdict.FAIL), etcd_run(400))
    found = Page(text)
    assert not found.tags & {"link", "img", "iframe", "object", "embed", "base", "form", "use", "image"} and found.links == []
    assert not found.attributes & {"src", "srcset", "style", "action", "background", "data", "poster"}
    script = (Path(reports.__file__).parent / "report.js").read_text(encoding="utf-8")
    assert found.script == [script]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in text
    style = "".join(found.style)
    assert "url(" not in style and "@import" not in style and "http" not in style


@pytest.mark.parametrize("name", ["", "x" * 5000, NASTY[1] * 300])
def test_a_long_run_is_a_small_page(name: str) -> None:
    """30,000 operations with long keys, an hour of faults and a hundred findings: lists become shorter, and the page says so."""
    run, result = etcd_run(30_000, 3600.0, name), etcd_result(Verdict.FAIL, name, findings=100, seconds=3600.0)
    text = html(result, run)
    assert len(text.encode("utf-8")) <= MOST and "more" in text
    assert len(result.faults) > 1000 and "those of one name are in one row" in text and "of them bit" in text


@pytest.mark.parametrize("members", [("m1",), ("m1", "m2", "m3"), ("m1", "m2", "m3", "m4", "m5")])
def test_ten_thousand_kills_are_a_small_page(members: tuple[str, ...]) -> None:
    """In ten minutes, with a status lost here, a new term there: what is narrower than a few pixels is drawn as one, and nobody is left out."""
    run, kills = killed_often(10_000, 600.0, members)
    result = etcd_result(Verdict.FAIL, seconds=600.0, findings=20)
    result = msgspec.structs.replace(result, faults=(*kills, *(one for one in result.faults if one.name != "kill")))
    text = html(result, run)
    assert len(text.encode("utf-8")) <= MOST
    told = words(Page(text))
    assert sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) more kill,", told)) + len(re.findall(r"kills 1<", text)) == 10_000
    assert "in result.json" in told
    for name in members:  # each lane tells all the kills of its member
        downs = re.findall(rf"<title>{name} down(?: ([\d,]+) times?)?", text)
        assert sum(int(number.replace(",", "") or 1) for number in downs) == sum(one.targets == (name,) for one in kills)


def test_a_picture_grows_with_its_width_alone() -> None:
    """A hundred times the kills, elections, lost statuses and faults: not more than twice as much is drawn."""
    few, many = (
        overtime(msgspec.structs.replace(etcd_result(seconds=600.0), faults=tuple(kills)), facts(run))
        for run, kills in (killed_often(300, 600.0, MEMBERS), killed_often(30_000, 600.0, MEMBERS))
    )
    for name in ("rects", "lines", "paths", "marks", "labels"):
        assert len(str(getattr(many, name))) < 2 * len(str(getattr(few, name))) + 10_000


def test_short_absences_are_drawn_as_one_and_counted() -> None:
    """The worst wins, the title tells how many there are, and what is wide enough stays by itself."""
    kills = [("killed", 10.0 + n / 100) for n in range(14)] + [("restarted", 10.005 + n / 100) for n in range(14)]
    marks = [Mark(t, "member", {"member": "m1", "event": event}) for event, t in [*kills, ("paused", 10.15), ("resumed", 10.16), ("killed", 50.0), ("restarted", 60.0)]]
    run = Run(Header(), sorted([*marks, Mark(100.0, "phase", {"name": "final"})], key=lambda one: one.t), "")
    drawn = overtime(msgspec.structs.replace(etcd_result(), faults=()), facts(run)).rects
    away = [one for one in drawn if one.kind in ("down", "paused")]
    assert [(one.kind, one.title) for one in away] == [
        ("down", "m1 down 14 times, paused once, 0.08 s in all, 10.00 s to 10.16 s"), ("down", "m1 down, 50.00 s to 60.00 s"),
    ]  # fmt: skip
    assert away[0].height > away[1].height and away[0].width >= 2.0
    assert [one.title for one in drawn if one.kind == "running"] == [
        "m1 running, 0.00 s to 10.00 s", "m1 running, 10.16 s to 50.00 s", "m1 running, 60.00 s to 100.00 s",
    ]  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=60), st.floats(0.1, 5))
def test_merging_loses_nothing_and_is_bounded(gaps: list[tuple[float, float]], grain: float) -> None:
    """Every stretch is counted in one that covers it, in order; there are two at most for each column."""
    given_, at = [], 0.0
    for before, lasts in gaps:
        given_.append(Stretch(at + before, at + before + lasts, "down"))
        at = given_[-1].end
    for merged, most in ((columns(given_, grain), 2), (spans(given_, grain), 1)):
        assert sum(one.times.total() for one in merged) == len(given_)
        assert all(any(one.start <= each.start and each.end <= one.end for one in merged) for each in given_)
        assert all(a.end <= b.start for a, b in pairwise(merged))
        assert len(merged) <= most * (at / grain + 1) + 1
        assert sum(one.end - one.start for one in between(merged, 0.0, at)) == pytest.approx(at - sum(one.end - one.start for one in merged))


def test_the_table_of_faults_has_some_of_each_name() -> None:
    """The rare are not crowded out by the frequent, and what is left out is counted by name."""
    faults = [FaultLine(name="kill" if n % 100 else "pause", at_s=n, bit=n % 2 == 0) for n in range(1000)]
    shown, more = listed(faults, 40)
    assert [one.name for one in shown].count("pause") == 10 and len(shown) == 40 and shown == sorted(shown, key=lambda one: one.at_s)
    assert more == ["960 more kill, 475 of them bit"] and listed(faults, 1000) == (faults, [])


def test_reasons_are_told_by_their_number() -> None:
    """A watcher that was cut off 400 times has a row, not a page."""
    assert frequent(["a", "b", "a", "c", "d", "e"]) == "a (×2); b; c; and 2 other reasons" and frequent([]) == ""


def test_a_failure_is_told_at_once() -> None:
    """The verdict names what broke, and its witnesses; the finding shows them as a picture and as rows."""
    text = words(page())
    assert text.index("FAIL: acknowledged-writes-last does not hold: k7 = 42 was acknowledged") < text.index("process 6 read k7") < text.index("Findings")
    assert "2 and 4: sees revision 812, though 815 was acknowledged before" in text
    assert "10.101200" in text and "13.400200" in text and "given up" in text and "contradicts" in text
    assert "Faults around it: pause m2 4.5 s" not in text and "kill m1 10.5 s to 12.5 s (bit)" in text


def test_a_pass_claims_no_more_than_was_asked() -> None:
    text = words(page(Verdict.PASS))
    assert "PASS: linearizable, durable, as far as it was asked: 3,000 operations, 6 faults bit" in text
    assert "Never exercised, so nothing is known of them: reset, slow-close" in text
    assert "not exercised : watch-complete" in text and "disk faults" in text and "throughput was low" in text


def test_unknown_tells_why() -> None:
    assert "UNKNOWN: few operations: 12; 3,000 operations" in words(page(Verdict.UNKNOWN))


def test_an_empty_run_has_a_page() -> None:
    """A cluster that never began leaves next to nothing: the page says that nothing was tested."""
    empty = Page(html(etcd_result(Verdict.UNKNOWN, operations=0), Run(Header(), [], "")))
    text = words(empty)
    assert empty.open == [] and "No operation returned: nothing was tested." in text and "nothing is known of watches" in text


def test_a_saved_run_gives_the_same_page(tmp_path: Path) -> None:
    """What is judged again from a file is shown as it was when it was recorded."""
    run = etcd_run(300)
    run.save(tmp_path / "etcd.run.jsonl")
    result = etcd_result(Verdict.FAIL)
    rounded = Run(run.header, [Mark(round(one.t, 6), one.what, one.data) for one in run.entries if isinstance(one, Mark)], run.digest)
    assert html(result, load(tmp_path / "etcd.run.jsonl")) == html(result, rounded)


# -- figures of a run -----------------------------------------------------------------------------------------------------------------


def test_operations_are_counted_by_the_second_in_which_they_returned() -> None:
    """By outcome; latency is of those that are ok, and a second without one has none."""
    asked = [(0.1, 0.2, Outcome.OK), (0.1, 1.1, Outcome.OK), (0.5, 1.9, Outcome.UNKNOWN), (2.0, 2.1, Outcome.FAILED)]
    marks = [Mark(b, "op", mark_data(Operation(0, "m1", "put", a, b, outcome, error="" if outcome == "ok" else "why"))) for a, b, outcome in asked]
    found = facts(Run(Header(), list(marks), ""))
    assert [(one.ok, one.failed, one.unknown) for one in found.load] == [(1, 0, 0), (1, 0, 1), (0, 1, 0)]
    assert [one.p50 for one in found.load] == [pytest.approx(0.1), pytest.approx(1.0), None]
    (put,) = found.kinds
    assert (put.ok, put.failed, put.unknown, put.longest) == (2, 1, 1, pytest.approx(1.0))
    assert sorted(found.errors) == [("failed", "why", 1), ("unknown", "why", 1)]


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_quantiles_are_values_that_were_measured(share: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], share) == value


def test_members_are_followed_through_their_run() -> None:
    """Killed and started again, paused and resumed; who leads, and where the applied index is not known."""
    told = [("started", 0.0), ("killed", 2.0), ("restarted", 4.0), ("paused", 6.0), ("resumed", 7.0)]
    marks = [Mark(t, "member", {"member": "m1", "event": event}) for event, t in told]
    status = {"member": "m1", "revision": 1, "raft_term": 2, "raft_index": 5, "leader": "m1", "db_size": 1}
    marks += [Mark(1.0, "status", {**status, "raft_applied_index": 5}), Mark(2.5, "status", {"member": "m1", "error": "unavailable"})]
    marks += [Mark(5.0, "status", {**status, "raft_applied_index": 9, "raft_term": 3, "leader": "m2"}), Mark(10.0, "phase", {"name": "final"})]
    found = facts(Run(Header(), sorted(marks, key=lambda one: one.t), ""))
    (lane,) = found.lanes
    assert [(one.start, one.end, one.what) for one in lane.states] == [
        (0.0, 2.0, "running"), (2.0, 4.0, "down"), (4.0, 6.0, "running"), (6.0, 7.0, "paused"), (7.0, 10.0, "running"),
    ]  # fmt: skip
    assert [(one.start, one.end) for one in lane.leads] == [(1.0, 2.0)] and [(one.start, one.end) for one in lane.silent] == [(2.5, 5.0)]
    assert lane.applied == (((1.0, 5),), ((5.0, 9),))
    assert [(one.term, one.leader) for one in found.terms] == [(2, "m1"), (3, "m2")]
    (row,) = found.members
    assert (row.killed, row.paused, row.led_s, row.reachable) == (1, 1, 1.0, None)


def test_a_leader_is_called_by_its_name() -> None:
    """Before the names of all are known, a status has the leader's number."""
    said = [(1.0, 2, "d4cf1af1"), (1.2, 2, "m1"), (2.0, 3, ""), (2.2, 3, "m2"), (2.4, 3, "m1"), (2.5, 2, "m1")]
    marks = [Mark(t, "status", {"member": f"m{1 + n % 2}", "raft_term": term, "leader": leader}) for n, (t, term, leader) in enumerate(said)]
    assert [(one.t, one.term, one.leader) for one in facts(Run(Header(), list(marks), "")).terms] == [(1.0, 2, "m1"), (2.0, 3, "m2")]


def test_watchers_tell_events_and_resumes() -> None:
    found = facts(etcd_run(400))
    first = found.watchers[0]
    assert (first.watcher, first.asked, first.member, first.first_from, first.progress) == ("w1", 2, "m3", 1, 1)
    assert first.events == first.answers == 40 and first.ended == ("connection lost",)


def test_curves_are_short_however_long_the_run() -> None:
    """A picture of ten hours has no more points than one of ten minutes."""
    short, long = (len(str(overtime(etcd_result(seconds=s), facts(etcd_run(100, s))).paths)) for s in (600.0, 6000.0))
    assert long < 1.3 * short


# -- witnesses ------------------------------------------------------------------------------------------------------------------------


def put(call_s: float, return_s: float, revision: int, key: str = "a", **more: object) -> Operation:
    return Operation(1, "m1", "put", call_s, return_s, Outcome.OK, writes=((key, "v"),), revision=revision)._replace(**more)


def get(call_s: float, return_s: float, revision: int, mod: int, key: str = "a", **more: object) -> Operation:
    seen = (Seen(key, "v" if mod else None, mod),)
    return Operation(2, "m2", "get", call_s, return_s, Outcome.OK, reads=(key,), revision=revision, seen=seen)._replace(**more)


@pytest.mark.parametrize(("first", "then", "says"), [
    (put(1, 2, 5), put(1, 3, 5), "both took revision 5"),
    (put(1, 2, 5), get(3, 4, 7, 3), "sees revision 3, though 5 was acknowledged before"),
    (put(1, 2, 5), get(3, 4, 7, 0), "sees no such key, though 5 was acknowledged before"),
    (put(1, 2, 5), get(3, 4, 4, 9, "b"), "later, yet at revision 4, not after 5"),
    (get(1, 2, 5, 5), put(3, 4, 5), "later, yet at revision 5, not after 5"),
    (get(1, 2, 5, 5, kind="serializable-get"), put(3, 4, 5), "revision 5 was answered before revision 5 was asked for"),
])  # fmt: skip
def test_what_contradicts_is_marked(first: Operation, then: Operation, says: str) -> None:
    shown = [Shown(1, first, False), Shown(2, then, True)]
    assert [(one.first, one.then, one.says) for one in clashes(shown)] == [(1, 2, says)]
    picture = drawn(shown, facts(etcd_run(10)))
    assert picture is not None and "wrong" in {kind for _, kind in picture.arrows}


@pytest.mark.parametrize(("first", "then"), [
    (put(1, 2, 5), put(3, 4, 6)),
    (put(1, 2, 5), get(3, 4, 5, 5)),
    (put(1, 2, 5), get(1.5, 4, 4, 4)),  # at the same time: either may come first
    (put(1, 2, 5), get(3, 4, 4, 3, kind="serializable-get")),  # it may be old
    (put(1, 2, 5), get(3, 4, 7, 3, "b")),
    (get(1, 2, 5, 5, kind="serializable-get"), put(3, 4, 6)),
    (get(1, 2, 5, 5, kind="serializable-get"), get(3, 4, 4, 4)),
    (put(1, 2, 5, writes=(("a", None),), deleted=1), get(3, 4, 7, 0)),
    (put(1, 2, 5, outcome=Outcome.UNKNOWN), get(3, 4, 7, 3)),
    (put(1, 2, 5, succeeded=False), put(1, 3, 5)),
])  # fmt: skip
def test_what_may_be_is_not_marked(first: Operation, then: Operation) -> None:
    assert clashes([Shown(1, first, False), Shown(2, then, True)]) == []


def test_a_witness_is_drawn_in_the_order_of_time() -> None:
    """Bars begin and end left of what comes later; an unknown call is open to the right; a kill in between stands there."""
    finding = lost_write()
    shown = witnesses(finding)
    assert [one.number for one in shown] == [1, 2, 3, 4] and [one.accused for one in shown] == [False, False, False, True]
    picture = drawn(shown, facts(etcd_run(400)))
    assert picture is not None
    bars = [one for one in picture.rects if one.kind.startswith("call")]
    assert [one.x for one in bars] == sorted(one.x for one in bars) and bars[-1].kind == "call wrong"
    assert [one.kind for one in picture.rects].count("open") == 1
    assert any("m1 killed" in one.text for one in picture.labels)
    assert "2 and 4: sees revision 812" in picture.words


def test_a_witness_without_operations_is_told_in_words() -> None:
    """What watches and members' histories say has no call and no answer: it is listed."""
    finding = msgspec.structs.replace(lost_write(), proof=({"words": "the history of m1"},), witness=("the history of m1", "the history of m2"))
    result = etcd_result(Verdict.FAIL)
    found = Page(html(msgspec.structs.replace(result, findings=(finding,)), etcd_run(50)))
    assert words(found).count("the history of m1") == 2 and "Witness in real time" not in words(found)


def test_numbers_of_witnesses_are_the_same_everywhere() -> None:
    """As they are told, whatever their order in time: verdict, picture and table speak of the same."""
    finding = lost_write()
    turned = msgspec.structs.replace(finding, proof=(finding.proof[1], finding.proof[0], *finding.proof[2:]))
    assert [one.number for one in witnesses(turned)] == [2, 1, 3, 4]
    assert [(one.first, one.then) for one in clashes(witnesses(turned))] == [(1, 4)]


def test_what_the_end_shows_names_what_was_killed_since() -> None:
    """A member's history contradicts an acknowledged write: what was done to processes after the write is what matters."""
    finding = lost_write()
    late = msgspec.structs.replace(finding, proof=(finding.proof[1], {"words": "the history of m1 holds nothing at revision 815"}))
    text = words(Page(html(msgspec.structs.replace(etcd_result(Verdict.FAIL), findings=(late,)), etcd_run(50))))
    assert "After the first of them: m1 killed" in text and "Witness in real time" in text
    assert "the history of m1 holds nothing at revision 815" in text
