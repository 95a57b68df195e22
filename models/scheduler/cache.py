"""The scheduler's picture of the cluster: nodes, what is placed on them, and the log of changes (pkg/scheduler/backend/cache)."""

from __future__ import annotations

from collections.abc import Mapping

from kchaos.models.api.pods import controller_of, labels, name
from kchaos.models.api.selectors import from_map
from kchaos.models.api.tree import Obj
from kchaos.models.client.informer import Informers
from kchaos.models.scheduler.matches import Group, Matches
from kchaos.models.scheduler.nodeinfo import NodeInfo, interleaved, zone_key
from kchaos.models.scheduler.nodetable import NodeTable
from kchaos.models.scheduler.podinfo import PodInfo, Shape, shape_reader
from kchaos.models.scheduler.spread import Constraint, Domains

LOG_LIMIT = 200_000
TABLES = 300
OWNERS = {"ReplicationController": "replicationcontrollers", "ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}


class Cache:
    """Nodes and placed pods. ``order`` is valid after :meth:`refresh`."""

    def __init__(self, informers: Informers) -> None:
        self.informers = informers
        for resource in (*OWNERS.values(), "services", "namespaces"):
            informers.of(resource)
        informers.of("namespaces").add_handler(self._namespace_changed)
        self.nodes: dict[str, NodeInfo] = {}
        self.order: list[NodeInfo] = []
        self.placed: dict[str, tuple[PodInfo, NodeInfo]] = {}
        self.matches = Matches(self.namespace_labels, self.nodes)
        self.claim_users: dict[str, int] = {}
        self._infos: dict[str, PodInfo] = {}
        self._shape = shape_reader()
        self._log: list[int] = []
        self._stale = True
        self.version = 0
        """Changes with the nodes and with what is placed."""
        self._tables: dict[bytes, NodeTable] = {}
        self._domains: dict[tuple[bytes, bool, tuple[tuple[str, bool, bool], ...]], tuple[NodeTable, int, Domains]] = {}
        self._groups: dict[tuple[str, bytes], tuple[int, list[Group]]] = {}
        self._services: dict[tuple[str, bytes], list[Obj]] = {}

    # -- objects -------------------------------------------------------------------------------------------------------

    def namespace_labels(self, space: str) -> Mapping[str, str]:
        """Return the labels of a namespace."""
        found = self.informers.of("namespaces").get(space)
        return {} if found is None else {"kubernetes.io/metadata.name": space, **labels(found)}

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or labels(old) != labels(new):
            self.matches.forget_namespaces()

    def services_changed(self) -> None:
        """Forget which services select which pods."""
        self._services.clear()

    def set_node(self, node: Obj) -> None:
        """Take over a new or changed node."""
        info = self.nodes.get(name(node))
        if info is None:
            info = self.nodes[name(node)] = NodeInfo(name(node))
        old = info.node
        info.set_node(node)
        self.version += 1
        self.matches.places.version += 1
        if old is None or zone_key(old) != zone_key(node):
            self._stale = True
        elif info.index >= 0:
            self._log.append(~info.index)

    def drop_node(self, node: str) -> None:
        """Forget a node; its pods stay known until they are removed."""
        info = self.nodes.get(node)
        if info is not None and info.node is not None:
            info.set_node(None)
            self.version += 1
            info.index = -1
            info.labels = {}
            self.matches.places.version += 1
            if not info.pods:
                del self.nodes[node]
            self._stale = True

    def info(self, pod: Obj) -> PodInfo:
        """Return what is known of a pod, worked out again if it has changed."""
        key = pod["metadata"]["uid"]
        found = self._infos.get(key)
        if found is None or found.pod is not pod:
            fresh = PodInfo(pod, self._shape(pod))
            if found is not None and _same(found, fresh):
                found.pod, found.priority, found.started = pod, fresh.priority, fresh.started
                return found
            found = self._infos[key] = fresh
        return found

    def place(self, pod: Obj, node: str) -> None:
        """Count a pod on a node; without effect if it is there as it is."""
        key = pod["metadata"]["uid"]
        there = self.placed.get(key)
        info = self.info(pod)
        if there is not None:
            if there[1].name == node and there[0] is info:
                return
            self._take_off(key)
        target = self.nodes.get(node)
        if target is None:
            target = self.nodes[node] = NodeInfo(node)
        self.placed[key] = (info, target)
        self.version += 1
        self.apply(info, target, 1)
        if target.index >= 0:
            self._log.append(target.index)

    def remove(self, key: str) -> None:
        """Forget a pod."""
        self._take_off(key)
        self._infos.pop(key, None)

    def _take_off(self, key: str) -> None:
        there = self.placed.pop(key, None)
        if there is None:
            return
        rank = list(there[1].pods).index(key)
        info, node = there
        self.version += 1
        self.apply(info, node, -1)
        node.close_gap(rank)
        if node.index >= 0:
            self._log.append(node.index)
        elif node.node is None and not node.pods:
            self.nodes.pop(node.name, None)

    def apply(self, info: PodInfo, node: NodeInfo, sign: int) -> None:
        """Count a pod in or out without a trace: what is tried must be undone."""
        node.add(info, sign)
        if sign > 0:
            self.matches.add(info, node.name)
        else:
            self.matches.remove(info, node.name)
        for claim in info.claims:
            count = self.claim_users.get(claim, 0) + sign
            if count:
                self.claim_users[claim] = count
            else:
                del self.claim_users[claim]

    # -- derived -------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring the order of nodes up to date."""
        if len(self._infos) > 2 * len(self.placed) + 5000:  # pods that were deleted before they were placed
            self._infos = {key: info for key, info in self._infos.items() if key in self.placed}
        if self._stale:
            self._stale = False
            self.order = interleaved(info for info in self.nodes.values() if info.node is not None)
            for i, info in enumerate(self.order):
                info.index = i
        elif len(self._log) <= LOG_LIMIT:
            return
        self._log.clear()
        self._tables.clear()
        self._domains.clear()

    def table(self, shape: Shape) -> NodeTable:
        """Return the table of a shape, up to date."""
        found = self._tables.get(shape.key)
        if found is None:
            if len(self._tables) >= TABLES:
                for old in list(self._tables)[: TABLES // 3]:
                    del self._tables[old]
                self._domains.clear()
            found = self._tables[shape.key] = NodeTable(shape, self.order, len(self._log))
        found.follow(self._log)
        return found

    def domains(self, table: NodeTable, constraints: list[Constraint], all_keys: bool) -> Domains:
        """Return the topology values for a list of constraints."""
        key = (table.tests.shape.key, all_keys, tuple((c.key, c.affinity, c.taints) for c in constraints))
        found = self._domains.get(key)
        if found is None or found[0] is not table or found[1] != table.object_version:
            found = self._domains[key] = (table, table.object_version, Domains(constraints, table, all_keys))
        return found[2]

    def groups(self, info: PodInfo) -> list[Group]:
        """Return the affinity terms of placed pods that mean this pod."""
        if not self.matches.groups:
            return []
        found = self._groups.get(info.label_key)
        if found is None or found[0] != self.matches.version:
            if len(self._groups) > 5000:
                self._groups.clear()
            found = self._groups[info.label_key] = (self.matches.version, self.matches.groups_meaning(info))
        return found[1]

    def default_selectors(self, info: PodInfo) -> list[Obj | None]:
        """Return the selectors of the services and the controller of a pod (plugins/helper/spread.go: DefaultSelector)."""
        found = self._services.get(info.label_key)
        if found is None:
            if len(self._services) > 5000:
                self._services.clear()
            found = []
            for service in self.informers.of("services").items.values():
                selector = service["spec"].get("selector")
                if service["metadata"].get("namespace", "") == info.namespace and selector and from_map(selector)(info.labels):
                    found.append({"matchLabels": selector})
            self._services[info.label_key] = found
        out: list[Obj | None] = list(found)
        ref = controller_of(info.pod)
        if ref is not None and ref["kind"] in OWNERS:
            owner = self.informers.of(OWNERS[ref["kind"]]).get(f"{info.namespace}/{ref['name']}")
            selector = owner["spec"].get("selector") if owner is not None else None
            if selector:
                out.append({"matchLabels": selector} if ref["kind"] == "ReplicationController" else selector)
        return out


def _same(one: PodInfo, other: PodInfo) -> bool:
    """Tell whether a changed pod is still the same as far as counting goes."""
    return (
        one.shape.key == other.shape.key
        and one.label_key == other.label_key
        and one.terminating == other.terminating
        and one.affinity == other.affinity
        and one.spread == other.spread
        and one.claims == other.claims
    )
