"""A log of watch events to what is judged: milestones in order, status sequences, lives of pods, events, writes, final states."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from kchaos.models.api.tree import Obj
from kchaos.models.conform.facets import NUMBERS, endpoints, facets, milestones, settles
from kchaos.models.conform.names import Names
from kchaos.models.conform.projection import canonical, project

SETTLE_S = 0.3
"""A status value that lasts less is transient and not judged."""
BATCH_S = 0.7
SKIPPED = ("Event", "Endpoints", "Lease", "Secret", "StorageClass", "PriorityClass")
_STARTS_AT = ("spec.replicas", "hard", "revision", "controller", "data")


class Milestone(NamedTuple):
    """Something that happened to a role; ``place``: where in the log."""

    t: float
    role: str
    text: str
    place: int


class Observed:
    """Everything that is judged, computed from one log."""

    def __init__(self, lines: Sequence[Obj], steps: Sequence[Obj], until_s: float) -> None:
        self.names = Names()
        self.milestones: list[Milestone] = []
        self.sequences: dict[str, list[str]] = defaultdict(list)
        self.events: dict[str, list[str]] = defaultdict(list)
        self.writes: Counter[str] = Counter()
        self._lives: dict[str, list[tuple[float, str, str, int]]] = defaultdict(list)
        self._until_s = until_s
        self._state: dict[str, dict[str, Any]] = {}
        self._objects: dict[str, Obj] = {}
        self._history: dict[tuple[str, str], list[tuple[float, int, str, Any]]] = {}
        self._tuples: dict[str, list[tuple[float, int, str, str | None]]] = {}
        self._place = 0
        self._read(lines, steps)
        self._finish()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read(self, lines: Sequence[Obj], steps: Sequence[Obj]) -> None:
        done = {line["step"]: line["t"] for line in lines if "step" in line}
        waiting = [(float(str(done.get(index, step["at_s"]))), str(index)) for index, step in enumerate(steps)]
        marks: list[Milestone] = []
        notices: list[tuple[float, str, Obj]] = []
        for line in lines:
            if "object" not in line:
                if "actor" in line:
                    self._written(line)
                continue
            t, obj = line["t"], line["object"]
            self._place += 1
            while waiting and waiting[0][0] <= t:
                at, index = waiting.pop(0)
                marks.append(Milestone(at, "step", index, self._place))
            if obj["kind"] == "Event":
                notices.append((t, line["type"], obj))
            elif obj["kind"] not in SKIPPED and t <= self._until_s:
                self._seen(t, line["type"], obj)
        self._place += 1
        marks += [Milestone(at, "step", index, self._place) for at, index in waiting]
        self.milestones += marks
        self._notices(notices)

    def _written(self, line: Obj) -> None:
        code = line.get("code", 200)
        if not 0 <= line["t"] <= self._until_s or code in (404, 409) or line["actor"] in ("user", "kubelet", "recorder"):
            return
        self.writes[f"{line['actor']} {line['verb']} {line['resource']}" + ("" if code < 300 else f" -> {code}")] += 1

    def _seen(self, t: float, kind_of_event: str, obj: Obj) -> None:
        role, uid, kind = self.names.of(obj), obj["metadata"]["uid"], obj["kind"]
        if kind_of_event == "DELETED":
            self._gone(t, role, uid, kind, obj)
            return
        new = facets(obj)
        old = self._state.get(uid)
        self._state[uid], self._objects[uid] = new, obj
        if old is None:
            self._first(t, role, uid, kind, new, kind_of_event == "ADDED")
        else:
            for facet in {**old, **new}:
                if settles(kind, facet) and old.get(facet) != new.get(facet):
                    self._history.setdefault((uid, facet), [(-1.0, -1, role, None)]).append((t, self._place, role, new.get(facet)))
            if t >= 0:
                for text in milestones(_plain(kind, old), _plain(kind, new)):
                    self._add(t, role, text, uid)
        self._tuple(t, role, obj, uid)

    def _first(self, t: float, role: str, uid: str, kind: str, new: dict[str, Any], added: bool) -> None:
        if t < 0:
            for facet in new:
                if settles(kind, facet):
                    self._history[(uid, facet)] = [(t, self._place, role, new[facet])]
            return
        if added:
            self._add(t, role, "created", uid)
        base: dict[str, Any] = {}
        if kind == "Pod":
            base = {"ready": False, "scheduled": False, "phase": None, "controller": None}
        elif kind == "Node":
            base = dict(new) if added else {"Ready": "True/KubeletReady"}
        elif kind == "Namespace":
            base = dict(new)
        for facet, value in new.items():
            if value in (0, False, None) or facet.startswith(("finalizer ", "hard ")) or facet in _STARTS_AT or settles(kind, facet):
                base[facet] = value
            if settles(kind, facet):
                self._history[(uid, facet)] = self._begin(t, role, facet, value)
        for text in milestones(base, new):
            self._add(t, role, text, uid)

    def _begin(self, t: float, role: str, facet: str, value: Any) -> list[tuple[float, int, str, Any]]:
        """Return the history of a settled facet of a new object: numbers come from 0, what the user wrote is no change."""
        given = facet in ("spec.replicas", "endpoints") or facet.startswith("used ")
        before = 0 if isinstance(value, int) and facet != "spec.replicas" else value if given else None
        out = [(t, self._place, role, before)]
        if facet != "spec.replicas" and not facet.startswith("used "):
            out.append((t, self._place, role, value))
        return out

    def _gone(self, t: float, role: str, uid: str, kind: str, obj: Obj) -> None:
        old = self._state.pop(uid, None) or {}
        self._objects.pop(uid, None)
        for key in [key for key in self._history if key[0] == uid]:
            self._flush(key, t)
        if uid in self._tuples:
            self._tuples[uid].append((t, self._place, role, None))
        if t < 0:
            return
        new = facets(obj)
        found = [text for text in milestones(old, new) if text == "delete-requested" or text.startswith("-finalizer")]
        if "delete-requested" in new and kind != "Pod":
            found = [text for text in found if not text.startswith("-finalizer")]
        for text in [*found, "gone"]:
            self._add(t, role, text, uid)

    def _tuple(self, t: float, role: str, obj: Obj, uid: str) -> None:
        kind, status = obj["kind"], obj.get("status") or {}
        if kind in NUMBERS:
            value = " ".join(f"{field}={status.get(field) or 0}" for field in NUMBERS[kind])
        elif kind == "EndpointSlice":
            value = endpoints(obj)
        elif kind == "ResourceQuota":
            value = canonical(status.get("used") or {})
        else:
            return
        known = self._tuples.setdefault(uid, [])
        if not known or known[-1][3] != value:
            known.append((t, self._place, role, value))

    def _notices(self, notices: Sequence[tuple[float, str, Obj]]) -> None:
        seen: dict[str, None] = {}
        for t, kind_of_event, obj in notices:
            uid = obj["metadata"].get("uid") or obj["metadata"]["name"]
            if kind_of_event == "DELETED" or not 0 <= t <= self._until_s or uid in seen:
                continue
            seen[uid] = None
            about = obj.get("involvedObject") or obj.get("regarding") or {}
            if about.get("kind") == "Node" and obj.get("reason") == "RegisteredNode":
                continue
            role = self.names.known.get((about.get("kind", ""), about.get("namespace", ""), about.get("name", "")))
            message = re.sub(r"\s+", " ", self.names.text(obj.get("message") or obj.get("note") or "")).strip()
            if obj.get("reason") == "Scheduled":
                message = re.sub(r" to \S+$", " to <node>", message)
            key = role or f"{(about.get('kind') or '?').lower()}:{about.get('name')}"
            self.events[key].append(f"{obj.get('type', 'Normal')} {obj.get('reason', '')}: {message}")

    # -- adding up -----------------------------------------------------------------------------------------------------

    def _add(self, t: float, role: str, text: str, uid: str, place: int | None = None) -> None:
        place = self._place if place is None else place
        roles = (role, role.partition("@")[0] + "/*") if "@" in role and role.startswith("pod:") else (role,)
        for one in roles:  # daemon pods count for their node and all together
            self.milestones.append(Milestone(t, one, self.names.text(text) if "=" in text else text, place))
            self._lives[one].append((t, uid, text, place))

    def _flush(self, key: tuple[str, str], end: float | None) -> None:
        """Turn the settled values of one facet into milestones at the time they were assumed."""
        history = self._history.pop(key)
        last = history[0][3]
        for index, (t, place, role, value) in enumerate(history):
            after = history[index + 1][0] if index + 1 < len(history) else end
            if after is not None and after - t < SETTLE_S:
                continue
            if value != last and t >= 0:
                self._add(t, role, f"{key[1]}={'none' if value is None else value}", key[0], place)
            last = value

    def _finish(self) -> None:
        for key in list(self._history):
            self._flush(key, None)
        for values in self._tuples.values():
            sequence = self.sequences[values[0][2]]
            for index, (t, _, _, value) in enumerate(values):
                lasts = index + 1 >= len(values) or values[index + 1][0] - t >= SETTLE_S
                if value is not None and lasts and (not sequence or sequence[-1] != value):
                    sequence.append(value)
        self.milestones.sort(key=lambda one: one.place)
        self.count: Counter[str] = Counter()
        self.at: dict[str, float] = {}
        self.order: dict[str, int] = {}
        for index, one in enumerate(self.milestones):
            if one.role == "step":
                label = f"step {one.text}"
            else:
                base = f"{one.role} {one.text}"
                self.count[base] += 1
                label = f"{base}#{self.count[base]}"
            self.at[label] = one.t
            self.order[label] = index
        self.lives = {
            role: self._batches(sorted(entries, key=lambda e: e[3])) for role, entries in self._lives.items() if role.startswith("pod:")
        }
        self._finals()

    @staticmethod
    def _batches(entries: Sequence[tuple[float, str, str, int]]) -> dict[str, int]:
        by_uid: dict[str, list[str]] = defaultdict(list)
        first: dict[str, float] = {}
        for t, uid, text, _ in entries:
            by_uid[uid].append(text)
            first.setdefault(uid, t)
        batch, last, label = 0, None, {}
        for uid in sorted(first, key=lambda u: first[u]):
            if last is None or first[uid] - last > BATCH_S:
                batch += 1
            last = first[uid]
            label[uid] = batch
        lives = (
            f"b{label[uid]} " + " > ".join(x for x in texts if not x.startswith(("phase=", "-finalizer", "+finalizer")))
            for uid, texts in by_uid.items()
        )
        return dict(Counter(lives))

    def _finals(self) -> None:
        final: dict[str, list[Obj]] = defaultdict(list)
        for obj in self._objects.values():
            final[self.names.of(obj)].append(project(obj, self.names))
        self.final = {
            role: sorted(found, key=lambda p: (canonical({a: b for a, b in p.items() if a != "nodeName"}), canonical(p)))
            for role, found in final.items()
        }
        self.spread: dict[str, list[int]] = {}
        for role, found in final.items():
            if role.startswith("pod:") and role.endswith("*"):
                counts = Counter(
                    p["nodeName"]
                    for p in found
                    if p.get("nodeName") and not p.get("deleting") and p.get("phase") not in ("Failed", "Succeeded")
                )
                self.spread[role] = sorted(counts.values(), reverse=True)


def _plain(kind: str, state: dict[str, Any]) -> dict[str, Any]:
    return {facet: value for facet, value in state.items() if not settles(kind, facet)}
