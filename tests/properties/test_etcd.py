"""Planted bugs of real etcd: a run of three members, told by hand, with one thing wrong; its twin differs by that alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kchaos.check.property import Severity
from kchaos.history.anomaly import ALONE
from kchaos.history.operations import Operation, Outcome, Seen
from kchaos.properties.etcd import ETCD, judge
from kchaos.properties.own.declared import undecided
from tests.properties.etcd_story import EVENTS, EVENTS_7, K7, K9, MEMBERS, Story, op
from tests.properties.planted import Case, Cases, Found

CASES = Cases()

Plant = Callable[[bool, pytest.MonkeyPatch], Found]


def bug(ident: str, root: str, severity: Severity = Severity.ERROR) -> Callable[[Callable[[Story], None]], Plant]:
    """Add a case that plants its bug by changing the story; without it the story is healthy for all properties."""

    def add(plant: Callable[[Story], None]) -> Plant:
        def case(bad: bool, patch: pytest.MonkeyPatch) -> Found:
            story = Story()
            if not bad:
                return story.judged(*ETCD)
            plant(story)
            return story.judged(ident)

        case.__name__ = plant.__name__
        return CASES.bug(ident, root, severity)(case)

    return add


@bug("KC401", "stale-read")
def a_read_misses_what_was_acknowledged_before_it(story: Story) -> None:
    story.change("read d", revision=4, seen=(Seen(K7, "c", 4, 2, 2), Seen(K9, "b", 3, 1, 3)))


@bug("KC401", "duplicate-revision")
def two_members_give_one_revision_twice(story: Story) -> None:
    story.change("txn d", revision=4)


@bug("KC401", "value-from-nowhere")
def a_read_sees_what_nobody_wrote(story: Story) -> None:
    story.change("read a", seen=(Seen(K7, "z", 1, 1, 1),))


@bug("KC401", "wrong-compare")
def a_comparison_holds_that_should_not(story: Story) -> None:
    story.change("cas c", compares=((K7, 3),))


@bug("KC401", "impossible-revision")
def a_read_is_as_of_before_there_was_a_store(story: Story) -> None:
    story.change("read a", call_s=0.8, return_s=0.9, revision=0, seen=(Seen(K7, None),))


@bug("KC401", "wrong-answer")
def a_read_is_told_of_less_than_it_asked_for(story: Story) -> None:
    story.change("read d", seen=(Seen(K7, "d", 5, 3, 2),))


@bug("KC401", "wrong-delete-count")
def a_delete_says_that_it_took_away_more_than_it_did(story: Story) -> None:
    story.change("delete", deleted=2)


@bug("KC401", "not-in-the-log")
def an_acknowledged_write_is_another_in_the_history(story: Story) -> None:
    story.logs = dict.fromkeys(MEMBERS, ((K7, "x", 2, 2, 1), *EVENTS[1:]))


@bug("KC401", "gap")
def the_history_goes_on_where_nobody_wrote(story: Story) -> None:
    """A call without an answer wrote something else."""
    del story.operations["late"], story.operations["read d"]
    story.change("delete", outcome=Outcome.UNKNOWN, revision=0, deleted=0)
    story.logs = dict.fromkeys(MEMBERS, (*EVENTS[:5], (K9, "y", 6, 3, 3)))


@bug("KC401", "value-from-nowhere")
def a_revision_that_nobody_took_is_seen_with_what_nobody_wrote(story: Story) -> None:
    story.logs = {}
    story.change("txn d", outcome=Outcome.UNKNOWN, revision=0)
    story.change("read d", seen=(Seen(K7, "e", 5, 3, 2), Seen(K9, None)))


@bug("KC402", "otherwise")
def one_member_holds_something_else_at_an_acknowledged_revision(story: Story) -> None:
    story.logs["m1"] = (*EVENTS[:2], (K9, "x", 4, 3, 2), *EVENTS[3:])


@bug("KC402", "lost")
def an_acknowledged_write_is_in_nobodys_history(story: Story) -> None:
    story.logs = dict.fromkeys(MEMBERS, (*EVENTS[:2], *EVENTS[3:]))


@bug("KC402", "lost")
def without_logs_the_final_read_knows_nothing_of_a_write(story: Story) -> None:
    story.logs = {}
    story.operations["final"] = op(2.05, "get", 6, 3, "m3", reads=(K7,), seen=(Seen(K7, "c", 4, 2, 2),))


@bug("KC403", "not-a-past-state")
def a_serializable_read_mixes_two_states(story: Story) -> None:
    """As of revision 3 the key was not yet what it says."""
    story.change("old", seen=(Seen(K7, "c", 4, 2, 2),))


@bug("KC403", "not-a-past-state")
def a_serializable_read_sees_what_nobody_wrote(story: Story) -> None:
    story.logs = {}
    story.change("old", reads=("k8",), seen=(Seen("k8", "z", 3, 1, 3),))


@bug("KC403", "not-a-past-state")
def a_serializable_read_sees_what_no_history_holds(story: Story) -> None:
    story.change("old", reads=("k8",), seen=(Seen("k8", "z", 3, 1, 3),))


@bug("KC403", "future")
def a_serializable_read_is_ahead_of_time(story: Story) -> None:
    story.change("old", revision=6)


@bug("KC403", "future")
def a_serializable_read_sees_a_write_that_is_called_only_later(story: Story) -> None:
    """It got no answer: the members' histories hold its value, so that it is known by that."""
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)
    story.late_write(1.9)
    story.change("late", revision=7, reads=(K7,), seen=(Seen(K7, "e", 7, 4, 2),))


