"""Node lifecycle: notices silent nodes, marks their pods not ready, and taints nodes at the rate that their zone allows.

pkg/controller/nodelifecycle/node_lifecycle_controller.go. Silence is measured on the controller's own clock, from the last *change*
it saw in a node's Lease or status.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import condition, name
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.controllers import nodehealth as health
from kchaos.models.controllers.base import Context, Controller
from kchaos.runtime import Timer

LEASES = "kube-node-lease"
POLL_S = 0.1
"""How often the zone queues are looked at (nodeEvictionPeriod)."""


class _Zone:
    """One zone's queue of nodes to taint NoExecute, behind a token bucket of one."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.queue: dict[str, None] = {}
        self.tokens_at = now
        """When the next token is there."""
        self.state = health.ZoneState.NORMAL

    def swap(self, rate: float, now: float) -> None:
        """Change the rate; a bucket that was empty stays empty (SwapLimiter)."""
        if rate == self.rate:
            return
        empty = self.tokens_at > now or self.rate == 0
        self.rate = rate
        self.tokens_at = now + (1 / rate if empty and rate else 0.0)


class NodeLifecycleController(Controller):
    """The shell."""

    name = "node-controller"

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx)
        self._nodes = ctx.informer("nodes")
        self._leases = ctx.informer("leases")
        self._pods = ctx.informer("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"]["nodeName"],) if pod["spec"].get("nodeName") else ())
        self._seen: dict[str, float] = {}
        self._zones: dict[str, _Zone] = {}
        self._unready_pods: dict[str, None] = {}
        self._all_down = False
        self._queue = ctx.queue("node-taints", self._taint_no_schedule)
        self._alarm: Timer | None = None
        self._pumps: dict[str, None] = {}

    def start(self) -> None:
        """Follow nodes and leases; look at all nodes every --node-monitor-period."""
        now = self.rt.now()
        for node in self._nodes.values():
            self._seen[name(node)] = now
        self._nodes.add_handler(self._node_changed)
        self._leases.add_handler(self._lease_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()
        self.rt.call_later(self.ctx.constants.node_monitor_period_s, self._tick, background=True)

    # -- what is seen ------------------------------------------------------------------------------------------------

    def _lease_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and new["metadata"]["namespace"] == LEASES:
            self._seen[name(new)] = self.rt.now()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self._seen.pop(name(old), None)
            for zone in self._zones.values():
                zone.queue.pop(name(old), None)
            return
        key = name(new)
        if old is None:
            self._seen.setdefault(key, self.rt.now())
        elif self._heartbeats(old) != self._heartbeats(new):
            self._seen[key] = self.rt.now()
        self._queue.add(key)
        if health.ready_status(new) == "True" and any(
            t["effect"] == "NoExecute" and t["key"] in (health.NOT_READY, health.UNREACHABLE) for t in new["spec"].get("taints") or ()
        ):
            self._zone(new).queue.pop(key, None)
            self.rt.spawn(self._untaint(key), f"untaint {key}")

    @staticmethod
    def _heartbeats(node: Obj) -> list[tuple[str, object]]:
        return [(c["type"], c.get("lastHeartbeatTime")) for c in get(node, "status", "conditions", default=())]

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A pod that turns ready on a node that is not gets marked at once."""
        if new is None or not new["spec"].get("nodeName"):
            return
        node = self._nodes.get(new["spec"]["nodeName"])
        if node is not None and health.ready_status(node) != "True" and self._is_ready(new):
            self._unready_pods[name(node)] = None

    @staticmethod
    def _is_ready(pod: Obj) -> bool:
        found = condition(pod, "Ready")
        return found is not None and found["status"] == "True"

    # -- monitoring --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.rt.call_later(self.ctx.constants.node_monitor_period_s, self._tick, background=True)
        now, constants = self.rt.now(), self.ctx.constants
        overdue = False
        states: dict[str, list[int]] = {}
        silent: list[Obj] = []
        for node in self._nodes.values():
            age = now - self._seen.get(name(node), now)
            status = health.ready_status(node)
            if age > constants.node_monitor_grace_s and (status != "Unknown" or health.silenced(node, "") is not None):
                silent.append(node)
                status = "Unknown"
            elif age > 2 * constants.node_lease_renew_s and status != "Unknown":
                overdue = True
            counts = states.setdefault(health.zone_of(node), [0, 0])
            counts[status != "True"] += 1
        if silent or self._unready_pods or self._behind():
            self.rt.spawn(self._monitor(silent, states), "monitor nodes")
        elif states:
            self._disruption(states)
        # a node that is overdue will change the cluster: the run must not be taken for finished
        if overdue and self._alarm is None:
            self._alarm = self.rt.call_later(constants.node_monitor_period_s + 1, self._alarm_over)

    def _alarm_over(self) -> None:
        self._alarm = None

    def _behind(self) -> bool:
        return any(health.with_no_execute(node, "") is not None for node in self._nodes.values())

    async def _monitor(self, silent: list[Obj], states: dict[str, list[int]]) -> None:
        for node in silent:
            status = health.silenced(node, self.ctx.now())
            try:
                if status is not None:
                    await self.api.update("nodes", {**node, "status": status}, "status")
            except ApiError as error:
                if error.reason not in ("Conflict", "NotFound"):
                    raise
                continue
            if health.ready_status(node) == "True":
                self.event(node, "Normal", "NodeNotReady", f"Node {name(node)} status is now: NodeNotReady")
            self._unready_pods[name(node)] = None
        for key in list(self._unready_pods):
            current = self._nodes.get(key)
            if current is None or (health.ready_status(current) == "True" and not any(name(one) == key for one in silent)):
                del self._unready_pods[key]
                continue
            if await self._mark_pods(key):
                self._unready_pods.pop(key, None)
        self._disruption(states)
        silent_names = {name(one) for one in silent}
        for node in self._nodes.values():
            down = health.ready_status(node) != "True" or name(node) in silent_names
            if down and (name(node) in silent_names or health.with_no_execute(node, "") is not None) and not self._all_down:
                zone = self._zone(node)
                zone.queue[name(node)] = None
                self._pump(health.zone_of(node))

    async def _mark_pods(self, node: str) -> bool:
        """Set all pods of a node not ready, so that they leave the endpoints (MarkPodsNotReady); False: try again."""
        whole = True
        for pod in self._pods.by("node", node):
            found = condition(pod, "Ready")
            if found is None or found["status"] == "False":
                continue
            now = self.ctx.now()
            conditions = [
                {**c, "status": "False", "lastTransitionTime": now} if c["type"] == "Ready" else c for c in pod["status"]["conditions"]
            ]
            try:
                await self.api.update("pods", put(pod, conditions, "status", "conditions"), "status")
                self.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            except ApiError as error:
                if error.reason != "NotFound":
                    whole = False
        return whole

    # -- zones -------------------------------------------------------------------------------------------------------

    def _zone(self, node: Obj) -> _Zone:
        key = health.zone_of(node)
        found = self._zones.get(key)
        if found is None:
            found = self._zones[key] = _Zone(self.ctx.constants.eviction_rate, self.rt.now())
        return found

    def _disruption(self, states: dict[str, list[int]]) -> None:
        """Set each zone's rate; when every zone is wholly down, evict nothing: it is probably us (handleDisruption)."""
        now = self.rt.now()
        new = {key: health.zone_state(up, down, self.ctx.constants) for key, (up, down) in states.items()}
        for key in new:
            self._zones.setdefault(key, _Zone(self.ctx.constants.eviction_rate, now))
        all_down = bool(new) and all(state is health.ZoneState.FULL for state in new.values())
        was_down, self._all_down = self._all_down, all_down
        if all_down:
            if not was_down:
                for node in self._nodes.values():
                    self._zone(node).queue.pop(name(node), None)
                    self.rt.spawn(self._untaint(name(node), always=True), f"untaint {name(node)}")
                for zone in self._zones.values():
                    zone.rate = 0.0
            return
        if was_down:
            for node in self._nodes.values():
                self._seen[name(node)] = now
        for key, state in new.items():
            zone = self._zones[key]
            zone.state = state
            zone.swap(health.eviction_rate(state, sum(states[key]), self.ctx.constants), now)
            self._pump(key)

    def _pump(self, key: str) -> None:
        """Taint the next node of a zone when its bucket has a token; a foreground timer, for it will change the cluster."""
        zone = self._zones[key]
        if not zone.queue or zone.rate == 0 or key in self._pumps:
            return
        self._pumps[key] = None
        self.rt.call_later(max(POLL_S, zone.tokens_at - self.rt.now()), self._pumped, key)

    def _pumped(self, key: str) -> None:
        self._pumps.pop(key, None)
        zone = self._zones[key]
        if not zone.queue or zone.rate == 0:
            return
        if zone.tokens_at > self.rt.now() + 1e-9:
            self._pump(key)
            return
        node = next(iter(zone.queue))
        del zone.queue[node]
        zone.tokens_at = self.rt.now() + 1 / zone.rate
        self.rt.spawn(self._taint_no_execute(node), f"taint {node}")
        self._pump(key)

    # -- taints ------------------------------------------------------------------------------------------------------

    async def _taint_no_execute(self, key: str) -> None:
        node = self._nodes.get(key)
        if node is None or health.ready_status(node) == "True":
            return
        taints = health.with_no_execute(node, self.ctx.now())
        if taints is not None:
            await self._patch_taints(node, taints)

    async def _untaint(self, key: str, always: bool = False) -> None:
        node = self._nodes.get(key)
        if node is None or (health.ready_status(node) != "True" and not always):
            return
        keys = (health.NOT_READY, health.UNREACHABLE)
        taints = [t for t in node["spec"].get("taints") or () if not (t["effect"] == "NoExecute" and t["key"] in keys)]
        if taints != (node["spec"].get("taints") or []):
            await self._patch_taints(node, taints)

    async def _taint_no_schedule(self, key: str) -> None:
        node = self._nodes.get(key)
        if node is None:
            return
        taints = health.with_no_schedule(node, self.ctx.now())
        if taints is not None:
            await self._patch_taints(node, taints)

    async def _patch_taints(self, node: Obj, taints: list[Obj]) -> None:
        patch = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}, "spec": {"taints": taints or None}}
        try:
            await self.api.patch("nodes", "", name(node), patch, patch_type="merge")
        except ApiError as error:
            if error.reason == "Conflict":
                self._queue.add_rate_limited(name(node))
                if any(t["effect"] == "NoExecute" for t in taints):
                    self._zone(node).queue[name(node)] = None
                    self._pump(health.zone_of(node))
            elif error.reason != "NotFound":
                raise
