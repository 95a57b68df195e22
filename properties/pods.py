"""Pods and what runs in them: one node, phases that advance, restarts, readiness, the order of stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import condition, is_true, phase, ready
from kchaos.models.api.tree import get
from kchaos.models.apiserver.store import key_of
from kchaos.properties.common import declare, folded, ident, running_at_start
from kchaos.properties.sight import Sighted

_RANK = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}


def _one_node(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "MODIFIED" or entry.prev is None:
        return
    before, after = entry.prev["spec"].get("nodeName"), entry.obj["spec"].get("nodeName")
    if before and before != after:
        yield Violation(t=entry.t, object=ident(entry.obj), summary=f"moved from {before} to {after}", root="moved")
    old, new = phase(entry.prev), phase(entry.obj)
    if _RANK.get(new, 0) < _RANK.get(old, 0) or (old != new and _RANK.get(old) == 2):
        yield Violation(t=entry.t, object=ident(entry.obj), summary=f"phase went from {old} back to {new}", root="phase")


def _restart_counts(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type != "MODIFIED" or entry.prev is None:
        return
    for key in ("containerStatuses", "initContainerStatuses"):
        old = {c["name"]: c.get("restartCount", 0) for c in (entry.prev.get("status") or {}).get(key) or ()}
        for one in (entry.obj.get("status") or {}).get(key) or ():
            if one.get("restartCount", 0) < old.get(one["name"], 0):
                text = f"container {one['name']}: restartCount fell from {old[one['name']]} to {one.get('restartCount', 0)}"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="restarts")


def _ready_means_ready(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type == "DELETED" or entry.actor != "kubelet" or not ready(entry.obj):
        return
    status = entry.obj.get("status") or {}
    late = [c["name"] for c in status.get("containerStatuses") or () if not c.get("ready")]
    gates = [g["conditionType"] for g in entry.obj["spec"].get("readinessGates") or () if not is_true(entry.obj, g["conditionType"])]
    if late or gates:
        text = f"Ready although {', '.join([*late, *gates])} is not"
        yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="ready")
    found = condition(entry.obj, "ContainersReady")
    if found is not None and found["status"] != "True":
        yield Violation(t=entry.t, object=ident(entry.obj), summary="Ready although ContainersReady is not", root="ready")


def _init_first(context: Context, entry: Write) -> Iterable[Violation]:
    if entry.type == "DELETED":
        return
    status = entry.obj.get("status") or {}
    started = [c["name"] for c in status.get("containerStatuses") or () if (c.get("state") or {}).get("running")]
    if not started:
        return
    always = {c["name"] for c in entry.obj["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for one in status.get("initContainerStatuses") or ():
        state = one.get("state") or {}
        if one["name"] in always:
            continue
        if (state.get("terminated") or {}).get("exitCode", 1) != 0:
            text = f"{started[0]} runs although init container {one['name']} has not succeeded"
            yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="init")


class _Lives(BaseMonitor):
    """What really runs, from the marks of container runtimes."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._running: dict[str, dict[str, str]] = {
            pod["metadata"]["uid"]: {pod["spec"]["nodeName"]: key_of(pod)} for pod in running_at_start(context)
        }

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"pod": self._seen}

    def _seen(self, mark: Mark) -> Iterable[Violation]:
        uid, node, event = mark.data["uid"], mark.data["node"], mark.data["event"]
        nodes = self._running.setdefault(uid, {})
        if event == "started":
            others = [name for name in nodes if name != node]
            nodes[node] = mark.data["pod"]
            if others:
                text = f"runs on {node} while it still runs on {others[0]}"
                yield Violation(t=mark.t, object=f"Pod/{mark.data['pod']}", summary=text, root="two nodes")
        elif event == "stopped":
            nodes.pop(node, None)


