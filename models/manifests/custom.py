"""Custom resources: which ones can have no influence on the answer, and which ones an operator would turn into pods."""

from __future__ import annotations

from fnmatch import fnmatchcase

HARMLESS = (
    "monitoring.coreos.com/ServiceMonitor", "monitoring.coreos.com/PodMonitor", "monitoring.coreos.com/Probe",
    "monitoring.coreos.com/PrometheusRule", "monitoring.coreos.com/AlertmanagerConfig", "networking.istio.io/*", "security.istio.io/*",
    "telemetry.istio.io/*", "gateway.networking.k8s.io/*", "inference.networking.*/*", "networking.gke.io/*", "cloud.google.com/*",
    "cert-manager.io/*", "snapshot.storage.k8s.io/*", "external-secrets.io/*", "secrets-store.csi.x-k8s.io/*", "kyverno.io/*",
    "cilium.io/*NetworkPolicy", "crd.projectcalico.org/*", "projectcalico.org/*", "kueue.x-k8s.io/*", "traefik.*/*", "configuration.konghq.com/*",
    "kafka.strimzi.io/KafkaTopic", "kafka.strimzi.io/KafkaUser", "monitoring.googleapis.com/*", "grafana.integreatly.org/GrafanaDashboard",
    "route.openshift.io/*", "security.openshift.io/*", "metrics.k8s.io/*", "flowcontrol.apiserver.k8s.io/*", "policy.networking.k8s.io/*",
    "cluster.open-cluster-management.io/*", "getambassador.io/*", "contour.heptio.com/*", "projectcontour.io/*", "bitnami.com/SealedSecret",
    "elbv2.k8s.aws/*", "karpenter.*/*", "autoscaling.k8s.io/VerticalPodAutoscalerCheckpoint",
)  # fmt: skip
"""``group/Kind`` patterns of kinds whose objects make no pods."""


def group_of(api_version: str) -> str:
    """Return the group of an apiVersion, empty for the core group."""
    return api_version.rpartition("/")[0]


def harmless(api_version: str, kind: str) -> bool:
    """Tell whether objects of this kind make no pods."""
    text = f"{group_of(api_version)}/{kind}"
    return any(fnmatchcase(text, pattern) for pattern in HARMLESS)


def is_custom(api_version: str) -> bool:
    """Tell whether an apiVersion belongs to no built-in group: custom groups have a dot and are not of k8s.io (with known exceptions)."""
    group = group_of(api_version)
    return "." in group and (
        not group.endswith(".k8s.io") or group.endswith(".x-k8s.io") or group in ("gateway.networking.k8s.io", "snapshot.storage.k8s.io",
        "metrics.k8s.io", "custom.metrics.k8s.io", "autoscaling.k8s.io", "policy.networking.k8s.io")
    )  # fmt: skip
