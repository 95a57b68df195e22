"""The node network: addresses of Services, pods that reach each other, leases and what nodes make of them, DNS, NetworkPolicy.

Objects are judged write by write. What packets and lookups came to is recorded at the end of a run in which a fault changed the network's
tables (marks ``packet``, ``dns``), and which nodes' overlay entries differ from the leases whenever that changes (mark ``overlay``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

from kchaos.check.property import BaseMonitor, Context, Guarantee, Violation
from kchaos.history.record import Mark, Write
from kchaos.models.api.pods import labels, ready
from kchaos.models.api.selectors import compile_selector
from kchaos.properties.common import Obj, declare, ident
from kchaos.properties.disruption import UnderFaults

SERVICE = "kubernetes.io/service-name"
Marks = Mapping[str, Callable[[Mark], Iterable[Violation]]]


class _Packets(BaseMonitor, ABC):
    """Shared: the marks of packets along one kind of path."""

    path = ""

    def marks(self) -> Marks:
        return {"packet": lambda mark: self.judge(mark.t, mark.data) if mark.data["path"] == self.path else ()}

    @abstractmethod
    def judge(self, t: float, data: Mapping[str, Any]) -> Iterable[Violation]:
        """Return what is wrong with what became of one packet."""


LATE_S = 10.0
"""The controller writes EndpointSlices at once and kube-proxy syncs once a second; the rest is for a busy API server."""
AFTER_FAULTS_S = 60.0
"""After a fault, what was cut off has first to find its API server again: a reflector waits up to 30 s, and as much again by its jitter."""
AFTER_REFUSALS_S = 1005.0
"""A controller whose writes were refused tries again when its work queue's back-off is over, up to 1000 s (DefaultControllerRateLimiter)."""
REFUSALS = ("request-refused", "request-conflict", "request-throttled", "request-failed-after-commit", "answer-lost", "store-full")


