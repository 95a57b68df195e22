"""Why pods do not come up or find no place, in words: probes that give up too soon, pods of higher priority."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kchaos.check.property import Context, Violation
from kchaos.history.record import Mark
from kchaos.models.api.pods import controller_of, ended
from kchaos.models.api.quantity import milli
from kchaos.models.api.tree import get
from kchaos.models.apiserver.quota import pod_resources
from kchaos.models.node.assumptions import DEFAULTS, probe_times
from kchaos.properties.common import Obj, ident, workload_of

PATIENCE_S = 600
"""Nobody means a container to wait longer than this before it is asked whether it is ready."""
SCARCE = ("nsufficient", "Too many pods")
"""What the scheduler says when a node is full."""


# -- coming up ---------------------------------------------------------------------------------------------------------


def start_s(context: Context, workload: str) -> float:
    """Return how long a container of a workload (``Kind/namespace/name``) is assumed to take to start up."""
    table: dict[str, float] = context.settings.get("start_s", {})
    return float(table.get(workload.partition("/")[2], table.get("*", DEFAULTS.start_s)))


def _spec(pod: Obj, status: Obj) -> Obj:
    """Return the container that a status is of."""
    groups = [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]
    found: Obj = next((one for one in groups if one["name"] == status["name"]), {})
    return found


def gives_up(context: Context, pod: Obj, status: Obj, workload: str) -> str:
    """Return which probe kills a container of a pod before it has started up, and when; empty if none does."""
    ended_ = get(status, "lastState", "terminated") or get(status, "state", "terminated") or {}
    if ended_.get("exitCode") != 137 or ended_.get("reason") == "OOMKilled":
        return ""
    spec = _spec(pod, status)
    needs = start_s(context, workload)
    kind = "startup" if spec.get("startupProbe") else "liveness"
    if not spec.get(f"{kind}Probe"):
        return ""
    _, bad = probe_times(spec[f"{kind}Probe"], 0.0, needs)
    if bad is None:
        return ""
    remedy = "raise its failureThreshold" if kind == "startup" else "add a startupProbe"
    return f"the {kind} probe gives up after {bad:g} s, the container needs {needs:g} s to start (assumed): {remedy}"


def of_container(context: Context, pod: Obj, status: Obj, workload: str) -> str:
    """Return what a container that is not ready waits for; empty if nothing is known of it."""
    if why := gives_up(context, pod, status, workload):
        return why
    reason = str(get(status, "state", "waiting", "reason", default=""))
    delay_s = int(get(_spec(pod, status), "readinessProbe", "initialDelaySeconds", default=0))
    if get(status, "state", "running") and delay_s >= PATIENCE_S:
        return f"its readinessProbe does not ask before {delay_s} s have passed"
    if get(status, "lastState", "terminated", "reason") == "OOMKilled":
        return ", ".join(one for one in (reason, "killed for using more memory than its limit") if one)
    return reason


def of_pod(context: Context, pod: Obj, workload: str) -> str:
    """Return what the containers of a pod wait for."""
    statuses = [*get(pod, "status", "initContainerStatuses", default=()), *get(pod, "status", "containerStatuses", default=())]
    found = (of_container(context, pod, one, workload) for one in statuses if not one.get("ready"))
    return next((words for words in found if words), "not ready")


def together(waits: Iterable[tuple[str, str]]) -> str:
    """Return (pod, what it waits for) in words, pods that wait for the same put together, at most three sorts."""
    groups: dict[str, list[str]] = {}
    for pod, why in waits:
        groups.setdefault(why, []).append(pod)
    parts = []
    for why, pods in list(groups.items())[:3]:
        more = f" and {len(pods) - 3} more" if len(pods) > 3 else ""
        parts.append(f"{', '.join(pods[:3])}{more}: {why}")
    return "; ".join(parts)


def of_start_up(waits: str) -> str:
    """Return what to change, from what pods wait for; empty if nothing follows."""
    if "liveness probe gives up" in waits:
        return "add a startupProbe whose failureThreshold * periodSeconds is longer than that, or say in kchaos.yaml how long it takes: start_s"
    if "startup probe gives up" in waits:
        return (
            "make failureThreshold * periodSeconds of the startupProbe longer than that, or say in kchaos.yaml how long it takes: start_s"
        )
    if "does not ask before" in waits:
        return "lower initialDelaySeconds: a startupProbe waits no longer than it must"
    return "raise its memory limit, or say in kchaos.yaml what it uses: memory" if "more memory than its limit" in waits else ""


# -- being made --------------------------------------------------------------------------------------------------------


CREATES = ("FailedCreate", "ReplicaSetCreateError")
MAKERS = {
    "ReplicaSet": "replicasets", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "Deployment": "deployments",
    "ReplicationController": "replicationcontrollers",
}  # fmt: skip


class Refused:
    """What events say of pods, and of sets of pods, that can't be made."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told: dict[str, str] = {}

    def event(self, mark: Mark) -> Iterable[Violation]:
        """Note an event."""
        data = mark.data
        if data["type"] == "Warning" and data["reason"] in CREATES and "already exists" not in data["message"]:
            obj = self._context.view.get(MAKERS.get(data["kind"], ""), f"{data['namespace']}/{data['name']}")
            if obj is not None:
                self._told[workload_of(self._context, obj) if controller_of(obj) else ident(obj)] = data["message"]
        return ()

    def why(self, workload: str) -> str:
        """Return why pods of a workload (``Kind/namespace/name``) could not be made; empty if nothing was told."""
        message = self._told.get(workload, "")
        return _FORBIDDEN.sub("", message) if "forbidden: " in message else message


