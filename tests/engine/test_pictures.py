"""Timelines: nodes, pods, faults and the moment of the violation, as small as a picture needs."""

from __future__ import annotations

import msgspec
import pytest

from kchaos.engine import lanes, pictures
from kchaos.engine.pictures import TIMELINES
from kchaos.engine.result import Result
from kchaos.engine.timeline import Timeline
from tests.support import GUESTBOOK, SITUATIONS, ask


@pytest.fixture(scope="module")
def blocked() -> Timeline:
    """The picture of a drain that never ends."""
    result = ask([SITUATIONS / "budget-blocks-drain.yaml"], faults="drain", budget="4").result
    return result.timelines[result.findings[0].fingerprint]


def test_a_drain_that_never_ends(blocked: Timeline) -> None:
    """Its step, its band on the node's lane, the pod that stays ready there, and the refusal."""
    (band,) = blocked.bands
    assert blocked.steps == (f"at 0 s: {band.label}",)
    lane = next(lane for lane in blocked.lanes if lane.name in band.lanes)
    assert {part.state for bar in lane.bars for part in bar.parts} == {"ready"}
    assert any(tick.refused and "the eviction of" in tick.text and "refused" in tick.text for tick in blocked.ticks)
    assert blocked.start_s < 0 <= blocked.violated_s <= band.end <= blocked.end_s


def test_times_fit() -> None:
    """Parts of a pod follow each other; nothing is outside the picture; the outage begins when nobody answers."""
    result = ask([GUESTBOOK], faults="node-power-loss", budget="6").result
    finding = next(one for one in result.findings if one.id == "KC202")
    found = result.timelines[finding.fingerprint]
    for lane in found.lanes:
        for bar in lane.bars:
            assert bar.parts[0].start >= found.start_s and bar.parts[-1].end <= found.end_s
            assert all(one.end == two.start for one, two in zip(bar.parts, bar.parts[1:], strict=False))
    assert (found.curves[0].of, found.curves[0].label) == (finding.object, pictures.ANSWERING)
    assert (found.violated_s, 0.0) in found.curves[0].points
    services = [one for one in found.curves if one.label == pictures.LOST]
    assert services and all(max(value for _, value in one.points) > 0 for one in services)
    assert any("of other objects" in one for one in found.left_out)
    assert len(result.timelines) <= TIMELINES
    assert msgspec.json.decode(result.to_json(), type=Result).timelines == result.timelines


def test_too_much_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less room than there are things, the picture stays within it and says so."""
    for module, name, least in (
        (lanes, "LANES", 1), (lanes, "STRETCHES", 2), (lanes, "PARTS", 2), (pictures, "TICKS", 2), (pictures, "POINTS", 2),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, least)
    result = ask([GUESTBOOK], faults="node-power-loss", budget="6").result
    found = result.timelines[next(one.fingerprint for one in result.findings if one.id == "KC202")]
    assert len([lane for lane in found.lanes if lane.name != "no node"]) == 1
    assert all(len(bar.parts) <= 2 for lane in found.lanes for bar in lane.bars)
    assert any("more nodes" in one for one in found.left_out) and any("ticks" in one for one in found.left_out)
