"""Which checks each kind gets, on creation and on update.

Source: Validate and ValidateUpdate of each kind's strategy (pkg/registry/*/*/strategy.go).
Kinds without an entry get the metadata checks.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation import admission, batch, config, network, pod, policies, services, storage, workloads
from kchaos.models.api.validation.field import Errors
from kchaos.models.api.validation.metadata import check_metadata, check_metadata_update

Check = Callable[[Errors, Obj], None]
Change = Callable[[Errors, Obj, Obj], None]


def validate_create(obj: Obj) -> Errors:
    """Return what is wrong with a new, defaulted object (with its namespace filled in); empty if nothing."""
    errors: Errors = []
    check_metadata(errors, obj)
    check = _CHECKS.get(obj.get("kind", ""))
    if check is not None:
        check(errors, obj)
    return errors


def validate_update(new: Obj, old: Obj) -> Errors:
    """Return what is wrong with ``new``, defaulted, as the successor of ``old``."""
    errors: Errors = []
    if new is old:
        return errors
    check_metadata_update(errors, new, old)
    kind = new.get("kind", "")
    change, check = _CHANGES.get(kind), _CHECKS.get(kind)
    if not _body_changed(new, old):
        return errors
    if kind in _CHANGE_FIRST and change is not None:
        change(errors, new, old)
    if check is not None and kind not in _OWN_UPDATE:
        if kind == "StatefulSet":
            workloads.check_statefulset(errors, new, True)
        else:
            check(errors, new)
            if kind in ("EndpointSlice", "Endpoints") and _same(new, old, "endpoints") and _same(new, old, "subsets"):
                errors = [error for error in errors if not error.path.startswith(("endpoints", "subsets"))]
    if kind not in _CHANGE_FIRST and change is not None:
        change(errors, new, old)
    return errors


def _same(new: Obj, old: Obj, key: str) -> bool:
    return bool(new.get(key) == old.get(key))


def _body_changed(new: Obj, old: Obj) -> bool:
    return any(
        key not in ("metadata", "status") and new.get(key) is not old.get(key) and new.get(key) != old.get(key)
        for key in new.keys() | old.keys()  # the order does not matter: any() over equality
    )


_CHECKS: dict[str, Check] = {
    "Pod": pod.check_pod,
    "PodTemplate": lambda errors, obj: pod.check_template(errors, obj.get("template") or {}, "template"),
    "Deployment": workloads.check_deployment,
    "ReplicaSet": workloads.check_replicaset,
    "StatefulSet": workloads.check_statefulset,
    "DaemonSet": workloads.check_daemonset,
    "ReplicationController": workloads.check_controller,
    "Job": batch.check_job,
    "CronJob": batch.check_cronjob,
    "Service": services.check_service,
    "PersistentVolumeClaim": storage.check_claim,
    "PersistentVolume": storage.check_volume,
    "StorageClass": storage.check_class,
    "ConfigMap": config.check_configmap,
    "Secret": config.check_secret,
    "ResourceQuota": config.check_quota,
    "LimitRange": config.check_limitrange,
    "Node": config.check_node,
    "Namespace": config.check_namespace,
    "MutatingWebhookConfiguration": admission.check_webhooks,
    "ValidatingWebhookConfiguration": admission.check_webhooks,
    "ValidatingAdmissionPolicy": admission.check_policy,
    "ValidatingAdmissionPolicyBinding": admission.check_policy_binding,
    "Event": config.check_event,
    "Lease": config.check_lease,
    "PriorityClass": config.check_priorityclass,
    "ControllerRevision": config.check_revision,
    "Ingress": network.check_ingress,
    "IngressClass": network.check_ingressclass,
    "NetworkPolicy": network.check_networkpolicy,
    "EndpointSlice": network.check_endpointslice,
    "Endpoints": network.check_endpoints,
    "PodDisruptionBudget": policies.check_budget,
    "HorizontalPodAutoscaler": policies.check_autoscaler,
    "Role": policies.check_role,
    "ClusterRole": policies.check_role,
    "RoleBinding": policies.check_binding,
    "ClusterRoleBinding": policies.check_binding,
    "RuntimeClass": policies.check_runtimeclass,
}
_CHANGES: dict[str, Change] = {
    "Pod": pod.check_pod_update,
    "Deployment": workloads.check_selector_kept,
    "ReplicaSet": workloads.check_selector_kept,
    "DaemonSet": workloads.check_selector_kept,
    "StatefulSet": workloads.check_statefulset_update,
    "Job": batch.check_job_update,
    "Service": services.check_service_update,
    "PersistentVolumeClaim": storage.check_claim_update,
    "PersistentVolume": storage.check_volume_update,
    "StorageClass": storage.check_class_update,
    "ConfigMap": config.check_frozen,
    "Secret": config.check_frozen,
    "ResourceQuota": config.check_quota_update,
    "Node": config.check_node_update,
    "PriorityClass": config.check_priorityclass_update,
    "ControllerRevision": config.check_revision_update,
    "IngressClass": network.check_ingressclass_update,
    "EndpointSlice": network.check_endpointslice_update,
    "RoleBinding": policies.check_binding_update,
    "ClusterRoleBinding": policies.check_binding_update,
    "RuntimeClass": policies.check_runtimeclass_update,
}
_CHANGE_FIRST = (
    "Service",
    "DaemonSet",
    "ConfigMap",
    "Secret",
    "RoleBinding",
    "ClusterRoleBinding",
    "ControllerRevision",
)
_OWN_UPDATE = ("Pod", "StorageClass", "Node", "PriorityClass", "RuntimeClass", "Namespace")
