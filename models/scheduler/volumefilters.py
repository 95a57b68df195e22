"""Where a pod's claims let it run, and what binding them takes (plugins/{volumebinding,volumezone,volumerestrictions}).

CSI storage capacity and attach limits are not modelled: nodes here have room for every volume.
"""

from __future__ import annotations

from collections.abc import Mapping

from kchaos.models.api.pods import labels, name, namespace, notes_of, terminating
from kchaos.models.api.quantity import compare, exact
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.client.informer import Informers
from kchaos.models.controllers.volumes import (
    BIND_COMPLETED,
    NO_PROVISIONER,
    SELECTED_NODE,
    ZONE,
    asked,
    bound_volume,
    class_of,
    reserved_for,
    size_of,
)
from kchaos.models.scheduler.nodefilters import Refusal, node_terms
from kchaos.models.scheduler.nodeinfo import REGION, NodeInfo
from kchaos.models.scheduler.podinfo import PodInfo
from kchaos.models.scheduler.volumes import VolumeAction

NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ZONE_CONFLICT = Refusal(("node(s) had no available volume zone",), True)
IN_USE = Refusal(("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",), False)
_BETA = {ZONE: "failure-domain.beta.kubernetes.io/zone", REGION: "failure-domain.beta.kubernetes.io/region"}

Assumed = dict[str, tuple[str, str]]
"""Volumes reserved for a claim, and claims sent to a node, by pods not bound yet: name -> (claim or node, uid of the pod)."""


def affine(volume: Obj, node: NodeInfo) -> bool:
    """Tell whether a volume can be reached from a node (CheckNodeAffinity)."""
    required = get(volume, "spec", "nodeAffinity", "required")
    return not required or node_terms(required.get("nodeSelectorTerms") or [])(node.labels, node.name)


def topology_allowed(storage_class: Obj, tags: Mapping[str, str]) -> bool:
    """Tell whether the class lets volumes be made for a node with these labels (MatchTopologySelectorTerms)."""
    terms = storage_class.get("allowedTopologies")
    if not terms:
        return True
    for term in terms:
        expressions = term.get("matchLabelExpressions") or ()
        if expressions and all(tags.get(one["key"]) in one["values"] for one in expressions):
            return True
    return False


