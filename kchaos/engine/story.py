"""A run as a story: numbered sentences that a tired person understands, in the order in which things happened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kchaos.check.property import Context
from kchaos.engine.packets import Losses, failed_lookups, lost_paths
from kchaos.history.record import Mark, Run, Write
from kchaos.history.view import View
from kchaos.models.api.pods import condition, ready, terminating
from kchaos.models.api.tree import Obj, get
from kchaos.models.faults.catalog import catalog
from kchaos.properties.common import workload_of

LONGEST = 28
"""Sentences of a story at most; the middle of a longer one is left out."""
_WHO = {
    "kubelet": "the kubelet", "scheduler": "the scheduler", "user": "the user", "kube-scheduler": "the scheduler",
    "node-controller": "the node controller", "garbage-collector": "the garbage collector", "pod-garbage-collector": "the pod garbage collector",
}  # fmt: skip


class Sentence(NamedTuple):
    """What happened ``t`` seconds after chaos began (negative: before). ``key``: repeated sentences of one key are told once."""

    t: float
    text: str
    key: str = ""


def sentences(run: Run, about: str = "") -> list[Sentence]:
    """Return what a run's story says, at most :data:`LONGEST` sentences; ``about`` (``Kind/namespace/name``) leaves out what has nothing to do with it."""
    told = _merge(list(_Teller(run, about).tell()))
    if len(told) > LONGEST:
        left = len(told) - LONGEST + 1
        half = LONGEST // 2
        middle = Sentence(told[half].t, f"… {left} more things happen …")
        told = [*told[:half], middle, *told[half + left :]]
    return told


def numbered(told: Sequence[Sentence]) -> list[str]:
    """Return sentences as they are read: ``3. 1.0 s: ready: web-1``."""
    return [f"{index}. {_time(one.t)}: {one.text}" for index, one in enumerate(told, 1)]


def story(run: Run, about: str = "") -> list[str]:
    """Return the story of a run as numbered sentences."""
    return numbered(sentences(run, about))


def _time(t: float) -> str:
    if t < 0:
        return "before"
    return f"{t:.1f} s" if t < 100 else f"{t:.0f} s"


def _merge(sentences: list[Sentence]) -> list[Sentence]:
    """Put sentences of one sort and moment together, and drop what was said already."""
    out: list[Sentence] = []
    for one in sentences:
        last = out[-1] if out else None
        if last is not None and one.key and last.key == one.key and one.t - last.t < 3.0:
            head, _, tail = last.text.partition("|")
            extra = one.text.partition("|")[2]
            if tail.strip() != extra.strip():
                out[-1] = Sentence(last.t, f"{head}|{tail.strip()}, {extra.strip()}", last.key)
            continue
        out.append(one)
    return [Sentence(one.t, one.text.replace("|", " ").replace("  ", " ").strip(), one.key) for one in out]


