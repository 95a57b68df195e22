"""The kinds that the API server serves: group, version, plural and what each can do; and the versions that are gone.

Sources: the API discovery of a 1.34 server; https://kubernetes.io/docs/reference/using-api/deprecation-guide/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind. ``has_generation``: a change of spec counts metadata.generation up; ``scale``: it has a scale subresource."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    has_status: bool = False
    has_generation: bool = False
    scale: bool = False
    short: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """Return ``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


_N, _C = True, False
_TABLE: tuple[tuple[str, str, str, str, bool, str, str], ...] = (
    # group, version, kind, plural, namespaced, abilities (s status, g generation, c scale), short names
    ("", "v1", "Binding", "bindings", _N, "", ""),
    ("", "v1", "ConfigMap", "configmaps", _N, "", "cm"),
    ("", "v1", "Endpoints", "endpoints", _N, "", "ep"),
    ("", "v1", "Event", "events", _N, "", "ev"),
    ("", "v1", "LimitRange", "limitranges", _N, "", "limits"),
    ("", "v1", "Namespace", "namespaces", _C, "s", "ns"),
    ("", "v1", "Node", "nodes", _C, "s", "no"),
    ("", "v1", "PersistentVolume", "persistentvolumes", _C, "s", "pv"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", _N, "s", "pvc"),
    ("", "v1", "Pod", "pods", _N, "s", "po"),
    ("", "v1", "PodTemplate", "podtemplates", _N, "", ""),
    ("", "v1", "ReplicationController", "replicationcontrollers", _N, "sgc", "rc"),
    ("", "v1", "ResourceQuota", "resourcequotas", _N, "s", "quota"),
    ("", "v1", "Secret", "secrets", _N, "", ""),
    ("", "v1", "Service", "services", _N, "s", "svc"),
    ("", "v1", "ServiceAccount", "serviceaccounts", _N, "", "sa"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", _N, "", ""),
    ("apps", "v1", "DaemonSet", "daemonsets", _N, "sg", "ds"),
    ("apps", "v1", "Deployment", "deployments", _N, "sgc", "deploy"),
    ("apps", "v1", "ReplicaSet", "replicasets", _N, "sgc", "rs"),
    ("apps", "v1", "StatefulSet", "statefulsets", _N, "sgc", "sts"),
    ("batch", "v1", "CronJob", "cronjobs", _N, "sg", "cj"),
    ("batch", "v1", "Job", "jobs", _N, "sg", ""),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", _N, "s", "hpa"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", _N, "sg", "pdb"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", _N, "sg", "ing"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", _C, "g", ""),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", _N, "g", "netpol"),
    ("networking.k8s.io", "v1", "IPAddress", "ipaddresses", _C, "", "ip"),
    ("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", _C, "s", ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", _C, "", ""),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", _C, "", ""),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", _N, "", ""),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", _N, "", ""),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", _C, "", "sc"),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", _C, "s", ""),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", _C, "g", ""),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", _C, "", ""),
    ("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", _N, "", ""),
    ("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", _C, "", "vac"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", _C, "g", "pc"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", _N, "g", ""),
    ("coordination.k8s.io", "v1", "Lease", "leases", _N, "", ""),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", _C, "g", ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", _C, "g", ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", _C, "sg", ""),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", _C, "g", ""),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", _C, "", ""),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", _C, "s", "csr"),
    ("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", _N, "s", ""),
    ("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", _N, "", ""),
    ("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", _C, "g", ""),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", _C, "sg", "crd"),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", _C, "s", ""),
)  # fmt: skip

RESOURCES: tuple[Resource, ...] = tuple(
    Resource(group, version, kind, plural, namespaced, "s" in can, "g" in can, "c" in can, tuple(short.split()))
    for group, version, kind, plural, namespaced, can, short in _TABLE
)
BY_PLURAL: Mapping[str, Resource] = {one.plural: one for one in RESOURCES}
_BY_KIND: Mapping[tuple[str, str], Resource] = {(one.group, one.kind): one for one in RESOURCES}
_KIND_ALONE: Mapping[str, Resource] = {one.kind: one for one in reversed(RESOURCES)}
ALSO_SERVED: frozenset[str] = frozenset({"autoscaling/v1", "events.k8s.io/v1"})
"""Further API versions that 1.34 serves of kinds listed under another version."""


