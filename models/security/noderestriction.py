"""NodeRestriction: a kubelet writes only its own Node, lease and CSINode, and the pods bound to it.

Source: plugin/pkg/admission/noderestriction/admission.go; labels: staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go.
"""

from __future__ import annotations

from kchaos.models.api.errors import ApiError, forbidden, not_found
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, get
from kchaos.models.security.node import LEASES, node_of, references
from kchaos.models.security.rbac import Tables

MIRROR = "kubernetes.io/config.mirror"
_OWN_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_OWN_LABELS = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "kubernetes.io/os", "kubernetes.io/arch",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
})  # fmt: skip


def _within(space: str, suffix: str) -> bool:
    return space == suffix or space.endswith("." + suffix)


def forbidden_labels(labels: Obj, before: Obj) -> list[str]:
    """Return the labels that a node changed and may not: of Kubernetes' own namespaces all but a few."""
    out = []
    for key in {**labels, **before}:
        space = key.partition("/")[0] if "/" in key else ""
        if labels.get(key) == before.get(key) or not space:
            continue
        if _within(space, "node-restriction.kubernetes.io"):
            out.append(key)
            continue
        ours = _within(space, "kubernetes.io") or _within(space, "k8s.io")
        if ours and key not in _OWN_LABELS and not any(_within(space, own) for own in _OWN_NAMESPACES):
            out.append(key)
    return sorted(out)


def _pod_create(tables: Tables, node: str, pod: Obj) -> str:
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
    if pod["spec"].get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    own = owners[0] if owners else {}
    if (own.get("apiVersion"), own.get("kind"), own.get("name")) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    if not own.get("controller"):
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if own.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    uid = get(tables("nodes").get(node), "metadata", "uid", default="")
    if own.get("uid") != uid:
        return f"node {node} UID mismatch: expected {uid} got {own.get('uid', '')}"
    if pod["spec"].get("serviceAccountName"):
        return f'node "{node}" can not create pods that reference a service account'
    for resource, name in references(pod):
        if name:
            return f'node "{node}" can not create pods that reference {resource}'
    return ""


def _pod(tables: Tables, node: str, request: Request, operation: str, new: Obj | None) -> str:
    if operation == "CREATE" and not request.subresource:
        assert new is not None
        return _pod_create(tables, node, new)
    old = tables("pods").get(f"{request.namespace}/{request.name}")
    if old is None:
        raise not_found("", "pods", request.name)
    if old["spec"].get("nodeName") == node:
        return ""
    what = {"status": "update pod status for", "eviction": "evict"}.get(request.subresource, "delete")
    return f'node "{node}" can only {what} pods with spec.nodeName set to itself'


def _node(node: str, request: Request, operation: str, new: Obj | None, old: Obj | None) -> str:
    name = request.name or get(new, "metadata", "name", default="")
    if operation == "CREATE":
        labels = forbidden_labels(get(new, "metadata", "labels", default={}), {})
        if labels:
            return f"is not allowed to set the following labels: {', '.join(labels)}"
    if name != node:
        return f'node "{node}" is not allowed to modify node "{name}"'
    if operation == "UPDATE" and new is not None and old is not None:
        if (get(new, "spec", "taints") or []) != (get(old, "spec", "taints") or []):
            return f'node "{node}" is not allowed to modify taints'
        labels = forbidden_labels(new["metadata"].get("labels") or {}, old["metadata"].get("labels") or {})
        if labels:
            return f"is not allowed to modify labels: {', '.join(labels)}"
    return ""


def check(tables: Tables, request: Request, resource: Resource, operation: str, new: Obj | None, old: Obj | None) -> None:
    """Refuse what a node may not write; ``operation`` is CREATE, UPDATE or DELETE. Raises 403."""
    node = node_of(request.identity)
    if not node:
        return
    plural, why = resource.plural, ""
    name = request.name or get(new, "metadata", "name", default="")
    if plural == "pods":
        why = _pod(tables, node, request, operation, new)
    elif plural == "nodes":
        why = _node(node, request, operation, new, old)
    elif plural == "leases":
        if request.namespace != LEASES:
            why = f'can only access leases in the "{LEASES}" system namespace'
        elif name != node:
            why = "can only access node lease with the same name as the requesting node"
    elif plural == "csinodes" and name != node:
        why = "can only access CSINode with the same name as the requesting node"
    if why:
        refused: ApiError = forbidden(resource.group, plural, name, why)
        raise refused
