"""API server defaulting: what a manifest leaves out, filled in as a 1.34 server does.

Sources: pkg/apis/{core,apps,batch,autoscaling,networking,policy,storage,discovery,rbac}/v1/defaults.go. Quantities are stored in
their canonical form. Subtrees that need nothing are shared; an object that needs nothing is returned as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kchaos.models.api.defaults_pod import default_pod_spec, default_template
from kchaos.models.api.quantity import canonical_text
from kchaos.models.api.tree import Obj


def fill(tree: Obj, **defaults: Any) -> Obj:
    """Return ``tree`` with the members it lacks (absent or null) set; ``tree`` itself if it lacks none."""
    missing = {key: value for key, value in defaults.items() if tree.get(key) is None}
    return {**tree, **missing} if missing else tree


def replace(tree: Obj, key: str, change: Callable[[Any], Any]) -> Obj:
    """Return ``tree`` with ``change`` applied to the member ``key`` if it is there."""
    old = tree.get(key)
    if old is None:
        return tree
    new = change(old)
    return tree if new is old else {**tree, key: new}


def default_object(obj: Obj) -> Obj:
    """Return ``obj`` with defaults; kinds without any, and unknown kinds, come back as they are."""
    function = _BY_KIND.get(obj.get("kind", ""))
    return function(obj) if function is not None else obj


def _spec(change: Callable[[Obj], Obj]) -> Callable[[Obj], Obj]:
    def apply(obj: Obj) -> Obj:
        old = obj.get("spec") or {}
        new = change(old)
        return obj if new is obj.get("spec") else {**obj, "spec": new}

    return apply


def _template_labels(spec: Obj) -> dict[str, str]:
    return ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}


def _deployment(spec: Obj) -> Obj:
    spec = replace(spec, "template", default_template)
    strategy = fill(spec.get("strategy") or {}, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = fill(strategy.get("rollingUpdate") or {}, maxUnavailable="25%", maxSurge="25%")
        strategy = fill({**strategy, "rollingUpdate": rolling})
    spec = {**spec, "strategy": strategy} if strategy != spec.get("strategy") else spec
    return fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)


def _replicaset(spec: Obj) -> Obj:
    return fill(replace(spec, "template", default_template), replicas=1)


def _replicationcontroller(obj: Obj) -> Obj:
    spec = _replicaset(obj.get("spec") or {})
    labels = _template_labels(spec)
    if labels and not spec.get("selector"):
        spec = {**spec, "selector": labels}
    out = obj if spec is obj.get("spec") else {**obj, "spec": spec}
    if labels and not out["metadata"].get("labels"):
        out = {**out, "metadata": {**out["metadata"], "labels": labels}}
    return out


def _statefulset(spec: Obj) -> Obj:
    spec = replace(spec, "template", default_template)
    strategy = fill(spec.get("updateStrategy") or {}, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy = {**strategy, "rollingUpdate": fill(strategy.get("rollingUpdate") or {}, partition=0)}
    if strategy != spec.get("updateStrategy"):
        spec = {**spec, "updateStrategy": strategy}
    if spec.get("volumeClaimTemplates"):
        claims = [_claim_template(one) for one in spec["volumeClaimTemplates"]]
        if claims != spec["volumeClaimTemplates"]:
            spec = {**spec, "volumeClaimTemplates": claims}
    retention = fill(spec.get("persistentVolumeClaimRetentionPolicy") or {}, whenDeleted="Retain", whenScaled="Retain")
    if retention != spec.get("persistentVolumeClaimRetentionPolicy"):
        spec = {**spec, "persistentVolumeClaimRetentionPolicy": retention}
    return fill(spec, podManagementPolicy="OrderedReady", replicas=1, revisionHistoryLimit=10, serviceName="")


def _claim_template(claim: Obj) -> Obj:
    claim = fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
    return fill({**claim, "spec": _claim(claim.get("spec") or {})}, status={"phase": "Pending"})


def _daemonset(spec: Obj) -> Obj:
    spec = replace(spec, "template", default_template)
    strategy = fill(spec.get("updateStrategy") or {}, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = fill(strategy.get("rollingUpdate") or {}, maxUnavailable=1, maxSurge=0)
        strategy = {**strategy, "rollingUpdate": rolling}
    if strategy != spec.get("updateStrategy"):
        spec = {**spec, "updateStrategy": strategy}
    return fill(spec, revisionHistoryLimit=10)


def job_spec(spec: Obj) -> Obj:
    """Return a JobSpec with defaults; selector and pod labels are made by the Job's strategy, which knows its uid."""
    spec = replace(spec, "template", default_template)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec = {**spec, "completions": 1, "parallelism": 1}
    spec = fill(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False)
    if spec.get("backoffLimit") is None:
        spec = {**spec, "backoffLimit": 2147483647 if spec.get("backoffLimitPerIndex") is not None else 6}
    if spec.get("podReplacementPolicy") is None:
        policy = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
        spec = {**spec, "podReplacementPolicy": policy}
    return spec


def _job(obj: Obj) -> Obj:
    spec = job_spec(obj.get("spec") or {})
    uid = obj["metadata"].get("uid")
    if uid and not spec.get("manualSelector") and "selector" not in spec:
        name = obj["metadata"].get("name", "")
        template = spec.get("template") or {}
        meta = template.get("metadata") or {}
        labels = {
            **(meta.get("labels") or {}), "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name,
            "controller-uid": uid, "job-name": name,
        }  # fmt: skip
        spec = {
            **spec,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
            "template": {**template, "metadata": {**meta, "labels": labels}},
        }
    return obj if spec is obj.get("spec") else {**obj, "spec": spec}


