"""Cuts and toxics between real members do what they say; judged by what etcd applied, never by what the proxies claim."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from kchaos.nemesis.shapes import Cuts, between, bridge, halves, isolate, one_way, ring
from kchaos.real.cluster import Cluster, LinkBytes
from kchaos.real.containers import ContainerCluster
from kchaos.real.probe import peer_trouble
from kchaos.real.processes import ProcessCluster
from tests.conftest import tool
from tests.real.gateway import applied, caught_up, leader, put, until, writes

WRITES = 20
BACKENDS = [
    pytest.param("process", marks=pytest.mark.needs("etcd", "toxiproxy")),
    pytest.param("containers", marks=pytest.mark.needs("docker", "images")),
]


def cluster_of(backend: str, size: int) -> Cluster:
    if backend == "containers":
        return ContainerCluster(size)
    return ProcessCluster(size, str(tool("etcd")), toxiproxy=str(tool("toxiproxy")))


@pytest.fixture(params=BACKENDS)
def three(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = cluster_of(request.param, 3)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(params=BACKENDS)
def five(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    cluster = cluster_of(request.param, 5)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def others(cluster: Cluster, *names: str) -> tuple[str, ...]:
    return tuple(one for one in cluster.members if one not in names)


def write(cluster: Cluster, member: str, count: int = WRITES) -> None:
    for index in range(count):
        put(cluster, member, f"k{index % 5}", f"{index}")


def settled(cluster: Cluster, *names: str) -> dict[str, int]:
    """Return the applied indexes once what was under way has arrived: all of them unchanged for a while."""
    names = names or cluster.members
    seen = {name: applied(cluster, name) for name in names}
    for _ in range(100):
        time.sleep(0.3)
        now = {name: applied(cluster, name) for name in names}
        if now == seen:
            return now
        seen = now
    raise AssertionError(f"applied indexes don't settle: {seen}")


def stand_still(cluster: Cluster, cuts: Cuts, leads: str, away: tuple[str, ...]) -> None:
    """Cut; the leader takes writes, which all but ``away`` apply, and no Raft message crosses a cut; then heal, and all catch up."""
    write(cluster, leads, 5)
    caught_up(cluster)
    undo = cluster.links.cut(cuts)
    before = settled(cluster)
    carried = cluster.links.bytes()
    write(cluster, leads)
    after = settled(cluster)
    now = cluster.links.bytes()
    for name in cluster.members:
        moved = after[name] - before[name]
        assert moved == 0 if name in away else moved >= WRITES, (name, before, after)
    assert {pair: now[pair].sent - carried[pair].sent for pair in cuts} == dict.fromkeys(cuts, 0)
    undo()
    caught_up(cluster)
    write(cluster, leader(cluster), 3)
    caught_up(cluster)


def test_a_member_that_is_cut_off_stands_still_and_catches_up(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    stand_still(three, isolate(victim, three.members), leads, (victim,))


def test_a_leader_that_is_cut_off_is_replaced_and_its_writes_fail(three: Cluster) -> None:
    old = leader(three)
    rest = others(three, old)
    undo = three.links.cut(isolate(old, three.members))
    until(lambda: any(writes(three, name) for name in rest), "the others take writes")
    assert not writes(three, old)
    before = settled(three, old)[old]
    write(three, next(name for name in rest if writes(three, name)))
    assert applied(three, old) == before
    undo()
    caught_up(three)


def test_what_is_laid_on_links_to_a_member_that_is_down_is_changed_and_undone_at_once(three: Cluster) -> None:
    """Toxiproxy takes away no proxy while it dials: so whoever is dialled must refuse, and not be silent or without a name."""
    pairs = [("m1", "m2"), ("m2", "m1"), ("m3", "m2")]
    for _ in range(2):
        undo = three.links.toxic(pairs, "latency", latency=50)
        three.kill("m2")
        until(lambda: writes(three, "m1"), "the others go on, and dial m2 in vain")
        undo()
        three.links.cut(pairs)()
        three.restart("m2")
        caught_up(three)


def test_what_a_leader_sends_to_one_member_is_lost_one_way(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    stand_still(three, one_way((leads,), (victim,)), leads, (victim,))


def test_what_a_member_sends_is_lost_one_way_and_what_it_is_sent_arrives(three: Cluster) -> None:
    """The victim applies all writes: data to it passes. Nothing that it sends arrives: etcd's own counters of bytes received from it."""
    leads = leader(three)
    victim = others(three, leads)[0]
    stand_still(three, one_way((victim,), others(three, victim)), leads, ())


def test_a_minority_stands_still(five: Cluster) -> None:
    leads = leader(five)
    larger, smaller = halves((leads, *others(five, leads)))
    stand_still(five, between(larger, smaller), leads, smaller)


def test_a_bridge_carries_nothing_across(five: Cluster) -> None:
    leads = leader(five)
    a, middle, b, c = others(five, leads)
    stand_still(five, bridge((leads, a), middle, (b, c)), leads, (b, c))


def test_on_a_ring_the_leader_reaches_its_neighbours_only(five: Cluster) -> None:
    leads = leader(five)
    at = five.members.index(leads)
    order = (*five.members[at:], *five.members[:at])
    stand_still(five, ring(order), leads, order[2:4])


