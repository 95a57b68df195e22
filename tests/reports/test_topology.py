"""The small topology: every pod is a mark or counted, nothing sticks out, and words say the same."""

from __future__ import annotations

import pytest

from kchaos.engine.timeline import UNPLACED, Moment, Place
from kchaos.reports.topology import ORDER, WIDTH, shape, states, topologies


def moment(nodes: int, zones: int, pods: int = 1, says: str = "") -> Moment:
    """Return one with equal nodes."""
    counts = {"ready": pods} if pods else {}
    places = [
        Place(name=f"node-{n}", zone=f"zone-{n % zones}" if zones else "", state="off" if says else "", says=says, pods=counts)
        for n in range(nodes)
    ]
    return Moment(t=0.0, places=(*places, Place(name=UNPLACED, pods={"pending": 2})), elsewhere=3)


@pytest.mark.parametrize("zones", [0, 1, 3, 5])
@pytest.mark.parametrize("nodes", [1, 6, 12])
def test_all_nodes_are_drawn(nodes: int, zones: int) -> None:
    """Once each, inside the picture, none over another."""
    (found,) = topologies([moment(nodes, zones)])
    boxes = [one for one in found.rects if one.kind.startswith("node")]
    assert len(boxes) == nodes and len(found.marks) == nodes + 2
    for one in boxes:
        assert one.x >= 0 and one.x + one.width <= WIDTH and one.y + one.height <= found.height
        others = [two for two in boxes if two is not one]
        assert all(
            one.x + one.width <= two.x or two.x + two.width <= one.x or one.y + one.height <= two.y or two.y + two.height <= one.y
            for two in others
        )


def test_many_pods_are_counted() -> None:
    """A hundred on a node are a few marks and a number."""
    (found,) = topologies([moment(3, 3, pods=100)])
    per_node = (len(found.marks) - 2) // 3
    assert [one.text for one in found.labels if one.text.startswith("+")] == [f"+{100 - per_node}"] * 3


def test_words_say_the_same() -> None:
    """Nodes with pods or trouble, pods on no node, and how many other nodes there are."""
    (found,) = topologies([moment(2, 2, says="off")])
    assert found.words == "node-0 (zone-0): off; 1 ready. node-1 (zone-1): off; 1 ready. on no node: 2. 3 other nodes without pods of it"


def test_states_differ_in_shape() -> None:
    """Of the states in use each has its own mark, but for rings, of which one is dashed and the other filled."""
    pods = dict.fromkeys(ORDER, 1)
    found = states([Moment(t=0.0, places=(Place(name="a", pods=pods),))])
    assert [state for state, _, _ in found] == list(ORDER)
    assert len({shape(state, 0, 0) for state in ORDER}) == 4
