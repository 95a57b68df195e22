"""Cluster role aggregation: a role with an aggregationRule has the rules of all roles that it selects.

pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import labels, name
from kchaos.models.api.selectors import compile_selector
from kchaos.models.api.tree import Obj, get
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller


def aggregated(role: Obj, roles: Iterable[Obj]) -> list[Obj]:
    """Return the rules of ``role``: selector by selector, in each by name, none twice, never its own."""
    ordered = sorted(roles, key=name)
    out: list[Obj] = []
    for selector in get(role, "aggregationRule", "clusterRoleSelectors", default=()):
        fits = compile_selector(selector)
        for one in ordered:
            if name(one) != name(role) and fits(labels(one)):
                out += [rule for rule in one.get("rules") or () if rule not in out]
    return out


class ClusterRoleAggregation(Controller):
    """The shell."""

    name = "clusterrole-aggregation-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._roles = ctx.informer("clusterroles")
        self._queue = ctx.queue(self.name, self._sync)

    def start(self) -> None:
        """Watch all roles: any change may concern each that aggregates."""
        self._roles.add_handler(self._changed)
        self._queue.start()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        for role in self._roles.values():
            if role.get("aggregationRule"):
                self._queue.add(key_of(role))

    async def _sync(self, key: str) -> None:
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = aggregated(role, self._roles.values())
        if rules == (role.get("rules") or []):
            return
        try:
            await self.api.patch("clusterroles", "", name(role), {"rules": rules}, patch_type="merge")
        except ApiError as error:
            if error.reason != "NotFound":
                raise