class _Stopping(BaseMonitor):
    """preStop, then SIGTERM, then at the end of grace SIGKILL, then the API object goes."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._seen: dict[str, dict[str, float]] = {}
        self._timed = True

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"container": self._mark, "fault": self._fault}

    def _fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"].startswith("clock"):
            self._timed = False  # a kubelet counts seconds by its own clock
        return ()

    def _sleep_s(self, data: dict[str, Any]) -> float:
        """Return how long a container's preStop hook sleeps at least."""
        pod = self.context.view.get("pods", data["pod"])
        containers = pod["spec"]["containers"] if pod is not None and pod["metadata"]["uid"] == data["uid"] else ()
        spec: dict[str, Any] = next((one for one in containers if one["name"] == data["container"]), {})
        return float(get(spec, "lifecycle", "preStop", "sleep", "seconds", default=0))

    def _mark(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        key = f"{data['uid']}/{data['container']}"
        seen = self._seen.setdefault(key, {})
        event = data["event"]
        if event == "started":
            seen.clear()
        seen[event] = mark.t
        who = f"Pod/{data['pod']}"
        grace = float(data.get("grace_s", 0))
        hook = self._sleep_s(data) if "prestop-done" in seen else grace
        if event == "sigterm" and grace > 0 and "prestop" not in seen and self._sleep_s(data) > 0:
            yield Violation(t=mark.t, object=who, summary=f"{data['container']}: SIGTERM without its preStop hook", root="hook")
        if self._timed and event == "sigterm" and "prestop" in seen and mark.t < seen["prestop"] + min(hook, grace) - 1e-6:
            yield Violation(
                t=mark.t,
                object=who,
                summary=f"{data['container']}: SIGTERM before preStop had ended",
                root="stop order",
            )
        if event == "sigkill" and "sigterm" not in seen:
            yield Violation(t=mark.t, object=who, summary=f"{data['container']}: killed without SIGTERM", root="stop order")
        elif event == "sigkill":
            begun = seen.get("prestop", seen["sigterm"])
            if self._timed and mark.t < begun + grace - 1e-6:
                text = f"{data['container']}: killed {mark.t - begun:.1f} s into a grace period of {grace:.0f} s"
                yield Violation(t=mark.t, object=who, summary=text, root="grace")


class _BackOff(Sighted):
    """After its second end a container waits 10 s until it is started again, then twice as long each time; 10 min of running end that."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._lives: dict[str, _Life] = {}

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {**super().marks(), "container": self._seen, "pod": self._anew}

    def fault(self, mark: Mark) -> Iterable[Violation]:
        if mark.data["name"] in REBOOTS:
            self._lives.clear()  # a kubelet remembers back-offs while it runs
        return super().fault(mark)

    def _anew(self, mark: Mark) -> Iterable[Violation]:
        for key in [key for key in self._lives if key.startswith(mark.data["uid"] + "/")]:
            del self._lives[key]
        return ()

    def _seen(self, mark: Mark) -> Iterable[Violation]:
        data = mark.data
        key = f"{data['uid']}/{data['container']}"
        life = self._lives.setdefault(key, _Life(mark.t, 0.0, 0))
        if data["event"] == "exited":
            ends = 1 if mark.t - life.started_s >= RESET_S else life.ends + 1
            self._lives[key] = life._replace(ended_s=mark.t, ends=ends)
        elif data["event"] == "started":
            wait = min(LONGEST_S, FIRST_S * 2.0 ** (life.ends - 2)) if life.ends > 1 else 0.0
            if self.sighted and mark.t < life.ended_s + wait - 0.5:
                text = f"{data['container']}: started {mark.t - life.ended_s:.1f} s after its {life.ends}. end in a row; the back-off is {wait:.0f} s"
                yield Violation(t=mark.t, object=f"Pod/{data['pod']}", summary=text, root="back-off")
            self._lives[key] = life._replace(started_s=mark.t)


class _Life(NamedTuple):
    """When a container was last started, when it ended, and how often in a row."""

    started_s: float
    ended_s: float
    ends: int


FIRST_S, LONGEST_S, RESET_S = 10.0, 300.0, 600.0
REBOOTS = ("node-power-loss", "zone-power-loss", "out-of-service")
SAFETY = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/"
PROPERTIES = (
    declare("KC012", "12", "one-node", "A pod is bound to one node for life and its phase only advances.",
            "https://github.com/kubernetes/design-proposals-archive/blob/main/storage/pod-safety.md", folded({"pods": _one_node})),
    declare("KC112", "12", "runs-once", "The processes of one pod run on one node only.",
            "https://github.com/kubernetes/design-proposals-archive/blob/main/storage/pod-safety.md", _Lives),
    declare("KC013", "13", "stop-order", "preStop, SIGTERM, the rest of grace, SIGKILL: in this order, and not early.",
            SAFETY + "#pod-termination", _Stopping),
    declare("KC014", "14", "restart-count", "restartCount never falls.", SAFETY + "#restart-policy", folded({"pods": _restart_counts})),
    declare("KC114", "14", "restart-back-off", "A container that ends again and again is started after 10 s, 20 s … 300 s; 10 min of running begin that anew.",
            SAFETY + "#restart-policy", _BackOff, Guarantee.AS_SEEN),
    declare("KC015", "15", "init-first", "Init containers run to success before any app container starts.",
            "https://kubernetes.io/docs/concepts/workloads/pods/init-containers/", folded({"pods": _init_first})),
    declare("KC016", "16", "ready-means-ready", "A pod is Ready only if every container and readiness gate is.",
            SAFETY + "#pod-conditions", folded({"pods": _ready_means_ready}), Guarantee.AS_SEEN),
)  # fmt: skip