@bug("KC403", "future")
def without_logs_a_read_is_held_against_who_can_have_written_what_it_shows(story: Story) -> None:
    story.logs = {}
    story.late_write(1.9)
    story.change("late", revision=7, reads=(K7,), seen=(Seen(K7, "e", 7, 4, 2),))


@bug("KC404", "twice")
def a_whole_history_holds_an_event_twice(story: Story) -> None:
    story.logs = dict.fromkeys(MEMBERS, (EVENTS[0], *EVENTS))


@bug("KC404", "order")
def a_whole_history_is_told_out_of_order(story: Story) -> None:
    story.logs = dict.fromkeys(MEMBERS, (EVENTS[1], EVENTS[0], *EVENTS[2:]))


@bug("KC404", "twice")
def a_watcher_that_resumes_is_told_again(story: Story) -> None:
    story.watch[5] = (1.4, "watch", {"watcher": "w", "member": "m3", "prefix": "k", "from_revision": 0})
    story.watch[6] = (1.41, "watch-created", {"watcher": "w", "revision": 3})
    story.watch[7] = (1.51, "watched", {"watcher": "w", "revision": 5, "events": [EVENTS[2], EVENTS[3], EVENTS[4]]})


@bug("KC404", "too-early")
def a_watcher_is_told_of_what_it_did_not_ask_for(story: Story) -> None:
    story.watch[7] = (1.51, "watched", {"watcher": "w", "revision": 5, "events": [EVENTS[2], EVENTS[3], EVENTS[4]]})


@bug("KC404", "order")
def events_come_out_of_order(story: Story) -> None:
    story.watch[7], story.watch[8] = (1.61, *story.watch[7][1:]), (1.51, *story.watch[8][1:])


@bug("KC404", "bookmark")
def an_event_comes_after_the_notification_that_all_were_told(story: Story) -> None:
    story.watch[9] = (1.55, "progress", {"watcher": "w", "revision": 6})


@bug("KC404", "bookmark")
def a_notification_overtakes_events(story: Story) -> None:
    """https://github.com/etcd-io/etcd/issues/15220"""
    story.watch.append((1.505, "progress", {"watcher": "w", "revision": 6}))


