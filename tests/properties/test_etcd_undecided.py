"""What a run of etcd leaves undecided or does not put to the test is said to be so, and one that was edited is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.check.property import Context, Monitors, Severity
from kchaos.errors import InvalidScenario
from kchaos.history.operations import Operation, Outcome, Seen, mark_data
from kchaos.history.record import Header, Mark, Run
from kchaos.properties.etcd import ETCD, judge
from kchaos.properties.own.declared import undecided
from tests.properties.etcd_story import K7, Story, op


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_watcher_that_was_told_nothing_leaves_it_undecided(confirmed: bool) -> None:
    """It may still be told, so that it is no violation; but that it was told all, nobody can say."""
    story = Story()
    story.watch.append((0.9, "watch", {"watcher": "mute", "member": "m1", "prefix": "k", "from_revision": 0}))
    story.watch += [(0.91, "watch-created", {"watcher": "mute", "revision": 1})] if confirmed else []
    story.more.append((2.4, "watch-late", {"watcher": "mute", "revision": 6}))
    found = story.judged("KC405")
    assert [undecided(violation) for _, violation in found] == ([True, False] if confirmed else [True])
    assert "mute" in found[0][1].summary
    assert all(violation.severity is Severity.WARNING for _, violation in found if not undecided(violation))


@pytest.mark.parametrize(("kind", "exercised"), [("get", True), ("serializable-get", False), ("", False)])
def test_durability_is_put_to_the_test_by_who_reads_in_the_end(kind: str, exercised: bool) -> None:
    """Without a history it takes a read of the latest state; a member that is not there to be asked holds nothing."""
    story = Story()
    story.logs = {}
    if kind:
        story.operations["final"] = op(2.05, kind, 6, 3, "m3", reads=(K7,), seen=(Seen(K7, "d", 5, 3, 2),))
    judged = judge(story.run())
    assert judged.found == () and ("KC402" in judged.exercised) is exercised


def test_a_serializable_read_in_the_end_may_be_of_the_past() -> None:
    story = Story()
    story.logs = {}
    story.operations["final"] = op(2.05, "serializable-get", 4, 3, "m1", reads=(K7,), seen=(Seen(K7, "c", 4, 2, 2),))
    assert story.judged("KC402") == []


def test_nothing_done_is_nothing_claimed() -> None:
    """A run without operations violates nothing, and puts nothing to the test."""
    judged = judge(Run(Header(), [Mark(0.0, "phase", {"name": "boot"})], ""))
    assert judged == ((), ())


def test_without_reads_linearizability_was_not_put_to_the_test() -> None:
    story = Story()
    story.operations = {name: one for name, one in story.operations.items() if not one.reads}
    judged = judge(story.run())
    assert judged.found == () and {"KC401", "KC403"}.isdisjoint(judged.exercised) and "KC402" in judged.exercised


def test_what_could_not_be_told_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that was given up is neither a breach nor a pass."""
    monkeypatch.setattr("kchaos.history.linearize.EFFORT", 0)
    monitors = Monitors([ETCD["KC401"]], Context())
    for entry in _ambiguous().entries:
        monitors.feed(entry)
    found = monitors.finish(9.0)
    assert [undecided(violation) for _, violation in found] == [True]
    assert "given up" in found[0][1].summary


@pytest.mark.parametrize(("ident", "what"), [("KC402", "log"), ("KC407", "hash")])
def test_what_a_member_would_not_tell_leaves_it_undecided(ident: str, what: str) -> None:
    story = Story()
    story.more.append((2.5, "unread", {"member": "m2", "unread": what, "error": "timed out"}))
    del (story.logs if what == "log" else story.hashes)["m2"]  # type: ignore[attr-defined]  # both are dicts
    found = story.judged(ident)
    assert [undecided(violation) for _, violation in found] == [True]
    assert found[0][1].summary == f"m2 did not tell its {what}: timed out"


def test_a_watcher_of_one_key_is_not_told_of_keys_that_begin_alike() -> None:
    story = Story()
    story.watch.append((0.9, "watch", {"watcher": "one", "member": "m1", "prefix": "k", "from_revision": 1, "single": True}))
    story.watch.append((1.9, "progress", {"watcher": "one", "revision": 6}))
    assert story.judged(*ETCD) == []


def _ambiguous() -> Run:
    """Many unanswered writes of which none explains what was read: only all possibilities show that."""
    entries = []
    for number in range(12):
        one = Operation(number, "m1", "put", 1.0, 2.0, Outcome.UNKNOWN, writes=((f"k{number % 4}", f"v{number}"),), error="timeout")
        entries.append(Mark(2.0, "op", mark_data(one)))
    for number in range(4):
        seen = Seen(f"k{number}", f"v{number + 4}", 6 + number, 3, 2 + number)
        entries.append(Mark(3.1, "op", mark_data(op(3.0, "get", 10, 20 + number, reads=(f"k{number}",), seen=(seen,)))))
    return Run(Header(), list(entries), "")


@pytest.mark.parametrize(
    ("what", "data", "match"),
    [
        ("op", {"process": 1}, "`op` entry at 1.0 s"), ("op", {"nonsense": 1}, "has no `nonsense`"), ("watched", {"watcher": "w"}, "no `events`"),
        ("watched", {"watcher": "w", "revision": 2, "events": []}, "before it had asked"),
        ("log", {"member": "m1", "from_revision": 1, "revision": "x", "events": []}, "no revision"),
    ],
)  # fmt: skip
def test_a_run_that_was_edited_is_refused(what: str, data: dict[str, Any], match: str) -> None:
    """In one sentence that names the entry."""
    with pytest.raises(InvalidScenario, match=match):
        judge(Run(Header(), [Mark(1.0, what, data)], ""))
