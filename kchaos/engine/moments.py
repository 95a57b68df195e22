"""A run's story in moments: sentences that belong together, what they changed in the objects, and where the pods are then."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kchaos.engine.concern import Concern
from kchaos.engine.facts import OPAQUE, TOLD, Facts, endpoints, facts
from kchaos.engine.lanes import natural, state_of
from kchaos.engine.story import Sentence
from kchaos.engine.timeline import SAME, THERE, UNPLACED, Change, Moment, Place
from kchaos.history.record import Entry, Mark, Run, Write
from kchaos.history.view import View
from kchaos.models.api.pods import condition
from kchaos.models.api.tree import Obj, get

MOMENTS = 8
CHANGES = 7
"""Of one moment; the others are counted."""
PLACES = 12
"""Nodes of a topology; the others are counted."""
NAMED = 2
"""Objects that changed alike and are named; the others are counted."""
LETTERS = 100
"""Of what is said of one object."""
NEAR_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1e9)
"""Sentences are put together if they are no further apart than this, the first that gives few enough moments."""
SLACK_S = 1.0
"""What nobody tells but a controller does this soon after a sentence belongs to it."""
OFF = {
    "node-power-loss": "off", "zone-power-loss": "off", "out-of-service": "off", "node-pause": "frozen",
    "network-partition": "cut off", "zone-partition": "cut off",
}  # fmt: skip
"""What is said of a node during a fault; of other faults their name."""


class _Group(NamedTuple):
    t: float
    first: int
    last: int
    until: float
    """What happens until then belongs to it."""


class _Snapshot(NamedTuple):
    group: _Group
    changes: list[Change]
    nodes: dict[str, Place]


def moments(run: Run, about: str, told: Sequence[Sentence]) -> tuple[Moment, ...]:
    """Return the moments of a run's story, which is ``told`` about the same (``Kind/namespace/name``)."""
    zero = next((mark.t for mark in run.marks("phase") if mark.data["name"] == "chaos"), 0.0)
    groups = _groups(told)
    reader = _Reader(View(run.header.initial), about)
    shots: list[_Snapshot] = []
    for entry in run.entries:
        while groups and entry.t - zero > groups[0].until:
            shots.append(reader.snapshot(groups.pop(0)))
        reader.take(entry)
    shots += [reader.snapshot(group) for group in groups]
    return tuple(_moments(shots, reader))


def _groups(told: Sequence[Sentence]) -> list[_Group]:
    """Return which sentences make a moment; the first moment is what was before chaos."""
    before = sum(one.t < 0 for one in told)
    for near in NEAR_S:
        out = [_Group(-1.0, 1 if before else 0, before, -1e-9)]
        for number, one in enumerate(told[before:], before + 1):
            if len(out) > 1 and one.t - out[-1].t <= near:
                out[-1] = out[-1]._replace(last=number, until=one.t)
            else:
                out.append(_Group(one.t, number, number, one.t))
        if len(out) <= MOMENTS:
            break
    return [*(one._replace(until=_until(one, after)) for one, after in itertools.pairwise(out)), out[-1]]


def _until(one: _Group, after: _Group) -> float:
    """Return until when what happens belongs to a moment: what follows at once does."""
    return one.until if one.until < 0 else one.until + min(SLACK_S, (after.t - one.until) / 2)


