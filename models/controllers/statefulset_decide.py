"""What a StatefulSet does next: one pure decision over its pods.

pkg/controller/statefulset/stateful_set_control.go (updateStatefulSet, processReplica, processCondemned) of 1.34. Ordinals are served in
order and, under OrderedReady, only when all below are running, ready and available; nothing is replaced before it is really gone.
"""

from __future__ import annotations

from typing import NamedTuple

from kchaos.models.api.pods import available, labels, name, phase, ready, terminating
from kchaos.models.api.tree import Obj, get
from kchaos.models.controllers.history import LABEL


class Create(NamedTuple):
    """Make the pod of an ordinal from the current or the update revision."""

    ordinal: int
    from_update: bool


class Delete(NamedTuple):
    """Delete a pod: it has ended, is to be updated, or is beyond the replicas."""

    pod: Obj


class Repair(NamedTuple):
    """Make sure a pod has its identity and its claims."""

    pod: Obj


class Retain(NamedTuple):
    """Bring the claims of a pod beyond the replicas in line with the retention policy, before it goes."""

    pod: Obj


Action = Create | Delete | Repair | Retain


class Decision(NamedTuple):
    """Actions in order, and the status to write."""

    actions: list[Action]
    status: Obj


def ordinal_of(owner: Obj, pod: Obj) -> int:
    """Return the ordinal in a pod's name, -1 if it is not one of ``owner``'s names."""
    parent, dash, tail = name(pod).rpartition("-")
    return int(tail) if dash and tail.isdigit() and parent == name(owner) else -1


def start_of(owner: Obj) -> int:
    """Return the first ordinal."""
    return int(get(owner, "spec", "ordinals", "start", default=0))


def _running_ready(pod: Obj) -> bool:
    return phase(pod) == "Running" and ready(pod)


def _healthy(pod: Obj) -> bool:
    return _running_ready(pod) and not terminating(pod)


class _Set(NamedTuple):
    owner: Obj
    wall_s: float
    min_ready_s: int
    monotonic: bool
    replicas: list[Obj | None]
    condemned: list[Obj]
    first_unhealthy: str


def _sorted_out(owner: Obj, pods: list[Obj], wall_s: float) -> _Set:
    want, start = int(owner["spec"].get("replicas", 1)), start_of(owner)
    replicas: list[Obj | None] = [None] * want
    condemned: list[Obj] = []
    for pod in pods:
        number = ordinal_of(owner, pod)
        if start <= number < start + want:
            replicas[number - start] = pod
        elif number >= 0:
            condemned.append(pod)
    condemned.sort(key=lambda pod: -ordinal_of(owner, pod))
    first = ""
    for one in [*replicas, *reversed(condemned)]:
        if one is None or not _healthy(one):
            first = name(one) if one is not None else "not yet made"
            break
    monotonic = owner["spec"].get("podManagementPolicy", "OrderedReady") != "Parallel"
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    return _Set(owner, wall_s, wait, monotonic, replicas, condemned, first)


def decide(owner: Obj, pods: list[Obj], current: str, update: str, collisions: int, wall_s: float) -> Decision:
    """Return the next actions and the status; ``current`` and ``update`` are revision names."""
    state = _sorted_out(owner, pods, wall_s)
    status = _status(state, pods, current, update, collisions)
    status = complete(owner, status)
    if terminating(owner):
        return Decision([], status)
    actions, go_on = _serve(state)
    if go_on:
        actions += [Retain(pod) for pod in state.condemned] if owner["spec"].get("volumeClaimTemplates") else []
        more, go_on = _condemn(state)
        actions += more
    if go_on:
        actions += _roll(state, update)
    return Decision(actions, status)


def _serve(state: _Set) -> tuple[list[Action], bool]:
    """Process each living replica in order; False: no further step this time.

    Only under OrderedReady does one that is not well hold up all the rest (runForAll): a Parallel set scales down and rolls meanwhile.
    """
    actions: list[Action] = []
    for index, pod in enumerate(state.replicas):
        if pod is None:
            actions.append(Create(index + start_of(state.owner), _from_update(state, index)))
            if state.monotonic:
                return actions, False
            continue
        if phase(pod) in ("Failed", "Succeeded"):
            if not terminating(pod):
                actions.append(Delete(pod))
            if state.monotonic:
                return actions, False
            continue
        if state.monotonic and (terminating(pod) or not _running_ready(pod) or not available(pod, state.min_ready_s, state.wall_s)):
            if phase(pod) == "Pending":
                actions.append(Repair(pod))
            return actions, False
        actions.append(Repair(pod))
    return actions, True


def _from_update(state: _Set, index: int) -> bool:
    """Tell whether a new pod of that index gets the update revision (isCurrentRevisionNeeded)."""
    strategy = state.owner["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return True
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        return index >= int(get(state.owner, "status", "currentReplicas", default=0))
    return index >= int(rolling.get("partition") or 0)


def _condemn(state: _Set) -> tuple[list[Action], bool]:
    """Take pods beyond the replicas away, the largest ordinal first; one at a time under OrderedReady."""
    actions: list[Action] = []
    for pod in state.condemned:
        if terminating(pod):
            if state.monotonic:
                return actions, False
            continue
        unready = not _running_ready(pod) or not available(pod, state.min_ready_s, state.wall_s)
        if state.monotonic and unready and name(pod) != state.first_unhealthy:
            return actions, False
        actions.append(Delete(pod))
        if state.monotonic:
            return actions, False
    return actions, True


def _roll(state: _Set, update: str) -> list[Action]:
    """Take down the largest ordinal that is not of the update revision, if all above it are healthy."""
    strategy = state.owner["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") == "OnDelete":
        return []
    floor = int(get(strategy, "rollingUpdate", "partition", default=0) or 0)
    for index in range(len(state.replicas) - 1, floor - 1, -1):
        pod = state.replicas[index]
        if pod is None:  # made a moment ago, of the update revision
            return []
        if labels(pod).get(LABEL) != update and not terminating(pod):
            return [Delete(pod)]
        if not _healthy(pod):
            return []
    return []


def _status(state: _Set, pods: list[Obj], current: str, update: str, collisions: int) -> Obj:
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 0)
    for pod in pods:
        counts["replicas"] += 1
        if _running_ready(pod):
            counts["readyReplicas"] += 1
            if available(pod, state.min_ready_s, state.wall_s):
                counts["availableReplicas"] += 1
        if not terminating(pod):
            revision = labels(pod).get(LABEL)
            counts["currentReplicas"] += revision == current
            counts["updatedReplicas"] += revision == update
    status: Obj = {key: value for key, value in counts.items() if value or key in ("replicas", "availableReplicas")}
    status.update(
        observedGeneration=state.owner["metadata"].get("generation", 1),
        currentRevision=current, updateRevision=update, collisionCount=collisions,
    )  # fmt: skip
    if (state.owner.get("status") or {}).get("conditions"):
        status["conditions"] = state.owner["status"]["conditions"]
    return status


def complete(owner: Obj, status: Obj) -> Obj:
    """Return the status with the update revision made current when all pods have it (completeRollingUpdate)."""
    rolling = get(owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate"
    want = owner["spec"].get("replicas", 1)
    if rolling and status.get("updatedReplicas", 0) == want == status["replicas"] and status.get("readyReplicas", 0) == want:
        status = {**status, "currentRevision": status["updateRevision"]}
        if want:
            status["currentReplicas"] = want
    return status
