"""Pod Security, limit ranges, nodes and webhooks at the API server. Texts are those of a recorded 1.34.4 server."""

from __future__ import annotations

from typing import Any

import pytest

from kchaos.models.api.errors import ApiError
from kchaos.models.api.request import USER, Identity, Request
from kchaos.models.controlplane import ControlPlane
from kchaos.models.security.podsecurity import Level, evaluate
from kchaos.models.security.webhooks import Answer, Service
from kchaos.sim.world import World

Obj = dict[str, Any]
SAFE = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


class Server:
    """An API server with the namespace ``shop``."""

    def __init__(self, labels: Obj | None = None) -> None:
        self.control = ControlPlane(World(0), masters=1, elect=False)
        for name in ("default", "kube-node-lease"):
            self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.control.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels or {}}})

    def ask(self, verb: str, plural: str, name: str = "", body: Any = None, who: Identity = USER, space: str = "shop", **more: Any) -> Obj:
        """Send a request."""
        return self.control.apis["master-0"].execute(Request(verb, plural, space, name, body=body, identity=who, **more))

    def refused(self, *args: Any, **more: Any) -> str:
        """Return the message of a refusal."""
        with pytest.raises(ApiError) as caught:
            self.ask(*args, **more)
        return caught.value.message


def pod(name: str = "web", context: Obj | None = None, notes: Obj | None = None, resources: Obj | None = None, **spec: Any) -> Obj:
    """Return a pod of one container."""
    container: Obj = {"name": "c", "image": "img"}
    if context is not None:
        container["securityContext"] = context
    if resources is not None:
        container["resources"] = resources
    meta = {"name": name, **({"annotations": notes} if notes else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


RESTRICTED = (
    'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set '
    'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
    'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


def test_restricted_pods() -> None:
    """All that is wrong is told at once; a pod that keeps the rules passes, and what is only changed in metadata is not looked at."""
    server = Server({"pod-security.kubernetes.io/enforce": "restricted"})
    assert server.refused("create", "pods", body=pod()) == RESTRICTED
    server.ask("create", "pods", body=pod("safe", SAFE))
    root = server.refused("create", "pods", body=pod(context={**SAFE, "runAsNonRoot": None, "runAsUser": 0}))
    assert root.endswith(
        '"restricted:latest": runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'runAsUser=0 (container "c" must not set runAsUser=0)'
    )


def test_baseline_pods() -> None:
    """Host namespaces, paths, capabilities and processes of other kinds are refused, in a version's sense."""
    server = Server({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.24"})
    server.ask("create", "pods", body=pod())
    start = 'pods "bad" is forbidden: violates PodSecurity "baseline:v1.24": '
    cases: list[tuple[Obj, str]] = [
        (pod("bad", hostNetwork=True), "host namespaces (hostNetwork=true)"),
        (pod("bad", volumes=[{"name": "v", "hostPath": {"path": "/x"}}]), 'hostPath volumes (volume "v")'),
        (pod("bad", {"privileged": True}), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (pod("bad", {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}),
         'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)'),
        (pod("bad", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "forbidden sysctls (kernel.msgmax)"),
        (pod("bad", securityContext={"seLinuxOptions": {"type": "bad_t", "user": "u"}}),
         'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "bad_t"; user may not be set)'),
    ]  # fmt: skip
    for body, why in cases:
        assert server.refused("create", "pods", body=body) == start + why


def test_warnings() -> None:
    """The level ``warn`` stores the pod and tells; workloads are warned of, never refused."""
    server = Server({"pod-security.kubernetes.io/warn": "baseline"})
    told: list[str] = []
    server.ask("create", "pods", body=pod(hostPID=True), options={"warnings": told})
    assert told == ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)']


def test_levels_are_ordered() -> None:
    """What restricted allows, baseline allows; privileged allows all."""
    bad = pod(context={"privileged": True}, hostNetwork=True)
    assert evaluate(bad, Level("privileged")) == []
    assert len(evaluate(bad, Level("baseline"))) == 2
    assert len(evaluate(bad, Level("restricted"))) == 6


def test_limit_ranges() -> None:
    """Defaults are filled in and noted; minimum, maximum and ratio hold for containers and claims."""
    server = Server()
    limits = [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "2"}, "min": {"cpu": "50m"},
         "maxLimitRequestRatio": {"cpu": "8"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}},
    ]  # fmt: skip
    server.ask(
        "create", "limitranges", body={"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}}
    )
    made = server.ask("create", "pods", body=pod())
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    )
    over = server.refused("create", "pods", body=pod("p3", resources={"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}))
    assert over == 'pods "p3" is forbidden: maximum cpu usage per Container is 2, but limit is 3'
    under = server.refused("create", "pods", body=pod("p4", resources={"requests": {"cpu": "10m"}}))
    assert under == (
        'pods "p4" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, '
        "cpu max limit to request ratio per Container is 8, but provided ratio is 50.000000]"
    )
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c1"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}},
    }  # fmt: skip
    assert server.refused("create", "persistentvolumeclaims", body=claim).endswith(
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    )


N1 = Identity("system:node:n1", ("system:nodes", "system:authenticated"), "kubelet")


def _nodes() -> Server:
    server = Server()
    for name in ("n1", "n2"):
        server.ask("create", "nodes", body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}, space="")
    for name in ("used", "unused"):
        server.ask("create", "secrets", body={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
    volumes = [{"name": "v", "secret": {"secretName": "used"}}]
    server.ask("create", "pods", body=pod("mine", nodeName="n1", volumes=volumes))
    server.ask("create", "pods", body=pod("his", nodeName="n2"))
    return server


def test_nodes_read_what_their_pods_need() -> None:
    """The Node authoriser: a secret while a pod of the node refers to it, no other, and no longer."""
    server = _nodes()
    server.ask("get", "secrets", "used", who=N1)
    assert server.refused("get", "secrets", "unused", who=N1) == (
        'secrets "unused" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the namespace "shop": '
        "no relationship found between node 'n1' and this object"
    )
    assert server.refused("list", "secrets", who=N1).endswith("No Object name found")
    server.ask("get", "nodes", "n1", who=N1, space="")
    assert "cannot get resource" in server.refused("get", "nodes", "n2", who=N1, space="")
    server.ask("list", "pods", who=N1, space="", options={"field_selector": "spec.nodeName=n1"})
    assert "cannot list resource" in server.refused("list", "pods", who=N1, space="", options={"field_selector": "spec.nodeName=n2"})
    server.ask("delete", "pods", "mine", options={"grace_period_seconds": 0})
    assert "no relationship" in server.refused("get", "secrets", "used", who=N1)
    assert "cannot delete resource" in server.refused("delete", "nodes", "n1", who=N1, space="")


def test_nodes_write_what_is_theirs() -> None:
    """NodeRestriction: its own Node, lease and pods; no labels of Kubernetes, no taints, no pods but mirrors."""
    server = _nodes()
    status = {"status": {"phase": "Running"}}
    merge = {"patch_type": "merge"}
    server.ask("patch", "pods", "mine", status, N1, subresource="status", options=merge)
    assert server.refused("patch", "pods", "his", status, N1, subresource="status", options=merge) == (
        'pods "his" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    assert server.refused("delete", "pods", "his", who=N1).endswith("can only delete pods with spec.nodeName set to itself")
    assert "can only create mirror pods" in server.refused("create", "pods", body=pod("p", nodeName="n1"), who=N1)
    for label, good in (
        ("custom", True),
        ("kubernetes.io/arch", True),
        ("kubernetes.io/other", False),
        ("node-restriction.kubernetes.io/x", False),
    ):
        body = {"metadata": {"labels": {label: "z"}}}
        if good:
            server.ask("patch", "nodes", "n1", body, N1, "", options=merge)
        else:
            refused = server.refused("patch", "nodes", "n1", body, N1, "", options=merge)
            assert refused == f'nodes "n1" is forbidden: is not allowed to modify labels: {label}'
    taints = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    assert server.refused("patch", "nodes", "n1", taints, N1, "", options=merge).endswith('node "n1" is not allowed to modify taints')
    assert server.refused("patch", "nodes", "n2", {"metadata": {"labels": {"a": "b"}}}, N1, "", options=merge).endswith(
        'node "n1" is not allowed to modify node "n2"'
    )
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n2"}}
    assert "can only access node lease" in server.refused("create", "leases", body=lease, who=N1, space="kube-node-lease")


def hook(kind: str, policy: str = "Fail", **more: Any) -> Obj:
    """Return a webhook configuration for new ConfigMaps."""
    rules = [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
    one = {
        "name": "check.example.com", "rules": rules, "failurePolicy": policy, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5, "clientConfig": {"service": {"namespace": "shop", "name": "hook", "path": "/check"}}, **more,
    }  # fmt: skip
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "hook"}, "webhooks": [one]}


def config(name: str, **data: str) -> Obj:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_validating_webhooks() -> None:
    """A denial is told in its words; a service that is down or slow fails the request, or is passed over, by failurePolicy."""
    server = Server({"watched": "yes"})
    server.ask("create", "validatingwebhookconfigurations", body=hook("ValidatingWebhookConfiguration"), space="")
    server.ask("create", "configmaps", body=config("unknown-service", bad="yes"))
    service = Service((Answer("ConfigMap", ((("data", "bad"), "yes"),), deny="no bad data"),))
    server.control.security.webhooks.services["shop/hook"] = service
    server.ask("create", "configmaps", body=config("good"))
    denied = 'admission webhook "check.example.com" denied the request: no bad data'
    assert server.refused("create", "configmaps", body=config("bad", bad="yes")) == denied
    service.delay_s = 5.0
    late = server.refused("create", "configmaps", body=config("late"))
    assert late == (
        'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: '
        'Post "https://hook.shop.svc:443/check?timeout=5s": context deadline exceeded'
    )
    asked = service.asked
    server.ask("create", "secrets", body={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other-kind"}})
    assert service.asked == asked
    server.ask("delete", "validatingwebhookconfigurations", "hook", space="")
    selector = {"namespaceSelector": {"matchLabels": {"watched": "no"}}}
    server.ask("create", "validatingwebhookconfigurations", body=hook("ValidatingWebhookConfiguration", **selector), space="")
    server.ask("create", "configmaps", body=config("elsewhere", bad="yes"))
    server.ask("delete", "validatingwebhookconfigurations", "hook", space="")
    server.ask("create", "validatingwebhookconfigurations", body=hook("ValidatingWebhookConfiguration", "Ignore"), space="")
    server.ask("create", "configmaps", body=config("ignored", bad="yes"))


def test_mutating_webhooks() -> None:
    """The patch is stored."""
    server = Server()
    server.ask("create", "mutatingwebhookconfigurations", body=hook("MutatingWebhookConfiguration"), space="")
    patch = ({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}},)
    server.control.security.webhooks.services["shop/hook"] = Service((Answer(patch=patch),))
    assert server.ask("create", "configmaps", body=config("one"))["metadata"]["labels"] == {"seen": "yes"}


def test_a_namespace_that_goes_takes_nothing_new() -> None:
    """NamespaceLifecycle."""
    server = Server()
    server.ask("delete", "namespaces", "shop", space="")
    assert server.refused("create", "configmaps", body=config("late")) == (
        'configmaps "late" is forbidden: unable to create new content in namespace shop because it is being terminated'
    )
