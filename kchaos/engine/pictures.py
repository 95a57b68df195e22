"""From runs to timelines: what the picture of a finding shows, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kchaos.check.verdict import Finding
from kchaos.engine.cases import call_of
from kchaos.engine.lanes import LANES, LONG, Lanes
from kchaos.engine.measure import DEFAULT_RATE
from kchaos.engine.moments import moments
from kchaos.engine.replays import Replay
from kchaos.engine.timeline import Band, Curve, Tick, Timeline
from kchaos.history.record import Mark, Run, Write
from kchaos.history.view import View
from kchaos.models.api.pods import condition, terminating

TIMELINES = 5
"""Findings that get one, the worst first."""
BANDS = 10
TICKS = 30
CURVES = 4
POINTS = 150
"""Of all curves together: each has its share."""
ANSWERING, LOST = "pods that answer", "requests lost per second"
SAID = 160
"""Letters of a text in a picture."""
_MOMENTS = ("pod-kill", "container-kill", "oom-kill")
"""Faults that are over as soon as they are done: their healing means nothing."""


def timeline(replay: Replay, finding: Finding, rates: Mapping[str, float]) -> Timeline:
    """Return the picture of a finding's run. ``rates``: requests per second of Services, where they are not the default."""
    found = _Reader(replay.run, finding, rates).read(tuple(call_of(step) for step in replay.scenario.steps))
    return msgspec.structs.replace(found, moments=moments(replay.run, finding.object, replay.sentences))


