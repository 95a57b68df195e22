"""The moments of a story: which sentences belong together, what changed, where the pods are."""

from __future__ import annotations

import msgspec
import pytest

from kchaos.check.verdict import Finding
from kchaos.engine import moments as moments_
from kchaos.engine.moments import CHANGES, MOMENTS, PLACES
from kchaos.engine.result import Result
from kchaos.engine.timeline import SAME, Change, Moment, Place
from tests.support import GUESTBOOK, ask


@pytest.fixture(scope="module")
def result() -> Result:
    """A lost node of an application of six pods."""
    return ask([GUESTBOOK], faults="node-power-loss", budget="7").result


@pytest.fixture(scope="module")
def lost(result: Result) -> tuple[Finding, tuple[Moment, ...]]:
    """The only pod of a Deployment is on it."""
    finding = next(one for one in result.findings if one.id == "KC202")
    return finding, result.timelines[finding.fingerprint].moments


def words(one: Moment) -> list[str]:
    """Return the changes of a moment."""
    return [f"{change.what}: {change.words()}" for change in one.changes]


def test_every_sentence_is_in_one_moment(result: Result) -> None:
    """In order, none twice; times go up; the first moment is before the faults."""
    for finding in result.findings:
        if finding.fingerprint in result.timelines:
            found = result.timelines[finding.fingerprint].moments
            numbers = [n for one in found if one.first for n in range(one.first, one.last + 1)]
            assert numbers == list(range(1, len(finding.story) + 1))
            assert found[0].t < 0 <= found[1].t and list(found) == sorted(found, key=lambda one: one.t)
            assert len(found) <= MOMENTS and all(len(one.changes) <= CHANGES and len(one.places) <= PLACES + 1 for one in found)


def test_a_lost_node(lost: tuple[Finding, tuple[Moment, ...]]) -> None:
    """Nobody answers at once; the API notices later; a new pod elsewhere; the node comes back."""
    finding, found = lost
    name = finding.object.rpartition("/")[2]
    node = finding.fault.rpartition(" ")[2]

    def place(one: Moment) -> Place:
        return next(place for place in one.places if place.name == node)

    assert not found[0].changes and place(found[0]) == Place(name=node, zone=place(found[0]).zone, pods={"ready": 1})
    assert words(found[1])[0] == f"Deployment {name}, pods that answer: 1 → 0"
    assert (place(found[1]).state, place(found[1]).says, place(found[1]).pods) == ("off", "off", {"ready": 1})
    noticed = next(one for one in found if f"Node {node}: Ready → Unknown" in words(one))
    assert f"Service {name}, ready endpoints: 1 → 0" in words(noticed)
    assert any("new: starting on" in line for one in found for line in words(one))
    assert any(f"Node {node}: Unknown → Ready" in words(one) for one in found)
    assert place(found[-1]).state == "" and not any("redis-replica" in line for one in found for line in words(one))


def test_places_stay(lost: tuple[Finding, tuple[Moment, ...]]) -> None:
    """All moments show the same nodes in the same order."""
    shown = [[place.name for place in one.places if place.name != "no node"] for one in lost[1]]
    assert all(one == shown[0] for one in shown) and len(shown[0]) == 6


def test_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less room: fewer moments, changes and nodes, and how many are left out."""
    for name, least in (("MOMENTS", 3), ("CHANGES", 1), ("PLACES", 2)):
        monkeypatch.setattr(moments_, name, least)
    result = ask([GUESTBOOK], faults="node-power-loss", budget="7").result
    finding = next(one for one in result.findings if one.id == "KC202")
    found = result.timelines[finding.fingerprint].moments
    assert len(found) <= 3 and any(one.more for one in found) and all(one.elsewhere == 4 for one in found)
    hit = finding.fault.rpartition(" ")[2]
    assert any(place.name == hit for place in found[0].places)
    assert msgspec.json.decode(result.to_json(), type=Result).timelines == result.timelines


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Change(what="Pod a", before="Running", after="Terminating"), "Running → Terminating"),
        (Change(what="Pod a", after="Running"), "new: Running"),
        (Change(what="Pod a", before="Terminating"), "Terminating → gone"),
        (Change(what="ReplicaSet a", after="there"), "new"),
        (Change(what="ReplicaSet a", before="there"), "gone"),
        (Change(what="Deployment a, template", before=SAME, after="changed"), "changed"),
    ],
)
def test_changes_in_words(change: Change, says: str) -> None:
    """As short as can be."""
    assert change.words() == says
