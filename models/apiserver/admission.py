"""The admission plug-ins that this version has: pure functions that change or refuse an object before it is stored.

Order as in pkg/kubeapiserver/options/plugins.go: first all that change (CREATE), then webhooks, then the object's validation, then all
that only refuse (VALIDATE). What PodSecurity, LimitRanger, NodeRestriction and webhooks decide is in kchaos.models.security. Not
modelled: ServiceAccount's token volume (no effect on what is simulated).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kchaos.models.api.errors import forbidden
from kchaos.models.api.request import Request
from kchaos.models.api.resources import Resource
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.apiserver.quota import check_quota, pod_resources
from kchaos.models.apiserver.store import Store
from kchaos.models.security import limitranger, noderestriction, podsecurity

IMMORTAL = ("default", "kube-system", "kube-public", "kube-node-lease")
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

Plugin = Callable[[Store, Request, Resource, Obj], Obj]


def namespace_lifecycle(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Refuse new objects in a namespace that is missing or terminating."""
    if not resource.namespaced:
        return obj
    name = request.namespace
    namespace = store.get("namespaces", name)
    if namespace is None:
        from kchaos.models.api.errors import not_found

        raise not_found("", "namespaces", name)
    if get(namespace, "status", "phase") == "Terminating" or namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated", "field": "metadata.namespace"}
        raise forbidden(resource.group, resource.plural, obj["metadata"].get("name", ""), why, [cause])
    return obj


