"""Constants of Kubernetes that moved between versions, or that flags set: one table, each with its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kchaos.errors import InvalidScenario

SUPPORTED = tuple(f"1.{minor}" for minor in range(28, 35))
DEFAULT = "1.34"


@dataclass(frozen=True, slots=True)
class Constants:
    """Timings in seconds and rates per second of one version's defaults."""

    version: str = DEFAULT
    node_monitor_period_s: float = 5.0
    """cmd/kube-controller-manager: --node-monitor-period."""
    node_monitor_grace_s: float = 50.0
    """--node-monitor-grace-period: 40 s up to 1.31, 50 s since 1.32 (kubernetes/kubernetes#126287)."""
    node_startup_grace_s: float = 60.0
    """--node-startup-grace-period."""
    eviction_rate: float = 0.1
    """--node-eviction-rate, nodes per second."""
    secondary_eviction_rate: float = 0.01
    """--secondary-node-eviction-rate."""
    unhealthy_zone_threshold: float = 0.55
    """--unhealthy-zone-threshold."""
    large_cluster_nodes: int = 50
    """--large-cluster-size-threshold."""
    node_lease_renew_s: float = 10.0
    """kubelet: a quarter of nodeLeaseDurationSeconds (40)."""
    node_status_report_s: float = 300.0
    """kubelet: nodeStatusReportFrequency."""
    pod_gc_period_s: float = 20.0
    """pkg/controller/podgc: gcCheckPeriod."""
    pod_gc_quarantine_s: float = 40.0
    """pkg/controller/podgc: quarantineTime of a vanished node."""
    pv_binder_sync_s: float = 15.0
    """--pvclaimbinder-sync-period."""
    force_detach_s: float = 360.0
    """pkg/controller/volume/attachdetach/reconciler: maxWaitForUnmountDuration, 6 minutes."""
    crash_backoff_base_s: float = 10.0
    """pkg/kubelet: backOffPeriod of restarts."""
    crash_backoff_max_s: float = 300.0
    """pkg/kubelet: MaxContainerBackOff."""
    crash_backoff_reset_s: float = 600.0
    """A container that ran this long starts its back-off afresh (twice the longest wait)."""
    proxy_min_sync_s: float = 1.0
    """kube-proxy: --iptables-min-sync-period."""
    quota_full_sync_s: float = 300.0
    """--resource-quota-sync-period."""
    namespace_delay_s: float = 5.0
    """Content of a deleted namespace is touched this long after the request (pkg/controller/namespace, as recorded)."""
    endpoints_per_slice: int = 100
    """--max-endpoints-per-slice."""
    client_qps: float | None = None
    """Requests per second of controller manager and scheduler (defaults 20 and 50); None: limits lifted."""
    client_burst: int = 0


def constants(version: str = DEFAULT) -> Constants:
    """Return the table of ``1.28`` … ``1.34``. Raises InvalidScenario for another version."""
    if version not in SUPPORTED:
        raise InvalidScenario(f"Kubernetes {version} is not modelled", hint=f"use one of {SUPPORTED[0]} … {SUPPORTED[-1]}")
    table = Constants(version=version)
    if int(version.split(".")[1]) <= 31:
        table = replace(table, node_monitor_grace_s=40.0)
    return table