_FORBIDDEN = re.compile(r"^.*? forbidden: ")


# -- places ------------------------------------------------------------------------------------------------------------


class Room:
    """What is requested on each node, and by pods of which priority: read when it is first asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes: dict[str, tuple[dict[str, int], list[tuple[int, str, dict[str, int]]]]] = {}
        self._known: dict[tuple[int, tuple[tuple[str, int], ...]], str] = {}

    def _read(self) -> None:
        view = self._context.view
        for node in view.table("nodes").values():
            free = {name: milli(amount) for name, amount in get(node, "status", "allocatable", default={}).items()}
            self._nodes[node["metadata"]["name"]] = (free, [])
        for pod in view.table("pods").values():
            node_name = pod["spec"].get("nodeName")
            if node_name not in self._nodes or ended(pod):
                continue
            free, held = self._nodes[node_name]
            asked = {**pod_resources(pod["spec"], "requests"), "pods": 1000}
            for name, amount in asked.items():
                if name in free:
                    free[name] -= amount
            held.append((int(pod["spec"].get("priority") or 0), workload_of(self._context, pod), asked))

    def outranked(self, pod: Obj, message: str) -> str:
        """Return in words that pods of higher priority have the room which ``pod`` lacks; empty if that is not it."""
        if not any(part in message for part in SCARCE):
            return ""
        if not self._nodes:
            self._read()
        priority = int(pod["spec"].get("priority") or 0)
        asked = {**pod_resources(pod["spec"], "requests"), "pods": 1000}
        key = (priority, tuple(sorted(asked.items())))
        if key not in self._known:
            self._known[key] = self._words(priority, asked)
        return self._known[key]

    def _words(self, priority: int, asked: dict[str, int]) -> str:
        owners: dict[str, int] = {}
        for free, held in self._nodes.values():
            above = [one for one in held if one[0] > priority]
            room = {name: free.get(name, 0) + sum(one[2].get(name, 0) for one in above) for name in asked}
            if above and all(room[name] >= amount for name, amount in asked.items()):
                owners.update({owner: rank for rank, owner, _ in above})
        if not owners:
            return ""
        shown = [f"{owner.replace('/', ' ', 1)} ({rank})" for owner, rank in sorted(owners.items(), key=lambda one: (-one[1], one[0]))[:3]]
        more = f" and {len(owners) - 3} more" if len(owners) > 3 else ""
        return f" Pods of higher priority have the room: {', '.join(shown)}{more}; its own priority is {priority}"
