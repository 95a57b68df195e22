"""Mutants of authorisation and admission; 34 more of them are killed by the walk of tests/models/security"""

from __future__ import annotations

from kchaos.models.apiserver import admission
from kchaos.models.security.seams import Security
from tests.mutants.applications import BASELINE, CALLING, LIMITED
from tests.mutants.mutant import Mutants, Patch
from tests.support import step

MUTANTS = Mutants()
ROLLS = (step("rollout", "Deployment/shop/web"),)


@MUTANTS.caught_by("KC057", CALLING, "rollout")
def requests_are_not_authorised(patch: Patch) -> None:
    """What is served was allowed by a role that the user holds."""
    patch.setattr(Security, "authorise", lambda self, identity, request: None)


@MUTANTS.caught_by("KC058", BASELINE, "none", ROLLS)
def pod_security_is_not_enforced(patch: Patch) -> None:
    """Pods keep the level that their namespace enforces."""
    _without(patch, admission.pod_security)


@MUTANTS.caught_by("KC058", LIMITED, "none", ROLLS)
def limit_ranges_are_not_enforced(patch: Patch) -> None:
    """Pods keep the maxima of the LimitRanges of their namespace."""
    _without(patch, admission.limit_bounds)


def _without(patch: Patch, plugin: object) -> None:
    for stage in ("CREATE", "VALIDATE", "LAST"):
        patch.setattr(admission, stage, tuple(one for one in getattr(admission, stage) if one is not plugin))