def _cronjob(spec: Obj) -> Obj:
    def template(one: Obj) -> Obj:
        return replace(one, "spec", job_spec_template)

    spec = replace(spec, "jobTemplate", template)
    return fill(
        spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1
    )


def job_spec_template(spec: Obj) -> Obj:
    """Return the JobSpec inside a CronJob: only its pod template is defaulted there."""
    return replace(spec, "template", default_template)


def _service(spec: Obj) -> Obj:
    spec = fill(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        spec = {**spec, "sessionAffinityConfig": {"clientIP": fill(client, timeoutSeconds=10800)}}
    ports = []
    for port in spec.get("ports") or ():
        port = fill(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0):
            port = {**port, "targetPort": port.get("port")}
        ports.append(port)
    if ports != (spec.get("ports") or []):
        spec = {**spec, "ports": ports}
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec = fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        spec = fill(spec, allocateLoadBalancerNodePorts=True)
    if spec["type"] != "ExternalName":
        spec = fill(spec, internalTrafficPolicy="Cluster")
    return spec


def _claim(spec: Obj) -> Obj:
    requests = (spec.get("resources") or {}).get("requests")
    if requests:
        texts = {k: canonical_text(v) for k, v in requests.items()}
        if texts != requests:
            spec = {**spec, "resources": {**spec["resources"], "requests": texts}}
    return fill(spec, volumeMode="Filesystem")


def _volume(spec: Obj) -> Obj:
    if spec.get("hostPath") is not None:
        spec = replace(spec, "hostPath", lambda path: fill(path, type=""))
    capacity = spec.get("capacity")
    if capacity:
        texts = {k: canonical_text(v) for k, v in capacity.items()}
        spec = {**spec, "capacity": texts} if texts != capacity else spec
    return fill(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")


def _storageclass(obj: Obj) -> Obj:
    return fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")




def _autoscaler(spec: Obj) -> Obj:
    spec = fill(spec, minReplicas=1)
    if "metrics" not in spec and "targetCPUUtilizationPercentage" not in spec:
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
        spec = {**spec, "metrics": [{"type": "Resource", "resource": cpu}]}
    return spec




def _networkpolicy(spec: Obj) -> Obj:
    def rules(items: list[Obj]) -> list[Obj]:
        out = []
        for rule in items:
            ports = [fill(port, protocol="TCP") for port in (rule or {}).get("ports") or ()]
            out.append({**rule, "ports": ports} if ports else rule)
        return out if out != items else items

    spec = replace(spec, "ingress", rules)
    spec = replace(spec, "egress", rules)
    if not spec.get("policyTypes"):
        spec = {**spec, "policyTypes": ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]}
    return spec


def _endpointslice(obj: Obj) -> Obj:
    ports = [fill(port, name="", protocol="TCP") for port in obj.get("ports") or ()]
    return {**obj, "ports": ports} if ports != (obj.get("ports") or []) else obj


def _namespace(obj: Obj) -> Obj:
    name = obj["metadata"].get("name")
    labels = obj["metadata"].get("labels") or {}
    if name and labels.get("kubernetes.io/metadata.name") != name:
        labels = {**labels, "kubernetes.io/metadata.name": name}
        obj = {**obj, "metadata": {**obj["metadata"], "labels": labels}}
    if not (obj.get("spec") or {}).get("finalizers") and not obj["metadata"].get("deletionTimestamp"):
        obj = {**obj, "spec": {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}}
    return obj


def _secret(obj: Obj) -> Obj:
    return fill(obj, type="Opaque")


def _priorityclass(obj: Obj) -> Obj:
    return fill(obj, preemptionPolicy="PreemptLowerPriority", value=0)


def _binding(obj: Obj) -> Obj:
    obj = replace(obj, "roleRef", lambda ref: fill(ref, apiGroup="rbac.authorization.k8s.io"))

    def subject(one: Obj) -> Obj:
        group = "rbac.authorization.k8s.io" if one.get("kind") in ("User", "Group") else None
        return fill(one, apiGroup=group) if group else one

    return replace(obj, "subjects", lambda many: [subject(one) for one in many])


def _pod(spec: Obj) -> Obj:
    spec = default_pod_spec(spec)
    return fill(spec, enableServiceLinks=True)


def _node(obj: Obj) -> Obj:
    status = obj.get("status") or {}
    for key in ("capacity", "allocatable"):
        if status.get(key):
            texts = {k: canonical_text(v) for k, v in status[key].items()}
            if texts != status[key]:
                status = {**status, key: texts}
    return obj if status is obj.get("status") else {**obj, "status": status} if status else obj


_BY_KIND: dict[str, Callable[[Obj], Obj]] = {
    "Pod": _spec(_pod),
    "PodTemplate": lambda obj: replace(obj, "template", default_template),
    "Deployment": _spec(_deployment),
    "ReplicaSet": _spec(_replicaset),
    "ReplicationController": _replicationcontroller,
    "StatefulSet": _spec(_statefulset),
    "DaemonSet": _spec(_daemonset),
    "Job": _job,
    "CronJob": _spec(_cronjob),
    "Service": _spec(_service),
    "PersistentVolumeClaim": _spec(_claim),
    "PersistentVolume": _spec(_volume),
    "StorageClass": _storageclass,
    "HorizontalPodAutoscaler": _spec(_autoscaler),
    "NetworkPolicy": _spec(_networkpolicy),
    "EndpointSlice": _endpointslice,
    "Namespace": _namespace,
    "Secret": _secret,
    "PriorityClass": _priorityclass,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "Node": _node,
}
