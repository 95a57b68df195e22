"""Object metadata: names by kind, labels, annotations, owners, finalizers; and what of it may not change.

Sources: k8s.io/apimachinery/pkg/api/validation/objectmeta.go, pkg/apis/core/validation/validation.go (finalizer names).
"""

from __future__ import annotations

from kchaos.models.api.tree import Obj
from kchaos.models.api.validation.field import Errors, forbidden, invalid, required
from kchaos.models.api.validation.names import (
    Check,
    check_annotations,
    check_labels,
    dns_1035,
    dns_label,
    dns_subdomain,
    each_message,
    path_segment,
    qualified_name,
    unchanged,
)

_NAME_CHECKS: dict[str, Check] = {
    "Namespace": dns_label, "Service": dns_1035, "StatefulSet": dns_label, "Role": path_segment,
    "RoleBinding": path_segment,
    "ClusterRole": path_segment, "ClusterRoleBinding": path_segment, "APIService": path_segment,
    "PodDisruptionBudget": path_segment,
    "CertificateSigningRequest": dns_subdomain,
}  # fmt: skip
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_PLAIN_FINALIZERS = {
    # kinds whose validation calls the apimachinery function, which accepts finalizers without a domain
    "CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "Lease", "PodDisruptionBudget", "APIService",
}  # fmt: skip
_CLUSTER = {
    "Namespace", "Node", "PersistentVolume", "StorageClass", "PriorityClass", "ClusterRole", "ClusterRoleBinding",
    "IngressClass",
    "CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "RuntimeClass", "CSIDriver", "CSINode", "VolumeAttachment", "APIService",
    "IPAddress",
    "ServiceCIDR", "CertificateSigningRequest", "VolumeAttributesClass", "DeviceClass",
}  # fmt: skip
_FROZEN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def check_name(errors: Errors, meta: Obj, check: Check) -> None:
    """Add what is wrong with generateName and name."""
    prefix, name = meta.get("generateName"), meta.get("name")
    if prefix:
        masked = f"{prefix[:-1]}a" if len(prefix) > 1 and prefix.endswith("-") and check is not path_segment else prefix
        each_message(errors, "metadata.generateName", prefix, check(masked))
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        each_message(errors, "metadata.name", name, check(name))


def check_metadata(errors: Errors, obj: Obj) -> None:
    """Add what is wrong with the metadata of a new object."""
    meta, kind = obj.get("metadata") or {}, obj.get("kind", "")
    check_name(errors, meta, _NAME_CHECKS.get(kind, dns_subdomain))
    if kind in _CLUSTER:
        if meta.get("namespace"):
            errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    elif not meta.get("namespace"):
        errors.append(required("metadata.namespace"))
    else:
        each_message(errors, "metadata.namespace", meta["namespace"], dns_label(meta["namespace"]))
    _common(errors, meta)
    finalizers = meta.get("finalizers")
    if finalizers:
        for one in finalizers:
            each_message(errors, "metadata.finalizers", one, qualified_name(one))
        if "orphan" in finalizers and "foregroundDeletion" in finalizers:
            text = "finalizer orphan and foregroundDeletion cannot be both set"
            errors.append(invalid("metadata.finalizers", finalizers, text))
        _qualified_finalizers(errors, finalizers, kind)


def _qualified_finalizers(errors: Errors, finalizers: list[str], kind: str) -> None:
    if kind in _PLAIN_FINALIZERS:
        return
    for index, one in enumerate(finalizers):
        if "/" not in one and one not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"metadata.finalizers[{index}]", one, text))


def _common(errors: Errors, meta: Obj) -> None:
    if meta.get("labels"):
        check_labels(errors, meta["labels"], "metadata.labels")
    if meta.get("annotations"):
        check_annotations(errors, meta["annotations"], "metadata.annotations")
    if meta.get("ownerReferences"):
        _owners(errors, meta["ownerReferences"])


def _owners(errors: Errors, refs: list[Obj]) -> None:
    path, first = "metadata.ownerReferences", ""
    for ref in refs:
        if not ref.get("apiVersion") or ref["apiVersion"].endswith("/"):
            errors.append(invalid(f"{path}.apiVersion", ref.get("apiVersion", ""), "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not ref.get(key):
                errors.append(invalid(f"{path}.{key}", "", "must not be empty"))
        if ref.get("apiVersion") == "v1" and ref.get("kind") == "Event":
            errors.append(invalid(path, ref, "/v1, Kind=Event is disallowed from being an owner"))
        if ref.get("controller"):
            name = f"{ref.get('kind', '')}/{ref.get('name', '')}"
            if first:
                text = f'Only one reference can have Controller set to true. Found "true" in references for {first} and {name}'
                errors.append(invalid(path, refs, text))
            else:
                first = name


def check_metadata_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Add what is wrong with the metadata of ``new`` as the successor of ``old``."""
    meta, before = new.get("metadata") or {}, old.get("metadata") or {}
    if meta is before:
        return
    finalizers = meta.get("finalizers") or []
    if before.get("deletionTimestamp"):
        had = before.get("finalizers") or ()
        added = sorted({one for one in finalizers if one not in had})
        if added:
            listed = ", ".join(f'"{one}"' for one in added)
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
            errors.append(forbidden("metadata.finalizers", text))
    for key in ("name", "namespace"):
        unchanged(errors, meta.get(key, ""), before.get(key, ""), f"metadata.{key}")
    for key in _FROZEN:
        unchanged(errors, meta.get(key), before.get(key), f"metadata.{key}")
    _common(errors, meta)
    if finalizers:
        _qualified_finalizers(errors, finalizers, new.get("kind", ""))