class _Reader:
    def __init__(self, run: Run, finding: Finding, rates: Mapping[str, float]) -> None:
        self._run = run
        self._about = finding.object
        self._rates = rates
        self._view = View(run.header.initial)
        self._lanes = Lanes(self._view, finding.object)
        self._zero = next((mark.t for mark in run.marks("phase") if mark.data["name"] == "chaos"), 0.0)
        self._violated = max(0.0, finding.t - self._zero)
        self._down = "outage_s" in finding.figures
        self._faults: dict[int, Band] = {}
        self._ticks: list[Tick] = []
        self._points: dict[str, list[tuple[float, float]]] = {}
        """Pods that answer, by workload."""
        self._losses: dict[str, list[tuple[float, float]]] = {}
        """Requests lost per second, by Service (namespace/name)."""
        self._left_out: list[str] = []
        self._last = 0.0
        """When something that the picture shows happened last."""

    def read(self, steps: tuple[str, ...]) -> Timeline:
        final = self._zero
        for entry in self._run.entries:
            final = entry.t
            if isinstance(entry, Write):
                self._write(entry)
            else:
                self._mark(entry)
            self._view.apply(entry)
        over = round(final - self._zero, 3)
        self._violated = round(self._began(), 3)
        seen = max(self._last, self._violated)
        end = min(max(over, self._violated), seen + max(3.0, 0.08 * seen))
        start = -max(1.0, 0.04 * end)
        hit = {name: None for band in self._faults.values() for name in band.lanes}
        lanes = self._lanes.lanes(hit, start, end)
        self._left_out += self._lanes.left_out
        return Timeline(
            steps=steps, start_s=round(start, 3), end_s=round(end, 3), violated_s=self._violated, lanes=lanes, bands=self._bands(end),
            ticks=self._few_ticks(end), curves=self._curves(start, end), left_out=tuple(self._left_out),
        )  # fmt: skip

    def _began(self) -> float:
        """Return when it was first to be seen that the property is violated: its own time may be that of the fault."""
        losses = self._losses.get(self._about.partition("/")[2], ()) if self._about.startswith("Service/") else ()
        points = self._points.get(self._about, ()) if self._down else ()
        bad = [t for t, lost in losses if lost] + [t for t, serving in points if not serving]
        return min((t for t in bad if t >= self._violated), default=self._violated)

    # -- entries ---------------------------------------------------------------------------------------------------------

    def _write(self, entry: Write) -> None:
        t = entry.t - self._zero
        if entry.resource == "nodes":
            self._lanes.nodes.setdefault(entry.key, "")
            self._node(entry, t)
        elif entry.resource == "pods" and self._lanes.mine(entry.obj):
            if entry.type == "DELETED":
                self._lanes.gone(t, entry.key)
                self._last = max(self._last, t)
            elif self._lanes.saw(t, entry.key, entry.obj):
                self._last = max(self._last, t)
            if t >= 0:
                self._decided(entry, t)

    def _node(self, entry: Write, t: float) -> None:
        old = condition(entry.prev, "Ready") if entry.prev else None
        new = condition(entry.obj, "Ready")
        if t < 0 or old is None or new is None or old["status"] == new["status"]:
            return
        self._tick(t, f"{entry.key} is {'Ready again' if new['status'] == 'True' else 'found not Ready'}", new["status"] != "True")

    def _decided(self, entry: Write, t: float) -> None:
        name = entry.obj["metadata"]["name"]
        if entry.actor in ("kubelet", ""):
            return
        if entry.type == "ADDED":
            self._tick(t, f"{entry.actor} makes {name}")
        elif entry.type == "DELETED" or (entry.prev is not None and terminating(entry.obj) and not terminating(entry.prev)):
            self._tick(t, f"{entry.actor} deletes {name}")
        elif entry.prev is not None and entry.obj["spec"].get("nodeName") and not entry.prev["spec"].get("nodeName"):
            self._tick(t, f"{entry.actor} places {name} on {entry.obj['spec']['nodeName']}")

    def _tick(self, t: float, text: str, refused: bool = False) -> None:
        self._ticks.append(Tick(t=round(t, 3), text=text[:SAID], refused=refused))
        self._last = max(self._last, t)

    def _mark(self, mark: Mark) -> None:
        t, data = mark.t - self._zero, mark.data
        if mark.what == "fault":
            self._fault(data, t)
        elif mark.what == "members" and self._lanes.concern.workload(data["workload"]):
            self._points.setdefault(data["workload"], []).append((t, float(data["serving"])))
            self._last = max(self._last, t)
        elif mark.what == "operation" and data["state"] in ("blocked", "refused", "given up") and t >= 0:
            who = (
                f"the eviction of {data['pod'].partition('/')[2]}"
                if data["state"] == "blocked"
                else f"the {data['what']} of {data['target']}"
            )
            self._tick(t, f"{who} is {'given up' if data['state'] == 'given up' else 'refused'}", True)
        elif mark.what == "traffic" and data["lost"] and self._lanes.concern.service(data["service"]):
            rate = self._rates.get(data["service"], DEFAULT_RATE)
            self._losses.setdefault(data["service"], [])
            self._losses[data["service"]] += [
                (data["start"] - self._zero, sum(data["lost"].values()) * rate),
                (data["end"] - self._zero, 0.0),
            ]
            self._last = max(self._last, data["end"] - self._zero)

    def _fault(self, data: dict[str, Any], t: float) -> None:
        step = int(data["step"])
        before = self._faults.get(step)
        if data["action"] == "injected":
            target = str(data["args"].get("target", ""))
            hit = (
                (target,)
                if target in self._lanes.nodes
                else tuple(name for name, zone in self._lanes.nodes.items() if zone and zone == target)
            )
            if before is None:
                end = t if data["name"] in _MOMENTS else LONG
                self._faults[step] = Band(label=f"{data['name']} of {target}"[:SAID], start=t, end=end, lanes=hit)
            else:
                more = f"{before.label.removesuffix(' …')} …"
                self._faults[step] = msgspec.structs.replace(before, label=more, lanes=(*before.lanes, *hit))
        elif data["action"] == "healed" and before is not None and before.end > t:
            self._faults[step] = msgspec.structs.replace(before, end=t)
        self._last = max(self._last, t)

    # -- few enough ------------------------------------------------------------------------------------------------------

    def _bands(self, end: float) -> tuple[Band, ...]:
        found = sorted(self._faults.values(), key=lambda band: (band.start, band.label))
        if len(found) > BANDS:
            self._left_out.append(f"{len(found) - BANDS} faults")
        return tuple(
            msgspec.structs.replace(one, start=round(one.start, 3), end=round(min(one.end, end), 3), lanes=one.lanes[:LANES])
            for one in found[:BANDS]
        )

    def _few_ticks(self, end: float) -> tuple[Tick, ...]:
        """Return what happened close together as one tick."""
        near, out = end / TICKS, list[Tick]()
        for bucket in _together(self._ticks, near):
            texts = list(dict.fromkeys(one.text for one in bucket))
            more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
            out.append(Tick(t=bucket[0].t, text=f"{'; '.join(texts[:3])}{more}"[:SAID], refused=any(one.refused for one in bucket)))
        if len(out) < len(self._ticks):
            self._left_out.append(f"ticks closer together than {near:.1f} s: they are drawn as one")
        return tuple(out)

    def _curves(self, start: float, end: float) -> tuple[Curve, ...]:
        """Return what is counted over time: of the object at fault first, then of those that it shares its fate with, the worst first."""
        found = [Curve(of=name, label=ANSWERING, points=tuple(_changes(points, end))) for name, points in self._points.items()]
        found += [
            Curve(of=f"Service/{name}", label=LOST, points=tuple(_changes([(-LONG, 0.0), *sorted(losses)], end)))
            for name, losses in self._losses.items()
        ]  # fmt: skip
        found = [one for one in found if one.of == self._about or len(one.points) > 1]
        found.sort(key=lambda one: (one.of != self._about, one.label, _badness(one), one.of))
        if len(found) > CURVES:
            self._left_out.append(f"{len(found) - CURVES} curves of other workloads and Services")
        shown = found[:CURVES]
        return tuple(self._drawn(one, start, end, POINTS // len(shown)) for one in shown)

    def _drawn(self, curve: Curve, start: float, end: float, most: int) -> Curve:
        """Return a curve with few enough points; of those too close together the worst is drawn."""
        points = list(curve.points)
        if len(points) > most:
            self._left_out.append(f"changes of the curve of {curve.of} closer together than {end / most:.1f} s: the worst of them is drawn")
            worst = min if curve.label == ANSWERING else max
            points = [(at, worst(values)) for at, values in _bucketed(points, end / most)]
        return msgspec.structs.replace(curve, points=tuple((round(max(t, start), 3), round(value, 3)) for t, value in points))


def _badness(curve: Curve) -> float:
    """Return what sorts curves, the worst first: least of those that answer, most of those that are lost."""
    values = [value for _, value in curve.points]
    return min(values) if curve.label == ANSWERING else -max(values)


def timelines(findings: Sequence[Finding], replays: Mapping[str, Replay], rates: Mapping[str, float]) -> dict[str, Timeline]:
    """Return those of the worst findings that have a run, by fingerprint."""
    shown = [one for one in findings if one.fingerprint in replays and not one.accepted][:TIMELINES]
    return {one.fingerprint: timeline(replays[one.fingerprint], one, rates) for one in shown}


def _together(ticks: Sequence[Tick], near: float) -> Iterator[list[Tick]]:
    bucket: list[Tick] = []
    for one in ticks:
        if bucket and one.t - bucket[0].t > near:
            yield bucket
            bucket = []
        bucket.append(one)
    if bucket:
        yield bucket


def _changes(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return steps without those that change nothing, and of one moment only the last."""
    out: list[tuple[float, float]] = []
    for t, value in points:
        if t > end:
            break
        if out and out[-1][0] == t:
            out.pop()
        if not out or out[-1][1] != value:
            out.append((t, value))
    return out


def _bucketed(points: Sequence[tuple[float, float]], width: float) -> Iterator[tuple[float, list[float]]]:
    at, values = points[0][0], [points[0][1]]
    for t, value in points[1:]:
        if t - at > width:
            yield at, values
            at, values = t, []
        values.append(value)
    yield at, values
