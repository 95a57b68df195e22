"""Lanes of a timeline: which pods of the object at fault were on which node, and in what state they were, as few as a picture needs."""

from __future__ import annotations

from collections.abc import Collection

from kchaos.engine.concern import Concern
from kchaos.engine.timeline import UNPLACED, Bar, Lane, Part
from kchaos.history.view import View
from kchaos.models.api.pods import ended, ready, terminating
from kchaos.models.api.tree import Obj, get

LANES = 8
BARS = 10
"""Pods on one lane."""
PARTS = 16
"""Stretches of one pod."""
STRETCHES = 160
"""Stretches of all pods together; each lane has its share of them."""
LONG = 1e9
"""Seconds: before everything, or after it."""


class Lanes:
    """Follows pods. ``about``: the object at fault, whose pods are shown; all pods are if it is neither a workload nor a Service."""

    def __init__(self, view: View, about: str) -> None:
        self.concern = Concern(view, about)
        self._open: dict[tuple[str, str], list[Part]] = {}
        self._bars: dict[str, list[Bar]] = {}
        self.nodes: dict[str, str] = {}
        """The zone of each node."""
        self.left_out: list[str] = []
        for name, node in view.table("nodes").items():
            self.nodes[name] = str(get(node, "metadata", "labels", default={}).get("topology.kubernetes.io/zone", ""))
        for key, pod in sorted(view.table("pods").items()):
            self.saw(-LONG, key, pod)
        others = sum(not self.mine(pod) for pod in view.table("pods").values())
        if others:
            self.left_out.append(f"{others} pod{'s' if others > 1 else ''} of other objects")

    def mine(self, pod: Obj) -> bool:
        """Tell whether a pod is of the object that the finding is about."""
        return self.concern.pod(pod)

    def saw(self, now: float, key: str, pod: Obj) -> bool:
        """Take a pod's state over: tell whether something else begins."""
        if not self.mine(pod):
            return False
        node = str(pod["spec"].get("nodeName") or UNPLACED)
        if node != UNPLACED and (key, UNPLACED) in self._open:
            self._close((key, UNPLACED), now)
        parts = self._open.get((key, node))
        state = state_of(pod, any(part.state == "ready" for part in parts or ())) if node != UNPLACED else "pending"
        if parts is None:
            self._open[(key, node)] = [Part(now, LONG, state)]
        elif parts[-1].state != state:
            parts[-1] = Part(parts[-1].start, now, parts[-1].state)
            parts.append(Part(now, LONG, state))
        else:
            return False
        return True

    def gone(self, now: float, key: str) -> None:
        """Take over that a pod is deleted."""
        for owner in [one for one in self._open if one[0] == key]:
            self._close(owner, now)

    def _close(self, owner: tuple[str, str], now: float) -> None:
        parts = self._open.pop(owner)
        parts[-1] = Part(parts[-1].start, now, parts[-1].state)
        if parts[-1].end - parts[0].start >= 0.05 or len(parts) > 1:
            self._bars.setdefault(owner[1], []).append(Bar(pod=owner[0].partition("/")[2], parts=tuple(parts)))

    def lanes(self, hit: Collection[str], start: float, end: float) -> tuple[Lane, ...]:
        """Return the lanes between two times. ``hit``: nodes that faults were done to, which are shown before others."""
        for owner in list(self._open):
            self._close(owner, end)
        names = [name for name in sorted(self.nodes, key=natural) if name in self._bars or name in hit]
        names.sort(key=lambda name: (name not in hit, name not in self._bars))
        kept = sorted(names[:LANES], key=natural) + ([UNPLACED] if UNPLACED in self._bars else [])
        if len(names) > LANES:
            self.left_out.append(f"{len(names) - LANES} more nodes that have pods of it or were hit")
        idle = len(self.nodes) - len(names)
        if idle:
            self.left_out.append(f"{idle} node{'s' if idle > 1 else ''} without a part in it")
        out = [self._lane(name, start, end, STRETCHES // len(kept)) for name in kept]
        more = sum(lane.more for lane in out)
        if more:
            self.left_out.append(f"{more} pods on full lanes")
        return tuple(out)

    def _lane(self, name: str, start: float, end: float, share: int) -> Lane:
        within = [bar for bar in self._bars.get(name, ()) if bar.parts[0].start < end and bar.parts[-1].end > start]
        found = sorted(within, key=lambda bar: (bar.parts[0].start, bar.pod))
        bars: list[Bar] = []
        for bar in found[:BARS]:
            parts = [
                Part(round(max(start, p.start), 3), round(min(end, p.end), 3), p.state)
                for p in bar.parts if p.start < end and p.end > start
            ]  # fmt: skip
            if len(parts) > PARTS:
                parts = [*parts[: PARTS - 1], Part(parts[PARTS - 1].start, parts[-1].end, "changing")]
                self.left_out.append(f"what {bar.pod} went through after its first {PARTS - 1} changes")
            if bars and share < len(parts):
                break
            share -= len(parts)
            bars.append(Bar(pod=bar.pod, parts=tuple(parts)))
        return Lane(name=name, zone=self.nodes.get(name, ""), bars=tuple(bars), more=len(found) - len(bars))


def state_of(pod: Obj, was_ready: bool) -> str:
    """Return the state of a pod on a node, as the API shows it."""
    if ended(pod):
        return "ended"
    if terminating(pod):
        return "terminating"
    if ready(pod):
        return "ready"
    return "unready" if was_ready else "starting"


def natural(name: str) -> tuple[str, int, str]:
    """Return what sorts node-10 after node-9."""
    head = name.rstrip("0123456789")
    tail = name[len(head) :]
    return head, int(tail) if tail and len(tail) < 10 else 0, name