class _Teller:
    def __init__(self, run: Run, about: str) -> None:
        self._run = run
        self._about = about
        self._view = View(run.header.initial)
        self._context = Context(self._view)
        self._chaos_s = next((m.t for m in run.marks("phase") if m.data["name"] == "chaos"), 0.0)
        self._end_s = run.entries[-1].t if run.entries else 0.0
        kind = about.partition("/")[0]
        self._all = kind in ("", "Node", "Service", "Cluster") or kind not in (
            "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Pod",
        )  # fmt: skip
        self._kinds = catalog()
        self._serving: dict[str, int] = {}
        self._losses = Losses()
        self._refusals: dict[str, None] = {}

    def tell(self) -> Iterator[Sentence]:
        yield from self._scene()
        for entry in self._run.entries:
            if isinstance(entry, Write):
                if entry.t >= self._chaos_s:
                    yield from self._write(entry)
            else:
                yield from self._mark(entry)
            self._view.apply(entry)
        for text in self._losses.tell(self._zones()):
            yield Sentence(self._end_s - self._chaos_s, f"in all, {text}")

    # -- the scene -----------------------------------------------------------------------------------------------------

    def _mine(self, pod: Obj) -> bool:
        if self._all:
            return True
        owner = workload_of(self._context, pod)
        return owner == self._about or f"Pod/{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}" == self._about

    def _zones(self) -> dict[str, str]:
        nodes = self._view.table("nodes").items()
        return {name: get(node, "metadata", "labels", default={}).get("topology.kubernetes.io/zone", "") for name, node in nodes}

    def _scene(self) -> Iterator[Sentence]:
        if self._all:
            return
        zones = self._zones()
        places = []
        for _, pod in sorted(self._view.table("pods").items()):
            if self._mine(pod):
                node = pod["spec"].get("nodeName")
                at = f"on {node} ({zones.get(node, '')})" if node else "on no node"
                places.append(f"{pod['metadata']['name']} {at}" + ("" if ready(pod) else ", not ready"))
        if places:
            more = f" and {len(places) - 8} more" if len(places) > 8 else ""
            yield Sentence(
                -1.0, f"{_words(self._about)} has {len(places)} pod{'s' if len(places) > 1 else ''}: {'; '.join(places[:8])}{more}"
            )

    # -- marks ---------------------------------------------------------------------------------------------------------

    def _mark(self, mark: Mark) -> Iterator[Sentence]:
        data, t = mark.data, mark.t - self._chaos_s
        if mark.what == "fault":
            yield from self._fault(data, t)
        elif mark.what == "operation":
            yield from self._operation(data, t)
        elif mark.what == "members":
            workload, count = data["workload"], int(data["serving"])
            before = self._serving.get(workload)
            self._serving[workload] = count
            if (
                t >= 0
                and before is not None
                and before != count
                and (self._all or workload == self._about)
                and (count == 0 or before == 0 or not self._all)
            ):
                text = (
                    f"nobody of {_words(workload)} answers any more"
                    if count == 0
                    else f"{count} of {_words(workload)} answer{'s' if count == 1 else ''}"
                )
                yield Sentence(t, text)
        elif (
            mark.what == "event"
            and data.get("type") == "Warning"
            and data["reason"] in ("FailedCreate", "FailedAttachVolume", "ProvisioningFailed")
            and t >= 0
        ):
            said = f"{data['reason']} {data['kind']} {_GENERATED.sub('-…', data['message'])}"
            if said not in self._refusals and self._concerns(data):
                self._refusals[said] = None
                yield Sentence(t, f"{data['by']} reports {data['reason']} for {data['kind']} {data['name']}: {data['message'][:200]}")
        elif mark.what == "traffic" and t >= 0 and self._traffic(data["service"]):
            self._losses.add(data, self._chaos_s)
        elif mark.what == "corruption":
            yield Sentence(t, _corruption(data))
        elif mark.what == "call":
            yield from self._call(data, t)
        elif mark.what == "paths" and t >= 0:
            yield from (Sentence(t, text) for text in lost_paths(data["lost"], self._zones()))
        elif mark.what == "lookups" and t >= 0:
            yield Sentence(t, failed_lookups(data))
        elif mark.what == "evidence":
            held = int((data.get("evidence") or {}).get("messages_held") or 0)
            if held:
                yield Sentence(
                    t,
                    f"{data['name']} of {data['args'].get('target', '')} held up {held} messages to and from the control plane until it was over",
                )

    def _call(self, data: dict[str, Any], t: float) -> Iterator[Sentence]:
        """Tell how the API server answers a pod, once for each sort of answer."""
        asked = f"{data['verb']} {data['resource']}{' ' * bool(data['name'])}{data['name']}"
        pod = self._view.get("pods", data["pod"])
        if self._all or (pod is not None and self._mine(pod)):
            how = {
                "answered": "is answered again", "unanswered": "gets no answer", "forbidden": "is forbidden", "unauthorized": "is not known",
                "refused": "is refused at admission", "missing": "finds nothing",
            }[data["state"]]  # fmt: skip
            yield Sentence(t, f"{asked} {how}:|{data['pod'].partition('/')[2]}", f"call {asked} {how}")

    def _traffic(self, service: str) -> bool:
        return self._about in ("", "Cluster", f"Service/{service}") or self._about.startswith("Node/")

    def _concerns(self, data: dict[str, Any]) -> bool:
        return self._all or data["name"].startswith(self._about.rpartition("/")[2])

    def _fault(self, data: dict[str, Any], t: float) -> Iterator[Sentence]:
        name = data["name"]
        if data["action"] == "injected":
            summary = self._kinds.get(name).summary if name in self._kinds else name
            yield Sentence(t, f"{name} of {_target(data)}: {summary}{_set(data['args'])}")
        elif data["action"] == "unresolved":
            yield Sentence(t, f"{name} of {data['args'].get('target', '')} does nothing: {data['why']}")
        elif data["action"] == "healed" and not self._kinds.get(name).operation:
            yield Sentence(t, f"{name} is over: healed")

    def _operation(self, data: dict[str, Any], t: float) -> Iterator[Sentence]:
        what, target, state = data["what"], data["target"], data["state"]
        if state == "blocked":
            yield Sentence(t, f"the eviction of {data['pod']} is refused, and asked for again every 5 s: {data['why']}")
        elif state == "done":
            yield Sentence(t, f"the {what} of {target} is done")
        elif state == "given up":
            yield Sentence(t, f"the {what} of {target} is given up with {data['left']} pods left on it")
        elif state == "reverted":
            yield Sentence(t, f"the template of {_words(target)} is put back to what it was")
        elif state == "refused":
            yield Sentence(t, f"the {what} of {target} is refused: {data['why']}")

    # -- writes --------------------------------------------------------------------------------------------------------

    def _write(self, entry: Write) -> Iterator[Sentence]:
        t = entry.t - self._chaos_s
        if entry.resource == "nodes":
            yield from self._node(entry, t)
        elif entry.resource == "pods" and self._mine(entry.obj):
            yield from self._pod(entry, t)

    def _node(self, entry: Write, t: float) -> Iterator[Sentence]:
        old = condition(entry.prev, "Ready") if entry.prev is not None else None
        new = condition(entry.obj, "Ready")
        name = entry.obj["metadata"]["name"]
        if old is not None and new is not None and old["status"] != new["status"]:
            words = {"True": "is Ready again", "Unknown": "has been silent too long: its Ready condition turns Unknown"}
            yield Sentence(t, f"{name} {words.get(new['status'], 'is not Ready')}")
        full, was = (condition(one, "DiskPressure") if one is not None else None for one in (entry.obj, entry.prev))
        if full is not None and was is not None and full["status"] != was["status"] and full["status"] != "Unknown":
            pressed = (
                "is under DiskPressure: its kubelet evicts pods and takes no others"
                if full["status"] == "True"
                else "has room on its disk again"
            )
            yield Sentence(t, f"{name} {pressed}")
        before = get(entry.prev, "spec", "unschedulable", default=False) if entry.prev else False
        if bool(before) != bool(entry.obj["spec"].get("unschedulable")):
            yield Sentence(t, f"{name} is {'cordoned' if not before else 'uncordoned'}")
        keys = [x["key"] for x in get(entry.prev, "spec", "taints", default=())] if entry.prev else []
        for taint in entry.obj["spec"].get("taints") or ():
            if taint["key"] not in keys and taint["key"].endswith("out-of-service"):
                yield Sentence(t, f"an operator taints {name} out-of-service")

    def _pod(self, entry: Write, t: float) -> Iterator[Sentence]:
        pod, old = entry.obj, entry.prev
        name, who = pod["metadata"]["name"], _WHO.get(entry.actor, f"the {entry.actor}" if "controller" in entry.actor else entry.actor)
        if entry.type == "ADDED":
            yield Sentence(t, f"{who} makes|{name}", f"make {who}")
        elif entry.type == "DELETED":
            yield Sentence(t, f"gone:|{name}", "gone")
        elif old is not None:
            if terminating(pod) and not terminating(old):
                grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
                yield Sentence(t, f"{who} deletes with a grace of {grace} s:|{name}", f"delete {who}")
            if pod["spec"].get("nodeName") and not old["spec"].get("nodeName"):
                yield Sentence(t, f"{who} places|{name} on {pod['spec']['nodeName']}", f"place {who}")
            if get(pod, "status", "reason") == "Evicted" and get(old, "status", "reason") != "Evicted":
                refused = str(get(pod, "status", "message", default="")).startswith("Pod was rejected")
                yield Sentence(t, f"the kubelet {'refuses' if refused else 'evicts'}:|{name}", f"evict {refused}")
            was, now = ready(old), ready(pod)
            if was != now:
                yield Sentence(t, f"{'ready' if now else 'no longer ready'}:|{name}", f"ready {now}")
            found, before = condition(pod, "PodScheduled"), condition(old, "PodScheduled")
            if found is not None and found["status"] == "False" and (before is None or before.get("message") != found.get("message")):
                yield Sentence(t, f"no node for {name}: {found.get('message', '')}")
            yield from self._waiting(pod, old, name, t)

    @staticmethod
    def _waiting(pod: Obj, old: Obj, name: str, t: float) -> Iterator[Sentence]:
        def reasons(one: Obj) -> Sequence[str]:
            states = get(one, "status", "containerStatuses", default=())
            return [s["state"]["waiting"].get("reason", "") for s in states if (s.get("state") or {}).get("waiting")]

        before = reasons(old)
        for reason in dict.fromkeys(reasons(pod)):
            if reason not in before and reason not in ("ContainerCreating", "PodInitializing", ""):
                yield Sentence(t, f"{reason}:|{name}", f"waiting {reason}")


_GENERATED = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
"""The end of a generated name: what was told of one pod is not told again of the next."""


def _words(workload: str) -> str:
    kind, _, rest = workload.partition("/")
    return f"{kind} {rest}"


def _corruption(data: dict[str, Any]) -> str:
    """Say which stored field changed, or who made it right again."""
    field, state = data["field"], data["state"]
    if state == "begun":
        return f"in the store, {field} is {data['after']} instead of {data['before']}"
    if state == "repaired":
        return f"{data['by']} writes {field} anew"
    return f"{field} is put back to what it was" if state == "restored" else f"gone with its object: {field}"


def _target(data: dict[str, Any]) -> str:
    """Return a fault's target; of a symbolic one the name, and in brackets what it is."""
    target = str(data["args"].get("target", ""))
    return f"{target} ({data['words']})" if data.get("words") else target


def _set(args: dict[str, Any]) -> str:
    """Return the arguments that a step sets, in brackets."""
    given = ", ".join(f"{name} {value}" for name, value in args.items() if name != "target" and not isinstance(value, dict))
    return f" ({given})" if given else ""
