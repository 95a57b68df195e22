"""All named mutants, in the order of the table."""

from __future__ import annotations

from tests.mutants import apiserver, cluster, network, nodes, placement, pods, security, workloads
from tests.mutants.mutant import Mutant

MODULES = (workloads, cluster, nodes, placement, pods, network, apiserver, security)
MUTANTS: tuple[Mutant, ...] = tuple(one for module in MODULES for one in module.MUTANTS)
