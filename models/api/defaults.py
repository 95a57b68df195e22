"""API server defaulting: what a manifest leaves out, filled in and written as a 1.34 server does.

Sources: defaults.go of each group under pkg/apis (core, apps, batch, autoscaling, networking, storage, discovery, rbac,
admissionregistration,
scheduling) and the strategies' PrepareForCreate where it fills what users see (Namespace finalizer,
Job selector, PVC data sources). Pure and idempotent; subtrees that need nothing are shared, and an object that needs
nothing is returned as it is. Nothing is allocated here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from kchaos.models.api.defaults_pod import claim_spec, each, fill, pod, template, volume_source, within
from kchaos.models.api.tree import Obj
from kchaos.models.api.wire import normalise

_RBAC = "rbac.authorization.k8s.io"
_RETAIN: Obj = {"whenDeleted": "Retain", "whenScaled": "Retain"}
_INT32_MAX = 2**31 - 1
_GENERATION = "deprecated.daemonset.template.generation"


def default_object(obj: Obj) -> Obj:
    """Return ``obj`` with defaults, in written form; unknown kinds come back as they are."""
    function = _BY_KIND.get(obj.get("kind", ""))
    out = normalise(obj)
    return out if function is None else function(out)


def _spec(change: Callable[[Obj], Obj]) -> Callable[[Obj], Obj]:
    def apply(obj: Obj) -> Obj:
        return within(obj, "spec", change) if isinstance(obj.get("spec"), dict) else obj

    return apply


# -- workloads -------------------------------------------------------------------------------------------------------


def _template(spec: Obj) -> Obj:
    return within(spec, "template", template)


def _template_labels(spec: Obj) -> dict[str, str]:
    found: dict[str, str] = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    return found


def _rolling(spec: Obj, key: str, defaults: Obj) -> Obj:
    """Fill a strategy: RollingUpdate, and that one's parameters with ``defaults``."""
    strategy = fill(spec.get(key) or {}, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        filled = fill(rolling, defaults)
        if filled is not strategy.get("rollingUpdate"):
            strategy = {**strategy, "rollingUpdate": filled}
    return spec if strategy is spec.get(key) else {**spec, key: strategy}


def _deployment(spec: Obj) -> Obj:
    spec = _rolling(_template(spec), "strategy", {"maxUnavailable": "25%", "maxSurge": "25%"})
    return fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})


def _replicaset(spec: Obj) -> Obj:
    return fill(_template(spec), {"replicas": 1})


def _with_labels(obj: Obj, labels: dict[str, str]) -> Obj:
    if not labels or (obj.get("metadata") or {}).get("labels"):
        return obj
    return {**obj, "metadata": {**(obj.get("metadata") or {}), "labels": labels}}


def _replicationcontroller(obj: Obj) -> Obj:
    labels = _template_labels(obj.get("spec") or {})

    def change(spec: Obj) -> Obj:
        spec = _replicaset(spec)
        return {**spec, "selector": labels} if labels and not spec.get("selector") else spec

    return _with_labels(_spec(change)(obj), labels)


def _statefulset(spec: Obj) -> Obj:
    spec = _template(spec)
    strategy = spec.get("updateStrategy") or {}
    if not strategy.get("type") or (strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy):
        spec = _rolling(spec, "updateStrategy", {"partition": 0})
    spec = within(spec, "volumeClaimTemplates", lambda claims: each(claims, _claim_template))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    filled = fill(retention, _RETAIN)
    if filled is not spec.get("persistentVolumeClaimRetentionPolicy"):
        spec = {**spec, "persistentVolumeClaimRetentionPolicy": filled}
    return fill(spec, {"podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": 10})


def _claim_template(claim: Obj) -> Obj:
    return _claim(fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}))


def _daemonset(spec: Obj) -> Obj:
    spec = _rolling(_template(spec), "updateStrategy", {"maxUnavailable": 1, "maxSurge": 0})
    return fill(spec, {"revisionHistoryLimit": 10})


def _daemonset_object(obj: Obj) -> Obj:
    """Fill the spec and the annotation that stands for the template generation (pkg/apis/apps/v1/conversion.go)."""
    obj = _spec(_daemonset)(obj)
    meta = obj.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    if _GENERATION in annotations:
        return obj
    return {**obj, "metadata": {**meta, "annotations": {**annotations, _GENERATION: "1"}}}


