"""The edits themselves: each recipe looks at one subject of a weakness and yields options, nothing if it does not apply.

Pure, and modest: a recipe keeps what the user wrote where it can, and says with ``gives_up`` and ``needs`` where it can't.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kchaos.fix.edits import Edit, Op, at
from kchaos.fix.scene import WORKLOADS, Option, Scene, Weakness, containers, handler_of, labels_of, own_selector, pod_path, store_in
from kchaos.fix.surgery import FieldPath
from kchaos.models.api.intstr import scaled
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.properties.advice import NODES, ROLLS
from kchaos.properties.disruption import TOO_EARLY

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
SLEEPS_S = (5, 15)
"""How long endpoints take to go, with room; and where that is not enough."""
GRACE_S = 30
"""The default of terminationGracePeriodSeconds, which a preStop hook is part of: a shorter one is made longer by as much as the hook waits."""
SLEEP_SINCE = (1, 30)
"""From this version on the action `sleep` is on by default (KEP-3960)."""
NEEDS_SHARED = (
    "a StorageClass that gives ReadWriteMany volumes (NFS, CephFS, EFS, Filestore), an application whose pods may write side by side,"
    " and a new claim: access modes of one that exists can't be changed"
)
ZONE_LABELS = f"nodes with the label {ZONE}: without it pods stay Pending"
OTHERS = 3
"""Names of others that are told."""
A_SLEEP = "a `sleep` in the image"
STRATEGY = ("spec", "strategy")
ROLLING = (*STRATEGY, "rollingUpdate")


def _set(subject: str, path: FieldPath, value: Any, name: str = "") -> Edit:
    return Edit(Op.SET, subject, path, value, name)


def _all(*words: str) -> str:
    return "; ".join(one for one in words if one)


# -- disruption budgets --------------------------------------------------------------------------------------------------


def _lets_one_go(ident: str, budget: Obj) -> Edit | None:
    spec = budget["spec"]
    if "minAvailable" in spec:
        return _set(ident, ("spec", "minAvailable"), 1, "maxUnavailable")
    return _set(ident, ("spec", "maxUnavailable"), 1) if spec.get("maxUnavailable") in (0, "0%", "0") else None


def budget_lets_one_go(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a budget allow one pod to be away."""
    for ident, budget in scene.budgets(subject):
        if edit := _lets_one_go(ident, budget):
            yield Option("the budget lets one pod go", (edit,))


