"""Faults of real etcd on a cluster that only writes down what is done to it: what is cut, killed and undone, and what counts as evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from kchaos.errors import HarnessError
from kchaos.nemesis.etcd.catalog import catalog
from kchaos.nemesis.etcd.target import Target, resolve
from kchaos.nemesis.fault import bit
from kchaos.real.cluster import LinkBytes, MemberExited
from kchaos.real.probe import counters
from tests.nemesis.etcd_fakes import Clock, FakeCluster, FakeLinks, cut, inject, tell


def test_an_isolated_member_is_cut_both_ways_and_nothing_else(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "isolate", target="m2")
    assert cut(target) == {("m2", "m1"), ("m2", "m3"), ("m1", "m2"), ("m3", "m2")}
    fault.undo()
    assert cut(target) == set()


@pytest.mark.parametrize("side, small", [("minority", "m1"), ("majority", "m3")])
def test_the_leader_is_on_the_side_that_is_asked_for(make: Callable[[int], Target], side: str, small: str) -> None:
    target = make(3)
    inject(target, "partition-halves", target="cluster", leader_in=side)
    lonely = {a for a in target.cluster.members if sum(one == a for one, _ in cut(target)) == 2}
    assert (("m1" in lonely) == (side == "minority")) and len(lonely) == 1


def test_one_way_faults_cut_one_direction(make: Callable[[int], Target]) -> None:
    target = make(3)
    inject(target, "one-way-from", target="m1")
    assert cut(target) == {("m1", "m2"), ("m1", "m3")}
    other = make(3)
    inject(other, "one-way-to", target="m1")
    assert cut(other) == {("m2", "m1"), ("m3", "m1")}


def test_in_a_bridge_one_member_that_does_not_lead_reaches_all(make: Callable[[int], Target]) -> None:
    target = make(5)
    inject(target, "partition-bridge", target="cluster")
    free = [name for name in target.cluster.members if all(name not in pair for pair in cut(target))]
    assert len(free) == 1 and free != ["m1"]


def test_in_a_ring_every_member_reaches_a_majority_and_no_two_the_same(make: Callable[[int], Target]) -> None:
    target = make(5)
    inject(target, "partition-ring", target="cluster")
    reach = [frozenset(b for b in target.cluster.members if (a, b) not in cut(target)) for a in target.cluster.members]
    assert all(len(one) == 3 for one in reach) and len(set(reach)) == 5


def test_toxics_carry_their_arguments_by_toxiproxys_names(make: Callable[[int], Target]) -> None:
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    for name, args, toxic, attributes in (
        ("latency", {"latency_ms": 70, "jitter_ms": 9}, "latency", {"latency": 70, "jitter": 9}),
        ("bandwidth", {"rate_kb_s": 7}, "bandwidth", {"rate": 7}), ("reset", {"timeout_ms": 5}, "reset_peer", {"timeout": 5}),    ):  # fmt: skip
        inject(target, name, target="m3", **args)
        kind, pairs, said = links.laid.pop()
        assert (kind, said) == (toxic, attributes) and len(pairs) == 4


@pytest.mark.parametrize("slow", [set(), {("m3", "m1")}, {("m3", "m1"), ("m3", "m2")}])
def test_slow_close_breaks_what_a_member_has_and_counts_the_ends_that_are_held(make: Callable[[int], Target], slow: set[tuple[str, str]]) -> None:
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    links.slow = slow
    fault = inject(target, "slow-close", target="m3", delay_ms=300)
    assert links.laid == [("slow_close", (("m3", "m1"), ("m3", "m2")), {"delay": 300})], "what has broken them is gone"
    assert fault.evidence() == {"ends_held": len(slow)}
    fault.undo()
    assert links.laid == [] and target.watched == ()


def test_a_slow_close_that_cannot_break_anything_leaves_nothing(make: Callable[[int], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)

    def ended() -> Mapping[tuple[str, str], LinkBytes]:
        if len(links.laid) == 2:
            raise HarnessError("no answer")
        return {}

    monkeypatch.setattr(links, "ended", ended)
    with pytest.raises(HarnessError):
        inject(target, "slow-close", target="m3", delay_ms=300)
    assert links.laid == [] and target.watched == ()


def test_a_stand_still_while_others_go_on_is_evidence(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "isolate", target="m3")
    for n in range(1, 9):
        tell(target, n / 4, "m1", 100 + 30 * n)
        tell(target, n / 4, "m2", 100 + 30 * n)
        tell(target, n / 4, "m3", 100)
    found = fault.evidence()
    assert found["stood_still_s"] >= 1.5 and found["applied_lag"] >= 200 and bit(found)


def test_an_idle_or_healthy_cluster_is_no_evidence(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "isolate", target="m3")
    for n in range(1, 9):
        for at, member in enumerate(target.cluster.members):
            tell(target, n / 4 + at / 50, member, 100 + 30 * n + 10 * at)
    assert not bit(fault.evidence())
    idle = make(3)
    quiet = inject(idle, "isolate", target="m3")
    for n in range(1, 9):
        for member in idle.cluster.members:
            tell(idle, n / 4, member, 100)
    assert not bit(quiet.evidence())


def test_a_new_term_and_leader_are_evidence_and_what_comes_after_the_undo_is_not(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "one-way-from", target="m1")
    tell(target, 1.0, "m2", term=3, leader="m2")
    fault.undo()
    tell(target, 2.0, "m3", term=5, leader="m3")
    assert (fault.evidence()["terms"], fault.evidence()["new_leaders"]) == (1, 1)


def test_bytes_that_were_taken_and_not_passed_on_are_evidence(make: Callable[[int], Target]) -> None:
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    links.counts = {("m1", "m2"): LinkBytes(500, 500)}
    fault = inject(target, "one-way-from", target="m1")
    links.counts = {("m1", "m2"): LinkBytes(9500, 600)}
    assert fault.evidence()["bytes_held"] == 8900
    links.counts = {("m1", "m2"): LinkBytes(200_500, 196_500)}
    assert not bit(fault.evidence()), "what is under way when the counters are read is not held"


@pytest.mark.parametrize("lasts_s, held, counts", [(4.0, 9_000, True), (4.0, 7_000, False), (1.0, 25_000, False), (40.0, 2_000, True), (40.0, 900, False)])
def test_what_is_late_counts_beyond_what_passes_while_the_counters_are_read(
    make: Callable[[int], Target], monkeypatch: pytest.MonkeyPatch, lasts_s: float, held: int, counts: bool,
) -> None:  # fmt: skip
    """Each reading takes 0.1 s here, 0.2 s both, and of 100 kB in all so much may pass then, and half as much again."""
    target = make(3)
    links, clock = target.cluster.links, target.now
    assert isinstance(links, FakeLinks) and isinstance(clock, Clock)

    def read() -> Mapping[tuple[str, str], LinkBytes]:
        clock.t += 0.1
        return dict(links.counts)

    monkeypatch.setattr(links, "bytes", read)
    links.counts = {("m1", "m2"): LinkBytes(0, 0)}
    fault = inject(target, "latency", target="m2")
    clock.t += lasts_s
    links.counts = {("m1", "m2"): LinkBytes(100_000, 100_000 - held)}
    assert fault.evidence()["bytes_held"] == (held if counts else 0)


def test_what_is_killed_serves_again_when_that_is_undone(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "kill", target="m2")
    assert target.cluster.state("m2") == "exited"
    fault.undo()
    fault.undo()
    assert target.cluster.state("m2") == "running" and fault.evidence()["kills"] == 1


def test_a_member_that_is_down_is_not_killed_twice(make: Callable[[int], Target]) -> None:
    target = make(3)
    first, second = inject(target, "kill", target="m2"), inject(target, "kill-all", target="cluster")
    assert second.evidence()["kills"] == 2
    nothing = inject(target, "kill", target="m2")
    assert not bit(nothing.evidence())
    for fault in (nothing, second, first):
        fault.undo()
    assert {target.cluster.state(name) for name in target.cluster.members} == {"running"}


def test_restarts_leave_every_member_running_and_count_their_kills(make: Callable[[int], Target]) -> None:
    target = make(3)
    assert inject(target, "rolling-restart", target="cluster").evidence()["kills"] == 3
    assert inject(target, "kill-loop", target="m1", times=4, serving_ms=0).evidence()["kills"] == 4
    assert {target.cluster.state(name) for name in target.cluster.members} == {"running"}


def test_a_paused_member_goes_on_unless_it_was_killed_meanwhile(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "pause", target="m1")
    assert target.cluster.state("m1") == "paused"
    target.cluster.kill("m1")
    fault.undo()
    assert target.cluster.state("m1") == "exited"
    assert not bit({"paused_s": inject(target, "pause", target="m1").evidence()["paused_s"]})


def test_symbolic_targets_follow_the_latest_term(make: Callable[[int], Target]) -> None:
    target = make(3)
    kind = catalog().get("kill")
    tell(target, 1.0, "m3", term=7, leader="m3")
    assert resolve(target, kind, "member", "leader()", "").names == ("m3",)
    assert resolve(target, kind, "member", "follower()", "").names == ("m1",)
    assert resolve(target, kind, "member", "m2", "").names == ("m2",)
    nobody = resolve(target, kind, "member", "m9", "")
    assert nobody.names == () and "m9" in nobody.words


def test_counters_are_summed_over_their_labels() -> None:
    text = 'etcd_network_disconnected_peers_total{Local="a",Remote="b"} 2\netcd_network_disconnected_peers_total{Local="a",Remote="c"} 3\n# HELP x\nother 9\n'
    assert counters(text)["etcd_network_disconnected_peers_total"] == 5.0


def test_a_member_that_ends_when_it_is_started_again_is_recorded_and_stays_down(make: Callable[[int], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    """It panics, say: that is etcd's doing, which its log tells and KC409 judges; the run goes on."""
    marks: list[dict[str, Any]] = []
    target = Target(make(3).cluster, lambda what, **data: marks.append({"what": what, **data}), Clock())

    def ends(member: str) -> None:
        raise MemberExited(f"etcd {member} exits at once")

    monkeypatch.setattr(target.cluster, "restart", ends)
    inject(target, "kill", target="m2").undo()
    assert marks[-1] == {"what": "member", "member": "m2", "event": "exited"} and target.cluster.state("m2") == "exited"


