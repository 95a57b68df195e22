"""A whole simulated cluster under test: control plane, nodes, proxies, traffic, recorder; and the image it is booted from.

The cluster boots once per (objects, topology): what is stored and which containers run then is the *image*, from which each example's
components start as after a restart. Virtual time goes on from the image's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from kchaos import __version__
from kchaos.history.record import Header
from kchaos.history.recorder import Recorder
from kchaos.models.api.pods import controller_of, labels
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import BY_PLURAL
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj
from kchaos.models.api.versions import Constants
from kchaos.models.apiserver.store import Event, Store, StoreImage
from kchaos.models.client.client import Session
from kchaos.models.controlplane import ControlPlane, node_object
from kchaos.models.members import Members
from kchaos.models.network.admits import Gate
from kchaos.models.network.audit import audit
from kchaos.models.network.names import Names
from kchaos.models.network.overlay import leased, new_lease, subnet_of
from kchaos.models.network.proxy import Backend, Proxy
from kchaos.models.network.state import NodeNetwork
from kchaos.models.network.traffic import Interval, Rules, Traffic
from kchaos.models.node.apicall import ApiCall
from kchaos.models.node.assumptions import DEFAULTS, Assumptions
from kchaos.models.node.callers import PodCalls, token_of
from kchaos.models.node.kubelet import Kubelet
from kchaos.models.node.machine import PodMachine
from kchaos.models.security.attributes import attributes_of
from kchaos.models.security.bootstrap import is_bootstrap
from kchaos.models.security.rbac import KINDS
from kchaos.models.security.webhooks import WebhookTable
from kchaos.models.topology import NodeSpec, Topology, capacity
from kchaos.models.webhookbackends import PodBackends
from kchaos.sim.noise import Noise
from kchaos.sim.world import EPOCH_S, World

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SOON_S = 1.0
"""Timers due within it are not looked at: some of upkeep's own are always due."""
KUBELET, PROXY, CALLS = "kubelet", "kube-proxy", "pods"


class Image(NamedTuple):
    """A booted cluster at rest: what is stored, and which containers run on which node."""

    at_s: float
    store: StoreImage
    machines: Mapping[str, Mapping[str, PodMachine]]


def _told(image: Image) -> dict[str, dict[str, Obj]]:
    """Return what a history begins with: neither leases nor the roles and bindings that each server makes itself."""
    tables = {plural: dict(table) for plural, table in image.store.tables.items() if plural != "leases"}
    for plural in KINDS & set(tables):
        tables[plural] = {key: obj for key, obj in tables[plural].items() if not is_bootstrap(obj)}
    return {plural: table for plural, table in tables.items() if table or plural not in KINDS}


class AssumptionTable:
    """Assumptions per workload: ``namespace/kind/name`` or ``namespace/name`` -> assumptions."""

    def __init__(self, table: Mapping[str, Assumptions] | None = None, default: Assumptions = DEFAULTS) -> None:
        self._table = dict(table or {})
        self.default = default

    @property
    def calls(self) -> list[ApiCall]:
        """Return all API calls that any pod makes."""
        return [call for one in (self.default, *self._table.values()) for call in one.calls]

    def of(self, pod: Obj) -> Assumptions:
        """Return what is assumed of a pod, by the app label conventions of its owner's name."""
        space = pod["metadata"].get("namespace", "")
        ref = controller_of(pod)
        owner = ref["name"] if ref is not None else pod["metadata"].get("name", "")
        if ref is not None and ref["kind"] == "ReplicaSet" and labels(pod).get("pod-template-hash"):
            owner = owner.removesuffix("-" + labels(pod)["pod-template-hash"])
        return self._table.get(f"{space}/{owner}", self.default)

    def named(self, space: str, owner: str) -> Assumptions:
        """Return what is assumed of a workload."""
        return self._table.get(f"{space}/{owner}", self.default)


