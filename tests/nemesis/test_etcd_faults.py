"""Faults of real etcd on a cluster that only writes down what is done to it: what is cut, killed and undone, and what counts as evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kchaos.errors import HarnessError
from kchaos.nemesis.etcd import target as targets
from kchaos.nemesis.etcd.catalog import catalog
from kchaos.nemesis.etcd.target import Target, resolve
from kchaos.nemesis.fault import bit
from kchaos.real.cluster import LinkBytes, MemberExited, Undo
from kchaos.real.probe import counters

Pairs = Sequence[tuple[str, str]]


class FakeLinks:
    """Keeps what is laid on which pairs."""

    def __init__(self) -> None:
        self.laid: list[tuple[str, tuple[tuple[str, str], ...], dict[str, int]]] = []
        self.counts: dict[tuple[str, str], LinkBytes] = {}
        self.slow: set[tuple[str, str]] = set()

    def cut(self, pairs: Pairs) -> Undo:
        return self._lay("cut", pairs, {})

    def toxic(self, pairs: Pairs, kind: str, **attributes: int) -> Undo:
        return self._lay(kind, pairs, attributes)

    def _lay(self, kind: str, pairs: Pairs, attributes: dict[str, int]) -> Undo:
        entry = (kind, tuple(pairs), attributes)
        self.laid.append(entry)
        return lambda: self.laid.remove(entry)

    def heal(self) -> None:
        self.laid.clear()

    def bytes(self) -> Mapping[tuple[str, str], LinkBytes]:
        return dict(self.counts)

    def ended(self) -> Mapping[tuple[str, str], LinkBytes]:
        """Connections whose data back is reset have ended; how many of their ends are held back stands in ``slow``."""
        broken = {(b, a) for kind, pairs, _ in self.laid if kind == "reset_peer" for a, b in pairs}
        return {pair: LinkBytes(300, 0 if pair in self.slow else 300) for pair in broken} if broken else {("m1", "m2"): LinkBytes(900, 0)}


class Clock:
    """The time of a run, set by hand."""

    def __init__(self) -> None:
        self.t = 0.0

    def __call__(self) -> float:
        return self.t


class FakeCluster:
    """Members that are running, paused or exited."""

    def __init__(self, count: int) -> None:
        self.members = tuple(f"m{n}" for n in range(1, count + 1))
        self.links = FakeLinks()
        self.versions: Mapping[str, str] = {}
        self.states = dict.fromkeys(self.members, "running")
        self.logs: dict[str, str] = {}
        self.ended: dict[str, str] = {}

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def endpoint(self, member: str) -> str:
        return f"{member}:2379"

    def kill(self, member: str) -> None:
        self.states[member] = "exited"

    def restart(self, member: str) -> None:
        assert self.states[member] == "exited"
        self.states[member] = "running"

    def pause(self, member: str) -> None:
        self.states[member] = "paused"

    def resume(self, member: str) -> None:
        self.states[member] = "running"

    def state(self, member: str) -> str:
        return self.states[member]

    def log(self, member: str) -> str:
        return self.logs.get(member, "")

    def disturbed(self, member: str) -> str:
        return self.ended.get(member, "")

    def keep_logs(self, folder: Path) -> Sequence[Path]:
        return ()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Target]:
    """Return what makes a target of so many members at 0 s, calm and m1 leading; no member has trouble with its peers, and each serves at once."""
    monkeypatch.setattr(targets, "peer_trouble", lambda endpoint: 0.0)
    monkeypatch.setattr(targets, "serves", lambda endpoint: True)

    def made(count: int) -> Target:
        target = Target(FakeCluster(count), lambda what, **data: None, Clock())
        calm_down(target, 0.0)
        return target

    return made


def tell(target: Target, t: float, member: str, applied: int = 100, term: int = 2, leader: str = "m1") -> None:
    target.observe(t, {"member": member, "revision": 1, "raft_term": term, "raft_applied_index": applied, "leader": leader, "raft_index": applied, "db_size": 0})


def calm_down(target: Target, t: float, applied: int = 100, term: int = 2, leader: str = "m1") -> None:
    """Let all members tell the same from two seconds before ``t`` until then."""
    assert isinstance(target.now, Clock)
    for at in (t - 2.0, t):
        target.now.t = at
        target.trouble()
        for name in target.cluster.members:
            tell(target, at, name, applied, term, leader)
    assert target.calm()


def inject(target_: Target, name: str, /, **args: Any) -> Any:
    kind = catalog().get(name)
    return kind.inject(target_, kind.complete(args))


def cut(target: Target) -> set[tuple[str, str]]:
    links = target.cluster.links
    assert isinstance(links, FakeLinks)
    return {pair for kind, pairs, _ in links.laid for pair in pairs if kind == "cut"}


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
