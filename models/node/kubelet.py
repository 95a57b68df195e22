"""kubelet: registers its node, renews its lease, runs the pods bound to it and reports their status.

pkg/kubelet. One status write per pod is under way at a time, the latest state wins. The container runtime lives on when only the
kubelet restarts; both end with their host's power.
"""

from __future__ import annotations

from collections.abc import Callable

from kchaos.models.api.errors import ApiError
from kchaos.models.api.pods import condition, ended, name, namespace, set_condition, terminating, uid
from kchaos.models.api.quantity import exact
from kchaos.models.api.request import Identity, Request
from kchaos.models.api.times import micro
from kchaos.models.api.tree import Obj, get
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import key_of
from kchaos.models.client.client import Client
from kchaos.models.client.informer import Informer
from kchaos.models.controllers.volumes import attachment_name, claims_of, needs_attachment
from kchaos.models.node.assumptions import Assumptions
from kchaos.models.node.callers import PodCalls
from kchaos.models.node.eviction import GRACE_S, REJECTED, End, Eviction, critical
from kchaos.models.node.machine import PodMachine
from kchaos.models.node.runtime import ContainerRuntime, Mark
from kchaos.runtime import Runtime

LEASES = "kube-node-lease"
LEASE_S = 40
_OWN = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
VOLUME_POLL_S = 1.0