@bug("KC405", "missing")
def an_event_is_never_told(story: Story) -> None:
    del story.watch[3]
    story.watch[4] = (1.4, "watch", {"watcher": "w", "member": "m3", "prefix": "k", "from_revision": 4})


@bug("KC405", "missing")
def a_notification_says_that_all_were_told_although_one_was_not(story: Story) -> None:
    del story.watch[8]


@bug("KC405", "late", Severity.WARNING)
def a_watcher_is_not_told_although_all_is_healed(story: Story) -> None:
    """No later event shows that one was left out: that is no proof, but it is told."""
    del story.watch[8:]
    story.watch.append((2.4, "watch-late", {"watcher": "w", "revision": 6}))


@bug("KC405", "content")
def an_event_has_another_content(story: Story) -> None:
    story.watch[3] = (1.31, "watched", {"watcher": "w", "revision": 4, "events": [(K7, "c", 4, 2, 9)]})


@bug("KC405", "invented")
def an_event_is_told_that_never_was(story: Story) -> None:
    story.watch[3] = (1.31, "watched", {"watcher": "w", "revision": 4, "events": [(K9, "y", 4, 3, 2), EVENTS[2]]})


@bug("KC405", "invented")
def an_event_that_was_told_is_gone_in_the_end(story: Story) -> None:
    story.late_write()
    story.watch[9] = (1.85, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})


@bug("KC405", "invented")
def a_notification_names_a_revision_that_never_came(story: Story) -> None:
    story.watch[9] = (1.9, "progress", {"watcher": "w", "revision": 50})


@bug("KC405", "future")
def an_event_is_told_before_its_change_is_asked_for(story: Story) -> None:
    story.watch[8] = (1.55, *story.watch[8][1:])


@bug("KC405", "future")
def an_event_is_told_before_any_call_that_can_have_made_it(story: Story) -> None:
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)
    story.late_write(1.95)
    story.watch[9] = (1.9, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})


@bug("KC406", "split")
def the_keys_of_one_transaction_come_apart(story: Story) -> None:
    story.watch[7:8] = [(1.51, "watched", {"watcher": "w", "revision": 5, "events": [one]}) for one in EVENTS[3:5]]


@bug("KC406", "torn")
def one_key_of_a_transaction_is_missing(story: Story) -> None:
    story.watch[7] = (1.51, "watched", {"watcher": "w", "revision": 5, "events": [EVENTS[3]]})


@bug("KC407", "hash")
def members_hold_different_states(story: Story) -> None:
    story.hashes["m2"] = 78


@bug("KC407", "history")
def members_hold_different_histories(story: Story) -> None:
    story.logs["m2"] = (*EVENTS[:5], (K9, "e", 6, 3, 3))


@bug("KC408", "revision-went-back")
def an_answer_is_as_of_before_another(story: Story) -> None:
    """Among members: what one told is known to all who ask for the latest."""
    story.change("late", call_s=1.61, return_s=1.62)
    story.change("read d", revision=5)


@bug("KC408", "member-went-back")
def a_member_forgets_what_it_knew(story: Story) -> None:
    story.change("late", revision=5)


@bug("KC408", "member-went-back")
def a_status_goes_back(story: Story) -> None:
    story.more.append((1.9, "status", {"member": "m1", "revision": 3, "raft_term": 2, "leader": "m1"}))


@bug("KC408", "member-went-back")
def a_status_knows_less_than_the_answer_before_it(story: Story) -> None:
    story.status(1.9, "m3", 5)


@bug("KC408", "member-went-back")
def a_serializable_read_knows_less_than_the_status_before_it(story: Story) -> None:
    story.late_write()
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)
    story.status(1.75, "m3", 7)


@bug("KC408", "revision-went-back")
def a_read_misses_what_a_watcher_was_told_of(story: Story) -> None:
    story.late_write()
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)
    story.watch[9] = (1.66, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})


