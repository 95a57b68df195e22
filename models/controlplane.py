"""The control plane of one simulated cluster: API servers over one store, controller managers, schedulers, and how they are started.

Masters are hosts ``master-0`` … each with the processes ``kube-apiserver``, ``kube-controller-manager`` and ``kube-scheduler``. A
process that dies is started again by its host's kubelet after ``RESTART_S``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from kchaos.errors import HarnessError
from kchaos.models.api.request import USER, Identity, Request
from kchaos.models.api.resources import by_kind
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.server import ApiServer, Hooks
from kchaos.models.apiserver.store import Store
from kchaos.models.client.client import PatientClient, Session
from kchaos.models.controllers.base import Controller, EventSink
from kchaos.models.controllers.catalog import CONTROLLERS
from kchaos.models.controllers.manager import ControllerManager
from kchaos.models.scheduler.shell import Scheduler
from kchaos.models.security.seams import Security, make_bootstrap
from kchaos.models.topology import NodeSpec, default_labels
from kchaos.sim.world import World

RESTART_S = 10.0
"""A static pod that exited is started again after the kubelet's first back-off."""

APISERVER, MANAGER, SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"


def _no_events(controller: str, regarding: Obj, kind: str, reason: str, message: str) -> None:
    """Drop Kubernetes Events (nobody listens)."""


class ControlPlane:
    """All masters of one cluster."""

    def __init__(
        self,
        world: World,
        masters: int = 1,
        elect: bool = True,
        store: Store | None = None,
        constants: Constants | None = None,
        security: Security | None = None,
        events: EventSink = _no_events,
        controllers: Sequence[type[Controller]] = CONTROLLERS,
    ) -> None:
        self.world = world
        self.store = store if store is not None else Store()
        self.constants = constants or Constants()
        if not self.store.table("clusterroles"):
            make_bootstrap(self.store.put)
        self.security = security or Security(self.store.table)
        self.store.subscribe(self.security.committed)
        self._events = events
        self._elect = elect
        self._controllers = controllers
        self.hosts = tuple(f"master-{i}" for i in range(masters))
        self.servers = tuple(f"{host}/{APISERVER}" for host in self.hosts)
        self.apis: dict[str, ApiServer] = {}
        self.managers: dict[str, ControllerManager] = {}
        self.schedulers: dict[str, Scheduler] = {}
        self.hooks = Hooks()
        for host in self.hosts:
            world.add_host(host)
            self._start_api(host)
            world.on_boot.setdefault(host, []).append(partial(self._boot, host))

    # -- processes ---------------------------------------------------------------------------------------------------

    def _start_api(self, host: str) -> None:
        rt = self.world.start(host, APISERVER)
        made: list[ApiServer] = []
        self.world.loop.run_as(
            self.world.processes[rt.address].owner, lambda: made.append(ApiServer(rt, self.store, self.security, self.hooks))
        )
        self.apis[host] = made[0]

    def start(self) -> None:
        """Start controller managers and schedulers on all masters."""
        for host in self.hosts:
            self._start_manager(host)
            self._start_scheduler(host)

    def _start_manager(self, host: str) -> None:
        rt = self.world.start(host, MANAGER)
        index = self.hosts.index(host)
        manager = ControllerManager(
            rt, self.servers, index, self.constants, self._controllers, self._events, self._elect, partial(self._gone, host, MANAGER)
        )
        self.managers[host] = manager
        self.world.loop.soon(manager.start, (), self.world.processes[rt.address].owner)

    def _start_scheduler(self, host: str) -> None:
        rt = self.world.start(host, SCHEDULER)
        index = self.hosts.index(host)
        scheduler = Scheduler(rt, self.servers, index, self.constants, self._events, self._elect, partial(self._gone, host, SCHEDULER))
        self.schedulers[host] = scheduler
        self.world.loop.soon(scheduler.start, (), self.world.processes[rt.address].owner)

    def exited(self, host: str, process: str) -> bool:
        """Let a control-plane process die now and its kubelet start it again; tell whether it ran."""
        if self.world.processes[f"{host}/{process}"].owner.crashed:
            return False
        self.world.crash(f"{host}/{process}")
        if process == APISERVER:  # the kernel closes its connections: clients know at once
            for address in self.world.processes:
                if not address.endswith(f"/{APISERVER}"):
                    self.world.network.closed(host, address)
        self.world.loop.schedule(self.world.loop.time() + RESTART_S, self._restart, (host, process), None)
        return True

    def _gone(self, host: str, process: str) -> None:
        """A process says that it exits."""
        self.exited(host, process)

    def _restart(self, host: str, process: str) -> None:
        if not self.world.hosts[host].up:
            return
        if process == APISERVER:
            self._start_api(host)
        elif process == MANAGER:
            self._start_manager(host)
        elif process == SCHEDULER:
            self._start_scheduler(host)
        else:
            raise HarnessError(f"no such control-plane process: {process}")

    def _boot(self, host: str) -> None:
        self._start_api(host)
        self._start_manager(host)
        self._start_scheduler(host)

    # -- hooks and direct access -------------------------------------------------------------------------------------

    def leader(self, process: str) -> str | None:
        """Return the host whose controller manager or scheduler leads; None if none does."""
        table: Mapping[str, ControllerManager | Scheduler] = self.managers if process == MANAGER else self.schedulers
        for host in self.hosts:
            living = self.world.processes.get(f"{host}/{process}")
            if host in table and table[host].leading and living is not None and not living.owner.crashed:
                return host
        return None

    def create(self, obj: Obj) -> Obj:
        """Create an object at once, without a client: for setting a cluster up before time starts. Raises ApiError."""
        resource = by_kind(obj["apiVersion"], obj["kind"])
        if resource is None:
            raise HarnessError(f"unknown kind {obj['apiVersion']} {obj['kind']}")
        space = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
        request = Request("create", resource.plural, space, body=obj, identity=USER)
        return next(iter(self.apis.values())).execute(request)

    def client(self, name: str, identity: Identity) -> Session:
        """Return a user's session from a host of its own."""
        host = f"{name}-host"
        if host not in self.world.hosts:
            self.world.add_host(host)
        return PatientClient(self.world.start(host, name), self.servers).as_(identity)


def node_object(spec: NodeSpec, capacity: Mapping[str, str], now: str, ready: bool = True) -> Obj:
    """Return the Node that a kubelet registers, with the conditions of a healthy one."""
    conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True" if ready else "False", "KubeletReady", "kubelet is posting ready status"),
    ]
    body: Obj = {}
    if spec.taints:
        body["taints"] = [dict(taint) for taint in spec.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": default_labels(spec)},
        "spec": body,
        "status": {
            "capacity": dict(capacity),
            "allocatable": dict(capacity),
            "conditions": [
                {
                    "type": kind, "status": status, "reason": reason, "message": message,
                    "lastHeartbeatTime": now, "lastTransitionTime": now,
                }
                for kind, status, reason, message in conditions
            ],
        },
    }  # fmt: skip