def by_kind(api_version: str | None, kind: str) -> Resource | None:
    """Return the kind that 1.34 serves under ``api_version``; with None, whichever group has that kind."""
    if api_version is None:
        return _KIND_ALONE.get(kind)
    group, _, version = api_version.rpartition("/")
    if api_version == "events.k8s.io/v1" and kind == "Event":
        return BY_PLURAL["events"]
    found = _BY_KIND.get((group, kind))
    if found is None or (found.version != version and api_version not in ALSO_SERVED):
        return None
    return found


def _removed() -> dict[tuple[str, str], tuple[str, str, str]]:
    out: dict[tuple[str, str], tuple[str, str, str]] = {}

    def gone(versions: str, since: str, replacement: str, kinds: str, note: str = "") -> None:
        for version in versions.split():
            for kind in kinds.split():
                out[(version, kind)] = (since, replacement, note)

    selector = "spec.selector is required there"
    gone("extensions/v1beta1", "1.16", "apps/v1", "Deployment DaemonSet ReplicaSet", selector)
    gone("apps/v1beta1 apps/v1beta2", "1.16", "apps/v1", "Deployment StatefulSet DaemonSet ReplicaSet ControllerRevision", selector)
    gone("apps/v1alpha1", "1.5", "apps/v1", "PetSet", "the kind is StatefulSet now")
    gone("extensions/v1beta1", "1.16", "networking.k8s.io/v1", "NetworkPolicy")
    gone("extensions/v1beta1 networking.k8s.io/v1beta1", "1.22", "networking.k8s.io/v1", "Ingress IngressClass",
         "backend is written service.name and service.port there, and pathType is required")  # fmt: skip
    gone("extensions/v1beta1", "1.16", "", "PodSecurityPolicy", "use Pod Security Admission labels on the namespace")
    gone("policy/v1beta1 policy/v1", "1.25", "", "PodSecurityPolicy", "use Pod Security Admission labels on the namespace")
    gone("policy/v1beta1", "1.25", "policy/v1", "PodDisruptionBudget")
    gone("batch/v1beta1", "1.25", "batch/v1", "CronJob")
    gone("batch/v2alpha1", "1.21", "batch/v1", "CronJob ScheduledJob")
    gone("extensions/v1beta1", "1.8", "batch/v1", "Job")
    gone("autoscaling/v2beta1", "1.25", "autoscaling/v2", "HorizontalPodAutoscaler", "metrics are written with target: there")
    gone("autoscaling/v2beta2", "1.26", "autoscaling/v2", "HorizontalPodAutoscaler")
    gone("extensions/v1beta1", "1.9", "autoscaling/v2", "HorizontalPodAutoscaler")
    gone("rbac.authorization.k8s.io/v1beta1 rbac.authorization.k8s.io/v1alpha1", "1.22", "rbac.authorization.k8s.io/v1",
         "Role RoleBinding ClusterRole ClusterRoleBinding")  # fmt: skip
    gone("apiextensions.k8s.io/v1beta1", "1.22", "apiextensions.k8s.io/v1", "CustomResourceDefinition",
         "a structural schema for each version is required there")  # fmt: skip
    gone("admissionregistration.k8s.io/v1beta1", "1.22", "admissionregistration.k8s.io/v1",
         "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
         "sideEffects and admissionReviewVersions are required there")  # fmt: skip
    gone("apiregistration.k8s.io/v1beta1", "1.22", "apiregistration.k8s.io/v1", "APIService")
    gone("storage.k8s.io/v1beta1", "1.22", "storage.k8s.io/v1", "StorageClass CSIDriver CSINode VolumeAttachment")
    gone("storage.k8s.io/v1beta1", "1.27", "storage.k8s.io/v1", "CSIStorageCapacity")
    gone("scheduling.k8s.io/v1beta1 scheduling.k8s.io/v1alpha1", "1.22", "scheduling.k8s.io/v1", "PriorityClass")
    gone("coordination.k8s.io/v1beta1", "1.22", "coordination.k8s.io/v1", "Lease")
    gone("certificates.k8s.io/v1beta1", "1.22", "certificates.k8s.io/v1", "CertificateSigningRequest")
    gone("discovery.k8s.io/v1beta1", "1.25", "discovery.k8s.io/v1", "EndpointSlice")
    gone("node.k8s.io/v1beta1 node.k8s.io/v1alpha1", "1.25", "node.k8s.io/v1", "RuntimeClass")
    gone("extensions/v1beta1", "1.8", "", "ThirdPartyResource", "use a CustomResourceDefinition")
    return out


REMOVED: Mapping[tuple[str, str], tuple[str, str, str]] = _removed()
"""(apiVersion, kind) -> (Kubernetes version that removed it, apiVersion to use instead or "", what else changes)."""
