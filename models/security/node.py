"""The Node authoriser: a kubelet reads only what the pods bound to its node need.

Source: plugin/pkg/auth/authorizer/node/{node_authorizer,graph}.go. The graph is read off the pods of the node, which an index of the
store's writes gives. (The real one follows informers, and so trails by some milliseconds.)
"""

from __future__ import annotations

from collections.abc import Iterator

from kchaos.models.api.request import Identity
from kchaos.models.api.tree import Obj, get
from kchaos.models.security.attributes import Attributes
from kchaos.models.security.rbac import Tables
from kchaos.models.security.rules import Rule, allows, rules_of

PREFIX, NODES = "system:node:", "system:nodes"
LEASES = "kube-node-lease"
_BY_POD = frozenset({"secrets", "configmaps", "persistentvolumeclaims"})


def node_of(identity: Identity) -> str:
    """Return the node that an identity is of, empty if it is none (pkg/auth/nodeidentifier)."""
    return identity.user.removeprefix(PREFIX) if identity.user.startswith(PREFIX) and NODES in identity.groups else ""


def references(pod: Obj) -> Iterator[tuple[str, str]]:
    """Yield (resource, name) of what a pod refers to in its namespace (pkg/api/v1/pod VisitPodSecretNames and the like)."""
    spec = pod["spec"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for container in (*(spec.get("initContainers") or ()), *spec.get("containers", ()), *(spec.get("ephemeralContainers") or ())):
        for source in container.get("envFrom") or ():
            yield "configmaps", get(source, "configMapRef", "name", default="")
            yield "secrets", get(source, "secretRef", "name", default="")
        for env in container.get("env") or ():
            yield "configmaps", get(env, "valueFrom", "configMapKeyRef", "name", default="")
            yield "secrets", get(env, "valueFrom", "secretKeyRef", "name", default="")
    for volume in spec.get("volumes") or ():
        yield "secrets", get(volume, "secret", "secretName", default="")
        yield "configmaps", get(volume, "configMap", "name", default="")
        yield "persistentvolumeclaims", get(volume, "persistentVolumeClaim", "claimName", default="")
        if volume.get("ephemeral") is not None:
            yield "persistentvolumeclaims", f"{pod['metadata']['name']}-{volume['name']}"
        for kind in ("csi", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
            yield "secrets", get(volume, kind, "secretRef", "name") or get(volume, kind, "nodePublishSecretRef", "name", default="")
        for source in get(volume, "projected", "sources", default=()):
            yield "secrets", get(source, "secret", "name", default="")
            yield "configmaps", get(source, "configMap", "name", default="")


class NodeAuthorizer:
    """Answers for identities of nodes; has no opinion on others."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._pods: dict[str, dict[str, None]] | None = None
        self._role: Obj | None = None
        self._rules: tuple[Rule, ...] = ()

    def pod_changed(self, key: str, new: Obj | None, old: Obj | None) -> None:
        """Keep the index of pods by node."""
        if self._pods is None:
            return
        if old is not None and (new is None or old["spec"].get("nodeName") != new["spec"].get("nodeName")):
            self._pods.get(old["spec"].get("nodeName", ""), {}).pop(key, None)
        if new is not None and new["spec"].get("nodeName"):
            self._pods.setdefault(new["spec"]["nodeName"], {})[key] = None

    def _of_node(self, node: str) -> Iterator[Obj]:
        table = self._tables("pods")
        if self._pods is None:
            self._pods = {}
            for key, pod in table.items():
                self.pod_changed(key, pod, None)
        for key in self._pods.get(node, ()):
            found = table.get(key)
            if found is not None:
                yield found

    def related(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Tell whether a path leads from an object to the node: by a pod that refers to it, and for a volume by its claim."""
        if resource == "persistentvolumes":
            claim = get(self._tables(resource).get(name), "spec", "claimRef")
            if not claim:
                return False
            return self.related(node, "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", ""))
        if resource == "volumeattachments":
            return bool(get(self._tables(resource).get(name), "spec", "nodeName") == node)
        for pod in self._of_node(node):
            if pod["metadata"]["namespace"] == namespace:
                if resource == "serviceaccounts":
                    if pod["spec"].get("serviceAccountName") == name:
                        return True
                elif (resource, name) in set(references(pod)):
                    return True
        return False

    def _by_rules(self, asked: Attributes) -> bool:
        role = self._tables("clusterroles").get("system:node")
        if role is not self._role:
            self._role = role
            self._rules = rules_of(role) if role is not None else ()
        return any(allows(rule, asked.verb, asked.group, asked.resource, asked.subresource, asked.name) for rule in self._rules)

    def _get(self, node: str, asked: Attributes, verbs: tuple[str, ...]) -> str:
        if asked.verb not in verbs or asked.subresource:
            return f"can only read resources of this type: {', '.join(verbs)}" if asked.subresource else "can only read namespaced object"
        if not asked.name:
            return "No Object name found"
        if not self.related(node, asked.resource, asked.namespace, asked.name):
            return f"no relationship found between node '{node}' and this object"
        return ""

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Return whether it is allowed, and if not, why."""
        node = node_of(asked.identity)
        if not node:
            return False, ""
        resource, sub = asked.resource, asked.subresource
        if asked.path:
            return False, ""
        why: str | None = None
        if asked.group == "" and resource in _BY_POD:
            if resource == "persistentvolumeclaims" and sub == "status":
                why = "" if self.related(node, resource, asked.namespace, asked.name) else "no relationship found"
            else:
                why = self._get(node, asked, ("get",) if resource == "persistentvolumeclaims" else ("get", "list", "watch"))
        elif (asked.group, resource) in (("", "persistentvolumes"), ("storage.k8s.io", "volumeattachments")):
            why = self._get(node, asked, ("get",))
        elif asked.group == "" and resource == "serviceaccounts":
            why = self._account(node, asked)
        elif resource == "leases" and asked.group == "coordination.k8s.io":
            if asked.verb not in ("get", "create", "update", "patch", "delete"):
                why = "can only get, create, update, patch, or delete a node lease"
            elif asked.namespace != LEASES:
                why = f'can only access leases in the "{LEASES}" system namespace'
            elif asked.verb != "create" and asked.name != node:
                why = "can only access node lease with the same name as the requesting node"
            else:
                return True, ""
        elif asked.group == "" and resource in ("nodes", "pods") and asked.verb in ("get", "list", "watch"):
            why = self._reads(node, asked)
        if why:
            return False, why
        if why == "":
            return True, ""
        return self._by_rules(asked), ""

    def _account(self, node: str, asked: Attributes) -> str:
        if asked.subresource == "token" and asked.verb == "create":
            related = self.related(node, "serviceaccounts", asked.namespace, asked.name)
            return "" if related else f"no relationship found between node '{node}' and this object"
        return self._get(node, asked, ("get",))

    def _reads(self, node: str, asked: Attributes) -> str | None:
        """AuthorizeNodeWithSelectors, on by default since 1.32: only its own Node and the pods bound to it."""
        if asked.resource == "nodes":
            return "" if asked.name == node else f"node '{node}' cannot read '{asked.name}', only its own Node object"
        if asked.verb == "get":
            pod = self._tables("pods").get(f"{asked.namespace}/{asked.name}")
            related = pod is not None and pod["spec"].get("nodeName") == node
            return "" if related else f"no relationship found between node '{node}' and this object"
        if f"spec.nodeName={node}" in asked.fields.replace("==", "=").split(","):
            return ""
        return "can only list/watch pods with spec.nodeName field selector"