@bug("KC408", "revision-went-back")
def a_read_misses_what_a_member_had_applied(story: Story) -> None:
    story.late_write()
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)
    story.status(1.66, "m2", 7)


@bug("KC408", "revision-went-back")
def a_change_takes_a_revision_that_was_there_before_it_was_asked_for(story: Story) -> None:
    story.status(1.55, "m2", 6)


@bug("KC408", "term-went-back")
def a_member_goes_back_to_an_earlier_term(story: Story) -> None:
    story.status(1.9, "m2", 6, 5)
    story.status(1.95, "m2", 6, 4)


@bug("KC409", "panic")
def a_member_panics(story: Story) -> None:
    story.more.append((1.5, "panic", {"member": "m2", "line": "panic: tocommit(11) is out of range [lastIndex(8)]"}))


@bug("KC409", "exit")
def a_member_exits(story: Story) -> None:
    story.more.append((1.5, "member", {"member": "m2", "event": "exited"}))


@bug("KC410", "no-answer")
def a_member_does_not_come_back(story: Story) -> None:
    story.finals["m3"] = {"reachable": False}


@bug("KC410", "no-answer")
def nobody_comes_back(story: Story) -> None:
    story.more += [(1.95, "member", {"member": "m3", "event": "killed"}), (1.96, "status", {"member": "m3", "error": "connection refused"})]
    story.finals = {member: {"reachable": False} for member in MEMBERS}


@bug("KC410", "no-answer")
def a_member_is_not_even_asked(story: Story) -> None:
    del story.finals["m3"]


@bug("KC410", "two-leaders")
def members_follow_two_leaders(story: Story) -> None:
    story.finals["m3"] = {"reachable": True, "leader": "m2", "raft_term": 3, "revision": 6}


@bug("KC410", "no-leader")
def a_member_knows_no_leader(story: Story) -> None:
    story.finals["m3"] = {"reachable": True, "leader": 0, "raft_term": 3, "revision": 6}


@bug("KC410", "no-leader")
def nobody_leads(story: Story) -> None:
    story.finals = {member: {"reachable": True, "leader": "", "raft_term": 3, "revision": 6} for member in MEMBERS}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["bug", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)


