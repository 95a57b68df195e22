"""The pure modules that are mutated mechanically, each with the tests that must notice; and which survivors change nothing that can be seen."""

from __future__ import annotations

from tests.mutants.mechanical import Target

HERE = "tests/models/"
CONTROLLERS, SCHEDULER, SECURITY, NETWORK = (f"{HERE}{one}/" for one in ("controllers", "scheduler", "security", "network"))
RECORDED = f"{HERE}test_conform.py"


def _of(module: str, *tests: str, only: tuple[str, ...] = (), count: int = 12) -> Target:
    return Target(module, tests, only, count)


TARGETS = (
    _of("controllers.statefulset_decide", f"{CONTROLLERS}test_statefulset.py", f"{CONTROLLERS}test_workloads.py", RECORDED, count=16),
    _of("controllers.deployment_rolling", f"{CONTROLLERS}test_rollouts.py", f"{CONTROLLERS}test_workloads.py", RECORDED, count=24),
    _of("controllers.deployment_status", f"{CONTROLLERS}test_rollouts.py", RECORDED, count=20),
    _of("controllers.replicaset_victims", f"{CONTROLLERS}test_victims.py", count=20),
    _of("controllers.daemonset_decide", f"{CONTROLLERS}test_daemonset.py", RECORDED, count=16),
    _of("controllers.job_decide", f"{CONTROLLERS}test_job.py", RECORDED, count=16),
    _of("controllers.cronjob_decide", f"{CONTROLLERS}test_cronjob.py"),
    _of("controllers.cronjob_schedule", f"{CONTROLLERS}test_cronjob.py"),
    _of("controllers.nodehealth", f"{CONTROLLERS}test_nodehealth.py"),
    _of("controllers.tainteviction", f"{CONTROLLERS}test_nodehealth.py", only=("tolerates", "stay_s"), count=8),
    _of("controllers.disruption", f"{CONTROLLERS}test_workloads.py", only=("expected", "_owned", "healthy", "_pending"), count=8),
    _of("controllers.ownergraph", f"{CONTROLLERS}test_garbagecollector.py", count=10),
    _of("scheduler.nodefilters", SCHEDULER),
    _of("scheduler.spread", SCHEDULER),
    _of("scheduler.interpod", SCHEDULER, count=8),
    _of("scheduler.preemption", SCHEDULER),
    _of("scheduler.volumefilters", SCHEDULER),
    _of("scheduler.nodeinfo", SCHEDULER, count=8),
    _of("security.rules", f"{SECURITY}test_policy_rules.py", f"{SECURITY}test_rbac_walk.py"),
    _of("security.rbac", f"{SECURITY}test_rbac_walk.py", f"{SECURITY}test_cluster_audit.py"),
    _of("security.podchecks", f"{SECURITY}test_podchecks.py", f"{SECURITY}test_admission.py"),
    _of("network.services", f"{NETWORK}test_samples.py", f"{NETWORK}test_parts.py"),
    _of("network.admits", f"{NETWORK}test_admits.py"),
    _of("network.flows", f"{NETWORK}test_flows.py", count=8),
    _of("network.ipvs", f"{NETWORK}test_parts.py", count=8),
)

EQUIVALENT: dict[tuple[str, str, str], str] = {}
"""Module, function and change -> why nobody can tell the difference."""
