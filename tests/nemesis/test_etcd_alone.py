"""What counts as evidence of a fault is its own doing: not another fault's beside it, nor the aftermath of the one before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kchaos.nemesis.etcd import target as targets
from kchaos.nemesis.etcd.target import Target
from kchaos.nemesis.fault import bit
from kchaos.real.cluster import LinkBytes
from tests.nemesis.etcd_fakes import Clock, FakeLinks, calm_down, inject, tell


def test_what_the_whole_cluster_shows_is_nobodys_evidence_while_two_faults_last(make: Callable[[int], Target]) -> None:
    target = make(3)
    first, second = inject(target, "kill", target="m3"), inject(target, "one-way-to", target="m2")
    tell(target, 1.0, "m1", term=4, leader="m2")
    second.undo()
    first.undo()
    assert not bit(second.evidence()) and "terms" not in first.evidence()
    calm_down(target, 12.0, term=4, leader="m2")
    third = inject(target, "one-way-to", target="m2")
    tell(target, 13.0, "m1", term=5, leader="m1")
    third.undo()
    assert third.evidence()["terms"] == 1


def test_an_election_that_the_fault_before_brought_is_not_the_next_ones(make: Callable[[int], Target]) -> None:
    """Half a second after the undo nobody knows what is still to come of it, though all seems well again."""
    target = make(3)
    inject(target, "isolate", target="m1").undo()
    for name in target.cluster.members:
        tell(target, 0.5, name, term=3, leader="m2")
    assert isinstance(target.now, Clock)
    target.now.t = 0.5
    fault = inject(target, "one-way-to", target="m2")
    tell(target, 1.0, "m1", term=4, leader="m1")
    assert not bit(fault.evidence())


def test_what_the_fault_before_disturbed_counts_no_more_until_the_cluster_has_been_calm(make: Callable[[int], Target]) -> None:
    """However long that takes: m2 is still not what it was."""
    target = make(3)
    inject(target, "kill", target="m2").undo()
    assert isinstance(target.now, Clock)
    target.observe(19.0, {"member": "m2", "error": "unavailable"})
    target.now.t = 20.0
    fault = inject(target, "isolate", target="m2")
    _moves_on(target, 20.0, "m2")
    assert not bit(fault.evidence())
    fault.undo()
    calm_down(target, 40.0, applied=400)
    again = inject(target, "isolate", target="m2")
    for n in range(1, 9):
        for name in target.cluster.members:
            tell(target, 40.0 + n / 4, name, 400 if name == "m2" else 400 + 30 * n)
    assert again.evidence()["stood_still_s"] > 1.0


@pytest.mark.parametrize("leader", ["", "8e9e05c52164694d"])
def test_whoever_is_told_of_first_is_no_new_leader_where_none_was_known(make: Callable[[int], Target], leader: str) -> None:
    """Nobody led when the fault came, or a member whose id had no name yet."""
    target = make(3)
    for at in (1.0, 2.0, 3.0):
        for name in target.cluster.members:
            tell(target, at, name, leader=leader)
    assert isinstance(target.now, Clock)
    target.now.t = 3.0
    fault = inject(target, "isolate", target="m1")
    tell(target, 3.2, "m2", leader="m1")
    tell(target, 3.4, "m3", term=3, leader="m1")
    assert not bit(fault.evidence())
    calm_down(target, 20.0, term=3)
    fault.undo()
    named = inject(target, "isolate", target="m2")
    tell(target, 20.2, "m2", term=3, leader="8e9e05c52164694d")
    assert not bit(named.evidence())


def test_an_election_between_others_is_not_the_doing_of_a_fault_of_a_follower(make: Callable[[int], Target]) -> None:
    target = make(3)
    fault = inject(target, "bandwidth", target="m3", rate_kb_s=100_000)
    tell(target, 1.0, "m1", term=3, leader="m2")
    assert not bit(fault.evidence())


def _moves_on(target: Target, from_s: float, *still: str) -> None:
    """All apply more and more for two seconds, but for these."""
    for n in range(1, 9):
        for name in target.cluster.members:
            tell(target, from_s + n / 4, name, 100 if name in still else 100 + 30 * n)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("other", ["kill", "pause"])
def test_what_a_member_shows_that_another_fault_has_stopped_is_that_ones_doing(make: Callable[[int], Target], other: str, first: bool) -> None:
    """Whichever came first: the links between m2 and the rest hold nothing back, m2 just does not read."""
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    links.counts = {(a, b): LinkBytes(500, 500) for a in target.cluster.members for b in target.cluster.members if a != b}
    stopped = inject(target, other, target="m2") if first else None
    fault = inject(target, "bandwidth", target="m2", rate_kb_s=100_000)
    stopped = stopped or inject(target, other, target="m2")
    links.counts |= {("m1", "m2"): LinkBytes(90_000, 500)}
    _moves_on(target, 0.0, "m2")
    stopped.undo()
    _moves_on(target, 2.0, "m2")
    fault.undo()
    assert not bit(fault.evidence())


def test_what_a_fault_did_before_another_came_stays(make: Callable[[int], Target]) -> None:
    target = make(3)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    links.counts = {("m2", "m1"): LinkBytes(500, 500)}
    fault = inject(target, "isolate", target="m2")
    links.counts = {("m2", "m1"): LinkBytes(9500, 500)}
    _moves_on(target, 0.0, "m2")
    seen = {name: value for name, value in fault.evidence().items() if value}
    assert seen["stood_still_s"] > 1.0 and seen["bytes_held"] == 9000
    killed = inject(target, "kill", target="m2")
    links.counts = {("m2", "m1"): LinkBytes(99500, 500)}
    killed.undo()
    fault.undo()
    assert {name: value for name, value in fault.evidence().items() if value} == seen


def test_links_that_another_fault_does_not_touch_still_count(make: Callable[[int], Target]) -> None:
    target = make(5)
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    links.counts = {("m2", "m1"): LinkBytes(0, 0), ("m2", "m3"): LinkBytes(0, 0)}
    inject(target, "kill", target="m3")
    fault = inject(target, "one-way-from", target="m2")
    links.counts = {("m2", "m1"): LinkBytes(4000, 0), ("m2", "m3"): LinkBytes(70_000, 0)}
    assert fault.evidence()["bytes_held"] == 4000


def test_a_cluster_is_calm_once_all_have_followed_one_leader_for_a_while(make: Callable[[int], Target]) -> None:
    target = make(3)
    assert isinstance(target.now, Clock)
    tell(target, 0.2, "m2", term=3, leader="m2")
    target.now.t = 0.2
    assert not target.calm(), "two terms"
    for name in target.cluster.members:
        tell(target, 0.4, name, term=3, leader="m2")
    target.now.t = 0.4
    assert not target.calm(), "just now"
    target.now.t = 1.45
    assert not target.calm(), "nobody has answered for more than a second"
    for name in target.cluster.members:
        tell(target, 1.45, name, term=3, leader="m2")
    assert target.calm()
    target.observe(1.5, {"member": "m3", "error": "unavailable"})
    tell(target, 1.6, "m3", term=3, leader="m2")
    target.now.t = 1.6
    assert not target.calm(), "one has been away"


def test_a_cluster_is_not_calm_while_one_lags_or_connections_break(make: Callable[[int], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    target = make(3)
    assert isinstance(target.now, Clock)
    for at in (0.5, 1.0, 1.5):
        for name in target.cluster.members:
            tell(target, at, name, 100 if name == "m3" else 400)
    target.now.t = 1.5
    assert not target.calm()
    tell(target, 1.5, "m3", 400)
    assert target.calm()
    monkeypatch.setattr(targets, "peer_trouble", lambda endpoint: 1.0)
    target.trouble()
    assert not target.calm()
    assert not target.await_calm(0.0)