def budget_and_replicas(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a budget allow one pod of two to be away."""
    for more in more_replicas(subject, weakness, scene):
        for one in budget_lets_one_go(subject, weakness, scene):
            yield Option(f"{one.name}, of {more.name}", (*more.edits, *one.edits), more.gives_up, more.needs)


def broken_pods_may_go(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let pods that are not ready be evicted whatever the budget says."""
    for ident, budget in scene.budgets(subject):
        if get(budget, "spec", "unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield Option("the budget lets broken pods go", (_set(ident, ("spec", "unhealthyPodEvictionPolicy"), "AlwaysAllow"),))


def budget_keeps_others(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Add a budget that keeps two drains apart."""
    obj = scene.obj(subject)
    if obj is None or obj["kind"] not in WORKLOADS or "drain" not in weakness.faults or scene.budgets(subject) or _replicas(obj) < 2:
        return
    _, space, name = subject.split("/")
    meta = {"name": name, **({"namespace": space} if scene.spells_namespace(subject) else {})}
    spec = {"maxUnavailable": 1, "selector": own_selector(obj)}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}
    yield Option("a disruption budget", (Edit(Op.ADD, subject, (), budget),))


# -- rollouts ------------------------------------------------------------------------------------------------------------


def _replicas(obj: Obj) -> int:
    found = obj["spec"].get("replicas", 1)
    return found if isinstance(found, int) else 1


def rollout_keeps_pods(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a rollout bring the new pod before it takes an old one."""
    obj = scene.obj(subject)
    if obj is None or not set(weakness.faults) & ROLLS:
        return
    if obj["kind"] == "DaemonSet":
        value = get(obj, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable", default=1)
        if value != 1:
            yield Option("one pod at a time", (_set(subject, ("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"), 1),))
    if obj["kind"] != "Deployment" or scene.claim(subject):
        return
    if get(obj, *STRATEGY, "type") == "Recreate":
        yield Option("a rolling update", (_set(subject, (*STRATEGY, "type"), "RollingUpdate"),), "that two versions never run at once")
        return
    value, surge = get(obj, *ROLLING, "maxUnavailable", default="25%"), get(obj, *ROLLING, "maxSurge", default="25%")
    if scaled(value, _replicas(obj), False) > 0:
        edits = [_set(subject, (*ROLLING, "maxUnavailable"), 0)]
        if scaled(surge, _replicas(obj), True) == 0:
            edits.append(_set(subject, (*ROLLING, "maxSurge"), 1))
        yield Option("a rollout brings new pods first", tuple(edits))


def one_goes_first(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a rollout take one pod before it makes a new one, where there is no room for both."""
    obj = scene.obj(subject)
    if obj is not None and obj["kind"] == "Deployment" and get(obj, *STRATEGY, "type", default="RollingUpdate") == "RollingUpdate":
        edits = (_set(subject, (*ROLLING, "maxUnavailable"), 1), _set(subject, (*ROLLING, "maxSurge"), 0))
        yield Option("a rollout takes one pod first", edits, "one pod less while a rollout runs")


def recreate(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a rollout end the old pod first, where both want a volume that only one can have."""
    obj = scene.obj(subject)
    if obj is None or obj["kind"] != "Deployment" or not scene.claim(subject) or get(obj, *STRATEGY, "type") == "Recreate":
        return
    without = (Edit(Op.REMOVE, subject, ROLLING),) if get(obj, *ROLLING) is not None and get(obj, *STRATEGY, "type") else ()
    if get(obj, *STRATEGY) is not None and get(obj, *STRATEGY, "type") is None:
        yield Option("the old pod goes first", (_set(subject, STRATEGY, {"type": "Recreate"}),))
    else:
        yield Option("the old pod goes first", (*without, _set(subject, (*STRATEGY, "type"), "Recreate")))


def room_in_quota(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Give a quota that counts pods the room of one more."""
    if "exceeded quota" not in weakness.summary:
        return
    space = subject.split("/")[1]
    for ident, quota in scene.of_kind("ResourceQuota"):
        for key, value in get(quota, "spec", "hard", default={}).items():
            if ident.split("/")[1] == space and key in ("pods", "count/pods") and str(value).isdecimal():
                new = str(int(value) + 1)
                yield Option(
                    "the quota has room for one pod more",
                    (_set(ident, ("spec", "hard", key), new if isinstance(value, str) else int(new)),),
                )


# -- where pods run ------------------------------------------------------------------------------------------------------


def _affinity(obj: Obj, sort: str, strength: str = REQUIRED) -> tuple[FieldPath, list[Obj]]:
    path = (*pod_path(obj), "affinity", sort, strength)
    return path, [one for one in get(obj, *path, default=()) if isinstance(one, dict)]


def _own(obj: Obj, term: Obj) -> bool:
    return bool(labels_of(obj)) and compile_selector(get(term, "labelSelector", default={}) or {})(labels_of(obj))


def apart_not_together(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let pods that ask to be together keep apart."""
    obj = scene.obj(subject)
    if obj is None or not set(weakness.faults) & NODES or obj["kind"] not in WORKLOADS:
        return
    path, terms = _affinity(obj, "podAffinity")
    if not terms or not all(_own(obj, term) for term in terms):
        return
    above = path[:-1]
    if "podAntiAffinity" not in at(obj, above[:-1]):
        edit = Edit(Op.RENAME, subject, above, None, "podAntiAffinity")
        yield Option("pods keep apart instead of together", (edit,), "that pods stand together")


def not_pinned(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let pods run on more than one node."""
    obj = scene.obj(subject)
    if obj is None or not set(weakness.faults) & NODES:
        return
    base = pod_path(obj)
    if get(obj, *base, "nodeName"):
        yield Option("any node may take it", (Edit(Op.REMOVE, subject, (*base, "nodeName")),), "the node that it is pinned to")
    pins = get(obj, *base, "nodeSelector", default={})
    if HOSTNAME in pins:
        path = (*base, "nodeSelector") if len(pins) == 1 else (*base, "nodeSelector", HOSTNAME)
        yield Option("any node may take it", (Edit(Op.REMOVE, subject, path),), "the node that it is pinned to")


def spread(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Spread pods over nodes, or over zones where a zone's loss was felt."""
    obj = scene.obj(subject)
    if obj is None or not set(weakness.faults) & NODES or obj["kind"] not in WORKLOADS or obj["kind"] == "DaemonSet" or _replicas(obj) < 2:
        return
    for key, words in (
        ((ZONE, "zones"), (HOSTNAME, "nodes")) if "zone-power-loss" in weakness.faults else ((HOSTNAME, "nodes"), (ZONE, "zones"))
    ):
        if edit := _spread(subject, obj, key):
            yield Option(f"pods spread over {words}", (edit,), "", ZONE_LABELS if key == ZONE else "")


def _spread(subject: str, obj: Obj, key: str) -> Edit | None:
    path: FieldPath = (*pod_path(obj), "topologySpreadConstraints")
    for index, one in enumerate(get(obj, *pod_path(obj), "topologySpreadConstraints", default=())):
        if isinstance(one, dict) and one.get("topologyKey") == key and _own(obj, one):
            if one.get("whenUnsatisfiable") == "ScheduleAnyway":
                return _set(subject, (*path, index, "whenUnsatisfiable"), "DoNotSchedule")
            return _set(subject, (*path, index, "maxSkew"), 1) if one.get("maxSkew", 1) > 1 else None
    constraint = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own_selector(obj)}
    return Edit(Op.APPEND, subject, path, constraint)


def apart_if_possible(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let anti-affinity be a wish where it leaves pods without a node."""
    obj = scene.obj(subject)
    if obj is None or "anti-affinity" not in weakness.summary:
        return
    path, terms = _affinity(obj, "podAntiAffinity")
    if terms and not _affinity(obj, "podAntiAffinity", PREFERRED)[1]:
        wishes = [{"weight": 100, "podAffinityTerm": term} for term in terms]
        edit = _set(subject, path[:-1], {PREFERRED: wishes})
        yield Option("anti-affinity is a wish", (edit,), "that pods never share a node")


def spread_if_possible(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a spread be a wish where it leaves pods without a node."""
    obj = scene.obj(subject)
    if obj is None or "topology spread" not in weakness.summary:
        return
    path = (*pod_path(obj), "topologySpreadConstraints")
    edits = [
        _set(subject, (*path, index, "whenUnsatisfiable"), "ScheduleAnyway")
        for index, one in enumerate(get(obj, *path, default=()))
        if isinstance(one, dict) and one.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
    ]
    yield Option("the spread is a wish", tuple(edits), "that pods are always spread evenly")


# -- how many, and on which volumes --------------------------------------------------------------------------------------


def more_replicas(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Run a second pod, where that is a second pod of the same thing."""
    obj = scene.obj(subject)
    if obj is None or obj["kind"] not in ("Deployment", "ReplicaSet", "ReplicationController") or _replicas(obj) != 1:
        return
    if weakness.root == TOO_EARLY or store_in(obj) or scene.claim(subject) or scene.node_data(subject):
        return
    edits = [_set(subject, ("spec", "replicas"), 2)]
    if (scaler := scene.scaler(subject)) is not None and get(scaler[1], "spec", "minReplicas", default=1) < 2:
        edits.append(_set(scaler[0], ("spec", "minReplicas"), 2))
    asked = any(subject in behind for behind in scene.backing.values())
    needs = "" if asked else f"that two of {subject.rpartition('/')[2]} may work side by side: no Service sends them requests"
    yield Option("two replicas", tuple(edits), "", needs)
    more = {**obj, "spec": {**obj["spec"], "replicas": 2}}
    for key, words in ((HOSTNAME, "nodes"), (ZONE, "zones")):
        if edit := _spread(subject, more, key):
            yield Option(f"two replicas spread over {words}", (*edits, edit), "", _all(needs, ZONE_LABELS if key == ZONE else ""))


def replicas_to_spare(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Run one or two pods more than there are, where there are several already and they keep no data of their own."""
    obj = scene.obj(subject)
    if obj is None or obj["kind"] not in ("Deployment", "ReplicaSet", "ReplicationController") or (now := _replicas(obj)) < 2:
        return
    if store_in(obj) or scene.claim(subject) or scene.node_data(subject) or scene.scaler(subject) is not None:
        return
    for count in (now + 1, now + 2):
        yield Option(f"{count} replicas", (_set(subject, ("spec", "replicas"), count),))


def shared_volume(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let two pods in different zones use one volume, where a class gives such volumes."""
    obj, claim = scene.obj(subject), scene.claim(subject)
    if obj is None or claim is None or obj["kind"] != "Deployment" or store_in(obj):
        return
    edits = [_set(claim[0], ("spec", "accessModes"), ["ReadWriteMany"])]
    if _replicas(obj) == 1:
        edits.append(_set(subject, ("spec", "replicas"), 2))
    gives_up = ""
    if get(obj, *STRATEGY, "type") == "Recreate":
        edits.append(Edit(Op.REMOVE, subject, STRATEGY))
        gives_up = "that one pod at a time writes"
    yield Option("pods that share the volume", tuple(edits), gives_up, NEEDS_SHARED)
    for key, words in ((ZONE, "zones"), (HOSTNAME, "nodes")):  # claims that are bound late bring pods that come together to one node
        if edit := _spread(subject, obj, key):
            labels = ZONE_LABELS if key == ZONE else ""
            yield Option(f"pods that share the volume, spread over {words}", (*edits, edit), gives_up, _all(NEEDS_SHARED, labels))


# -- probes and hooks ----------------------------------------------------------------------------------------------------


def readiness(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Ask containers whether they answer before they are sent requests: as their other probes do, else by connecting."""
    obj = scene.obj(subject)
    if obj is None or (weakness.rule == "KC202" and weakness.root != TOO_EARLY and not set(weakness.faults) & ROLLS):
        return  # nothing new comes up too early
    edits = _readiness(subject, obj)
    if edits:
        yield Option("a readiness probe", tuple(edits))
        yield from _with_rollout(Option("a readiness probe", tuple(edits)), subject, weakness, scene)


def _with_rollout(option: Option, subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    for more in rollout_keeps_pods(subject, weakness, scene):
        yield Option(f"{option.name}; {more.name}", (*option.edits, *more.edits), more.gives_up, option.needs)


def _readiness(subject: str, obj: Obj) -> list[Edit]:
    out = []
    for path, container in containers(obj):
        handler = handler_of(container)
        if "readinessProbe" not in container and handler is not None:
            out.append(_set(subject, (*path, "readinessProbe"), handler))
    return out


def startup(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let a startup probe wait for what a liveness probe would kill."""
    obj = scene.obj(subject)
    if obj is None or "slow-start" not in weakness.faults:
        return
    edits = []
    for path, container in containers(obj):
        if "livenessProbe" in container and "startupProbe" not in container and (handler := handler_of(container)):
            edits.append(_set(subject, (*path, "startupProbe"), {**handler, "failureThreshold": 30}))
    yield Option("a startup probe", tuple(edits))


def _sleep(seconds: int, kubernetes: str) -> Obj:
    version = tuple(int(part) for part in kubernetes.split(".")[:2])
    return {"sleep": {"seconds": seconds}} if version >= SLEEP_SINCE else {"exec": {"command": ["sleep", str(seconds)]}}


def _hook_needs(edits: Sequence[Edit]) -> str:
    return A_SLEEP if any(isinstance(edit.value, dict) and "exec" in edit.value for edit in edits if edit.path[-1] == "preStop") else ""


def _leaving(subject: str, weakness: Weakness, scene: Scene) -> Iterator[tuple[str, list[Edit]]]:
    """Yield edits for each length of a hook, and in words how long it is."""
    obj = scene.obj(subject)
    if obj is None:
        return
    grace = get(obj, *pod_path(obj), "terminationGracePeriodSeconds", default=GRACE_S)
    for seconds in SLEEPS_S:
        edits = []
        for path, container in containers(obj):
            hook = get(container, "lifecycle", "preStop")
            if not hook and (container.get("ports") or len(containers(obj)) == 1):
                edits.append(_set(subject, (*path, "lifecycle", "preStop"), _sleep(seconds, scene.kubernetes)))
            elif hook and get(hook, "sleep", "seconds", default=seconds) < seconds:
                edits.append(_set(subject, (*path, "lifecycle", "preStop", "sleep", "seconds"), seconds))
        if edits and isinstance(grace, int) and grace < GRACE_S:
            edits.append(_set(subject, (*pod_path(obj), "terminationGracePeriodSeconds"), grace + seconds))
        if edits:
            yield f"a preStop hook that waits {seconds} s", edits


def serve_while_leaving(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let containers serve on while their endpoints are taken away."""
    for name, edits in _leaving(subject, weakness, scene):
        yield Option(name, tuple(edits), "", _hook_needs(edits))


def serve_while_leaving_and_coming(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """The same, and let new pods be asked first."""
    obj = scene.obj(subject)
    for name, edits in _leaving(subject, weakness, scene):
        probes = _readiness(subject, obj) if obj is not None else []
        both = Option(f"{name} and a readiness probe", (*edits, *probes), "", _hook_needs(edits))
        if probes:
            yield both
        yield from _with_rollout(both, subject, weakness, scene)


# -- webhooks ------------------------------------------------------------------------------------------------------------


def _closed(obj: Obj, weakness: Weakness) -> Iterator[tuple[int, Obj]]:
    for index, hook in enumerate(obj.get("webhooks") or ()):
        if hook.get("failurePolicy", "Fail") == "Fail" and (
            hook.get("name", "") in weakness.summary or hook.get("name", "") in weakness.root
        ):
            yield index, hook


def not_asked_about_itself(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Leave a webhook's own namespace out."""
    obj = scene.obj(subject)
    for index, hook in _closed(obj, weakness) if obj is not None else ():
        space = get(hook, "clientConfig", "service", "namespace")
        rule = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [space]}
        if space:
            edit = Edit(Op.APPEND, subject, ("webhooks", index, "namespaceSelector", "matchExpressions"), rule)
            others = scene.beside(space, get(hook, "clientConfig", "service", "name", default=""))
            told = ", ".join(others[:OTHERS]) + (f" and {len(others) - OTHERS} more" if len(others) > OTHERS else "")
            gives_up = f"that it is asked about what else is in the namespace {space}: {told}" if others else ""
            yield Option("it is not asked about its own namespace", (edit,), gives_up)


def fails_open(subject: str, weakness: Weakness, scene: Scene) -> Iterator[Option]:
    """Let what a webhook does not answer pass."""
    obj = scene.obj(subject)
    for index, _ in _closed(obj, weakness) if obj is not None else ():
        edit = _set(subject, ("webhooks", index, "failurePolicy"), "Ignore")
        yield Option("it fails open", (edit,), "that nothing passes unasked")