def test_the_healthy_story_puts_all_to_the_test() -> None:
    judged = judge(Story().run())
    assert judged.found == () and set(judged.exercised) == set(ETCD)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_witnesses_are_shown(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation names who saw what: two to four of them, all different, in words that name processes or members."""
    for _, violation in case.plant(True, monkeypatch):
        if undecided(violation):
            continue  # a sentence of its own, beside the finding that proves it
        assert 2 <= len(set(violation.figures["witness"])) == len(violation.figures["witness"]) <= 4, violation
        assert ALONE not in violation.summary
        assert all(any(name in words for name in ("process", *MEMBERS, "watcher", "history")) for words in violation.figures["witness"]), violation


def test_a_restart_may_set_a_member_back() -> None:
    """What was not yet on its disk, a member learns again: within one life of its process it never goes back."""
    story = Story()
    story.change("late", revision=5)
    story.change("late", seen=(Seen(K9, "d", 5, 2, 3),))
    story.more += [(1.71, "member", {"member": "m3", "event": "killed"}), (1.72, "member", {"member": "m3", "event": "restarted"})]
    assert story.judged("KC408") == []


def _applied_7(story: Story) -> None:
    """An unanswered write took effect after all was read: between the last operation and the final reads."""
    story.late_write()
    story.logs = dict.fromkeys(MEMBERS, EVENTS_7)


def a_write_surfaces_while_a_read_is_under_way(story: Story) -> None:
    _applied_7(story)
    story.watch[9] = (1.701, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})
    story.status(1.702, "m2", 7)


def a_write_surfaces_after_the_histories_were_read(story: Story) -> None:
    """They end where a read of before it ends."""
    story.late_write()
    story.watch.append((2.15, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]}))
    story.watch.append((2.16, "progress", {"watcher": "w", "revision": 7}))


def a_member_lags_behind_what_others_tell(story: Story) -> None:
    """A status and a serializable read need no quorum."""
    _applied_7(story)
    story.watch[9] = (1.75, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})
    story.status(1.76, "m2", 7)
    story.status(1.79, "m3", 6, 1, leader="")


def a_watcher_is_told_right_before_its_members_store_moves(story: Story) -> None:
    """Etcd hands out an event, then moves the revision that a serializable read is as of: m3 told it, and m3 answers."""
    _applied_7(story)
    story.watch[9] = (1.79, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})


def two_statuses_come_in_another_order_than_they_were_asked_for(story: Story) -> None:
    _applied_7(story)
    story.status(1.9, "m2", 7, 3, asked_s=1.88)
    story.status(1.91, "m2", 6, 2, asked_s=1.87)


def a_restart_sets_a_member_back(story: Story) -> None:
    """To what was last committed to its disk; its term is that of what it has applied."""
    story.status(1.7, "m2", 6, 3)
    story.more += [(1.71, "member", {"member": "m2", "event": "killed"}), (1.75, "member", {"member": "m2", "event": "restarted"})]
    story.status(1.78, "m2", 4, 0, leader="")
    story.status(1.9, "m2", 6, 3)


def a_new_leader_is_named_beside_the_old_term(story: Story) -> None:
    """The term is that of the last applied entry, and the new leader's first one is not applied yet: seen in healthy runs."""
    story.status(1.9, "m2", 6, 2, leader="m1")
    story.status(1.91, "m3", 6, 2, leader="m2")
    story.status(1.95, "m3", 6, 2, leader="m2")


def one_of_two_calls_without_an_answer_was_called_in_time(story: Story) -> None:
    _applied_7(story)
    story.operations["again"] = Operation(10, "m2", "put", 1.95, 1.99, Outcome.UNKNOWN, writes=((K7, "e"),), error="timeout")
    story.watch[9] = (1.9, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})
    story.change("late", revision=7, reads=(K7,), seen=(Seen(K7, "e", 7, 4, 2),))


def a_run_has_no_final_reads(story: Story) -> None:
    """What was told last nobody has read again."""
    story.late_write()
    story.logs, story.hashes = {}, {}
    story.watch[9] = (1.9, "watched", {"watcher": "w", "revision": 7, "events": [EVENTS_7[6]]})


HEALTHY = (
    a_write_surfaces_while_a_read_is_under_way, a_write_surfaces_after_the_histories_were_read, a_member_lags_behind_what_others_tell,
    a_watcher_is_told_right_before_its_members_store_moves, two_statuses_come_in_another_order_than_they_were_asked_for, a_restart_sets_a_member_back,
    a_new_leader_is_named_beside_the_old_term, one_of_two_calls_without_an_answer_was_called_in_time, a_run_has_no_final_reads,
)  # fmt: skip


@pytest.mark.parametrize("change", HEALTHY)
def test_what_a_healthy_etcd_does_is_no_violation(change: Callable[[Story], None]) -> None:
    """Each looks like one of the planted bugs, and is none."""
    story = Story()
    change(story)
    assert story.judged(*ETCD) == []


def test_a_run_that_does_not_say_when_a_status_was_asked_for_is_judged_up_to_its_final_reads() -> None:
    """Runs of before: a member was asked again only when it had answered, but for the end, where two ask."""
    for t, found in ((1.9, ["member-went-back"]), (2.4, [])):
        story = Story()
        for after, revision in ((0.0, 6), (0.01, 5)):
            story.more.append((t + after, "status", {"member": "m2", "revision": revision, "raft_term": 2, "leader": "m1"}))
        assert [violation.root for _, violation in story.judged("KC408")] == found