def service_account(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Set the service account's name; one that does not exist is assumed (its file is often not among those given)."""
    if resource.plural != "pods" or get(obj, "spec", "serviceAccountName"):
        return obj
    if noderestriction.MIRROR in (obj["metadata"].get("annotations") or {}):
        return obj
    spec = {**obj["spec"], "serviceAccountName": "default", "serviceAccount": "default"}
    return {**obj, "spec": spec}


def priority(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Resolve priorityClassName to a number (plugin/pkg/admission/priority)."""
    if resource.plural != "pods" or "priority" in obj["spec"]:
        return obj
    name = get(obj, "spec", "priorityClassName", default="")
    classes = store.table("priorityclasses")
    policy = "PreemptLowerPriority"
    value = 0
    if name:
        found = classes.get(name)
        if found is not None:
            value, policy = found.get("value", 0), found.get("preemptionPolicy", policy)
        elif name in SYSTEM_PRIORITIES:
            value = SYSTEM_PRIORITIES[name]
        else:
            raise forbidden("", "pods", obj["metadata"].get("name", ""), f"no PriorityClass with name {name} was found")
    else:
        defaults = [one for one in classes.values() if one.get("globalDefault")]
        if defaults:
            chosen = min(defaults, key=lambda one: (one.get("value", 0), one["metadata"]["name"]))
            name, value = chosen["metadata"]["name"], chosen.get("value", 0)
            policy = chosen.get("preemptionPolicy", policy)
    spec = {**obj["spec"], "priority": value, "preemptionPolicy": policy}
    if name:
        spec["priorityClassName"] = name
    return {**obj, "spec": spec}


def _tolerates(tolerations: list[Obj], key: str) -> bool:
    for one in tolerations:
        fits = one.get("key") in (key, None, "") and one.get("effect") in ("NoExecute", None, "")
        if fits and (one.get("key") or one.get("operator") == "Exists"):
            return True
    return False


def default_tolerations(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Tolerate not-ready and unreachable for 300 s (plugin/pkg/admission/defaulttolerationseconds)."""
    if resource.plural != "pods":
        return obj
    tolerations = list(obj["spec"].get("tolerations") or ())
    before = len(tolerations)
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not _tolerates(tolerations, key):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    return put(obj, tolerations, "spec", "tolerations") if len(tolerations) > before else obj


def default_storage_class(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Give a claim without a class the default one (plugin/pkg/admission/storage/storageclass/setdefault)."""
    if resource.plural != "persistentvolumeclaims" or obj["spec"].get("storageClassName") is not None:
        return obj
    annotations = obj["metadata"].get("annotations") or {}
    if "volume.beta.kubernetes.io/storage-class" in annotations:
        return obj
    newest = newest_default_class(store.table("storageclasses").values())
    return put(obj, newest["metadata"]["name"], "spec", "storageClassName") if newest is not None else obj


def newest_default_class(classes: Iterable[Obj]) -> Obj | None:
    """Return the default StorageClass: of several the newest, by name among equals."""
    marks = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
    defaults = [one for one in classes if any(get(one, "metadata", "annotations", mark) == "true" for mark in marks)]
    if not defaults:
        return None
    newest = max(one["metadata"].get("creationTimestamp", "") for one in defaults)
    same = [one for one in defaults if one["metadata"].get("creationTimestamp", "") == newest]
    return min(same, key=lambda one: str(one["metadata"]["name"]))


def protect_storage(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Keep claims and volumes in use (plugin/pkg/admission/storage/storageobjectinuseprotection)."""
    finalizer = {
        "persistentvolumeclaims": "kubernetes.io/pvc-protection",
        "persistentvolumes": "kubernetes.io/pv-protection",
    }.get(resource.plural)
    if finalizer is None:
        return obj
    finalizers = obj["metadata"].get("finalizers") or []
    return obj if finalizer in finalizers else put(obj, [*finalizers, finalizer], "metadata", "finalizers")


def resource_quota(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Refuse what would exceed a quota; count it at once in the quota's status."""
    check_quota(store, request, resource, obj)
    return obj


def limit_defaults(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Give containers the requests and limits that their namespace's LimitRanges say."""
    return limitranger.with_defaults(store.table, resource, request.namespace, obj)


def limit_bounds(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Refuse what is outside of a LimitRange."""
    limitranger.check(store.table, resource, request.namespace, obj, pod_resources)
    return obj


def node_restriction(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Refuse what a kubelet may not create."""
    noderestriction.check(store.table, request, resource, "CREATE", obj, None)
    return obj


def pod_security(store: Store, request: Request, resource: Resource, obj: Obj) -> Obj:
    """Refuse pods below their namespace's level, tell of others."""
    warn(request, secured(store, request, resource, obj, None))
    return obj


def secured(store: Store, request: Request, resource: Resource, obj: Obj, old: Obj | None) -> list[str]:
    """Return PodSecurity's warnings about a new or changed object. Raises 403 or 422."""
    if resource.plural == "namespaces":
        return podsecurity.check_namespace(store.table, obj, old)
    return podsecurity.check(store.table, resource, obj, old, request.namespace) if resource.namespaced else []


def warn(request: Request, texts: list[str]) -> None:
    """Hand warnings to a client that wants them: it sends a list as the option ``warnings``."""
    wanted = request.options.get("warnings")
    if wanted is not None:
        wanted.extend(texts)


def check_update(store: Store, request: Request, resource: Resource, new: Obj, old: Obj) -> None:
    """Run the plug-ins that look at updates. Raises ApiError."""
    noderestriction.check(store.table, request, resource, "UPDATE", new, old)
    if not request.subresource:
        warn(request, secured(store, request, resource, new, old))


def check_delete(store: Store, request: Request, resource: Resource, old: Obj) -> None:
    """Run the plug-ins that look at deletions. Raises ApiError."""
    noderestriction.check(store.table, request, resource, "DELETE", None, old)


CREATE: tuple[Plugin, ...] = (
    namespace_lifecycle, limit_defaults, service_account, node_restriction, priority, default_tolerations, default_storage_class,
    protect_storage,
)  # fmt: skip
VALIDATE: tuple[Plugin, ...] = (limit_bounds, pod_security)
LAST: tuple[Plugin, ...] = (resource_quota,)
"""After the validating webhooks."""