class Cluster:
    """One simulated cluster, running."""

    def __init__(
        self,
        topology: Topology,
        *,
        seed: int = 0,
        noise: Noise | None = None,
        constants: Constants | None = None,
        assumptions: AssumptionTable | None = None,
        image: Image | None = None,
        scenario: Obj | None = None,
        elect: bool = True,
        webhooks: Mapping[str, WebhookTable] | None = None,
        jobs: Mapping[str, Obj] | None = None,
    ) -> None:
        self.topology = topology
        self.jobs: Mapping[str, Obj] = jobs or {}
        """Jobs and CronJobs as they were given, by target: what a run of them is made from."""
        self.constants = constants or Constants()
        self.assumptions = assumptions or AssumptionTable()
        self.world = World(seed, noise, image.at_s if image is not None else 0.0)
        store = Store.from_image(image.store) if image is not None else Store()
        initial = _told(image) if image is not None else {}
        self.recorder = Recorder(Header(kchaos=__version__, scenario=scenario or {}, initial=initial), self.world.loop.time)
        self.control = ControlPlane(self.world, topology.masters, elect, store, self.constants, events=self._kubernetes_event)
        self.last_change_s = self.world.loop.time()
        self._notice_s = 0.0
        store.subscribe(self._committed)
        self.control.hooks.on_audit.append(self._audited)
        if image is None:
            for one in SYSTEM_NAMESPACES:
                self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        self.user: Session = self.control.client("user", USER)
        self.kubelets: dict[str, Kubelet] = {}
        self.proxies: dict[str, Proxy] = {}
        self.names = Names(store, self.world.loop.time, self._later, self._due)
        self.traffic = Traffic(
            self.world.loop.time, self._rules, self._check, self._interval, self._asked, self.names,
            lambda delay_s: self._later(delay_s, self._due),
        )  # fmt: skip
        self._traffic_due = False
        self._policies = store.table("networkpolicies")
        self.gate = Gate(self._policies, store.table("pods"))
        self.members = Members(store, self._answers)
        self.network = NodeNetwork(store, self._agent_works, self._later, self._due, self.recorder.mark, self.world.network.cuts)
        self.control.security.webhooks.said = webhooks or {}
        self.control.security.webhooks.backends = PodBackends(store, self._from_masters)
        self._calling = bool(self.assumptions.calls)
        for call in self.assumptions.calls:
            if call.resource not in BY_PLURAL:
                self.control.security.custom.setdefault(call.resource, call.group)
        self.control.start()
        for index, spec in enumerate(topology.nodes):
            self.world.add_host(spec.name)
            adopted = image.machines.get(spec.name, {}) if image is not None else {}
            self._start_node(spec, index, {key: copy.deepcopy(one, {id(one.pod): one.pod}) for key, one in adopted.items()})
            self.world.on_boot.setdefault(spec.name, []).append(partial(self._start_node, spec, index, {}))

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _start_node(self, spec: NodeSpec, index: int, adopted: dict[str, PodMachine]) -> None:
        server = index % len(self.control.servers)
        rt = self.world.start(spec.name, KUBELET)
        lease = new_lease(spec.name, index)
        body = leased(node_object(spec, capacity(spec), stamp(EPOCH_S + self.world.loop.time())), lease)
        if spec.labels and self.control.store.get("nodes", spec.name) is None:
            self.control.create(body)  # NodeRestriction keeps a kubelet from giving itself roles: an administrator labels the node
        kubelet = Kubelet(
            rt, self.control.servers, server, body, self.constants, self.assumptions.of, self.recorder.mark, self._truth_changed,
            subnet_of(index), self._pod_calls(spec.name, server) if self._calling else None,
        )  # fmt: skip
        if spec.name in self.kubelets:
            kubelet.runtime.inherit(self.kubelets[spec.name].runtime)
        self.kubelets[spec.name] = kubelet
        self.world.loop.soon(kubelet.start, (adopted,), self.world.processes[rt.address].owner)
        if len(self.topology.nodes) <= 50:
            proxy_rt = self.world.start(spec.name, PROXY)
            proxy = Proxy(proxy_rt, self.control.servers, server, self.constants, self._rules_changed, spec.name, spec.zone)
            self.proxies[spec.name] = proxy
            self.world.loop.soon(proxy.start, (), self.world.processes[proxy_rt.address].owner)

    def _pod_calls(self, node: str, server: int) -> PodCalls:
        store, rt = self.control.store, self.world.start(node, CALLS)
        return PodCalls(
            rt, self.control.servers, server, lambda pod: token_of(pod, store.table("serviceaccounts")), store.get, self.recorder.mark
        )

    def node_names(self) -> list[str]:
        """Return the workers' names, in the order of the topology."""
        return [node.name for node in self.topology.nodes]

    def image(self) -> Image:
        """Return the cluster as it is now, to start others from."""
        machines = {
            node: {key: copy.deepcopy(one, {id(one.pod): one.pod}) for key, one in kubelet.machines.items()}
            for node, kubelet in self.kubelets.items()
        }
        return Image(self.world.loop.time(), self.control.store.image(), machines)

    # -- recording -----------------------------------------------------------------------------------------------------

    def _committed(self, event: Event) -> None:
        if event.resource == "leases" and event.type == "MODIFIED":
            return  # heartbeats
        if event.resource == "pods" and self.members.committed(event):
            self._due() if self._policies else self._soon()  # what a pod is called decides which policies meet it
        elif event.resource == "networkpolicies":
            self.gate.changed()
            self._due()
        if event.actor != "kubelet" or event.resource != "nodes":
            self.last_change_s = self.world.loop.time()
        self.recorder.write(event.type, event.resource, event.key, event.rv, event.actor, event.obj, event.prev)

    def _kubernetes_event(self, controller: str, regarding: Obj, kind: str, reason: str, message: str) -> None:
        meta = regarding["metadata"]
        self.recorder.mark(
            "event", by=controller, kind=regarding["kind"], namespace=meta.get("namespace", ""), name=meta["name"],
            type=kind, reason=reason, message=message,
        )  # fmt: skip

    def _audited(self, request: Request, stage: str, code: int) -> None:
        """Record a request of an ordinary user: who, what, how far it came, and the answer."""
        asked = attributes_of(request.identity, request, self.control.security.custom)
        self.recorder.mark(
            "audit", user=request.identity.user, actor=request.identity.actor, groups=list(request.identity.groups), verb=asked.verb, group=asked.group,
            resource=asked.combined, namespace=asked.namespace, name=asked.name, stage=stage, code=code,
        )  # fmt: skip

    # -- traffic -------------------------------------------------------------------------------------------------------

    def traffic_changed(self) -> None:
        """Something that decides the fate of requests anywhere may have changed: look at it once, after all of this instant."""
        self.members.all_changed()
        self.network.links_changed()
        self.traffic.rules_changed = True
        self._due()

    def _rules_changed(self) -> None:
        self.traffic.rules_changed = True
        self._soon()

    def _truth_changed(self, pod: str) -> None:
        self.members.pod_changed(pod)
        self.traffic.changed(pod)
        self._soon()

    def _due(self) -> None:
        self.traffic.changed()
        self._soon()

    def _soon(self) -> None:
        if not self._traffic_due:
            self._traffic_due = True
            self.world.loop.soon(self._recompute, (), None)

    def _recompute(self) -> None:
        self._traffic_due = False
        self.traffic.recompute()
        for workload, serving, able in self.members.changes():
            self.recorder.mark("members", workload=workload, serving=serving, ready=able)

    def _answers(self, key: str, node: str) -> bool:
        host = self.world.hosts.get(node)
        return host is not None and host.up and not host.paused and self.kubelets[node].serving(key)

    def _rules(self) -> Mapping[str, Rules]:
        return {
            node: proxy.rules for node, proxy in self.proxies.items() if self.world.hosts[node].up and not self.world.hosts[node].paused
        }

    def _check(self, backend: Backend, source: str) -> str:
        host = self.world.hosts.get(backend.node)
        if host is None or not host.up or host.paused:
            return "timeout"
        if source != backend.node and self.world.network.is_cut(source, backend.node):
            return "timeout"
        if source != backend.node and self.network.path(source, backend.node):
            return "overlay"
        if self._policies and self.gate.closed(backend.pod, backend.ports):
            return "policy"
        kubelet = self.kubelets.get(backend.node)
        if kubelet is None or not kubelet.serving(backend.pod):
            return "refused"
        return "" if not backend.address or kubelet.has(backend.pod, backend.address) else "timeout"  # nobody has that address

    def _from_masters(self, pod: str, node: str) -> str:
        """Return how a connection from an API server to a pod fares."""
        host = self.world.hosts.get(node)
        if host is None or not host.up or host.paused or all(self.world.network.is_cut(one, node) for one in self.control.hosts):
            return "timeout"
        return "" if self.kubelets[node].serving(pod) else "refused"

    def audit_network(self) -> None:
        """Send one packet along each path and ask for each name, if a fault has changed the network's tables: what properties judge."""
        if self.network.touched:
            tables = {node: proxy.tables() for node, proxy in self.proxies.items()}
            for what, data in audit(self.network, self.control.store, tables):
                self.recorder.mark(what, **data)

    def _agent_works(self, node: str) -> bool:
        host = self.world.hosts.get(node)
        if host is None or not host.up or host.paused:
            return False
        return any(not self.world.network.is_cut(master, node) for master in self.control.hosts)

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.world.loop.schedule(self.world.loop.time() + delay_s, callback, (), None, background=True)

    def _interval(self, service: str, interval: Interval) -> None:
        fate = interval.fate
        if fate.lost or fate.ready == 0:
            self.recorder.mark(
                "traffic", service=service, start=round(interval.start_s, 6), end=round(interval.end_s, 6), lost=fate.lost, ready=fate.ready,
                rate=interval.rate, ways=[list(way) for way in fate.ways],
            )  # fmt: skip

    def _asked(self, service: str, pods: tuple[str, ...]) -> None:
        self.recorder.mark("asked", service=service, pods=list(pods))

    # -- time ----------------------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Advance virtual time."""
        self.world.run(self.world.loop.time() + seconds)

    def disturbed(self, for_s: float = 0.0) -> None:
        """Something fell silent, came back or told wrong times: the control plane will notice, ``for_s`` and a grace period later."""
        self._notice_s = max(self._notice_s, self.world.loop.time() + for_s + self.constants.node_monitor_grace_s + 15.0)

    def quiet(self, for_s: float) -> bool:
        """Tell whether nothing but upkeep has happened for ``for_s`` seconds and nothing is due but upkeep."""
        now = self.world.loop.time()
        if now - self.last_change_s < for_s or now < self._notice_s:
            return False
        return not self.world.loop.foreground_after(now + SOON_S)

    def still(self, for_s: float) -> bool:
        """Tell whether nothing but upkeep has happened for ``for_s`` seconds, whatever may be due."""
        return self.world.loop.time() - self.last_change_s >= for_s

    def run_until_quiet(self, at_most_s: float, for_s: float = 15.0, step_s: float = 5.0) -> bool:
        """Advance until the cluster is at rest, at most ``at_most_s``; tell whether it is."""
        end = self.world.loop.time() + at_most_s
        while self.world.loop.time() < end:
            self.world.run(min(end, self.world.loop.time() + step_s))
            if self.at_rest(for_s):
                return True
        return False

    def at_rest(self, for_s: float) -> bool:
        """Tell whether the cluster is quiet, and still is a second later: what was due in between may have begun something."""
        if not self.quiet(for_s):
            return False
        self.run_for(SOON_S)
        return self.quiet(for_s)

    def execute(self, request: Request) -> Obj:
        """Carry out a request at once on the first living API server: for reading final state. Raises ApiError."""
        return next(iter(self.control.apis.values())).execute(request)

    def close(self) -> None:
        """End the run."""
        self.world.close()
