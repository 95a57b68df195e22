"""Shapes of partitions: who still reaches whom."""

from __future__ import annotations

import pytest

from kchaos.nemesis.shapes import Cuts, apart, between, bridge, each_its_own, halves, isolate, one_way, ring

HOSTS = ("a", "b", "c", "d", "e")


def reached(host: str, cuts: Cuts, hosts: tuple[str, ...] = HOSTS) -> str:
    """Return whom a host can send to."""
    return "".join(other for other in hosts if other != host and (host, other) not in cuts)


def test_one_way_lets_answers_pass() -> None:
    cuts = one_way(("a", "b"), ("b", "c"))
    assert (reached("a", cuts), reached("b", cuts), reached("c", cuts)) == ("de", "ade", "abde")


def test_isolate() -> None:
    cuts = isolate("c", HOSTS)
    assert [reached(host, cuts) for host in HOSTS] == ["bde", "ade", "", "abe", "abd"]


def test_halves_keep_the_majority_in_the_first() -> None:
    assert halves(HOSTS) == (("a", "b", "c"), ("d", "e"))
    assert halves(("a",)) == (("a",), ())
    cuts = apart(halves(HOSTS))
    assert [reached(host, cuts) for host in HOSTS] == ["bc", "ac", "ab", "e", "d"]


def test_a_bridge_reaches_both_sides() -> None:
    cuts = bridge(("a", "b"), "c", ("d", "e"))
    assert [reached(host, cuts) for host in HOSTS] == ["bc", "ac", "abde", "ce", "cd"]


@pytest.mark.parametrize("count", range(1, 14))
def test_on_a_ring_all_see_different_majorities(count: int) -> None:
    """Each counts itself; from four hosts on no two see the same, unless a majority of so few is all of them."""
    hosts = tuple("abcdefghijklm"[:count])
    cuts = ring(hosts)
    seen = [tuple(sorted((host, *reached(host, cuts, hosts)))) for host in hosts]
    assert all(2 * len(one) > count for one in seen)
    assert len(dict.fromkeys(seen)) == (count if cuts else 1)
    assert bool(cuts) == (count > 3)
    assert all((b, a) in cuts for a, b in cuts)


def test_each_its_own() -> None:
    cuts = each_its_own(("a", "b", "c"), ("d", "e"))
    assert [reached(host, cuts) for host in HOSTS] == ["bcd", "ace", "abd", "ace", "bd"]
    assert each_its_own(("a", "b"), ("d",)) == ()


def test_nobody_is_cut_off_from_itself_or_twice() -> None:
    for cuts in (between(HOSTS, ("a", "b")), one_way(HOSTS, HOSTS), apart((HOSTS, ("a",), ("f",))), ring(HOSTS)):
        assert all(a != b for a, b in cuts) and len(dict.fromkeys(cuts)) == len(cuts)
