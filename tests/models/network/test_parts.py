"""Resolver, IPVS schedulers, conntrack cleaning, leases."""

from __future__ import annotations

from collections import Counter

import pytest

from kchaos.models.network.conntrack import Flow, after_sync
from kchaos.models.network.dns import Answer, Record
from kchaos.models.network.ipvs import Server, Turn, choose
from kchaos.models.network.overlay import describe, lease_of, leased, new_lease, peers_of, wrong
from kchaos.models.network.resolver import candidates, resolve, search_of
from kchaos.models.network.services import Endpoint, ServicePort

SOA = Record("cluster.local.", 5, "SOA", "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5")
NO = Answer("NXDOMAIN", authority=(SOA,))


def _ask(asked: list[str], known: str) -> object:
    def ask(name: str, kind: str) -> Answer:
        asked.append(name)
        return Answer("NOERROR", (Record(name, 5, kind, "10.96.0.1"),)) if name == known else NO

    return ask


def test_the_search_path_comes_first_below_ndots() -> None:
    search = search_of("shop")
    assert candidates("db", search)[0] == "db.shop.svc.cluster.local."
    assert candidates("a.b.c.d.e.f", search)[0] == "a.b.c.d.e.f."
    assert candidates("db.", search) == ["db."]


def test_answers_and_their_absence_are_kept_as_long_as_they_say() -> None:
    asked: list[str] = []
    ask = _ask(asked, "db.svc.cluster.local.")
    first = resolve("db", "A", search_of("shop"), ask, 0.0)  # type: ignore[arg-type]
    assert first.asked == ("db.shop.svc.cluster.local.", "db.svc.cluster.local.")
    again = resolve("db", "A", search_of("shop"), ask, 4.9, first.cache)  # type: ignore[arg-type]
    assert (again.asked, again.name) == ((), "db.svc.cluster.local.")
    assert len(resolve("db", "A", search_of("shop"), ask, 5.1, first.cache).asked) == 2  # type: ignore[arg-type]


def test_a_name_that_is_nowhere() -> None:
    found = resolve("nosuch", "A", search_of("shop"), _ask([], ""))  # type: ignore[arg-type]
    assert found.answer.rcode == "NXDOMAIN"
    assert len(found.asked) == 4


@pytest.mark.parametrize(
    ("scheduler", "servers", "counts"),
    [
        ("rr", (Server("a"), Server("b"), Server("c", 0)), {0: 6, 1: 6}),
        ("wrr", (Server("a", 3), Server("b", 1)), {0: 9, 1: 3}),
        ("lc", (Server("a", 1, active=2), Server("b", 1, active=1)), {1: 12}),
        ("wlc", (Server("a", 4, active=2), Server("b", 1, active=1)), {0: 12}),
        ("sed", (Server("a", 3, active=2), Server("b", 1, active=1)), {0: 12}),
        ("nq", (Server("a", 9, active=1), Server("b", 1, active=0)), {1: 12}),
        ("rr", (Server("a", 0),), {None: 12}),
    ],
)
def test_schedulers(scheduler: str, servers: tuple[Server, ...], counts: dict[int | None, int]) -> None:
    turn, chosen = Turn(), []
    for _ in range(12):
        index, turn = choose(scheduler, servers, turn)
        chosen.append(index)
    assert Counter(chosen) == counts


def test_a_source_stays_with_its_server() -> None:
    servers = (Server("a"), Server("b"), Server("c"))
    chosen = {client: {choose("sh", servers, Turn(i), client)[0] for i in range(3)} for client in ("10.0.0.1", "10.0.0.2", "10.9.8.7")}
    assert all(len(found) == 1 for found in chosen.values())


def test_udp_flows_to_endpoints_that_are_gone_are_deleted() -> None:
    port = ServicePort("shop", "dns", "", "udp", "10.96.0.10", 53, node_port=30053)
    endpoints = (Endpoint("10.244.0.2", 53, "n1", True, True, False), Endpoint("10.244.0.3", 53, "n1", False, True, True))
    kept = Flow("udp", "10.244.0.9", 1, "10.96.0.10", 53, "10.244.0.2", 53)
    leaving = kept._replace(reply_src="10.244.0.3")
    gone = kept._replace(reply_src="10.244.0.4")
    through_node = gone._replace(dst="192.168.0.1", dport=30053)
    tcp = gone._replace(proto="tcp")
    flows = [kept, leaving, gone, through_node, tcp]
    assert after_sync(flows, [(port, endpoints)], frozenset({"192.168.0.1"})) == [kept, leaving, tcp]


def test_leases_and_what_a_node_makes_of_them() -> None:
    leases = [new_lease(f"n{i}", i) for i in range(3)]
    node = {"metadata": {"name": "n1"}, "spec": {}}
    assert lease_of(node) is None
    assert lease_of(leased(node, leases[1])) == leases[1]
    peers = peers_of(leases, "n0")
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in describe(peers)
    assert wrong(peers, peers_of(leases, "n0"), leases) == []
    assert wrong(peers._replace(fdb={}), peers, leases) == ["n1", "n2"]
    assert wrong(peers, peers_of(leases[:2], "n0"), leases[:2]) == ["gone"]