def _failure_pattern(one: Obj) -> Obj:
    return one if one.get("status") else {**one, "status": "True"}


def _failure_rule(rule: Obj) -> Obj:
    return within(rule, "onPodConditions", lambda many: each(many, _failure_pattern))


def _failure_policy(spec: Obj) -> Obj:
    return within(spec, "podFailurePolicy", lambda policy: within(policy, "rules", lambda rules: each(rules, _failure_rule)))


def _job_spec(spec: Obj) -> Obj:
    spec = _failure_policy(_template(spec))
    if "completions" not in spec and "parallelism" not in spec:
        spec = {**spec, "completions": 1}
    limit = _INT32_MAX if "backoffLimitPerIndex" in spec else 6
    replacement = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    defaults: Obj = {
        "parallelism": 1, "backoffLimit": limit, "completionMode": "NonIndexed", "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": replacement,
    }  # fmt: skip
    return fill(spec, defaults)


def _job(obj: Obj) -> Obj:
    labelled = bool(_template_labels(obj.get("spec") or {}))
    out = job_selector(_spec(_job_spec)(obj))
    # the real server's Job shares the map with its template, so it gets the generated labels too
    return _with_labels(out, _template_labels(out["spec"])) if labelled else out


def job_selector(job: Obj) -> Obj:
    """Return a Job with selector and pod labels made of its uid (pkg/registry/batch/job: generateSelector)."""
    spec, meta = job.get("spec") or {}, job.get("metadata") or {}
    uid = meta.get("uid")
    if not uid or spec.get("manualSelector") or meta.get("resourceVersion"):
        return job
    selector = spec.get("selector") or {}
    if (selector.get("matchLabels") or {}).get("batch.kubernetes.io/controller-uid") == uid:
        return job
    pods = spec.get("template") or {}
    pods_meta = pods.get("metadata") or {}
    name = meta.get("name", "")
    labels = {
        **(pods_meta.get("labels") or {}), "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid, "job-name": name,
    }  # fmt: skip
    made = {
        **spec,
        "selector": {
            **selector,
            "matchLabels": {**(selector.get("matchLabels") or {}), "batch.kubernetes.io/controller-uid": uid},
        },
        "template": {**pods, "metadata": {**pods_meta, "labels": labels}},
    }
    return {**job, "spec": made}


