"""Planted bugs of the node network: addresses, ways, leases, names, NetworkPolicies."""

from __future__ import annotations

import pytest

from kchaos.models.api.tree import put
from tests.properties.objects import node, obj, pod
from tests.properties.planted import Case, Cases, Found, History, Obj, about

CASES = Cases()


def _service(name: str = "web", ip: str = "10.96.0.1", node_port: int = 0, policy: str = "Cluster") -> Obj:
    port: Obj = {"port": 80, "protocol": "TCP", **({"nodePort": node_port} if node_port else {})}
    return obj("v1", "Service", name, {"clusterIP": ip, "clusterIPs": [ip], "ports": [port], "externalTrafficPolicy": policy}, {})


# -- 48: traffic to pods that are not ready ----------------------------------------------------------------------------


def _sent_to(*pods: str) -> History:
    history = History(_service(), *(pod(name, "node-1", True) for name in ("web-0", "web-1")))
    history.mark("phase", name="chaos")
    history.mark("asked", service="shop/web", pods=[f"shop/{name}" for name in pods])
    return history


@CASES.bug("KC048", "unready endpoint")
def requests_to_a_pod_that_is_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = _sent_to("web-0", "web-1")
    history.put(pod("web-1", "node-1", not bad))
    history.wait(30.0)
    return about(history.end(), "KC048")


