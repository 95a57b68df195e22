"""What each kind's REST strategy does on create and update: fields that users can't set, generation, allocation.

Sources: the ``strategy.go`` of each kind under pkg/registry in kubernetes/kubernetes 1.34.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from kchaos.models.api.quantity import milli
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, drop, get, put

if TYPE_CHECKING:
    from kchaos.models.apiserver.store import Store

KEEPS_STATUS_ON_CREATE = {"nodes", "customresourcedefinitions"}
SERVICE_NETWORK = ipaddress.ip_network("10.96.0.0/16")
DAEMON_GENERATION = "deprecated.daemonset.template.generation"
NODE_PORTS = range(30000, 32768)


def qos_class(spec: Obj) -> str:
    """Return Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos/qos.go)."""
    guaranteed, any_set = True, False
    for container in [*spec.get("containers", ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            request, limit = requests.get(name), limits.get(name)
            if request is not None or limit is not None:
                any_set = True
            if limit is None or (request is not None and milli(request) != milli(limit)):
                guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _initial_status(plural: str, obj: Obj) -> Obj | None:
    if plural == "pods":
        return {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
    if plural in ("persistentvolumeclaims", "persistentvolumes"):
        return {"phase": "Pending"}
    if plural == "namespaces":
        return {"phase": "Active"}
    if plural == "services":
        return {"loadBalancer": {}}
    if plural in ("replicasets", "replicationcontrollers"):
        return {"replicas": 0}
    if plural == "statefulsets":
        return {"availableReplicas": 0, "replicas": 0}
    if plural == "daemonsets":
        return {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}
    if plural == "poddisruptionbudgets":
        return {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    return {}


def prepare_create(resource: Resource, obj: Obj) -> Obj:
    """Return ``obj`` with status reset and the first generation set."""
    if resource.has_status and resource.plural not in KEEPS_STATUS_ON_CREATE:
        status = _initial_status(resource.plural, obj)
        obj = {**obj, "status": status} if status is not None else drop(obj, "status")
    if resource.has_generation or resource.plural == "pods":
        obj = put(obj, 1, "metadata", "generation")
    if resource.plural == "pods" and get(obj, "spec", "schedulingGates"):
        gated = {
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": None,
            "lastTransitionTime": None, "message": "Scheduling is blocked due to non-empty scheduling gates",
        }  # fmt: skip
        obj = put(obj, [gated], "status", "conditions")
    return obj


_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")


def prepare_update(resource: Resource, new: Obj, old: Obj, subresource: str) -> Obj:
    """Return what ``new`` means as an update of ``old``: server-owned metadata kept, spec and status kept apart, generation counted."""
    meta = {key: value for key, value in new.get("metadata", {}).items() if key not in _SERVER_OWNED}
    for key in _SERVER_OWNED:
        if key in old["metadata"]:
            meta[key] = old["metadata"][key]
    meta["name"] = old["metadata"]["name"]
    if "namespace" in old["metadata"]:
        meta["namespace"] = old["metadata"]["namespace"]
    if subresource == "status":
        kept = dict(old["metadata"])
        for key in ("finalizers", "labels", "annotations", "ownerReferences"):
            # as the real strategies do: metadata of a status update is mostly the old one; labels and annotations may change
            if key in ("labels", "annotations") and key in meta:
                kept[key] = meta[key]
        out = {**old, "metadata": kept, "status": new.get("status", {})}
        return out
    if resource.plural == "namespaces":  # only the subresource finalize may change spec.finalizers (namespace/strategy.go)
        if subresource == "finalize":
            return put(old, get(new, "spec", "finalizers", default=[]), "spec", "finalizers")
        new = {**new, "spec": old.get("spec", {})}
    out = {**new, "metadata": meta}
    if resource.has_status:
        if "status" in old:
            out["status"] = old["status"]
        else:
            out.pop("status", None)
    if resource.plural == "daemonsets":  # the template generation, an annotation since apps/v1 (daemonset/strategy.go)
        counted = int((old["metadata"].get("annotations") or {}).get(DAEMON_GENERATION, "1"))
        if get(out, "spec", "template") != get(old, "spec", "template"):
            counted += 1
        meta["annotations"] = {**(meta.get("annotations") or {}), DAEMON_GENERATION: str(counted)}
    if resource.has_generation or resource.plural == "pods":
        changed = out.get("spec") is not old.get("spec") and out.get("spec") != old.get("spec")
        if resource.plural == "deployments" and not changed:
            changed = (meta.get("annotations") or {}) != (old["metadata"].get("annotations") or {})
        if changed:
            meta["generation"] = old["metadata"].get("generation", 0) + 1
    return out


def job_status_error(status: Obj) -> str:
    """Return why a Job's status is refused, empty if it is not (ValidateJobStatus; the Job controller does run into this one)."""
    active, ready = status.get("active", 0), status.get("ready") or 0
    return f"status.ready: Invalid value: {ready}: cannot set more ready pods than active" if ready > active else ""


class ServiceAllocator:
    """Gives each Service a cluster IP and node ports that no other has; freed with the Service."""

    def __init__(self, rng: Callable[[], random.Random]) -> None:
        self._rng = rng

    def allocate(self, service: Obj, store: Store) -> Obj:
        """Return ``service`` with what is missing allocated. Raises ValueError with the real server's text when taken."""
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return service
        others = [other["spec"] for other in store.table("services").values()]
        if not spec.get("clusterIP"):
            taken = {other.get("clusterIP") for other in others}
            address = self._free_address(taken)
            service = put(service, address, "spec", "clusterIP")
        if not spec.get("clusterIPs"):
            service = put(service, [service["spec"]["clusterIP"]], "spec", "clusterIPs")
        if service["spec"]["clusterIP"] != "None" and not spec.get("ipFamilies"):
            service = put(service, ["IPv4"], "spec", "ipFamilies")
            service = put(service, "SingleStack", "spec", "ipFamilyPolicy")
        if spec.get("type") in ("NodePort", "LoadBalancer") and spec.get("allocateLoadBalancerNodePorts") is not False:
            service = self._node_ports(service, others)
        return service

    def _free_address(self, taken: set[object]) -> str:
        rng = self._rng()
        size = SERVICE_NETWORK.num_addresses
        for _ in range(1000):
            address = str(SERVICE_NETWORK[rng.randrange(256, size - 1)])
            if address not in taken:
                return address
        raise ValueError("failed to allocate a serviceIP: range is full")

    def _node_ports(self, service: Obj, others: list[Obj]) -> Obj:
        taken = {port.get("nodePort") for other in others for port in other.get("ports") or ()}
        ports = []
        for port in service["spec"].get("ports") or ():
            if not port.get("nodePort"):
                rng = self._rng()
                free = rng.choice(NODE_PORTS)
                while free in taken:
                    free = rng.choice(NODE_PORTS)
                taken.add(free)
                port = {**port, "nodePort": free}
            ports.append(port)
        return put(service, ports, "spec", "ports")