def _cronjob(spec: Obj) -> Obj:
    def job(spec: Obj) -> Obj:
        return _failure_policy(_template(spec))

    spec = within(spec, "jobTemplate", lambda one: within(one, "spec", job))
    defaults: Obj = {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    return fill(spec, defaults)


_UP: Obj = {
    "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100,
    "periodSeconds": 15}],
}  # fmt: skip
_DOWN: Obj = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
_CPU: Obj = {
    "type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}  # fmt: skip


def _behavior(behavior: Obj) -> Obj:
    out = behavior
    for key, defaults in (("scaleUp", _UP), ("scaleDown", _DOWN)):
        old = out.get(key)
        new = defaults if old is None else fill(old, defaults)
        if new is not old:
            out = {**out, key: new}
    return out


def _autoscaler(obj: Obj) -> Obj:
    def change(spec: Obj) -> Obj:
        spec = fill(spec, {"minReplicas": 1})
        if obj.get("apiVersion") == "autoscaling/v1":
            return fill(spec, {"targetCPUUtilizationPercentage": 80})
        return within(fill(spec, {"metrics": [_CPU]}), "behavior", _behavior)

    return _spec(change)(obj)


# -- network ---------------------------------------------------------------------------------------------------------


def _service_port(port: Obj) -> Obj:
    port = fill(port, {"protocol": "TCP"})
    return {**port, "targetPort": port.get("port", 0)} if port.get("targetPort") in (None, "", 0) else port


def _service(spec: Obj) -> Obj:
    spec = fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    kind = spec["type"]
    if spec["sessionAffinity"] == "None" and "sessionAffinityConfig" in spec:
        spec = {key: value for key, value in spec.items() if key != "sessionAffinityConfig"}
    if spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if "timeoutSeconds" not in client:
            spec = {**spec, "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}
    spec = within(spec, "ports", lambda ports: each(ports, _service_port))
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec = fill(spec, {"externalTrafficPolicy": "Cluster"})
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec = fill(spec, {"internalTrafficPolicy": "Cluster"})
    if kind == "LoadBalancer":
        spec = fill(spec, {"allocateLoadBalancerNodePorts": True})
    return spec


def _service_status(obj: Obj) -> Obj:
    def balancer(status: Obj) -> Obj:
        def ingress(one: Obj) -> Obj:
            return fill(one, {"ipMode": "VIP"}) if one.get("ip") else one

        return within(status, "loadBalancer", lambda lb: within(lb, "ingress", lambda many: each(many, ingress)))

    out = _spec(_service)(obj)
    return within(out, "status", balancer) if (out.get("spec") or {}).get("type") == "LoadBalancer" else out


def _rule_ports(rule: Obj) -> Obj:
    return within(rule, "ports", lambda ports: each(ports, lambda one: fill(one, {"protocol": "TCP"})))


def _networkpolicy(spec: Obj) -> Obj:
    for key in ("ingress", "egress"):
        spec = within(spec, key, lambda rules: each(rules, _rule_ports))
    return spec if spec.get("policyTypes") else {**spec, "policyTypes": ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]}


def _ingressclass(spec: Obj) -> Obj:
    return within(spec, "parameters", lambda one: fill(one, {"scope": "Cluster"}))


def _endpointslice(obj: Obj) -> Obj:
    return within(obj, "ports", lambda ports: each(ports, lambda one: fill(one, {"name": "", "protocol": "TCP"})))


def _subset(subset: Obj) -> Obj:
    return within(subset, "ports", lambda ports: each(ports, lambda one: fill(one, {"protocol": "TCP"})))


def _endpoints(obj: Obj) -> Obj:
    return within(obj, "subsets", lambda subsets: each(subsets, _subset))


# -- storage and the rest --------------------------------------------------------------------------------------------


def _old_source(source: Obj) -> bool:
    """Tell whether a dataSource is of a kind that the field always took; others are dropped silently (KEP-1495)."""
    group, kind = source.get("apiGroup") or "", source.get("kind")
    return (group, kind) in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def _claim(obj: Obj) -> Obj:
    def change(spec: Obj) -> Obj:
        spec = claim_spec(spec)
        source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
        if source is not None and ref is None and not _old_source(source):
            return {key: value for key, value in spec.items() if key != "dataSource"}
        if source is not None and ref is None:
            return {**spec, "dataSourceRef": source}
        if ref is not None and source is None and not ref.get("namespace"):
            return {**spec, "dataSource": {key: value for key, value in ref.items() if key != "namespace"}}
        return spec

    return _phase(_spec(change)(obj), "Pending")


def _phase(obj: Obj, phase: str) -> Obj:
    status = obj.get("status") or {}
    return obj if "phase" in status else {**obj, "status": {**status, "phase": phase}}


def _volume(spec: Obj) -> Obj:
    return fill(volume_source(spec), {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})


_CSI_DRIVER: Obj = {
    "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "volumeLifecycleModes": ["Persistent"], "requiresRepublish": False, "seLinuxMount": False,
}  # fmt: skip


def _limit(item: Obj) -> Obj:
    if item.get("type") != "Container":
        return item
    limit = fill(item.get("default") or {}, item.get("max") or {})
    request = fill(fill(item.get("defaultRequest") or {}, limit), item.get("min") or {})
    new = {**item, **({"default": limit} if limit else {}), **({"defaultRequest": request} if request else {})}
    return item if new == item else new


def _namespace(obj: Obj) -> Obj:
    meta = obj.get("metadata") or {}
    name, labels = meta.get("name"), meta.get("labels") or {}
    if name and labels.get("kubernetes.io/metadata.name") != name:
        obj = {**obj, "metadata": {**meta, "labels": {**labels, "kubernetes.io/metadata.name": name}}}
    spec = obj.get("spec") or {}
    if "kubernetes" not in (spec.get("finalizers") or ()) and not meta.get("resourceVersion"):
        obj = {**obj, "spec": {**spec, "finalizers": [*(spec.get("finalizers") or ()), "kubernetes"]}}
    return _phase(obj, "Active")


def _secret(obj: Obj) -> Obj:
    if "stringData" in obj:
        added = {key: b64encode(text.encode()).decode() for key, text in obj["stringData"].items()}
        obj = {key: value for key, value in obj.items() if key != "stringData"}
        obj["data"] = {**(obj.get("data") or {}), **added}
    return fill(obj, {"type": "Opaque"})


def _node(obj: Obj) -> Obj:
    def change(status: Obj) -> Obj:
        return fill(status, {"allocatable": status["capacity"]}) if "capacity" in status else status

    def blocks(spec: Obj) -> Obj:
        first, all_of = spec.get("podCIDR"), spec.get("podCIDRs")
        if first and (not all_of or all_of[0] != first):
            return {**spec, "podCIDRs": [first]}
        return {**spec, "podCIDR": all_of[0]} if all_of and not first else spec

    return within(within(obj, "status", change), "spec", blocks)


def _subject(one: Obj) -> Obj:
    return fill(one, {"apiGroup": _RBAC}) if one.get("kind") in ("User", "Group") else one


def _binding(obj: Obj) -> Obj:
    def ref(one: Obj) -> Obj:
        return one if one.get("apiGroup") else {**one, "apiGroup": _RBAC}

    obj = within(obj, "roleRef", ref)
    return within(obj, "subjects", lambda many: each(many, _subject))


_SELECTORS: Obj = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
_HOOK: Obj = {"failurePolicy": "Fail", "timeoutSeconds": 10, **_SELECTORS}


def _rule(one: Obj) -> Obj:
    return fill(one, {"scope": "*"})


def _port_443(config: Obj) -> Obj:
    return within(config, "service", lambda service: fill(service, {"port": 443}))


def _webhooks(defaults: Obj) -> Callable[[Obj], Obj]:
    def hook(one: Obj) -> Obj:
        out = within(fill(one, defaults), "rules", lambda rules: each(rules, _rule))
        return within(out, "clientConfig", _port_443)

    return lambda obj: within(obj, "webhooks", lambda hooks: each(hooks, hook))


def _match(resources: Obj) -> Obj:
    out = fill(resources, _SELECTORS)
    for key in ("resourceRules", "excludeResourceRules"):
        out = within(out, key, lambda rules: each(rules, _rule))
    return out


def _admission_policy(spec: Obj) -> Obj:
    return within(fill(spec, {"failurePolicy": "Fail"}), "matchConstraints", _match)


def _crd(obj: Obj) -> Obj:
    def names(one: Obj) -> Obj:
        kind = one.get("kind") or ""
        return fill(one, {"singular": kind.lower(), **({"listKind": f"{kind}List"} if kind else {})})

    def conversion(one: Obj) -> Obj:
        return within(one, "webhook", lambda hook: within(hook, "clientConfig", _port_443))

    def change(spec: Obj) -> Obj:
        return within(fill(within(spec, "names", names), {"conversion": {"strategy": "None"}}), "conversion", conversion)

    return _spec(change)(obj)


_BY_KIND: dict[str, Callable[[Obj], Obj]] = {
    "Pod": pod,
    "PodTemplate": _template,
    "Deployment": _spec(_deployment),
    "ReplicaSet": _spec(_replicaset),
    "ReplicationController": _replicationcontroller,
    "StatefulSet": _spec(_statefulset),
    "DaemonSet": _daemonset_object,
    "Job": _job,
    "CronJob": _spec(_cronjob),
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service_status,
    "NetworkPolicy": _spec(_networkpolicy),
    "IngressClass": _spec(_ingressclass),
    "EndpointSlice": _endpointslice,
    "Endpoints": _endpoints,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": lambda obj: _phase(_spec(_volume)(obj), "Pending"),
    "StorageClass": lambda obj: fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    "CSIDriver": _spec(lambda spec: fill(spec, _CSI_DRIVER)),
    "LimitRange": _spec(lambda spec: within(spec, "limits", lambda items: each(items, _limit))),
    "Namespace": _namespace,
    "Node": _node,
    "Secret": _secret,
    "PriorityClass": lambda obj: fill(obj, {"preemptionPolicy": "PreemptLowerPriority"}),
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "MutatingWebhookConfiguration": _webhooks({**_HOOK, "reinvocationPolicy": "Never"}),
    "ValidatingWebhookConfiguration": _webhooks(_HOOK),
    "ValidatingAdmissionPolicy": _spec(_admission_policy),
    "ValidatingAdmissionPolicyBinding": _spec(lambda spec: within(spec, "matchResources", _match)),
    "CustomResourceDefinition": _crd,
    "APIService": _spec(_port_443),
}