class VolumeCheck:
    """The claims of one pod in one decision."""

    def __init__(self, info: PodInfo, informers: Informers, volumes: Assumed, claims: Assumed, users: Mapping[str, int]) -> None:
        self._pvs = informers.of("persistentvolumes")
        self._classes = informers.of("storageclasses")
        self._volumes, self._claims = volumes, claims
        self._bound: list[Obj] = []
        self._waiting: list[Obj] = []
        self._exclusive = False
        self.plans: dict[str, list[tuple[Obj, Obj | None]]] = {}
        """By node: (claim, volume to bind it to; None: to be provisioned)."""
        self.problem = self._read(info, informers, users)
        """Why the pod fits nowhere, empty if it may fit somewhere."""

    def _read(self, info: PodInfo, informers: Informers, users: Mapping[str, int]) -> str:
        stored = informers.of("persistentvolumeclaims")
        made = {f"{info.namespace}/{name(info.pod)}-{v['name']}" for v in info.pod["spec"].get("volumes") or () if "ephemeral" in v}
        immediate = False
        found: list[Obj] = []
        for key in info.claims:
            claim = stored.get(key)
            own = key.split("/", 1)[1]
            if claim is None:
                if key in made:
                    return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{own}"'
                return f'persistentvolumeclaim "{own}" not found'
            found.append(claim)
        for key, claim in zip(info.claims, found, strict=True):
            if get(claim, "status", "phase") == "Lost":
                return f'persistentvolumeclaim "{name(claim)}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName")}"'
            if terminating(claim):
                return f'persistentvolumeclaim "{name(claim)}" is being deleted'
            if "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()) and users.get(key, 0):
                self._exclusive = True
            volume = claim["spec"].get("volumeName")
            if volume and BIND_COMPLETED in notes_of(claim):
                self._bound.append(claim)
                continue
            storage_class = self._classes.get(class_of(claim)) if class_of(claim) else None
            delayed = storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
            if delayed and not volume:
                self._waiting.append(claim)
            else:
                immediate = True
        self._waiting.sort(key=lambda claim: exact(asked(claim)))
        return "pod has unbound immediate PersistentVolumeClaims" if immediate else ""

    def refused(self, node: NodeInfo) -> Refusal | None:
        """Return the refusal of one node; else note down what binding there takes."""
        if self._exclusive:
            return IN_USE
        reasons: list[str] = []
        bound: list[Obj] = []
        for claim in self._bound:
            volume = self._pvs.get(claim["spec"]["volumeName"])
            if volume is None:
                reasons.append(NO_VOLUME)
                break
            bound.append(volume)
        if not reasons and not all(affine(volume, node) for volume in bound):
            reasons.append(NODE_CONFLICT)
        plan = self._plan(node) if self._waiting else []
        if plan is None:
            reasons.append(BIND_CONFLICT)
        if reasons:
            return Refusal(tuple(reasons), True)
        if not all(_zone_fits(volume, node.labels) for volume in bound):
            return ZONE_CONFLICT
        self.plans[node.name] = plan or []
        return None

    def _plan(self, node: NodeInfo) -> list[tuple[Obj, Obj | None]] | None:
        """Return how each waiting claim is served on a node, None if one can't be (FindPodVolumes)."""
        plan: list[tuple[Obj, Obj | None]] = []
        provision: list[Obj] = []
        taken: dict[str, None] = {}
        for claim in self._waiting:
            chosen = notes_of(claim).get(SELECTED_NODE) or self._claims.get(f"{namespace(claim)}/{name(claim)}", ("", ""))[0]
            if chosen:
                if chosen != node.name:
                    return None
                provision.append(claim)
                continue
            volume = self._match(claim, node, taken)
            if volume is None:
                provision.append(claim)
            else:
                taken[name(volume)] = None
                plan.append((claim, volume))
        for claim in provision:
            storage_class = self._classes.get(class_of(claim))
            if storage_class is None or storage_class["provisioner"] in ("", NO_PROVISIONER):
                return None
            if not topology_allowed(storage_class, node.labels):
                return None
            plan.append((claim, None))
        return plan

    def _match(self, claim: Obj, node: NodeInfo, taken: Mapping[str, None]) -> Obj | None:
        """Return the smallest free volume that serves a claim on a node (component-helpers/storage/volume: FindMatchingVolume)."""
        size, kind, modes = asked(claim), class_of(claim), claim["spec"].get("accessModes") or ()
        selector = claim["spec"].get("selector")
        fits = compile_selector(selector) if selector else None
        key = f"{namespace(claim)}/{name(claim)}"
        best: Obj | None = None
        for volume in self._pvs.items.values():
            if class_of(volume) != kind or name(volume) in taken or terminating(volume) or compare(size_of(volume), size) < 0:
                continue
            if (volume["spec"].get("volumeMode") or "Filesystem") != (claim["spec"].get("volumeMode") or "Filesystem"):
                continue
            if reserved_for(volume, claim):
                return volume if affine(volume, node) else None
            if volume["spec"].get("claimRef") or get(volume, "status", "phase") != "Available":
                continue
            if self._volumes.get(name(volume), (key, ""))[0] != key or not affine(volume, node):
                continue
            if any(mode not in (volume["spec"].get("accessModes") or ()) for mode in modes):
                continue
            if fits is not None and not fits(labels(volume)):
                continue
            if best is None or compare(size_of(volume), size_of(best)) < 0:
                best = volume
        return best

    def actions(self, node: str) -> tuple[VolumeAction, ...]:
        """Return the writes that bind the pod's claims on a node (BindPodVolumes)."""
        out = []
        for claim, volume in self.plans.get(node, ()):
            key = f"{namespace(claim)}/{name(claim)}"
            if volume is not None:
                out.append(VolumeAction(key, "persistentvolumes", bound_volume(volume, claim)))
            else:
                out.append(VolumeAction(key, "persistentvolumeclaims", put(claim, node, "metadata", "annotations", SELECTED_NODE)))
        return tuple(out)

    def assume(self, info: PodInfo, node: str) -> None:
        """Reserve the volumes of the plan until the API says so (AssumePodVolumes)."""
        for claim, volume in self.plans.get(node, ()):
            if volume is not None:
                self._volumes[name(volume)] = (f"{namespace(claim)}/{name(claim)}", info.uid)
            else:
                self._claims[f"{namespace(claim)}/{name(claim)}"] = (node, info.uid)


def _zone_fits(volume: Obj, tags: Mapping[str, str]) -> bool:
    """Tell whether the zone labels of a volume, if any, match the node's (VolumeZone)."""
    wanted = labels(volume)
    if not any(key in tags for pair in _BETA.items() for key in pair):
        return True
    for key, beta in _BETA.items():
        for own, other in ((key, beta), (beta, key)):
            if own in wanted and tags.get(own, tags.get(other)) not in wanted[own].split("__"):
                return False
    return True
