"""A story tells which packets were lost between which nodes and why, and how many requests that came to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kchaos.engine.packets import Losses, lost_paths, whole
from kchaos.engine.story import story
from kchaos.models.cluster import Cluster
from tests.support import SITUATIONS, one, step, system_of

ZONES = {"n1": "za", "n2": "zb", "n3": "za", "n4": "zb"}


def _both(pairs: list[tuple[str, str]], why: str) -> list[list[str]]:
    return [[a, b, why.format(a, b)] for pair in pairs for a, b in (pair, pair[::-1])]


def test_a_zone_that_is_cut_off_is_told_in_one_sentence() -> None:
    across = [(a, b) for a in ("n1", "n3") for b in ("n2", "n4")]
    assert list(lost_paths(_both(across, "the link from {} to {} is cut"), ZONES)) == [
        "packets between pods on za (n1, n3) and pods on zb (n2, n4) are lost: the links between them are cut"
    ]


def test_a_cut_in_one_direction_loses_requests_and_answers() -> None:
    lost = [["n1", "n2", "the link from n1 to n2 is cut"], ["n2", "n1", "the answer: the link from n1 to n2 is cut"]]
    assert list(lost_paths(lost, ZONES)) == ["packets between pods on n1 and pods on n2 are lost: the link from n1 to n2 is cut"]
    lost += [["n1", "n4", "the link from n1 to n4 is cut"], ["n4", "n1", "the answer: the link from n1 to n4 is cut"]]
    (found,) = lost_paths(lost, ZONES)
    assert found.endswith("the links from n1 to n2, n4 are cut, so neither requests nor answers pass")


def test_several_causes_are_told_apart() -> None:
    lost = _both([("n1", "n2"), ("n1", "n3")], "overlay packets are lost at n1") + _both([("n2", "n4")], "no ARP entry on n2")
    assert list(lost_paths(lost, ZONES)) == [
        "packets between pods on n1 and pods on n2, n3 are lost: overlay packets are lost at n1",
        "packets between pods on n2 and pods on n4 are lost: no ARP entry on n2",
    ]
    assert list(lost_paths([], ZONES)) == ["packets between pods of all nodes arrive again"]


def test_losses_are_requests_by_reason_and_way() -> None:
    losses = Losses()
    mark = {"service": "shop/web", "start": 0.0, "end": 30.0, "rate": 4.0, "lost": {"timeout": 0.5, "dns": 0.25}}
    losses.add({**mark, "ways": [["n2", "n1", "timeout", 0.5]]}, 10.0)
    losses.add({**mark, "service": "shop/api", "lost": {"refused": 0.5}}, 10.0)
    losses.add({**mark, "service": "shop/db", "lost": {"refused": 0.5}}, 10.0)
    losses.add({**mark, "start": 0.0, "end": 5.0}, 10.0)
    assert list(losses.tell(ZONES)) == [
        "Service shop/web lost 60 requests: 40 no answer, 20 no address: every try of a look-up reached a dead DNS replica"
        " (40 from n2 to its pods on n1)",
        "Services shop/api, shop/db lost, each, 40 requests, refused: nothing listens",
    ]


WEB = (SITUATIONS / "endpoint-race.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fault", "target", "says"),
    [
        ("overlay-loss", "node-1", ["packets between pods on node-1 and pods on node-2, node-3 are lost: overlay packets are lost at node-1",
                                    "packets between pods of all nodes arrive again", "lost between nodes ("]),
        ("lease-lost", "node-1", ["has no route to them but by its gateway", "lost between nodes ("]),
        ("dns-replica-dead", "cluster", ["1 of 2 DNS replicas does not answer: 25 % of look-ups fail", "look-ups of names succeed again",
                                         "no address: every try of a look-up reached a dead DNS replica"]),
        ("one-way-to-masters", "node-1", ["messages to and from the control plane until it was over"]),
    ],
)  # fmt: skip
def test_a_story_tells_what_was_lost_where(fault: str, target: str, says: list[str]) -> None:
    text = "\n".join(story(one(system_of(WEB, nodes=3, zones=1), step(fault, target)).run))
    for sentence in says:
        assert sentence in text, text


def test_a_cut_between_nodes_shows_in_the_paths_of_packets() -> None:
    """Whoever cuts links says so by `traffic_changed`, as for all that decides the fate of requests."""
    cluster = Cluster(system_of(WEB, nodes=3, zones=1).topology)
    try:
        cluster.run_for(10.0)
        assert cluster.network.path("node-1", "node-2") == ""
        cluster.world.network.cut("node-2", "node-1")
        cluster.traffic_changed()
        assert cluster.network.path("node-2", "node-1") == "the link from node-2 to node-1 is cut"
        assert cluster.network.path("node-1", "node-2") == "the answer: the link from node-2 to node-1 is cut"
        assert cluster.network.path("node-1", "node-3") == ""
        cluster.world.network.heal("node-2", "node-1")
        cluster.traffic_changed()
        assert cluster.network.path("node-2", "node-1") == ""
        assert not cluster.network.touched, "no table was changed: nothing to look over at the end"
    finally:
        cluster.close()


@given(st.lists(st.floats(0, 1e4), max_size=6))
def test_parts_add_up_to_the_sum(parts: list[float]) -> None:
    """Each is off by less than one; "lost 244: 240 and 3" would leave a reader to wonder."""
    told = whole(parts)
    assert sum(told) == round(sum(parts))
    assert all(abs(one - part) < 1 + 1e-9 for one, part in zip(told, parts, strict=True))
