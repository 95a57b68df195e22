"""The node network of a running cluster: every node's overlay entries as its agent last wrote them, and the paths between nodes.

An agent follows the leases in the store ``AGENT_S`` late, and not at all while its node is off, frozen or cut off from every API server; it
catches up then. A path's verdict is walked once for each (node, address) and kept until an entry anywhere changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from kchaos.models.apiserver.store import Event, Store
from kchaos.models.network.addresses import text_of
from kchaos.models.network.base import frame, with_masquerade
from kchaos.models.network.overlay import NETWORK, Lease, Peers, base_tables, lease_of, peers_of, with_peers, wrong
from kchaos.models.network.tables import Fabric, NodeTables, Port
from kchaos.models.network.walk import Client, Verdict, probe

AGENT_S = 0.2
RETRY_S = 5.0
TOLD_NODES = 20
"""Up to this many nodes it is recorded which of them do not reach which."""
CLIENT_HOST = 254
"""The last number of the address of the pods that send requests."""
Later = Callable[[float, Callable[[], None]], None]
Mark = Callable[..., None]


class _Every(Mapping[int, Port]):
    """Bridge ports of a node on which every address is taken: whether a pod is there is asked afterwards, and changes more often."""

    def __getitem__(self, address: int) -> Port:
        return Port(text_of(address))

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int)

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


EVERY = _Every()


class NodeNetwork:
    """Overlay tables of all nodes. ``reachable``: can a node's agent follow the store? ``cuts``: the directions between hosts that are cut."""

    def __init__(
        self, store: Store, reachable: Callable[[str], bool], later: Later, changed: Callable[[], None], mark: Mark,
        cuts: Callable[[], Iterable[tuple[str, str]]] = tuple,
    ) -> None:  # fmt: skip
        self._reachable = reachable
        self._later = later
        self._changed = changed
        self._mark = mark
        self._cuts = cuts
        self._cut: frozenset[tuple[str, str]] = frozenset()
        """Directions between nodes."""
        self._stale: dict[str, None] | None = None
        """Nodes whose entries are not those of the leases; None: not known since the last change."""
        self.leases: dict[str, Lease] = {}
        self.home: dict[str, Lease] = {}
        """Each node's own lease: its bridge and pods keep their addresses when others no longer know of it."""
        self.peers: dict[str, Peers] = {}
        self.drops_overlay: dict[str, None] = {}
        self.touched = False
        """A fault has changed a table."""
        self._told: dict[str, list[str]] = {}
        self._lost: list[list[str]] = []
        self._telling = False
        self._due: dict[str, None] = {}
        self._fabric: Fabric | None = None
        self._paths: dict[tuple[str, str], str] = {}
        for node in store.table("nodes").values():
            self._learn(node["metadata"]["name"], lease_of(node))
        for name in self.leases:
            self.peers[name] = peers_of(self.leases.values(), name)
        store.subscribe(self._committed)

    # -- leases --------------------------------------------------------------------------------------------------------

    def _learn(self, name: str, lease: Lease | None) -> None:
        if lease is None:
            self.leases.pop(name, None)
        else:
            self.leases[name] = lease
            self.home[name] = lease
            self.peers.setdefault(name, Peers({}, {}, {}))

    def _committed(self, event: Event) -> None:
        if event.resource != "nodes":
            return
        before = lease_of(event.prev) if event.prev is not None else None
        after = lease_of(event.obj) if event.type != "DELETED" else None
        if before == after:
            return
        self._learn(event.obj["metadata"]["name"], after)
        self.moved()
        for name in self.peers:
            self.sync_later(name)

    def sync_later(self, name: str, after_s: float = AGENT_S) -> None:
        """Let a node's agent look at the leases soon."""
        if name not in self._due:
            self._due[name] = None
            self._later(after_s, lambda: self._sync(name))

    def _sync(self, name: str) -> None:
        self._due.pop(name, None)
        if not self._reachable(name):
            self.sync_later(name, RETRY_S)
            return
        want = peers_of(self.leases.values(), name)
        if self.peers.get(name) != want:
            self.peers[name] = want
            self.moved()
        if not self._telling:  # once for all agents of this instant
            self._telling = True
            self._later(0.0, self.tell)

    # -- changes -------------------------------------------------------------------------------------------------------

    def set_loss(self, name: str, on: bool) -> None:
        """Drop overlay packets to a node, or no longer."""
        if on:
            self.drops_overlay[name] = None
        else:
            self.drops_overlay.pop(name, None)
        self.touched = True
        self.moved()
        self.tell()

    def moved(self) -> None:
        """A table changed: forget what was walked."""
        self._forget()
        self._changed()

    def _forget(self) -> None:
        self._fabric = self._stale = None
        self._paths.clear()

    def links_changed(self) -> None:
        """Links may have been cut or healed."""
        now = frozenset(pair for pair in self._cuts() if pair[0] in self.home and pair[1] in self.home)
        if now != self._cut:
            self._cut = now
            self._forget()
            self.tell()

    def set_peers(self, name: str, peers: Peers) -> None:
        """Put other entries on a node, as a fault does."""
        self.peers[name] = peers
        self.touched = True
        self.moved()
        self.tell()

    def tell(self) -> None:
        """Record which nodes' entries differ from the leases, when that changes."""
        self._telling = False
        for name, peers in self.peers.items():
            found = wrong(peers, peers_of(self.leases.values(), name), self.leases.values())
            if self._told.get(name, []) != found:
                self._told[name] = found
                self._mark("overlay", node=name, wrong=found)
        if (self.touched or self._cut or self._lost) and len(self.peers) <= TOLD_NODES:
            nodes = [name for name in self.peers if name in self.home]
            lost = [[a, b, self.path(a, b)] for a in nodes for b in nodes if a != b and self.path(a, b)]
            if lost != self._lost:
                self._lost = lost
                self._mark("paths", lost=lost)

    # -- reading -------------------------------------------------------------------------------------------------------

    def tables(self, name: str) -> NodeTables:
        """Return a node's tables, without Service rules."""
        node = with_peers(base_tables(self.home[name]), self.peers[name])
        rules = with_masquerade(frame(), NETWORK, self.home[name].subnet)
        return node._replace(ports=EVERY, drops_overlay=name in self.drops_overlay, rules=rules)

    def fabric(self) -> Fabric:
        """Return the network as it is now."""
        if self._fabric is None:
            self._fabric = Fabric({name: self.tables(name) for name in self.peers if name in self.home}, cut=self._cut)
        return self._fabric

    def client(self, node: str) -> Client:
        """Return the pod that sends a node's requests."""
        address = self.fabric().nodes[node].subnet.value + CLIENT_HOST
        return Client("pod", text_of(address), node, address)

    def verdict(self, node: str, target: str) -> Verdict:
        """Walk from a pod on one node to a pod on another."""
        address = self.fabric().nodes[target].subnet.value + CLIENT_HOST - 1
        return probe(self.fabric(), self.client(node), "tcp", f"{text_of(address)}:1")[0]

    def path(self, node: str, target: str) -> str:
        """Tell why nothing gets from a pod on one node to the pods on another and back; empty if it does.

        Only a pod's subnet decides that, so one walk stands for all its addresses.
        """
        key = (node, target)
        found = self._paths.get(key)
        if found is None:
            nodes = self.fabric().nodes
            if node not in nodes or target not in nodes:
                found = ""  # not of this network (a hand-made endpoint)
            elif self._sound(node) and self._sound(target) and not {key, (target, node)} & self._cut:
                found = healthy(tuple(self.home.values()), tuple(self.leases.values()), node, target)
            else:
                found = reason_of(self.verdict(node, target))
            self._paths[key] = found
        return found

    def _sound(self, name: str) -> bool:
        """Tell whether a node's entries are as the leases want them, and no overlay packet is lost there."""
        if self._stale is None:
            leases = self.leases.values()
            self._stale = {one: None for one, peers in self.peers.items() if peers != peers_of(leases, one)}
        return name not in self._stale and name not in self.drops_overlay


def reason_of(verdict: Verdict) -> str:
    """Return why a walk failed; empty if it did not."""
    return "" if verdict.verdict == "answered" else verdict.reason


@lru_cache(maxsize=16384)
def healthy(home: tuple[Lease, ...], leases: tuple[Lease, ...], node: str, target: str) -> str:
    """Walk between two nodes whose entries are as the leases want them: the same in every example, so it is walked once."""
    nodes: dict[str, NodeTables] = {}
    for one in home:
        if one.node in (node, target):
            tables = with_peers(base_tables(one), peers_of(leases, one.node))
            nodes[one.node] = tables._replace(ports=EVERY, rules=with_masquerade(frame(), NETWORK, one.subnet))
    address = nodes[node].subnet.value + CLIENT_HOST
    to = text_of(nodes[target].subnet.value + CLIENT_HOST - 1)
    return reason_of(probe(Fabric(nodes), Client("pod", text_of(address), node, address), "tcp", f"{to}:1")[0])