class _Reader:
    def __init__(self, view: View, about: str) -> None:
        self._view = view
        self._concern = Concern(view, about)
        self._first: dict[tuple[str, str], Obj | None] = {}
        """Objects that changed since the last snapshot, as they were then."""
        self._faults: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._pods: dict[str, tuple[str, str]] = {}
        """Pod key -> (node, state)."""
        self._was_ready: dict[str, None] = {}
        self._serving: dict[str, int] = {}
        self._served: dict[str, int] = {}
        """As of the last snapshot."""
        self._answering: dict[str, int] = {}
        self.met: dict[str, None] = {}
        """Nodes that were hit or had pods of it."""
        for key, pod in sorted(view.table("pods").items()):
            self._place(key, pod)

    def take(self, entry: Entry) -> None:
        """Take one entry over."""
        if isinstance(entry, Write):
            if entry.resource in TOLD or entry.resource == "endpointslices":
                self._first.setdefault((entry.resource, entry.key), self._view.get(entry.resource, entry.key))
            if entry.resource == "pods" and entry.type == "DELETED":
                self._pods.pop(entry.key, None)
            elif entry.resource == "pods":
                self._place(entry.key, entry.obj)
        elif entry.what == "members" and self._concern.workload(entry.data["workload"]):
            self._serving[entry.data["workload"]] = int(entry.data["serving"])
        elif entry.what == "fault":
            self._fault(entry)
        self._view.apply(entry)

    def _place(self, key: str, pod: Obj) -> None:
        if not self._concern.pod(pod):
            return
        node = str(pod["spec"].get("nodeName") or UNPLACED)
        state = state_of(pod, key in self._was_ready) if node != UNPLACED else "pending"
        if state == "ready":
            self._was_ready[key] = None
        self._pods[key] = (node, state)
        self.met[node] = None

    def _fault(self, mark: Mark) -> None:
        data, step = mark.data, int(mark.data["step"])
        if data["action"] == "injected":
            target = str(data["args"].get("target", ""))
            hit = tuple(name for name in self._view.table("nodes") if name == target or ((zone := self._zone(name)) and zone == target))
            known = self._faults.get(step, (data["name"], ()))
            self._faults[step] = (known[0], (*known[1], *hit))
            self.met.update(dict.fromkeys(hit))
        elif data["action"] == "healed":
            self._faults.pop(step, None)

    def _zone(self, node: str) -> str:
        labels = get(self._view.get("nodes", node), "metadata", "labels", default={})
        return str(labels.get("topology.kubernetes.io/zone", ""))

    # -- snapshots -------------------------------------------------------------------------------------------------------

    def snapshot(self, group: _Group) -> _Snapshot:
        """Return what changed since the last one, and how all stands."""
        changes = list(self._changes()) if group.until >= 0 else []
        self._first.clear()
        self._served = dict(self._serving)
        nodes: dict[str, dict[str, int]] = {}
        for node, state in self._pods.values():
            counts = nodes.setdefault(node, {})
            counts[state] = counts.get(state, 0) + 1
        hit = {name: fault for fault, names in self._faults.values() for name in names}
        places = {name: self.place(name, nodes.get(name, {}), hit.get(name, "")) for name in {**self.met, **nodes}}
        return _Snapshot(group, changes, places)

    def place(self, name: str, pods: dict[str, int], fault: str = "") -> Place:
        """Return a node as it is."""
        node = self._view.get("nodes", name)
        state = says = ""
        found = condition(node, "Ready") if node is not None else None
        if fault:
            says = OFF.get(fault, fault)
            state = {"off": "off", "frozen": "off", "cut off": "cut"}.get(says, "hit")
        elif found is not None and found["status"] != "True":
            state, says = "notready", "NotReady"
        elif node is not None and node["spec"].get("unschedulable"):
            state, says = "cordoned", "cordoned"
        return Place(name=name, zone=self._zone(name), state=state, says=says, pods=dict(sorted(pods.items())))

    def nodes(self) -> list[str]:
        """Return all nodes, those that had a part in it first."""
        return sorted(self._view.table("nodes"), key=lambda name: (name not in self.met, natural(name)))

    def _changes(self) -> Iterator[Change]:
        for workload, count in self._serving.items():
            served = self._served.get(workload, 0)
            if served != count:
                yield Change(what=f"{_named(workload)}, pods that answer", before=str(served), after=str(count))
        alike: dict[tuple[str, str, str, str], list[str]] = {}
        for (resource, key), old in sorted(self._first.items(), key=lambda one: (_rank(one[0][0]), one[0])):
            new = self._view.get(resource, key)
            obj = new if new is not None else old
            if obj is not None and self._concern.of(resource, obj, self.met):
                kind, name, past, now = _named_facts(resource, obj, old, new)
                for label, before, after in _differing(past, now):
                    alike.setdefault((kind, label, before, after), []).append(name)
        for (kind, label, before, after), names in alike.items():
            yield Change(what=f"{_several(kind, names)}{f', {label}' if label else ''}", before=before, after=after)


def _named_facts(resource: str, obj: Obj, old: Obj | None, new: Obj | None) -> tuple[str, str, Facts | None, Facts | None]:
    """Return kind and name of what a person calls it, and what is to be known of it before and now (None: it is not there)."""
    if resource != "endpointslices":
        past, now = (facts(resource, one) if one is not None else None for one in (old, new))
        return str(obj["kind"]), str(obj["metadata"]["name"]), past, now
    service = str(get(obj, "metadata", "labels", default={}).get("kubernetes.io/service-name", obj["metadata"]["name"]))
    past, now = ({"ready endpoints": str(endpoints(one)) if one is not None else "0"} for one in (old, new))
    return "Service", service, past, now


def _differing(past: Facts | None, now: Facts | None) -> Iterator[tuple[str, str, str]]:
    """Yield (label, before, after) of what differs; of an object that is new or gone its state alone."""
    if past is None or now is None:
        if (past is None) != (now is None):
            yield "", "" if past is None else past.get("", THERE)[:LETTERS], "" if now is None else now.get("", THERE)[:LETTERS]
        return
    for label, after in now.items():
        before = past.get(label, "")
        if before != after:
            yield (label, SAME, "changed") if label in OPAQUE else (label, before[:LETTERS], after[:LETTERS])


def _rank(resource: str) -> int:
    return TOLD.index("services" if resource == "endpointslices" else resource)


def _named(workload: str) -> str:
    kind, _, rest = workload.partition("/")
    return f"{kind} {rest.rpartition('/')[2]}"


def _several(kind: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{kind} {names[0]}"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {kind}s ({', '.join(names[:NAMED])}{more})"


def _moments(shots: Sequence[_Snapshot], reader: _Reader) -> Iterator[Moment]:
    """Yield moments that all show the same nodes, so that one can be held against the other."""
    names = reader.nodes()
    kept = sorted(names[:PLACES], key=natural)
    for shot in shots:
        places = [shot.nodes.get(name) or reader.place(name, {}) for name in kept]
        if UNPLACED in shot.nodes and shot.nodes[UNPLACED].pods:
            places.append(shot.nodes[UNPLACED])
        yield Moment(
            t=round(shot.group.t, 3), first=shot.group.first, last=shot.group.last, changes=tuple(shot.changes[:CHANGES]),
            more=max(0, len(shot.changes) - CHANGES), places=tuple(places), elsewhere=len(names) - len(kept),
        )  # fmt: skip