class Kubelet:
    """The agent of one node. ``pod_subnet`` is its first three numbers, ``10.244.7``."""

    def __init__(
        self,
        rt: Runtime,
        servers: tuple[str, ...],
        first_server: int,
        node: Obj,
        constants: Constants,
        assumptions_for: Callable[[Obj], Assumptions],
        mark: Mark,
        truth_changed: Callable[[str], None],
        pod_subnet: str,
        calls: PodCalls | None = None,
    ) -> None:
        self.rt = rt
        self.node = node["metadata"]["name"]
        self._object = node
        self._constants = constants
        self._assume = assumptions_for
        self._subnet = pod_subnet
        self.identity = Identity(f"system:node:{self.node}", ("system:nodes", "system:authenticated"), "kubelet")
        self.client = Client(rt, servers, first_server)
        self.api = self.client.as_(self.identity)
        self.runtime = ContainerRuntime(rt, self.node, constants, mark, self._changed, self._gone, truth_changed, calls)
        size = int(exact(get(node, "status", "capacity", "ephemeral-storage", default="100Gi")))
        self.eviction = Eviction(rt, size, self._running, self._evict, self._set_pressure, self._reclaim)
        self.machines: dict[str, PodMachine] = {}
        self._by_key: dict[str, str] = {}
        self._pods = Informer(rt, self.client, "pods", self.identity, fields=f"spec.nodeName={self.node}")
        self._dirty: dict[str, None] = {}
        self._writing: dict[str, None] = {}
        self._addresses = 0
        self._lease: Obj | None = None
        self._look = Request("get", "nodes", "", self.node, options={"resource_version": "0"}, identity=self.identity)
        self._renewed_s = rt.now()
        self._truth_changed = truth_changed

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self, adopted: dict[str, PodMachine] | None = None) -> None:
        """Register and begin; ``adopted`` are pods whose containers run already (a kubelet restart, a boot image)."""
        for key, machine in (adopted or {}).items():
            self.machines[key] = machine
            self._by_key[machine.key] = key
            self._addresses = max(self._addresses, int(machine.ip.rpartition(".")[2] or 0) if machine.ip else 0)
            self.runtime.adopt(machine)
        self.rt.spawn(self._register(), f"register {self.node}")
        self._renew()
        self.rt.call_later(self._constants.node_status_report_s, self._report, background=True)
        self._pods.add_handler(self._pod_changed)
        self._pods.start()
        self.eviction.look()  # its disk may be full since before it started

    async def _register(self) -> None:
        for _ in range(30):
            try:
                node = await self.api.get("nodes", "", self.node)
                break
            except ApiError as error:
                if error.reason == "NotFound":
                    try:
                        await self.api.create("nodes", "", self._object)
                        return
                    except ApiError as failed:
                        error = failed
                await self.rt.sleep(2.0, background=True)
        else:
            return
        if condition(node, "Ready") is not None and condition(node, "Ready") == condition(self._object, "Ready"):
            return
        await self._write_node(node)

    async def _write_node(self, node: Obj) -> None:
        now = self._now()
        conditions = list(get(node, "status", "conditions", default=()))
        before = conditions
        for one in self._object["status"]["conditions"]:
            fresh = {k: v for k, v in one.items() if k != "lastTransitionTime"} | {"lastHeartbeatTime": now}
            conditions = set_condition(conditions, fresh, now)
        if conditions == before:
            return
        body = {"status": {"conditions": conditions}}
        try:
            await self.api.patch("nodes", "", self.node, body, patch_type="merge", subresource="status")
        except ApiError:
            self.rt.call_later(10.0, self._report_now, background=True)

    def _report(self) -> None:
        self.rt.call_later(self._constants.node_status_report_s, self._report, background=True)
        self._report_now()

    def _report_now(self) -> None:
        self.rt.spawn(self._register_again(), f"node status {self.node}")

    async def _register_again(self) -> None:
        try:
            node = await self.api.get("nodes", "", self.node)
        except ApiError:
            return
        await self._write_node(node)

    def _compare(self, node: Obj | None, error: ApiError | None) -> None:
        """Write the status if what is stored says another thing than the truth (syncNodeStatus, every ten seconds)."""
        if node is None:
            return
        ready = pressed = False
        for one in get(node, "status", "conditions", default=()):
            if one["type"] == "Ready":
                ready = one["status"] == "True"
            elif one["type"] == "DiskPressure":
                pressed = one["status"] == "True"
        if not ready or pressed != self.eviction.pressure:
            self.rt.spawn(self._write_node(node), f"node status {self.node}")

    def _now(self) -> str:
        from kchaos.models.api.times import stamp

        return stamp(self.rt.wall())

    # -- lease ---------------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        rt = self.rt
        rt.call_later(self._constants.node_lease_renew_s, self._renew, background=True)
        self.client.call(self._look, self._compare)
        stamp = micro(rt.wall())
        if self._lease is None:
            self.client.call(Request("get", "leases", LEASES, self.node, identity=self.identity), self._lease_read)
            return
        body = {**self._lease, "spec": {**self._lease["spec"], "renewTime": stamp}}
        self.client.call(Request("update", "leases", LEASES, self.node, body=body, identity=self.identity), self._renewed)

    def _lease_read(self, lease: Obj | None, error: ApiError | None) -> None:
        stamp = micro(self.rt.wall())
        spec = {"holderIdentity": self.node, "leaseDurationSeconds": LEASE_S, "renewTime": stamp}
        if lease is not None:
            body = {**lease, "spec": spec}
            self.client.call(Request("update", "leases", LEASES, self.node, body=body, identity=self.identity), self._renewed)
        elif error is not None and error.reason == "NotFound":
            made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.node}, "spec": spec}
            self.client.call(Request("create", "leases", LEASES, body=made, identity=self.identity), self._renewed)

    def _renewed(self, lease: Obj | None, error: ApiError | None) -> None:
        now = self.rt.now()
        if lease is not None and now - self._renewed_s > 2 * self._constants.node_lease_renew_s + 1.0:
            # it was silent for a while: compare what is stored with the truth (syncNodeStatus does so every ten seconds)
            self._report_now()
        if lease is not None:
            self._renewed_s = now
        self._lease = lease  # None after a failure: read it again next time

    # -- pods ----------------------------------------------------------------------------------------------------------

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self._removed(old)
            return
        key = uid(new)
        machine = self.machines.get(key)
        if machine is None:
            self._first_seen(new)
            return
        machine.pod = new
        if machine.ended_by is not None and machine.finished and terminating(new) and (old is None or not terminating(old)):
            self._gone(machine)  # deleted before its end was reported
        elif (terminating(new) and not machine.stopping) or (
            terminating(new)
            and old is not None
            and old["metadata"].get("deletionGracePeriodSeconds") != new["metadata"].get("deletionGracePeriodSeconds")
        ):
            self.runtime.stop(machine)
        elif key in self._dirty or not self._agrees(machine):
            self._changed(machine)

    def _first_seen(self, pod: Obj) -> None:
        key = uid(pod)
        other = self._by_key.get(key_of(pod))
        if other is not None and other in self.machines:
            # a pod of the same name was force-deleted: its containers must end first
            self.rt.call_later(1.0, self._again, key_of(pod))
            return
        machine = PodMachine.of(pod, key_of(pod), self._assume(pod))
        self._by_key[machine.key] = key
        self.machines[key] = machine
        if terminating(pod):
            machine.stopping = True
            machine.finished = True
            for c in machine.containers:
                c.stays_dead()
            self._gone(machine)
            return
        if ended(pod):
            machine.finished = True
            return
        if machine.found_dead:  # the node lost power: what ran is gone, which the API learns before any of it starts again
            machine.admitted = machine.over
            self._changed(machine)
            if machine.over:
                return
        if self.eviction.pressure and not critical(pod):
            machine.ended_by = End("Evicted", REJECTED, False)
            machine.finished = True
            self._gone(machine)
            return
        if claims_of(pod):
            self.rt.spawn(self._wait_for_volumes(machine), f"volumes {machine.key}")
        else:
            self._admit(machine)

    def _again(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is not None and uid(pod) not in self.machines:
            self._first_seen(pod)

    def _admit(self, machine: PodMachine) -> None:
        self._addresses += 1
        machine.ip = f"{self._subnet}.{1 + self._addresses % 253}" if self._addresses < 254 else f"{self._subnet}.{self._addresses}"
        machine.admitted = True
        self.runtime.begin(machine)

    async def _wait_for_volumes(self, machine: PodMachine) -> None:
        """Wait until every claim is bound and every volume that needs it is attached here."""
        while not machine.stopping and uid(machine.pod) in self.machines:
            why = await self._missing_volume(machine.pod)
            if why is None:
                if not machine.stopping:
                    self._admit(machine)
                return
            if machine.waiting != why:
                machine.waiting = why
                self._changed(machine)
            await self.rt.sleep(VOLUME_POLL_S, background=True)

    async def _missing_volume(self, pod: Obj) -> str | None:
        for key in claims_of(pod):
            short = key.partition("/")[2]
            try:
                claim = await self.api.get("persistentvolumeclaims", namespace(pod), short)
                if get(claim, "status", "phase") != "Bound":
                    return f"claim {short} is not bound"
                bound = await self.api.get("persistentvolumes", "", claim["spec"]["volumeName"])
                if not needs_attachment(bound):
                    continue
                attachment = await self.api.get("volumeattachments", "", attachment_name(name(bound), self.node))
            except ApiError as error:
                return f"volume {short}: {error.message}"
            if not get(attachment, "status", "attached") or terminating(attachment):
                return f"volume {name(bound)} is not attached to {self.node}"
        return None

    def _removed(self, pod: Obj) -> None:
        machine = self.machines.get(uid(pod))
        if machine is None:
            return
        if machine.running and not machine.stopping:  # force-deleted: stop without the API's leave
            machine.pod = {**pod, "metadata": {**pod["metadata"], "deletionGracePeriodSeconds": 0}}
            self.runtime.stop(machine)
        elif not machine.running:
            self._forget(machine)

    def _forget(self, machine: PodMachine) -> None:
        self.machines.pop(machine.uid, None)
        if self._by_key.get(machine.key) == machine.uid:
            del self._by_key[machine.key]
        self._truth_changed(machine.key)

    def _gone(self, machine: PodMachine) -> None:
        """All containers have ended: report it, then let the API object go; one that was evicted stays, as Failed."""
        if self._pods.get(machine.key) is None:
            self._forget(machine)
            return
        if machine.ended_by is not None and not terminating(machine.pod):
            self.rt.spawn(self._write_end(machine), f"evicted {machine.key}")
            return
        self.rt.spawn(self._finish(machine), f"finish {machine.key}")

    async def _finish(self, machine: PodMachine) -> None:
        pod = machine.pod
        while True:
            try:
                if not ended(pod):
                    await self._write(machine)
                await self.api.delete("pods", namespace(pod), name(pod), uid=machine.uid, grace_period_seconds=0)
                break
            except ApiError as error:
                current = self._pods.get(machine.key)
                if error.reason == "NotFound" or (error.reason == "Conflict" and (current is None or uid(current) != machine.uid)):
                    break  # it is gone, or another pod has its name
                await self.rt.sleep(5.0)
        self._forget(machine)

    # -- pressure ------------------------------------------------------------------------------------------------------

    def _running(self) -> list[Obj]:
        return [one.pod for one in self.machines.values() if one.running and not one.stopping]

    def _evict(self, pod: Obj, end: End) -> None:
        machine = self.machines[uid(pod)]
        machine.ended_by = end
        asked = {**pod["metadata"], "deletionGracePeriodSeconds": GRACE_S}
        machine.pod = {**pod, "metadata": asked}
        self.runtime.stop(machine)
        machine.pod = pod

    async def _write_end(self, machine: PodMachine) -> None:
        while machine.uid in self.machines:
            try:
                await self.client.request(self._status_request(machine))
                return
            except ApiError as error:
                if error.reason == "NotFound":
                    self._forget(machine)
                    return
                await self.rt.sleep(0.01 if error.reason == "Conflict" else 2.0)

    def _set_pressure(self, status: str, reason: str, message: str) -> None:
        new = {"type": "DiskPressure", "status": status, "reason": reason, "message": message}
        state = self._object["status"]
        conditions = [{**one, **new} if one["type"] == "DiskPressure" else one for one in state["conditions"]]
        self._object = {**self._object, "status": {**state, "conditions": conditions}}
        self._report_now()

    def _reclaim(self) -> None:
        self.runtime.forget_images({c.image: None for one in self.machines.values() if one.running for c in one.containers})

    # -- status --------------------------------------------------------------------------------------------------------

    def _changed(self, machine: PodMachine) -> None:
        if machine.uid not in self.machines or machine.finished:
            return
        if machine.uid in self._writing:
            self._dirty[machine.uid] = None
            return
        self._writing[machine.uid] = None
        self.rt.call_soon(self._send, machine)

    def _send(self, machine: PodMachine) -> None:
        """Write the status without a task of its own: this is the hot path of a large rollout."""
        if self._agrees(machine):
            self._writing.pop(machine.uid, None)
            return
        self.client.call(self._status_request(machine), lambda obj, error: self._sent(machine, obj, error))

    def _status_request(self, machine: PodMachine) -> Request:
        pod = self._pods.get(machine.key)
        current = pod if pod is not None and uid(pod) == machine.uid else machine.pod
        status = self._merged(machine, current)
        body = {**current, "metadata": {k: v for k, v in current["metadata"].items() if k != "resourceVersion"}, "status": status}
        body["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        return Request("update", "pods", namespace(current), name(current), "status", body, identity=self.identity)

    def _merged(self, machine: PodMachine, current: Obj) -> Obj:
        """Return the whole status: ours, over what others own (PodScheduled, DisruptionTarget, readiness gates)."""
        old = current.get("status") or {}
        ours = machine.status(self.runtime.epoch_s, "10.0.0." + str(abs(len(self.node)) % 250 + 1))
        if old.get("startTime"):
            ours["startTime"] = old["startTime"]
        conditions = list(old.get("conditions") or ())
        now = self._now()
        for one in ours["conditions"]:
            conditions = set_condition(conditions, {"lastProbeTime": None, **one}, now)
        return {**old, **ours, "conditions": conditions}

    def _agrees(self, machine: PodMachine) -> bool:
        pod = self._pods.get(machine.key)
        if pod is None or uid(pod) != machine.uid:
            return True
        if not machine.admitted and not machine.stopping and not machine.found_dead:
            return not machine.waiting or get(pod, "status", "containerStatuses") is not None
        return bool(self._merged(machine, pod) == pod.get("status"))

    def _sent(self, machine: PodMachine, obj: Obj | None, error: ApiError | None) -> None:
        self._writing.pop(machine.uid, None)
        if error is not None:
            if error.reason == "NotFound":
                return
            wait = 0.01 if error.reason == "Conflict" else 2.0
            self.rt.call_later(wait, self._changed, machine)
            return
        if obj is not None and machine.uid in self.machines:
            machine.pod = obj if not terminating(obj) or machine.stopping else machine.pod
        if machine.uid in self._dirty:
            del self._dirty[machine.uid]
            self._changed(machine)

    async def _write(self, machine: PodMachine) -> None:
        for _ in range(5):
            try:
                await self.client.request(self._status_request(machine))
                return
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
                await self.rt.sleep(0.01)

    # -- ground truth --------------------------------------------------------------------------------------------------

    def machine_of(self, key: str) -> PodMachine | None:
        """Return the machine of ``namespace/name``."""
        found = self._by_key.get(key)
        return self.machines.get(found) if found is not None else None

    def serving(self, key: str) -> bool:
        """Tell whether the pod would answer a request now."""
        machine = self.machine_of(key)
        return machine is not None and machine.serving(self.rt.now())

    def has(self, key: str, address: str) -> bool:
        """Tell whether the pod has that address."""
        machine = self.machine_of(key)
        return machine is not None and machine.ip == address