@CASES.bug("KC048", "unready endpoint")
def rules_that_follow_too_late(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = _sent_to("web-0", "web-1")
    history.put(pod("web-1", "node-1", False))
    history.wait(11.0 if bad else 2.0)
    history.mark("asked", service="shop/web", pods=["shop/web-0"])
    return about(history.end(), "KC048")


@CASES.bug("KC048", "unready endpoint")
def requests_to_a_pod_that_is_gone(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = _sent_to("web-0", "web-1")
    history.remove(pod("web-1", "node-1", True))
    history.wait(1.0)
    if not bad:
        history.mark("asked", service="shop/web", pods=["shop/web-0"])
    history.wait(30.0)
    return about(history.end(), "KC048")


@CASES.bug("KC048", "unready endpoint")
def rules_that_stay_stale_after_a_fault(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    """While kube-proxy is stopped nothing is promised, nor until its back-off (60 s at most) is over; long after it is."""
    history = _sent_to("web-0", "web-1")
    history.mark("fault", step=0, name="proxy-stopped", action="injected", args={"target": "node-1"}, planned=False)
    history.put(pod("web-1", "node-1", False))
    history.wait(100.0)
    history.mark("phase", name="heal")
    history.wait(75.0 if bad else 65.0)
    history.mark("asked", service="shop/web", pods=["shop/web-0"])
    return about(history.end(), "KC048")


# -- 49: addresses of Services -----------------------------------------------------------------------------------------


@CASES.bug("KC049", "cluster IP")
def a_cluster_ip_given_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_service())
    history.put(_service("api", "10.96.0.1" if bad else "10.96.0.2"))
    return about(history.end(), "KC049")


@CASES.bug("KC049", "node port")
def a_node_port_given_twice(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_service(node_port=30000))
    history.put(_service("api", "10.96.0.2", 30000 if bad else 30001))
    return about(history.end(), "KC049")


@CASES.bug("KC049", "node port")
def a_node_port_used_again_before_it_is_free(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    first = _service(node_port=30000)
    history = History(first)
    if not bad:
        history.remove(first)
    history.put(_service("api", "10.96.0.2", 30000))
    return about(history.end(), "KC049")


def _node_port(local: bool = True, nodes: tuple[str, ...] = ("node-1",), sources: tuple[str, ...] = ("192.168.255.1",)) -> Found:
    history = History(_service(node_port=30000))
    history.mark(
        "packet", path="node port", service="shop/web", node="node-1", local=local, by=["shop/web-0"], nodes=list(nodes),
        sources=list(sources), address="192.168.255.1",
    )  # fmt: skip
    return about(history.end(), "KC049")


@CASES.bug("KC049", "crosses nodes")
def external_local_goes_to_another_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _node_port(nodes=("node-1", "node-2") if bad else ("node-1",))


@CASES.bug("KC049", "crosses nodes")
def only_local_may_not_cross(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _node_port(local=bad, nodes=("node-2",))


@CASES.bug("KC049", "source lost")
def external_local_hides_the_client(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _node_port(sources=("10.244.0.1",) if bad else ("192.168.255.1",))


# -- 50: pods reach pods -----------------------------------------------------------------------------------------------


def _packet(verdict: str = "answered", source: str = "10.244.0.2") -> Found:
    history = History()
    history.mark(
        "packet", path="pod", client="shop/a", address="10.244.0.2", node="node-1", to="10.244.1.2", target="node-2", verdict=verdict,
        source=source, reason="" if verdict == "answered" else "no FDB entry",
    )  # fmt: skip
    return about(history.end(), "KC050")


@CASES.bug("KC050", "no way")
def a_pod_does_not_reach_another(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _packet(verdict="timeout" if bad else "answered")


@CASES.bug("KC050", "translated")
def a_pod_is_seen_as_its_node(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _packet(source="192.168.0.1" if bad else "10.244.0.2")


# -- 51: leases --------------------------------------------------------------------------------------------------------


def _leased(name: str, subnet: str) -> Obj:
    return put(node(name), subnet, "spec", "podCIDR")


@CASES.bug("KC051", "overlapping leases")
def two_nodes_with_one_subnet(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_leased("node-1", "10.244.0.0/24"))
    history.put(_leased("node-2", "10.244.0.128/25" if bad else "10.244.1.0/24"))
    return about(history.end(), "KC051")


@CASES.bug("KC051", "overlapping leases")
def a_subnet_leased_again_before_it_is_free(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    first = _leased("node-1", "10.244.0.0/24")
    history = History(first)
    if not bad:
        history.remove(first)
    history.put(_leased("node-2", "10.244.0.0/24"))
    return about(history.end(), "KC051")


@CASES.bug("KC051", "moved lease")
def a_node_with_another_subnet_after_its_restart(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_leased("node-1", "10.244.0.0/24"))
    history.put(_leased("node-1", "10.244.9.0/24" if bad else "10.244.0.0/24"))
    return about(history.end(), "KC051")


@CASES.bug("KC051", "stale entries")
def entries_that_stay_stale(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    history = History(_leased("node-1", "10.244.0.0/24"))
    history.mark("overlay", node="node-1", wrong=["node-2"])
    history.wait(10.0)
    if not bad:
        history.mark("overlay", node="node-1", wrong=[])
    return about(history.end(), "KC051")


# -- 52: DNS -----------------------------------------------------------------------------------------------------------


def _slice(ready: bool = True) -> Obj:
    made = obj("discovery.k8s.io/v1", "EndpointSlice", "db-x", labels={"kubernetes.io/service-name": "db"})
    return {**made, "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.0.2"], "conditions": {"ready": ready}}]}


def _answer(service: Obj, slices: list[Obj], addresses: list[str], rcode: str = "NOERROR") -> Found:
    history = History(service, *slices)
    history.mark("dns", service=f"shop/{service['metadata']['name']}", type="A", rcode=rcode, addresses=addresses)
    return about(history.end(), "KC052")


@CASES.bug("KC052", "records")
def a_name_for_another_service(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _answer(_service(), [], ["10.96.0.2" if bad else "10.96.0.1"])


@CASES.bug("KC052", "records")
def a_headless_name_for_a_pod_that_is_not_ready(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _answer(_service("db", "None"), [_slice(ready=not bad), _slice()][:1], ["10.244.0.2"])


@CASES.bug("KC052", "negative answer")
def a_headless_name_without_endpoints_exists(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _answer(_service("db", "None"), [_slice(ready=False)], [], "NOERROR" if bad else "NXDOMAIN")


# -- 54: NetworkPolicy -------------------------------------------------------------------------------------------------


def _policy(spec: Obj) -> Obj:
    return obj("networking.k8s.io/v1", "NetworkPolicy", "deny", spec)


def _asked(spec: Obj, forbidden: bool, app: str = "web", port: int = 80) -> Found:
    server = pod("db-0", "node-1", True, labels={"app": "db"})
    client = pod("web-0", "node-2", True, labels={"app": app})
    history = History(server, client, _policy(spec))
    verdict = "timeout" if forbidden else "answered"
    history.mark(
        "packet", path="policy", client="shop/web-0", to="shop/db-0", protocol="TCP", port=port, forbidden=forbidden, verdict=verdict
    )
    return about(history.end(), "KC054")


DENY: Obj = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}
WEB: Obj = {**DENY, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 80, "endPort": 90}]}]}


@CASES.bug("KC054", "let through")
def default_deny_that_lets_through(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _asked(DENY, forbidden=not bad)


@CASES.bug("KC054", "let through")
def a_port_beyond_the_range(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _asked(WEB, forbidden=False, port=91 if bad else 90)


@CASES.bug("KC054", "let through")
def another_pod_than_the_selected(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _asked(WEB, forbidden=False, app="batch" if bad else "web")


@CASES.bug("KC054", "kept out")
def an_allowed_pod_is_kept_out(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _asked(WEB, forbidden=bad)


@CASES.bug("KC054", "kept out")
def a_pod_that_no_policy_selects_is_kept_out(bad: bool, patch: pytest.MonkeyPatch) -> Found:
    return _asked({"podSelector": {"matchLabels": {"app": "other"}}, "policyTypes": ["Ingress"]}, forbidden=bad)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bad", [True, False], ids=["planted", "twin"])
def test_planted(case: Case, bad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    case.check(bad, monkeypatch)
