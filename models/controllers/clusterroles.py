"""Cluster role aggregation: a role with an aggregationRule has the rules of all roles that it selects.

pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import name
from kchaos.models.api.tree import Obj
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers.base import Context, Controller
from kchaos.models.security.bootstrap import aggregated


class ClusterRoleAggregation(Controller):
    """The shell."""

    name = "clusterrole-aggregation-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._roles = ctx.informer("clusterroles")
        self._queue = ctx.queue(self.name, self._sync)
        self._gathering: dict[str, None] = {}

    def start(self) -> None:
        """Watch all roles: any change may concern each that aggregates."""
        self._roles.add_handler(self._changed)
        self._queue.start()

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        role = new if new is not None else old
        assert role is not None
        if new is not None and new.get("aggregationRule"):
            self._gathering[key_of(role)] = None
        else:
            self._gathering.pop(key_of(role), None)
        for key in self._gathering:
            self._queue.add(key)

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