@pytest.mark.parametrize(("log", "ended", "says"), [
    ("{}\npanic: no space left on device", "", "etcd m2 has ended: the disk that holds its data is full"),
    ("listen tcp 127.0.0.1:4711: bind: address already in use", "", "127.0.0.1:4711 is taken by another program"),
    ("", "etcd m2 was ended from outside by SIGKILL", "etcd m2 was ended from outside by SIGKILL"),
    ("panic: tocommit is out of range", "", ""),
])  # fmt: skip
def test_a_fault_that_finds_a_member_dead_tells_whose_doing_it_is(make: Callable[[int], Target], log: str, ended: str, says: str) -> None:
    """A full disk, a taken port or another's kill ends the run; what etcd did by itself is recorded, once, and judged."""
    marks: list[dict[str, Any]] = []
    target = Target(cluster := make(3).cluster, lambda what, **data: marks.append({"what": what, **data}))
    assert isinstance(cluster, FakeCluster)
    cluster.states["m2"], cluster.logs["m2"], cluster.ended["m2"] = "exited", log, ended
    for name in ("kill", "kill"):
        if says:
            with pytest.raises(HarnessError, match=says):
                inject(target, name, target="m2")
        else:
            inject(target, name, target="m2")
    assert marks == ([] if says else [{"what": "member", "member": "m2", "event": "exited"}])
