"""Mutants of the network: kube-proxy, leases, DNS, NetworkPolicies."""

from __future__ import annotations

from kchaos.models import cluster
from kchaos.models.network import audit, compiler, hops, records
from kchaos.models.network.overlay import Lease
from kchaos.models.network.proxy import Proxy
from kchaos.models.network.state import NodeNetwork
from tests.mutants.applications import CONNECTED, WEB
from tests.mutants.mutant import Mutants, Patch

MUTANTS = Mutants()


@MUTANTS.caught_by("KC048", WEB)
def proxy_does_not_follow_endpoints(patch: Patch) -> None:
    """No requests go to a pod that has long been not ready."""
    patch.setattr(Proxy, "_slice_changed", lambda self, old, new: None if self.rules else self._sync_due("default/web"))


@MUTANTS.caught_by("KC049", CONNECTED, "stale-fdb")
def local_traffic_crosses_nodes(patch: Patch) -> None:
    """With externalTrafficPolicy Local a node asks its own pods only."""
    ports = compiler.service_ports
    patch.setattr(compiler, "service_ports", lambda *more: [one._replace(external_local=False) for one in ports(*more)])


@MUTANTS.caught_by("KC050", CONNECTED, "stale-fdb")
def pods_are_seen_under_the_address_of_their_node(patch: Patch) -> None:
    """Every pod reaches every pod without address translation."""
    masquerade = audit.with_masquerade
    patch.setattr(audit, "with_masquerade", lambda tables, network, subnet: masquerade(tables, subnet, subnet))


@MUTANTS.caught_by("KC051", CONNECTED, "stale-fdb,lease-lost")
def overlay_agents_do_not_repair(patch: Patch) -> None:
    """After healing every node's entries equal the leases."""
    patch.setattr(NodeNetwork, "_sync", lambda self, name: self._due.pop(name, None))


@MUTANTS.caught_by("KC051", CONNECTED, "none")
def two_nodes_share_addresses(patch: Patch) -> None:
    """Pod subnets are disjoint."""
    lease = cluster.new_lease

    def half(node: str, index: int) -> Lease:
        return lease(node, index)._replace(subnet="10.244.0.128/25") if index == 1 else lease(node, index)

    patch.setattr(cluster, "new_lease", half)


@MUTANTS.caught_by("KC052", CONNECTED, "stale-fdb")
def dns_forgets_an_endpoint(patch: Patch) -> None:
    """A headless Service's name stands for its ready endpoints."""
    addresses = records.addresses_of
    patch.setattr(records, "addresses_of", lambda slices: addresses(slices)[1:])


@MUTANTS.caught_by("KC054", CONNECTED, "stale-fdb")
def policies_let_everybody_in(patch: Patch) -> None:
    """A pod that a NetworkPolicy selects is closed but for what some policy allows."""
    patch.setattr(hops, "lets_in", lambda policy, proto, source, destination, port: True)


@MUTANTS.caught_by("KC054", CONNECTED, "stale-fdb")
def policies_do_not_add_up(patch: Patch) -> None:
    """What one NetworkPolicy allows no other takes away."""
    compile_policies = audit.compile_policies
    patch.setattr(audit, "compile_policies", lambda policies, pods, namespaces: compile_policies(list(policies)[:1], pods, namespaces))
