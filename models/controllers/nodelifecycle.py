"""Node lifecycle: notices silent nodes, marks their pods not ready, and taints nodes at the rate that their zone allows.

pkg/controller/nodelifecycle/node_lifecycle_controller.go. All is done in passes, every --node-monitor-period: silence is measured on the
controller's own clock, from the pass in which it last saw a *change* of a node's Lease or status; a node that is back loses its NoExecute
taint in the next pass, its NoSchedule taint at once.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import condition, name, uid
from kchaos.models.api.tree import Obj, put
from kchaos.models.apiserver.store import key_of
from kchaos.models.controllers import nodehealth as health
from kchaos.models.controllers.base import Context, Controller
from kchaos.runtime import Timer

LEASES = "kube-node-lease"
POLL_S = 0.1
"""How often the zone queues are looked at (nodeEvictionPeriod)."""
TAINT_TRIES = 5
"""Requests per change of taints before it is given up (updateTaintBackoff: 100 ms apart)."""


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
        self._health: dict[str, health.Health] = {}
        self._ready: dict[str, str] = {}
        """Ready of each node as of the last pass."""
        self._known: dict[str, Obj] = {}
        self._zones: dict[str, _Zone] = {}
        self._retry: dict[str, None] = {}
        self._all_down = False
        self._queue = ctx.queue("node-taints", self._taint_no_schedule)
        self._bound = ctx.queue("node-pods", self._pod_bound)
        self._alarm: Timer | None = None
        self._pumps: dict[str, None] = {}

    def start(self) -> None:
        """Follow nodes and leases; look at all nodes every --node-monitor-period."""
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)
        self._queue.start()
        self._bound.start()
        self._tick()

    # -- what is seen ------------------------------------------------------------------------------------------------

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        self._queue.add(name(new))
        if any(health.no_execute_swap(new, health.ready_status(new))):
            self._keep_alive()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A pod that is bound to a node that is not ready is marked at once (podUpdated)."""
        node = new["spec"].get("nodeName") if new is not None else None
        if node and new is not None and (old is None or old["spec"].get("nodeName") != node) and self._ready.get(node, "True") != "True":
            self._bound.add(key_of(new))

    async def _pod_bound(self, key: str) -> None:
        pod = self._pods.get(key)
        node = pod["spec"].get("nodeName", "") if pod is not None else ""
        if pod is not None and self._nodes.get(node) is not None and self._ready.get(node, "True") != "True":
            await self._mark_pod(pod)

    # -- monitoring --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """One pass (monitorNodeHealth)."""
        now, constants = self.rt.now(), self.ctx.constants
        self.rt.call_later(constants.node_monitor_period_s, self._tick, background=True)
        self._register()
        overdue = False
        states: dict[str, list[int]] = {}
        silent: list[Obj] = []
        down: list[tuple[Obj, str]] = []
        for node in self._nodes.values():
            key, status = name(node), health.ready_status(node)
            seen = self._health[key] = health.observed(self._health.get(key), node, self._leases.get(f"{LEASES}/{key}"), now)
            grace = constants.node_monitor_grace_s if condition(node, "Ready") is not None else constants.node_startup_grace_s
            age = now - seen.probe_s
            if age >= grace - 1e-6:
                if status != "Unknown" or health.silenced(node, "") is not None:
                    silent.append(node)
                status = "Unknown"
            elif age > 2 * constants.node_lease_renew_s and status != "Unknown":
                overdue = True
            self._ready[key] = status
            if not health.excluded(node):
                states.setdefault(health.zone_of(node), [0, 0])[status != "True"] += 1
            if status != "True" or any(health.no_execute_swap(node, status)):
                down.append((node, status))
        if silent or down or self._retry:
            self.rt.spawn(self._monitor(silent, down, states), "monitor nodes")
        elif states:
            self._disruption(states)
        # a node that is overdue will change the cluster: the run must not be taken for finished
        if overdue:
            self._keep_alive()

    def _keep_alive(self) -> None:
        if self._alarm is None:
            self._alarm = self.rt.call_later(self.ctx.constants.node_monitor_period_s + 1, self._alarm_over)

    def _alarm_over(self) -> None:
        self._alarm = None

    def _register(self) -> None:
        """Note nodes that came and went since the last pass (classifyNodes)."""
        for node in self._nodes.values():
            if name(node) not in self._known:
                self.event(node, "Normal", "RegisteredNode", f"Node {name(node)} event: Registered Node {name(node)} in Controller")
            self._known[name(node)] = node
        for key in [one for one in self._known if self._nodes.get(one) is None]:
            self.event(self._known.pop(key), "Normal", "RemovingNode", f"Node {key} event: Removing Node {key} from Controller")
            self._health.pop(key, None)
            self._ready.pop(key, None)

    async def _monitor(self, silent: list[Obj], down: list[tuple[Obj, str]], states: dict[str, list[int]]) -> None:
        changed: dict[str, None] = {}
        failed: dict[str, None] = {}
        for node in silent:
            body = health.silenced(node, self.ctx.now())
            try:
                if body is not None:
                    await self.api.update("nodes", {**node, "status": body}, "status")
            except ApiError:
                failed[name(node)] = None  # again in the next pass
                continue
            if health.ready_status(node) == "True":
                changed[name(node)] = None
        self._disruption(states)
        for node, status in down:
            if name(node) not in failed:
                await self._evict(node, status)
        for node, status in down:
            key = name(node)
            if key in failed or status == "True" or not (key in changed or key in self._retry):
                continue
            if key in changed:
                self.event(node, "Normal", "NodeNotReady", f"Node {key} status is now: NodeNotReady")
            if await self._mark_pods(key):
                self._retry.pop(key, None)
            else:
                self._retry[key] = None
        for key in [one for one in self._retry if self._ready.get(one, "True") == "True"]:
            del self._retry[key]

    async def _evict(self, node: Obj, status: str) -> None:
        """Bring the NoExecute taint in line: replace the wrong one at once, queue a new one (processTaintBaseEviction)."""
        zone, swap = self._zone(node), health.no_execute_swap(node, status)
        if status == "True":
            zone.queue.pop(name(node), None)
            await self._change_taints(name(node), swap, "NoExecute")
        elif swap.add and swap.remove:
            await self._change_taints(name(node), swap, "NoExecute")
        elif swap.add and not self._all_down:
            zone.queue[name(node)] = None
            self._pump(health.zone_of(node))

    async def _mark_pods(self, node: str) -> bool:
        """Set all pods of a node not ready, so that they leave the endpoints (MarkPodsNotReady); False: try again."""
        whole = True
        for pod in self._pods.by("node", node):
            try:
                await self._mark_pod(pod)
            except ApiError:
                whole = False
        return whole

    async def _mark_pod(self, pod: Obj) -> None:
        found = condition(pod, "Ready")
        if found is None or found["status"] == "False":
            return
        now = self.ctx.now()
        conditions = [
            {**c, "status": "False", "lastTransitionTime": now} if c["type"] == "Ready" else c for c in pod["status"]["conditions"]
        ]
        try:
            await self.api.update("pods", put(pod, conditions, "status", "conditions"), "status")
        except ApiError as error:
            if error.reason == "NotFound":
                return
            raise
        self.event(pod, "Warning", "NodeNotReady", "Node is not ready")

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
                    self.rt.spawn(self._evict(node, "True"), f"untaint {name(node)}")
                for zone in self._zones.values():
                    zone.rate = 0.0
            return
        if was_down:
            self._health = {key: seen._replace(probe_s=now) for key, seen in self._health.items()}
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
        """Taint a node whose turn it is, unless it is ready again (doNoExecuteTaintingPass)."""
        node = self._nodes.get(key)
        if node is None or health.ready_status(node) == "True":
            return
        if not await self._change_taints(key, health.no_execute_swap(node, health.ready_status(node)), "NoExecute"):
            self._zone(node).queue[key] = None
            self._pump(health.zone_of(node))

    async def _taint_no_schedule(self, key: str) -> None:
        node = self._nodes.get(key)
        if node is not None and not await self._change_taints(key, health.no_schedule_swap(node), "NoSchedule"):
            self._queue.add_rate_limited(key)

    async def _change_taints(self, key: str, swap: health.Swap, effect: str) -> bool:
        """Add taints, then remove taints, each in its own request; False: it did not work (SwapNodeControllerTaint)."""
        done = not swap.add or await self._patch_taints(key, swap.add, effect, add=True)
        return done and (not swap.remove or await self._patch_taints(key, swap.remove, effect, add=False))

    async def _patch_taints(self, key: str, keys: tuple[str, ...], effect: str, add: bool) -> bool:
        first = self._nodes.get(key)
        node = first
        for _ in range(TAINT_TRIES):
            if node is None or first is None or uid(node) != uid(first):
                return True
            taints = health.with_taints(node, keys, effect, self.ctx.now()) if add else health.without_taints(node, keys, effect)
            if taints == (node["spec"].get("taints") or []):
                return True
            patch = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}, "spec": {"taints": taints or None}}
            try:
                await self.api.patch("nodes", "", key, patch, patch_type="merge")
                return True
            except ApiError as error:
                if error.reason == "NotFound":
                    return True
            await self.rt.sleep(POLL_S)
            try:
                node = await self.api.get("nodes", "", key)
            except ApiError as error:
                if error.reason == "NotFound":
                    return True
        return False