class _Unready(UnderFaults):
    """48. Rules send no requests to a pod that has not been ready for longer than it takes to tell all proxies."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._asked: dict[str, dict[str, None]] = {}
        self._since: dict[str, float] = {}
        """Since when a pod that once was there has not been ready."""

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"pods": self._pod}

    def marks(self) -> Marks:
        return {**super().marks(), "asked": self._told}

    def _pod(self, entry: Write) -> Iterable[Violation]:
        if entry.type != "DELETED" and ready(entry.obj):
            self._since.pop(entry.key, None)
        else:
            self._since.setdefault(entry.key, entry.t)
        return ()

    def _told(self, mark: Mark) -> Iterable[Violation]:
        service, pods = mark.data["service"], dict.fromkeys(mark.data["pods"])
        gone = [pod for pod in self._asked.get(service, ()) if pod not in pods]
        self._asked[service] = pods
        for pod in pods:
            found = self.context.view.get("pods", pod)
            if found is not None and not ready(found):
                self._since.setdefault(pod, mark.t)
        yield from self._late(mark.t, service, gone)

    def finish(self, t: float) -> Iterable[Violation]:
        for service, pods in self._asked.items():
            yield from self._late(t, service, pods)

    def _late(self, t: float, service: str, pods: Iterable[str]) -> Iterable[Violation]:
        """Tell of pods that were asked until now and have not been ready for too long; while a fault lasts nothing is promised."""
        found = self.context.view.get("services", service)
        if found is None or found["spec"].get("publishNotReadyAddresses"):
            return
        from_s = 0.0
        if not self.planned and self.faults:
            if self.heal_s is None:
                return
            refused = any(one["name"] in REFUSALS for one in self.faults)
            from_s = self.heal_s + (AFTER_REFUSALS_S if refused else AFTER_FAULTS_S)
        for pod in pods:
            since = max(self._since.get(pod, t), from_s)
            if t - since > LATE_S:
                text = f"sent requests to {pod} for {t - since:.0f} s after it was no longer ready"
                yield Violation(t=t, object=f"Service/{service}", summary=text, root="unready endpoint")


class _Addresses(_Packets):
    """49. ClusterIPs and node ports are held by one Service; a node with externalTrafficPolicy Local asks its own pods, source unchanged."""

    path = "node port"

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"services": self._service}

    def _service(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED":
            return
        spec = entry.obj["spec"]
        ips = {one for one in spec.get("clusterIPs") or [spec.get("clusterIP")] if one and one != "None"}
        ports = {(port.get("protocol", "TCP"), port["nodePort"]) for port in spec.get("ports") or () if port.get("nodePort")}
        for key, other in self.context.view.table("services").items():
            if key == entry.key:
                continue
            theirs = other["spec"]
            for address in sorted(ips & set(theirs.get("clusterIPs") or [theirs.get("clusterIP")])):
                yield Violation(t=entry.t, object=ident(entry.obj), summary=f"has {address}, which is {key}'s", root="cluster IP")
            held = {(port.get("protocol", "TCP"), port.get("nodePort")) for port in theirs.get("ports") or ()}
            for protocol, port in sorted(ports & held):
                text = f"has node port {port}/{protocol}, which is {key}'s"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="node port")

    def judge(self, t: float, data: Mapping[str, Any]) -> Iterable[Violation]:
        if not data["local"]:
            return
        away = [node for node in data["nodes"] if node != data["node"]]
        if away:
            text = f"externalTrafficPolicy is Local, yet {data['node']} sent a request to {', '.join(away)}"
            yield Violation(t=t, object=f"Service/{data['service']}", summary=text, root="crosses nodes")
        changed = [source for source in data["sources"] if source != data["address"]]
        if changed and not away:
            text = f"externalTrafficPolicy is Local, yet its pods see {changed[0]} instead of the client"
            yield Violation(t=t, object=f"Service/{data['service']}", summary=text, root="source lost")


class _Reach(_Packets):
    """50. Every pod reaches every pod, and is seen under its own address."""

    path = "pod"

    def judge(self, t: float, data: Mapping[str, Any]) -> Iterable[Violation]:
        who = f"Pod/{data['client']}"
        if data["verdict"] != "answered":
            text = f"on {data['node']} does not reach {data['to']} on {data['target']}: {data['reason']}"
            yield Violation(t=t, object=who, summary=text, root="no way")
        elif data["source"] != data["address"]:
            yield Violation(t=t, object=who, summary=f"is seen as {data['source']} by {data['to']}", root="translated")


class _Leases(BaseMonitor):
    """51. Subnets are disjoint and stay with their node; after healing all nodes' entries are those of the leases."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._held = {key: str(one["spec"]["podCIDR"]) for key, one in context.view.table("nodes").items() if one["spec"].get("podCIDR")}
        self._wrong: dict[str, list[str]] = {}

    def writes(self) -> Mapping[str, Callable[[Write], Iterable[Violation]]]:
        return {"nodes": self._node}

    def marks(self) -> Marks:
        return {"overlay": self._overlay}

    def _node(self, entry: Write) -> Iterable[Violation]:
        if entry.type == "DELETED":
            self._held.pop(entry.key, None)  # it is free again
            return
        mine = entry.obj["spec"].get("podCIDR")
        before = self._held.get(entry.key)
        if mine == before or not mine:
            return
        if before is not None:
            yield Violation(t=entry.t, object=ident(entry.obj), summary=f"had the pod subnet {before}, now {mine}", root="moved lease")
        self._held[entry.key] = mine
        for key, other in self._held.items():
            if key != entry.key and ip_network(mine).overlaps(ip_network(other)):
                text = f"has the pod subnet {mine}, which overlaps {key}'s {other}"
                yield Violation(t=entry.t, object=ident(entry.obj), summary=text, root="overlapping leases")

    def _overlay(self, mark: Mark) -> Iterable[Violation]:
        self._wrong[mark.data["node"]] = mark.data["wrong"]
        return ()

    def finish(self, t: float) -> Iterable[Violation]:
        held = sorted(
            ((ip_network(subnet), node) for node, subnet in self._held.items()), key=lambda at: (at[0].version, int(at[0][0]), at[1])
        )
        for (one, first), (other, second) in pairwise(held):
            if one.version == other.version and one.overlaps(other):
                text = f"has the pod subnet {other}, which overlaps {first}'s {one}"
                yield Violation(t=t, object=f"Node/{second}", summary=text, root="overlapping leases")
        for node, wrong in self._wrong.items():
            if wrong and self.context.view.get("nodes", node) is not None:
                text = f"its routes, ARP and FDB entries still differ from the leases: {', '.join(wrong)}"
                yield Violation(t=t, object=f"Node/{node}", summary=text, root="stale entries")


class _Names(BaseMonitor):
    """52. A Service's name stands for its ClusterIP; a headless one's for the ready endpoints, and for nothing without any."""

    def marks(self) -> Marks:
        return {"dns": self._answer}

    def _answer(self, mark: Mark) -> Iterable[Violation]:
        key = mark.data["service"]
        service = self.context.view.get("services", key)
        if service is None or service["spec"].get("type") == "ExternalName":
            return
        own = service["spec"].get("clusterIP")
        want = [own] if own and own != "None" else self._endpoints(key)
        have = list(mark.data["addresses"])
        if sorted(want) != sorted(have):
            text = f"its name stands for {', '.join(have) or 'nothing'} instead of {', '.join(sorted(want)) or 'nothing'}"
            yield Violation(t=mark.t, object=f"Service/{key}", summary=text, root="records")
        elif not want and mark.data["rcode"] != "NXDOMAIN":
            yield Violation(t=mark.t, object=f"Service/{key}", summary="its name exists without any endpoint", root="negative answer")

    def _endpoints(self, key: str) -> list[str]:
        space, _, name = key.partition("/")
        found: dict[str, None] = {}
        for at, one in self.context.view.table("endpointslices").items():
            if at.startswith(space + "/") and labels(one).get(SERVICE) == name and one.get("addressType", "IPv4") == "IPv4":
                for endpoint in one.get("endpoints") or ():
                    if (endpoint.get("conditions") or {}).get("ready") is not False:
                        found.update(dict.fromkeys(endpoint["addresses"]))
        return list(found)


