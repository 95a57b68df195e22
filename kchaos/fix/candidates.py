"""What could be changed about a weakness: by rule, a table from what was shown to small edits of the objects at hand.

Nothing here is a suggestion yet: each option is simulated before it is one (:mod:`kchaos.fix.search`). The words of the same rules are in
:mod:`kchaos.properties.advice`; a row here writes down what that says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kchaos.fix import recipes as r
from kchaos.fix.scene import Option, Scene, Weakness
from kchaos.properties.catalog import CATALOG

Make = Callable[[str, Weakness, Scene], Iterator[Option]]
K8S = "https://kubernetes.io/docs/"


class Row(NamedTuple):
    """One sort of edit for one rule (:data:`OWN`: for any property of a user): where it is described, and what makes it for a subject."""

    rule: str
    make: Make
    source: str


OWN = "the user's own"

TABLE: tuple[Row, ...] = (
    # a drain never ends
    Row("KC203", r.budget_lets_one_go, K8S + "tasks/run-application/configure-pdb/#think-about-how-your-application-reacts-to-disruptions"),
    Row("KC203", r.budget_and_replicas, K8S + "concepts/workloads/pods/disruptions/#pod-disruption-budgets"),
    Row("KC203", r.broken_pods_may_go, K8S + "tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy"),
    # nobody answers, or fewer than a quorum
    Row("KC202", r.rollout_keeps_pods, K8S + "concepts/workloads/controllers/deployment/#rolling-update-deployment"),
    Row("KC202", r.readiness, K8S + "concepts/configuration/liveness-readiness-startup-probes/"),
    Row("KC202", r.startup, K8S + "concepts/configuration/liveness-readiness-startup-probes/#startup-probe"),
    Row("KC202", r.apart_not_together, K8S + "concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity"),
    Row("KC202", r.not_pinned, K8S + "concepts/scheduling-eviction/assign-pod-node/#nodename"),
    Row("KC202", r.spread, K8S + "concepts/scheduling-eviction/topology-spread-constraints/"),
    Row("KC202", r.more_replicas, K8S + "concepts/workloads/pods/disruptions/#dealing-with-disruptions"),
    Row("KC202", r.budget_keeps_others, K8S + "tasks/run-application/configure-pdb/"),
    Row("KC202", r.shared_volume, K8S + "concepts/storage/persistent-volumes/#access-modes"),
    Row("KC201", r.shared_volume, K8S + "concepts/storage/persistent-volumes/#access-modes"),
    # a pod finds no node
    Row("KC201", r.apart_if_possible, K8S + "concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity"),
    Row("KC201", r.spread_if_possible, K8S + "concepts/scheduling-eviction/topology-spread-constraints/"),
    # requests are lost when people do what they mean to do
    Row("KC205", r.rollout_keeps_pods, K8S + "concepts/workloads/controllers/deployment/#rolling-update-deployment"),
    Row("KC205", r.serve_while_leaving, K8S + "tutorials/services/pods-and-endpoint-termination-flow/"),
    Row("KC205", r.readiness, K8S + "concepts/configuration/liveness-readiness-startup-probes/"),
    Row("KC205", r.serve_while_leaving_and_coming, K8S + "tutorials/services/pods-and-endpoint-termination-flow/"),
    # a rollout never ends
    Row("KC204", r.room_in_quota, K8S + "concepts/policy/resource-quotas/"),
    Row("KC204", r.one_goes_first, K8S + "concepts/workloads/controllers/deployment/#rolling-update-deployment"),
    Row("KC204", r.recreate, K8S + "concepts/workloads/controllers/deployment/#recreate-deployment"),
    Row("KC204", r.apart_if_possible, K8S + "concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity"),
    Row("KC204", r.spread_if_possible, K8S + "concepts/scheduling-eviction/topology-spread-constraints/"),
    # a webhook keeps its own pods from coming back
    Row("KC208", r.not_asked_about_itself, K8S + "concepts/cluster-administration/admission-webhooks-good-practices/"),
    Row("KC208", r.fails_open, K8S + "reference/access-authn-authz/extensible-admission-controllers/#failure-policy"),
    # what a user claims of a workload: kchaos can't know what it means, but pods that are there, apart and ready help most claims
    Row(OWN, r.rollout_keeps_pods, K8S + "concepts/workloads/controllers/deployment/#rolling-update-deployment"),
    Row(OWN, r.readiness, K8S + "concepts/configuration/liveness-readiness-startup-probes/"),
    Row(OWN, r.spread, K8S + "concepts/scheduling-eviction/topology-spread-constraints/"),
    Row(OWN, r.more_replicas, K8S + "concepts/workloads/pods/disruptions/#dealing-with-disruptions"),
    Row(OWN, r.replicas_to_spare, K8S + "concepts/workloads/pods/disruptions/#dealing-with-disruptions"),
    Row(OWN, r.budget_keeps_others, K8S + "tasks/run-application/configure-pdb/"),
)


def options(weakness: Weakness, scene: Scene) -> list[Option]:
    """Return what could be changed about a weakness: what keeps the user's intent first, then what costs no pods, then the shortest."""
    found: dict[str, Option] = {}
    rule = OWN if weakness.rule not in CATALOG else weakness.rule
    for row in TABLE:
        if row.rule != rule:
            continue
        for subject in scene.subjects(weakness):  # where several stand behind one Service, all of them are changed alike
            for one in row.make(subject, weakness, scene):
                before = found.get(one.name)
                found[one.name] = one if before is None else one._replace(edits=(*before.edits, *one.edits))
    some = [one for one in found.values() if one.edits]
    ordinary = ("", r.ZONE_LABELS)  # clouds label nodes with their zones
    return sorted(some, key=lambda one: (bool(one.gives_up), one.needs not in ordinary, _pods(one, scene)))


def _pods(option: Option, scene: Scene) -> int:
    """Return how many pods more an option asks for."""
    total = 0
    for edit in option.edits:
        obj = scene.obj(edit.object)
        if edit.path == ("spec", "replicas") and obj is not None:
            total += int(edit.value) - int(obj["spec"].get("replicas", 1))
    return total