def test_one_of_five_is_isolated(five: Cluster) -> None:
    leads = leader(five)
    victim = others(five, leads)[-1]
    stand_still(five, isolate(victim, five.members), leads, (victim,))


def test_a_cut_within_a_cut_is_undone_alone(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    whole = three.links.cut(isolate(victim, three.members))
    part = three.links.cut(one_way((leads,), (victim,)))
    part()
    before = settled(three)[victim]
    write(three, leads)
    assert applied(three, victim) == before
    whole()
    caught_up(three)


def test_healing_all_at_once(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    undo = three.links.cut(isolate(victim, three.members))
    three.links.toxic(isolate(victim, three.members), "latency", latency=100, jitter=20)
    write(three, leads)
    three.links.heal()
    caught_up(three)
    undo()  # nothing is left to undo
    write(three, leads, 3)
    caught_up(three)


def test_cutting_and_healing_again_and_again_leaves_links_that_work(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    for round_ in range(25):
        undo = three.links.cut(isolate(victim, three.members) if round_ % 2 else one_way((leads,), (victim,)))
        put(three, leads, "k")
        undo()
    caught_up(three)


def test_a_paused_member_whose_connections_are_full_can_be_cut_off(three: Cluster) -> None:
    """Toxiproxy waits for ever to lay a toxic on a connection that nobody reads, unless that is closed before."""
    leads = leader(three)
    victim = others(three, leads)[0]
    three.pause(victim)
    for index in range(60):
        put(three, leads, f"k{index % 3}", "v" * 400_000)  # 24 MB: more than the kernel takes for one connection
    undo = three.links.cut(isolate(victim, three.members))
    undo()
    undo = three.links.toxic(one_way((leads,), (victim,)), "latency", latency=10)
    undo()
    three.resume(victim)
    caught_up(three)


def slowest_put(cluster: Cluster, member: str, value: str = "v", count: int = 3) -> float:
    took = []
    for _ in range(count):
        began = time.monotonic()
        put(cluster, member, "k", value, timeout_s=30.0)
        took.append(time.monotonic() - began)
    return min(took)


def test_latency_is_added_to_what_the_leader_sends(three: Cluster) -> None:
    """A write needs the answer of one follower, and so waits for the leader's message to it."""
    leads = leader(three)
    undo = three.links.toxic(one_way((leads,), others(three, leads)), "latency", latency=250, jitter=0)
    assert slowest_put(three, leads) >= 0.25
    undo()
    until(lambda: slowest_put(three, leads, count=1) < 0.25, "writes are fast again")


def test_latency_goes_back_to_what_an_earlier_fault_wants(three: Cluster) -> None:
    leads = leader(three)
    pairs = one_way((leads,), others(three, leads))
    three.links.toxic(pairs, "latency", latency=150)
    later = three.links.toxic(pairs, "latency", latency=400)
    assert slowest_put(three, leads) >= 0.4
    later()
    until(lambda: 0.15 <= slowest_put(three, leads, count=1) < 0.4, "the earlier latency")


def test_bandwidth_slows_a_large_value(three: Cluster) -> None:
    leads = leader(three)
    undo = three.links.toxic(one_way((leads,), others(three, leads)), "bandwidth", rate=50)
    assert slowest_put(three, leads, "v" * 60_000, count=1) >= 0.9  # 60 kB at 50 kB/s
    undo()
    caught_up(three)


def test_resets_break_the_connections_of_a_member(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    before = peer_trouble(three.endpoint(leads))
    assert before is not None
    undo = three.links.toxic(isolate(victim, three.members), "reset_peer", timeout=50)
    until(lambda: (peer_trouble(three.endpoint(leads)) or 0.0) > before, "broken peer connections are counted")
    undo()
    write(three, leader(three))
    caught_up(three)


def test_slow_close_lets_a_dead_member_seem_alive(three: Cluster) -> None:
    """The leader notices that the streams on which it hears a killed follower have ended, but only when the delay is over."""
    leads = leader(three)
    victim = others(three, leads)[0]
    three.links.toxic(one_way((victim,), (leads,)), "slow_close", delay=700)
    known = len(three.log(leads).splitlines())
    killed = time.time()
    three.kill(victim)

    def noticed() -> list[float]:
        lines = [json.loads(line) for line in three.log(leads).splitlines()[known:] if line.startswith("{") and line.endswith("}")]
        lost = [one["ts"] for one in lines if one["msg"].startswith("lost TCP streaming connection") and "stream-reader-type" in one]
        return [datetime.fromisoformat(one).timestamp() for one in lost]

    until(lambda: len(noticed()) >= 2, "both streams are lost")  # stream MsgApp v2, and stream Message
    assert min(noticed()) - killed >= 0.7


def test_members_that_are_down_keep_their_counters(three: Cluster) -> None:
    leads = leader(three)
    victim = others(three, leads)[0]
    write(three, leads)
    caught_up(three)

    def counted() -> LinkBytes:
        return three.links.bytes()[leads, victim]

    # the two figures are read at two moments, between which a heartbeat may pass
    until(lambda: (now := counted()).received >= now.sent > 0, "all that was sent has arrived")
    before = counted()
    three.kill(victim)
    down = counted()
    assert down.sent == before.sent, "the last that it told stands"
    three.restart(victim)
    write(three, leads)
    until(lambda: counted().sent > down.sent and counted().received > down.received, "counters go on after a restart")
