"""What a run of real etcd comes to beside its properties: faults that were asked for by name and never bit, and how many elections were seen."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kchaos.check.verdict import Verdict
from kchaos.engine.etcd.counters import Elections
from kchaos.engine.etcd.judge import result_of
from kchaos.engine.etcd.polling import Poller
from kchaos.engine.etcd.result import EtcdResult
from kchaos.history.record import Header, Mark, Run
from kchaos.history.recorder import Recorder
from kchaos.reports.etcd.facts import facts
from tests.properties.etcd_story import EVENTS, Story


def fault(step: int, name: str, status: str, why: str = "") -> list[tuple[float, str, dict[str, Any]]]:
    """Return what is recorded of a fault."""
    action = "unresolved" if why else "injected"
    began = (1.0 + step / 10, "fault", {"step": step, "name": name, "action": action, "args": {"target": "m1"}})
    evidence = {"kills": 1} if status == "bit" else {}
    return [began, (2.4, "evidence", {"step": step, "name": name, "args": {}, "status": status, "evidence": evidence, **({"why": why} if why else {})})]


def judged(kinds: tuple[str, ...], named: bool, *faults: list[tuple[float, str, dict[str, Any]]]) -> EtcdResult:
    """Judge a healthy run with these faults, asked for by name or because all were."""
    story = Story()
    story.more += [mark for one in faults for mark in one]
    run = story.run()
    header = Header(scenario={"system": "etcd", "inputs": {"faults": list(kinds), "named": named}})
    return result_of(Run(header, run.entries, ""), command="", saved="", kinds=kinds)


@pytest.mark.parametrize(("faults", "says"), [
    ([], "pause (never came)"),
    ([fault(0, "pause", "inert")], "pause (once without effect)"),
    ([fault(0, "pause", "inert"), fault(1, "pause", "inert")], "pause (2 times without effect)"),
    ([fault(0, "pause", "inert", "nobody leads")], "pause (nobody leads)"),
    ([fault(0, "pause", "inert", "nobody leads"), fault(1, "pause", "inert")], "pause (once without effect)"),
])  # fmt: skip
def test_a_named_fault_that_never_bit_leaves_the_verdict_open(faults: list[Any], says: str) -> None:
    """Whoever asks what becomes of a pause has no answer: one sentence names it, and says what to do; another that bit does not help."""
    result = judged(("kill", "pause"), True, fault(9, "kill", "bit"), *faults)
    assert (result.verdict, result.exit_code) == (Verdict.UNKNOWN, 3)
    (reason,) = result.reasons
    assert reason.startswith(f"{says} never bit, though --faults asks for it") and "; a longer --budget or another --seed" in reason


def test_one_bite_is_enough() -> None:
    result = judged(("kill", "pause"), True, fault(0, "pause", "inert"), fault(1, "kill", "bit"), fault(2, "pause", "bit"))
    assert (result.verdict, result.reasons) == (Verdict.PASS, ())


def test_of_all_faults_some_may_never_bite() -> None:
    """Nobody asked for that one; the result tells of it all the same."""
    result = judged(("kill", "pause"), False, fault(0, "kill", "inert"))
    assert result.verdict == Verdict.PASS
    assert result.coverage.faults_inert == ("kill",) and result.coverage.faults_never == ("pause",)


def test_slow_close_says_what_it_needs() -> None:
    (reason,) = judged(("slow-close",), True, fault(0, "slow-close", "inert")).reasons
    assert "slow-close (once without effect)" in reason and "held back for less than some 50 ms is not seen" in reason


def test_what_is_broken_stays_broken() -> None:
    """A violation needs no fault that bit."""
    story = Story()
    story.change("txn d", revision=4)
    run = story.run()
    header = Header(scenario={"system": "etcd", "inputs": {"faults": ["pause"], "named": True}})
    assert result_of(Run(header, run.entries, ""), command="", saved="", kinds=("pause",)).verdict == Verdict.FAIL


@pytest.mark.parametrize(("kills", "says"), [
    ((), "m1 was never killed"),
    ((0.5,), "m1 was killed 1 time, last at 0.500 s"),
    ((1.124,), "m1 was killed 0.020 s later"),
    ((0.5, 1.124, 1.5), "m1 was killed 0.020 s later (3 times in all)"),
])  # fmt: skip
def test_a_lost_write_names_the_kill_after_it(kills: tuple[float, ...], says: str) -> None:
    """What was acknowledged just before a kill is what it can lose: the last of a hundred says nothing."""
    story = Story()
    story.logs["m1"] = (EVENTS[0], *EVENTS[2:])
    story.more += [(t, "member", {"member": "m1", "event": "killed"}) for t in kills]
    durable = next(one for one in result_of(story.run(), command="", saved="").findings if one.id == "KC402")
    assert durable.summary == f"revision 3, acknowledged at 1.104 s, is not in the history of m1 as it was acknowledged; {says}"


@pytest.mark.parametrize(("found", "verdict", "said"), [
    ([], Verdict.UNKNOWN, "unknown"),
    ([(1.5, "panic", {"member": "m2", "line": "panic: tocommit is out of range"})], Verdict.FAIL, "violated"),
    ([(1.5, "member", {"member": "m2", "event": "exited"})], Verdict.FAIL, "violated"),
])  # fmt: skip
def test_a_run_that_was_broken_off_keeps_what_a_member_did_by_itself(found: list[Any], verdict: Verdict, said: str) -> None:
    """Who crashed before crashed; that nobody did is not known to the end, nor whether the cluster would have recovered."""
    story = Story()
    story.finals["m3"] = {"reachable": False, "leader": "", "raft_term": 0, "revision": 0}
    story.more += [*found, (2.4, "broken-off", {"reason": "interrupted"})]
    result = result_of(story.run(), command="", saved="")
    assert result.verdict == verdict and {one.id for one in result.findings} == ({"KC409"} if found else set())
    assert (result.coverage.properties["KC409"], result.coverage.properties["KC410"]) == (said, "unknown")
    assert "the run was broken off: interrupted" in result.reasons or found


# -- elections ------------------------------------------------------------------------------------------------------------------------


def test_an_election_is_a_term_higher_than_any_seen_before() -> None:
    """Whoever tells of it; a member that lags behind tells of an old one."""
    found = Elections()
    for term in (3, 3, 4, 3, 4, 9, 8, 9):
        found.see(term)
    assert found.seen == 2


class _Told:
    """A client whose statuses are given."""

    def __init__(self, member_id: int, terms: list[int]) -> None:
        self._id = member_id
        self._terms = iter(terms)

    async def status(self, timeout_s: float) -> Any:
        term = next(self._terms)
        return SimpleNamespace(
            member_id=self._id, revision=1, raft_term=term, raft_index=1, raft_applied_index=1, leader=self._id if term % 2 else 0, db_size=1,
        )  # fmt: skip


def test_display_result_and_report_count_the_same_elections() -> None:
    """Terms without a leader, skipped ones, and a member that lags behind: one number everywhere."""
    clients: Any = {"m1": _Told(1, [2, 3, 6, 7, 7]), "m2": _Told(2, [2, 2, 2, 6, 8])}
    now = iter(n / 100 for n in range(1000))
    recorder = Recorder(Header(scenario={"system": "etcd"}), lambda: next(now))
    poller = Poller(clients, recorder)

    async def poll() -> None:
        for _ in range(5):
            for member in clients:
                await poller.once(member)

    asyncio.run(poll())
    run = recorder.finish()
    assert all(isinstance(one, Mark) for one in run.entries)
    assert poller.elections == result_of(run, command="", saved="").elections == len(facts(run).terms) - 1 == 4
