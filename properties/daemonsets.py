"""DaemonSets: a pod on every eligible node, which tolerates what befalls nodes, and updates that take one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.intstr import scaled
from kchaos.models.api.pods import active, condition, controller_of, labels, ready, uid
from kchaos.models.api.times import parse
from kchaos.models.api.tree import get
from kchaos.models.controllers.daemonset_decide import target_of
from kchaos.properties.advice import of_refusal
from kchaos.properties.common import SEEN_S, Obj, begins_deletion, declare, ident
from kchaos.properties.sight import Sighted
from kchaos.properties.waits import Refused
from kchaos.properties.workloads import owned

REVISION = "controller-revision-hash"
ONE_SYNC_S = 0.5
"""All deletions of one decision are sent in this time."""
TOLERATED = {
    "not-ready": "NoExecute", "unreachable": "NoExecute", "disk-pressure": "NoSchedule", "memory-pressure": "NoSchedule",
    "pid-pressure": "NoSchedule", "unschedulable": "NoSchedule",
}  # fmt: skip
"""https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations"""


class _Daemons(BaseMonitor):
    """One pod on every eligible node; where one is refused, that is told."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._told = Refused(context)

    def marks(self) -> Mapping[str, Callable[[Mark], Iterable[Violation]]]:
        return {"event": self._told.event}

    def finish(self, t: float) -> Iterable[Violation]:
        for daemon in self.context.view.table("daemonsets").values():
            status = daemon.get("status") or {}
            want, have = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
            per_node: dict[str, int] = {}
            for pod in owned(self.context, "pods", daemon):
                where = target_of(pod)  # one that waits for room counts: that it waits is told by others
                if active(pod) and where:
                    per_node[where] = per_node.get(where, 0) + 1
            placed = min(status.get("currentNumberScheduled", 0), len(per_node))
            twice = [node for node, count in sorted(per_node.items()) if count > 1]
            if twice:
                yield Violation(t=t, object=ident(daemon), summary=f"two pods on {twice[0]}", root="two per node")
            elif placed < want:
                cause = self._told.why(ident(daemon))
                text = f"runs on {placed} of {want} eligible nodes ({have} available)" + (f": {cause}" if cause else "")
                yield Violation(t=t, object=ident(daemon), summary=text, root="eligible nodes", advice=of_refusal(cause))


class _Steps(Sighted):
    """An update leaves all nodes but maxUnavailable an available pod; new pods tolerate what befalls nodes."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._taken: dict[str, None] = {}
        """Uids of pods that the controller itself has taken down: it knows of these."""
        self._replaced: dict[str, tuple[float, str]] = {}
        """Those of them that were down already: when, and on which node."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod}

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED":
            self._taken.pop(uid(entry.obj), None)
            self._replaced.pop(uid(entry.obj), None)
        ref = controller_of(entry.obj)
        if entry.actor != "daemon-set-controller" or ref is None or not self.sighted:
            return
        owner = self.context.view.get("daemonsets", f"{entry.obj['metadata']['namespace']}/{ref['name']}")
        if owner is None or uid(owner) != ref["uid"]:
            return
        if entry.type == "ADDED":
            yield from _tolerates(entry, owner)
        elif begins_deletion(entry):
            yield from self._step(entry, owner)
            self._taken[uid(entry.obj)] = None
            if entry.prev is not None and not ready(entry.prev):
                self._replaced[uid(entry.obj)] = (entry.t, target_of(entry.obj) or "")

    def _step(self, entry: Write, owner: Obj) -> Iterable[Violation]:
        rolling = get(owner, "spec", "updateStrategy", "rollingUpdate", default={})
        pods = owned(self.context, "pods", owner)
        revisions = owned(self.context, "controllerrevisions", owner)
        newest = max(revisions, key=lambda one: int(one["revision"]), default=None)
        node = target_of(entry.obj)
        replaces = newest is not None and labels(entry.obj).get(REVISION) != labels(newest).get(REVISION)
        alone = not any(target_of(pod) == node and uid(pod) != uid(entry.obj) for pod in pods)
        desired = int(get(owner, "status", "desiredNumberScheduled", default=0))
        if (
            not replaces
            or not alone
            or scaled(rolling.get("maxSurge", 0), desired, round_up=True)
            or entry.prev is None
            or not ready(entry.prev)  # one that is down may go at any time
        ):
            return
        most = max(1, scaled(rolling.get("maxUnavailable", 1), desired, round_up=True))
        others = [pod for pod in pods if uid(pod) != uid(entry.obj)]
        left = len({target_of(pod): None for pod in others if self._up(pod, entry.t)})
        # old pods that are down are replaced beside what maxUnavailable allows (daemon/update.go: allowedReplacementPods)
        old = [pod for pod in others if not self._up(pod, entry.t) and labels(pod).get(REVISION) != labels(newest or {}).get(REVISION)]
        waiting = {target_of(pod): None for pod in old if uid(pod) not in self._taken}
        going = {node: None for t, node in self._replaced.values() if entry.t - t <= ONE_SYNC_S}
        if desired - left - len({**waiting, **going}) > most:
            text = (
                f"an update takes the pod on {node} away, which leaves {left} of {desired} nodes an available one (maxUnavailable {most})"
            )
            yield Violation(t=entry.t, object=ident(owner), summary=text, root="daemons at once")

    def _up(self, pod: Obj, t: float) -> bool:
        """Tell whether a pod is available, or was a moment ago for all that the controller could know."""
        if uid(pod) in self._taken:
            return False
        found = condition(pod, "Ready")
        if found is None or (active(pod) and ready(pod)):
            return found is not None
        return bool(self.context.facts.get("epoch_s", 0.0) + t - parse(found["lastTransitionTime"]) <= SEEN_S)


def _tolerates(entry: Write, owner: Obj) -> Iterable[Violation]:
    have = {
        (one.get("key"), one.get("effect")): None for one in entry.obj["spec"].get("tolerations") or () if one.get("operator") == "Exists"
    }
    missing = [f"{key}:{effect}" for key, effect in TOLERATED.items() if (f"node.kubernetes.io/{key}", effect) not in have]
    if missing and (None, None) not in have:
        text = f"{entry.obj['metadata']['name']} was made without tolerating {', '.join(missing)}"
        yield Violation(t=entry.t, object=ident(owner), summary=text, root="daemon tolerations")


DOCS = "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/"
PROPERTIES = (
    declare("KC031", "31", "daemon-per-node", "A DaemonSet runs one pod on every eligible node.",
            DOCS, _Daemons, Guarantee.WITHOUT_FAULTS,
            liveness=True),
    declare("KC131", "31", "daemon-updates", "A rolling update of a DaemonSet leaves all nodes but maxUnavailable an available pod; its pods tolerate"
            " what befalls nodes.", "https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/", _Steps, Guarantee.AS_SEEN),
)  # fmt: skip
