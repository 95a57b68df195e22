"""What kube-proxy makes of Services and endpoints: which it skips, which endpoints a node uses, what a health check answers."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.network.services import Endpoint, ServicePort, categorize, endpoints_of, health_checks, service_ports

Obj = dict[str, Any]
PORT = ServicePort("shop", "web", "", "tcp", "10.96.0.1", 80)


def _service(labels: Obj | None = None, **spec: Any) -> Obj:
    body = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80}], **spec}
    return {"metadata": {"name": "web", "namespace": "shop", "labels": labels or {}}, "spec": body}


@pytest.mark.parametrize(
    "service",
    [
        _service(type="ExternalName"), _service(clusterIP="None"), _service(clusterIP=""), _service(clusterIP=None),
        _service(labels={"service.kubernetes.io/service-proxy-name": "other"}), _service(clusterIPs=["fd00::1"]), _service(ports=[]),
    ],
)  # fmt: skip
def test_services_without_rules(service: Obj) -> None:
    assert service_ports(service) == []
    assert len(service_ports(_service())) == 1


def test_node_ports_and_balancers_are_those_of_their_types() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    assert [one.node_port for kind in ("ClusterIP", "NodePort", "LoadBalancer") for one in service_ports(_service(type=kind, ports=ports))] == [
        0, 30080, 30080,
    ]  # fmt: skip


def _endpoint(
    name: str, node: str = "n1", ready: bool = True, going: bool = False, zones: tuple[str, ...] = (), nodes: tuple[str, ...] = ()
) -> Endpoint:
    return Endpoint(f"10.0.0.{name}", 80, node, ready, ready or going, going, name, zones, nodes)


def _names(endpoints: tuple[Endpoint, ...]) -> list[str]:
    return [one.pod for one in endpoints]


def test_terminating_endpoints_are_the_last_resort() -> None:
    """Those that still serve are used only where no other is ready."""
    going, up, down = _endpoint("1", ready=False, going=True), _endpoint("2"), _endpoint("3", ready=False)
    assert _names(categorize(PORT, (going, up, down), "n1").cluster) == ["2"]
    assert _names(categorize(PORT, (going, down), "n1").cluster) == ["1"]
    assert categorize(PORT, (down,), "n1") == ((), (), (), False)


def test_local_traffic_uses_the_nodes_own_endpoints() -> None:
    local = PORT._replace(internal_local=True)
    near, far = _endpoint("1", "n1"), _endpoint("2", "n2")
    found = categorize(local, (near, far), "n1")
    assert (_names(found.local), _names(found.reachable)) == (["1"], ["1"])
    none = categorize(local, (far,), "n1")
    assert (none.local, none.any) == ((), True)
    both = categorize(PORT._replace(external_local=True, node_port=30080), (near, far), "n1")
    assert (_names(both.cluster), _names(both.local), _names(both.reachable)) == (["1", "2"], ["1"], ["1", "2"])


def test_hints_count_if_every_ready_endpoint_has_them() -> None:
    """And if one of them is for this node or zone."""
    a, b = _endpoint("1", zones=("a",)), _endpoint("2", zones=("b",))
    assert _names(categorize(PORT, (a, b), "n1", "a").cluster) == ["1"]
    assert _names(categorize(PORT, (a, b), "n1", "c").cluster) == ["1", "2"]
    assert _names(categorize(PORT, (a, b, _endpoint("3")), "n1", "a").cluster) == ["1", "2", "3"]
    near, far = _endpoint("1", nodes=("n1",)), _endpoint("2", nodes=("n2",))
    assert _names(categorize(PORT, (near, far), "n1", "a").cluster) == ["1"]
    assert _names(categorize(PORT, (near, far), "n3", "a").cluster) == ["1", "2"]


def _slice(*nodes: str, ready: bool = True) -> Obj:
    endpoints = [{"addresses": [f"10.0.0.{i}"], "nodeName": node, "conditions": {"ready": ready}} for i, node in enumerate(nodes)]
    meta = {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    return {"metadata": meta, "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints}


def test_health_checks_count_the_nodes_own_ready_endpoints() -> None:
    service = _service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=31000)
    found = health_checks(service, [_slice("n1", "n1", "n2")], "n1")
    assert [(one.status, one.endpoints) for one in found] == [(200, 2)]
    assert [(one.status, one.endpoints) for one in health_checks(service, [_slice("n2")], "n1")] == [(503, 0)]
    assert [(one.status, one.endpoints) for one in health_checks(service, [_slice("n1", ready=False)], "n1")] == [(503, 0)]
    assert len(endpoints_of([_slice("n1", "n2")], "", "tcp")) == 2
