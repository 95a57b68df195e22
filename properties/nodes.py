"""Nodes that fall silent: they are noticed, their pods leave when their tolerations say so, and not too many nodes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from kchaos.check.property import Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import condition, ended, is_true, labels, terminating
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.models.controllers.tainteviction import tolerates
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, folded, ident
from kchaos.properties.sight import Sighted

SILENCING = ("node-power-loss", "zone-power-loss", "node-pause", "network-partition", "out-of-service")
NOTICED_S = 90.0
"""Longer than the grace period (50 s since 1.32), a renewal of the lease (10 s) before it and a pass of the monitor (5 s) after it."""
APART_S = 9.5
"""One node in ten seconds (--node-eviction-rate 0.1), less what a request takes."""
LATE_S = 60.0
"""Longer than a pass of the controllers and the requests that delete a pod."""
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
OURS = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
Handlers = Mapping[str, Callable[[Mark], Iterable[Violation]]]
Writes = Mapping[str, Callable[[Write], Iterable[Violation]]]


class _Noticed(Sighted):
    """A node that says nothing for longer than the grace period is not ready any more."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._silent: dict[int, tuple[tuple[str, ...], float]] = {}
        """Step -> the nodes that it silenced, and when."""

    def marks(self) -> Handlers:
        return {**super().marks(), "phase": self._phase}

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] == "heal":
            for step in list(self._silent):
                yield from self._judge(step, mark.t)

    def fault(self, mark: Mark) -> Iterable[Violation]:
        yield from super().fault(mark)
        data, step = mark.data, mark.data.get("step", -1)
        if data["action"] == "injected" and data["name"] in SILENCING:
            target = data["args"]["target"]
            nodes = self.context.view.table("nodes")
            self._silent[step] = (tuple(name for name in nodes if target in (name, labels(nodes[name]).get(ZONE))), mark.t)
        elif data["action"] == "healed" and step in self._silent:
            yield from self._judge(step, mark.t)

    def _judge(self, step: int, t: float) -> Iterable[Violation]:
        names, since = self._silent.pop(step)
        for name in names if self.sighted and t - since > NOTICED_S else ():
            node = self.context.view.get("nodes", name)
            if node is not None and is_true(node, "Ready"):
                text = f"is Ready although it has said nothing for {t - since:.0f} s"
                yield Violation(t=t, object=ident(node), summary=text, root="silent node")


def _evicting(node: Obj | None) -> list[Obj]:
    return [taint for taint in get(node, "spec", "taints", default=()) if taint["effect"] == "NoExecute"] if node is not None else []


def _stays_s(pod: Obj, taint: Obj) -> float | None:
    """Return how long a pod tolerates a taint, None for ever (the first toleration that fits)."""
    for one in pod["spec"].get("tolerations") or ():
        if tolerates(one, taint):
            seconds = one.get("tolerationSeconds")
            return None if seconds is None else max(0.0, float(seconds))
    return 0.0