class _Policies(_Packets):
    """54. Policies add up; a pod that one selects is closed but for what some policy allows."""

    path = "policy"

    def judge(self, t: float, data: Mapping[str, Any]) -> Iterable[Violation]:
        view = self.context.view
        source, target = view.get("pods", data["client"]), view.get("pods", data["to"])
        if source is None or target is None:
            return
        if source["spec"].get("nodeName") == target["spec"].get("nodeName") and source["spec"].get("hostNetwork"):
            return
        allowed = self._open(target, source, "Ingress", data, target) and self._open(source, target, "Egress", data, target)
        if allowed and data["forbidden"]:
            text = f"is kept from {data['to']} on port {data['port']} although its NetworkPolicies allow it"
            yield Violation(t=t, object=f"Pod/{data['client']}", summary=text, root="kept out")
        elif not allowed and not data["forbidden"] and data["verdict"] == "answered":
            text = f"is reached by {data['client']} on port {data['port']}, which no NetworkPolicy allows"
            yield Violation(t=t, object=f"Pod/{data['to']}", summary=text, root="let through")

    def _open(self, pod: Obj, peer: Obj, direction: str, data: Mapping[str, Any], target: Obj) -> bool:
        selected = False
        for policy in self.context.view.table("networkpolicies").values():
            spec = policy["spec"]
            kinds = spec.get("policyTypes") or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
            same = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
            if direction not in kinds or not same or not compile_selector(spec.get("podSelector") or {})(labels(pod)):
                continue
            selected = True
            side = "from" if direction == "Ingress" else "to"
            for rule in spec.get(direction.lower()) or ():
                if self._port(rule, data, target) and self._peer(rule.get(side), peer, policy["metadata"]["namespace"]):
                    return True
        return not selected

    def _peer(self, wanted: list[Obj] | None, peer: Obj, space: str) -> bool:
        if not wanted:
            return True
        address = ip_address(peer["status"]["podIP"])
        for one in wanted:
            if "ipBlock" in one:
                block = one["ipBlock"]
                if address in ip_network(block["cidr"]) and not any(address in ip_network(but) for but in block.get("except") or ()):
                    return True
                continue
            home = peer["metadata"]["namespace"]
            if "namespaceSelector" in one:
                found = self.context.view.get("namespaces", home) or {"metadata": {}}
                known = {"kubernetes.io/metadata.name": home, **(found["metadata"].get("labels") or {})}
                if not compile_selector(one["namespaceSelector"])(known):
                    continue
            elif home != space:
                continue
            if compile_selector(one.get("podSelector") or {})(labels(peer)):
                return True
        return False

    @staticmethod
    def _port(rule: Obj, data: Mapping[str, Any], target: Obj) -> bool:
        if not rule.get("ports"):
            return True
        for one in rule["ports"]:
            if one.get("protocol", "TCP") != data["protocol"]:
                continue
            port = one.get("port")
            if isinstance(port, str):
                offered = [p for c in target["spec"]["containers"] for p in c.get("ports") or () if p.get("name") == port]
                if any(int(p["containerPort"]) == data["port"] for p in offered):
                    return True
            elif port is None or port <= data["port"] <= one.get("endPort", port):
                return True
        return False


K8S = "https://kubernetes.io/docs/concepts/"
PROPERTIES = (
    declare("KC048", "48", "no-traffic-to-unready", "No requests go to a pod that has not been ready for longer than controller and proxy take.",
            K8S + "workloads/pods/pod-lifecycle/#pod-readiness-gate", _Unready, Guarantee.WITHOUT_FAULTS),
    declare("KC049", "49", "service-addresses", "Addresses and node ports are unique; externalTrafficPolicy Local never crosses nodes.",
            K8S + "services-networking/service/", _Addresses),
    declare("KC050", "50", "pods-reach-pods", "Every pod reaches every pod without address translation.",
            K8S + "services-networking/#the-kubernetes-network-model", _Reach, Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC051", "51", "leases", "Pod subnets are disjoint and stay; after healing every node's entries equal the leases.",
            "https://github.com/flannel-io/flannel/blob/master/Documentation/reservations.md", _Leases, Guarantee.WITHOUT_FAULTS,
            liveness=True),
    declare("KC052", "52", "dns-follows-endpoints", "DNS answers are the Service's address, or its ready endpoints.",
            "https://github.com/kubernetes/dns/blob/master/docs/specification.md", _Names, Guarantee.WITHOUT_FAULTS, liveness=True),
    declare("KC054", "54", "network-policy", "Policies add up to an allow list; a selected pod is closed otherwise.",
            K8S + "services-networking/network-policies/", _Policies),
)  # fmt: skip