class _Evictions(Sighted):
    """Pods leave tainted nodes when their tolerations end, neither before nor long after; nodes are tainted one by one."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._since: dict[str, dict[str, float]] = {}
        """Node -> NoExecute taint -> since when."""
        self._removed: dict[str, float] = {}
        """Node -> when it last lost such a taint."""
        self._tainted: dict[str, tuple[float, str]] = {}
        """Zone -> when a node of it was last tainted, and which."""
        self._up = {key: None for key, node in context.view.table("nodes").items() if is_true(node, "Ready")}
        self._down_s: float | None = None
        """Since when no node has been ready."""

    def marks(self) -> Handlers:
        return {**super().marks(), "phase": self._phase}

    def writes(self) -> Writes:
        return {"nodes": self._node, "pods": self._pod}

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _node(self, entry: Write) -> Iterable[Violation]:
        name = entry.key
        now = {taint["key"]: taint for taint in (_evicting(entry.obj) if entry.type != "DELETED" else ())}
        before = {taint["key"]: taint for taint in _evicting(entry.prev)}
        if entry.type != "DELETED" and is_true(entry.obj, "Ready"):
            self._up[name] = self._down_s = None
        else:
            self._up.pop(name, None)
            if not self._up and self._down_s is None:
                self._down_s = entry.t
        fresh = [key for key in now if key not in before]
        if self.sighted and any(key in OURS for key in fresh) and not any(key in OURS for key in before):
            yield from self._rate(entry)
        if any(key not in now for key in before):
            yield from self._overdue(entry.prev, entry.t)
            self._removed[name] = entry.t
        self._since[name] = {key: self._since.get(name, {}).get(key, entry.t) for key in now}

    def _rate(self, entry: Write) -> Iterable[Violation]:
        marks = labels(entry.obj)
        zone = f"{marks.get(REGION, '')}/{marks.get(ZONE, '')}"
        last, other = self._tainted.get(zone, (-APART_S - entry.t, ""))
        if entry.t - last < APART_S and other != entry.key:
            text = f"was tainted NoExecute {entry.t - last:.1f} s after {other} of the same zone; one in ten seconds may be"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="eviction rate")
        if self._down_s is not None and entry.t - self._down_s > 2 * SEEN_S:
            text = f"was tainted NoExecute although no node has been ready for {entry.t - self._down_s:.0f} s"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="all zones down")
        self._tainted[zone] = (entry.t, entry.key)

    # -- pods ----------------------------------------------------------------------------------------------------------

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if not self.sighted or entry.actor != "node-controller" or not begins_deletion(entry):
            return
        node = self.context.view.get("nodes", entry.obj["spec"].get("nodeName") or "")
        taints = _evicting(node)
        name = node["metadata"]["name"] if node is not None else ""
        if node is None or (not taints and entry.t - self._removed.get(name, -SEEN_S - 1.0) <= SEEN_S):
            return
        due = [(self._since.get(name, {}).get(taint["key"], 0.0), _stays_s(entry.obj, taint), taint["key"]) for taint in taints]
        if any(stays is not None and entry.t >= since + stays - 1.0 for since, stays, _ in due):
            return
        told = (
            f"{due[0][2]}, which it tolerates for {due[0][1]:g} s, is {entry.t - due[0][0]:.0f} s old"
            if due and due[0][1]
            else "no taint asks for it"
        )
        yield Violation(t=entry.t, object=ident(entry.obj), summary=f"was evicted from {name}: {told}", root="evicted too early")

    def _phase(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] == "heal":
            for node in list(self.context.view.table("nodes").values()):
                yield from self._overdue(node, mark.t)

    def _overdue(self, node: Obj | None, t: float) -> Iterator[Violation]:
        """Yield what should long have been evicted from a node."""
        for taint in _evicting(node) if self.sighted and node is not None else ():
            name = node["metadata"]["name"] if node is not None else ""
            since = self._since.get(name, {}).get(taint["key"], t)
            for pod in self.context.view.table("pods").values():
                if pod["spec"].get("nodeName") != name or terminating(pod) or ended(pod):
                    continue
                stays = _stays_s(pod, taint)
                bound = condition(pod, "PodScheduled")
                stamp = parse(bound["lastTransitionTime"]) if bound is not None and bound.get("lastTransitionTime") else 0.0
                begun = max(since, stamp - self.context.facts.get("epoch_s", 0.0))
                if stays is not None and t > begun + stays + LATE_S:
                    text = f"is still on {name}, {t - begun:.0f} s after {taint['key']}, which it tolerates for {stays:g} s"
                    yield Violation(t=t, object=ident(pod), summary=text, root="evicted too late")


def _node_conditions(context: Context, t: float) -> Iterable[Violation]:
    for node in context.view.table("nodes").values():
        found = condition(node, "Ready")
        left = [taint["key"] for taint in node["spec"].get("taints") or () if taint["key"] in OURS]
        if found is not None and found["status"] != "True":
            text = f"is still not ready after healing: Ready is {found['status']}"
            yield Violation(t=t, object=ident(node), summary=text, root="node recovery")
        elif left:
            yield Violation(t=t, object=ident(node), summary=f"is ready again, and still has the taint {left[0]}", root="node recovery")


K8S = "https://kubernetes.io/docs/concepts/"
PROPERTIES = (
    declare("KC040", "40", "node-recovers", "A node that renews its Lease again is Ready again, and loses the taints of its silence.",
            K8S + "architecture/nodes/#heartbeats", folded(end=_node_conditions), Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC140", "40", "silence-is-noticed", "A node that is silent for longer than the grace period is not Ready any more.",
            K8S + "architecture/nodes/#heartbeats", _Noticed, Guarantee.AS_SEEN),
    declare("KC041", "41", "eviction-by-taints",
            "Pods leave a tainted node when their tolerations end, not before; nodes of a zone are tainted one in ten seconds, none if no zone is up.",
            K8S + "scheduling-eviction/taint-and-toleration/#taint-based-evictions", _Evictions, Guarantee.AS_SEEN),
)  # fmt: skip
