"""What each verb does to the store: the generic registry of kube-apiserver, kind by kind only through data and strategies.

Source: staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from typing import Any

from kchaos.models.api.decode import decode_error, without_null_items
from kchaos.models.api.defaults import default_object
from kchaos.models.api.errors import ApiError, already_exists, conflict, forbidden, not_found
from kchaos.models.api.hash import rand_suffix
from kchaos.models.api.patch import json_patch, merge_patch, strategic_merge_patch
from kchaos.models.api.request import USER, Request
from kchaos.models.api.resources import BY_PLURAL, Resource
from kchaos.models.api.selectors import parse_fields, parse_labels
from kchaos.models.api.times import stamp
from kchaos.models.api.tree import Obj, get, put
from kchaos.models.api.validation import status_error, validate_create, validate_update
from kchaos.models.apiserver import admission
from kchaos.models.apiserver.deletion import mark_deleted, ready_to_go
from kchaos.models.apiserver.eviction import charge_budget
from kchaos.models.apiserver.store import Key, Store
from kchaos.models.apiserver.strategy import ServiceAllocator, job_status_error, prepare_create, prepare_update
from kchaos.models.security.seams import Security
from kchaos.runtime import Runtime

UNPATCHED_RETRIES = 5
RBAC = "rbac.authorization.k8s.io"
_DONE: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Registry:
    """Executes requests that have passed authentication and authorisation."""

    def __init__(self, store: Store, rt: Runtime, security: Security) -> None:
        self._store = store
        self._rt = rt
        self._security = security
        self._services = ServiceAllocator(lambda: rt.random("service-allocator"))
        self._custom: dict[str, Resource] = {}

    def add_custom(self, resource: Resource) -> None:
        """Serve one more kind, of a CustomResourceDefinition."""
        self._custom[resource.plural] = resource

    def resource(self, plural: str) -> Resource:
        """Return the kind. Raises 404 for one that is not served."""
        found = BY_PLURAL.get(plural) or self._custom.get(plural)
        if found is None:
            raise ApiError("NotFound", "the server could not find the requested resource")
        return found

    def execute(self, request: Request, table: dict[Key, Obj] | None, list_rv: int) -> Obj:
        """Carry out ``request``; ``table`` replaces the store for reads that may be stale, as of ``list_rv``."""
        resource = self.resource(request.resource)
        verb = request.verb
        if verb == "get":
            found = self._read(resource, request, table)
            return _scale_of(resource, found) if request.subresource == "scale" else found
        if verb == "list":
            return self._list(resource, request, table, list_rv)
        if verb == "create":
            if request.subresource == "eviction":
                return self._evict(resource, request)
            if request.subresource == "binding":
                return self._bind(resource, request)
            return self._create(resource, request)
        if verb == "update":
            return self._update(resource, request, request.body)
        if verb == "patch":
            return self._patch(resource, request)
        if verb == "delete":
            return self._delete(resource, request, self._read(resource, request, None))
        if verb == "deletecollection":
            return self._delete_collection(resource, request)
        raise ApiError("MethodNotAllowed", "the server does not allow this method on the requested resource")

    # -- reads -------------------------------------------------------------------------------------------------------

    def _key(self, resource: Resource, request: Request) -> Key:
        return f"{request.namespace}/{request.name}" if resource.namespaced else request.name

    def _read(self, resource: Resource, request: Request, table: dict[Key, Obj] | None) -> Obj:
        source = table if table is not None else self._store.table(resource.plural)
        found = source.get(self._key(resource, request))
        if found is None:
            raise not_found(resource.group, resource.plural, request.name)
        return found

    def _list(self, resource: Resource, request: Request, table: dict[Key, Obj] | None, list_rv: int) -> Obj:
        options = request.options
        if options.get("limit"):
            raise ApiError("BadRequest", "not modelled: limit and continue of lists")
        rv = list_rv if table is not None else self._store.revision
        source = table if table is not None else self._store.table(resource.plural)
        labels = parse_labels(options["label_selector"]) if options.get("label_selector") else None
        fields = parse_fields(options["field_selector"]) if options.get("field_selector") else None
        prefix = request.namespace + "/" if request.namespace else ""
        items = [
            obj
            for key, obj in sorted(source.items())
            if (not prefix or key.startswith(prefix))
            and (labels is None or labels(obj["metadata"].get("labels") or {}))
            and (fields is None or fields(obj))
        ]
        return {
            "kind": f"{resource.kind}List", "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(rv)}, "items": items,
        }  # fmt: skip

    # -- writes ------------------------------------------------------------------------------------------------------

    def _create(self, resource: Resource, request: Request) -> Obj:
        body = request.body
        if not isinstance(body, dict):
            raise ApiError("BadRequest", "the request's body is not an object")
        meta = {k: v for k, v in (body.get("metadata") or {}).items() if k not in ("uid", "resourceVersion", "deletionTimestamp")}
        if resource.namespaced:
            if meta.setdefault("namespace", request.namespace) != request.namespace:
                raise ApiError("BadRequest", "the namespace of the provided object does not match the namespace sent on the request")
        else:
            meta.pop("namespace", None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + rand_suffix(self._rt.random("generate-name"))
        meta["uid"] = self._uid()
        meta["creationTimestamp"] = stamp(self._rt.wall())
        obj = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
        obj = default_object(obj)
        obj = prepare_create(resource, obj)
        name = meta.get("name", "")
        for plugin in admission.CREATE:
            obj = plugin(self._store, request, resource, obj)
        obj = self._security.webhooks.mutate(resource, request, obj, "CREATE")
        if resource.group == RBAC:
            self._security.confirm(request, obj, None)
        if errors := validate_create(obj):
            raise ApiError.from_status(status_error(resource, name, errors))
        for plugin in admission.VALIDATE:
            plugin(self._store, request, resource, obj)
        self._security.webhooks.validate(resource, request, obj, "CREATE")
        for plugin in admission.LAST:
            plugin(self._store, request, resource, obj)
        if resource.plural == "services":
            obj = self._services.allocate(obj, self._store)
        key = f"{request.namespace}/{name}" if resource.namespaced else name
        if self._store.get(resource.plural, key) is not None:
            if not (body.get("metadata") or {}).get("name"):
                raise already_exists(resource.group, resource.plural, name)
            raise already_exists(resource.group, resource.plural, name)
        if request.options.get("dry_run"):
            return obj
        return self._store.put(resource.plural, key, obj, request.identity.actor)

    def _uid(self) -> str:
        bits = f"{self._rt.random('uid').getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"

    def _update(self, resource: Resource, request: Request, body: Obj) -> Obj:
        if request.subresource == "scale":
            return self._update_scale(resource, request, body)
        old = self._read(resource, request, None)
        meta = body.get("metadata") or {}
        asked_rv = meta.get("resourceVersion")
        if asked_rv and asked_rv != old["metadata"]["resourceVersion"]:
            raise conflict(resource.group, resource.plural, request.name)
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
            raise conflict(resource.group, resource.plural, request.name, why)
        new = prepare_update(resource, body, old, request.subresource)
        if request.subresource == "status" and resource.plural == "jobs" and (why := job_status_error(new["status"])):
            raise ApiError("Invalid", f'Job.batch "{request.name}" is invalid: {why}')
        if request.subresource != "status":
            new = default_object(new)
            if resource.has_status and "status" in old:
                new = {**new, "status": old["status"]}
            if resource.group == RBAC:
                self._security.confirm(request, new, old)
            new = self._security.webhooks.mutate(resource, request, new, "UPDATE")
            if errors := validate_update(new, old):
                raise ApiError.from_status(status_error(resource, request.name, errors))
        admission.check_update(self._store, request, resource, new, old)
        self._security.webhooks.validate(resource, request, new, "UPDATE")
        return self._write(resource, request, new, old)

    def _write(self, resource: Resource, request: Request, new: Obj, old: Obj) -> Obj:
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}}
        if new == old:
            return old
        key = self._key(resource, request)
        if request.options.get("dry_run"):
            return new
        if ready_to_go(resource, new):
            return self._store.remove(resource.plural, key, request.identity.actor, new)
        return self._store.put(resource.plural, key, new, request.identity.actor)

    def _patch(self, resource: Resource, request: Request) -> Obj:
        target = self._read(resource, request, None)
        current = _scale_of(resource, target) if request.subresource == "scale" else target
        kind = request.options.get("patch_type", "strategic")
        body: Any = request.body
        if kind == "json":
            patched = _decoded(request, current, json_patch(current, body))
        elif kind == "merge":
            patched = _decoded(request, current, merge_patch(current, body))
        elif kind == "strategic":
            patched = strategic_merge_patch(current, body)
        else:
            raise ApiError("BadRequest", f"not modelled: patch type {kind}")
        return self._update(resource, request, patched)

    def _update_scale(self, resource: Resource, request: Request, body: Obj) -> Obj:
        if not resource.scale:
            raise ApiError("NotFound", "the server could not find the requested resource")
        old = self._read(resource, request, None)
        replicas = get(body, "spec", "replicas", default=0)
        asked_rv = get(body, "metadata", "resourceVersion")
        if asked_rv and asked_rv != old["metadata"]["resourceVersion"]:
            raise conflict(resource.group, resource.plural, request.name)
        changed = prepare_update(resource, put(old, replicas, "spec", "replicas"), old, "")
        if errors := validate_update(changed, old):
            raise ApiError.from_status(status_error(resource, request.name, errors))
        return _scale_of(resource, self._write(resource, request, changed, old))

    # -- deletion ----------------------------------------------------------------------------------------------------

    def _delete(self, resource: Resource, request: Request, old: Obj) -> Obj:
        options = request.options
        wanted = options.get("preconditions") or {}
        for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if wanted.get(field) and wanted[field] != old["metadata"][field]:
                why = f"Precondition failed: {label} in precondition: {wanted[field]}, {label} in object meta: {old['metadata'][field]}"
                raise conflict(resource.group, resource.plural, old["metadata"]["name"], why)
        if resource.plural == "namespaces" and request.name in admission.IMMORTAL[:3]:
            raise forbidden("", "namespaces", request.name, "this namespace may not be deleted")
        admission.check_delete(self._store, request, resource, old)
        self._security.webhooks.validate(resource, request, old, "DELETE")
        new, gone = mark_deleted(resource, old, self._rt.wall(), options.get("propagation_policy"), options.get("grace_period_seconds"))
        key = f"{request.namespace}/{old['metadata']['name']}" if resource.namespaced else old["metadata"]["name"]
        if options.get("dry_run"):
            return new
        if gone:
            return self._store.remove(resource.plural, key, request.identity.actor, new)
        if new is old:
            return old
        return self._store.put(resource.plural, key, new, request.identity.actor)

    def _delete_collection(self, resource: Resource, request: Request) -> Obj:
        found = self._list(resource, request, None, 0)
        return {**found, "items": [self._delete(resource, request, item) for item in found["items"]]}

    # -- subresources of pods ------------------------------------------------------------------------------------------

    def _evict(self, resource: Resource, request: Request) -> Obj:
        pod = self._read(resource, request, None)
        charged = charge_budget(self._store, pod, self._rt.wall())
        if request.options.get("dry_run"):
            return dict(_DONE)
        if charged is not None:
            name = charged["metadata"]["name"]
            self._store.put("poddisruptionbudgets", f"{request.namespace}/{name}", charged, "kube-apiserver")
        if not pod["metadata"].get("deletionTimestamp"):
            condition = {
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastProbeTime": None, "lastTransitionTime": stamp(self._rt.wall()),
            }  # fmt: skip
            kept = [c for c in get(pod, "status", "conditions", default=()) if c["type"] != "DisruptionTarget"]
            pod = self._store.put(
                "pods", self._key(resource, request), put(pod, [*kept, condition], "status", "conditions"), request.identity.actor
            )
        self._delete(resource, request, pod)
        return dict(_DONE)

    def _bind(self, resource: Resource, request: Request) -> Obj:
        pod = self._read(resource, request, None)
        node = get(request.body, "target", "name", default="")
        if pod["metadata"].get("deletionTimestamp"):
            raise conflict("", "pods/binding", request.name, f"pod {request.name} is being deleted, cannot be assigned to a host")
        if pod["spec"].get("nodeName"):
            why = f'pod {request.name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict("", "pods/binding", request.name, why)
        uid = get(request.body, "metadata", "uid")
        if uid and uid != pod["metadata"]["uid"]:
            raise conflict("", "pods/binding", request.name, "Precondition failed: UID in precondition differs")
        if request.options.get("dry_run"):
            return dict(_DONE)
        kept = [c for c in get(pod, "status", "conditions", default=()) if c["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": stamp(self._rt.wall())}
        status = {**pod["status"], "conditions": [*kept, scheduled]}
        bound = {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": status}
        self._store.put("pods", self._key(resource, request), bound, request.identity.actor)
        return dict(_DONE)


def _decoded(request: Request, current: Obj, patched: Obj) -> Obj:
    """Return a patched object. Raises 422 if its types do not fit its kind, as the server does, which repeats the whole object before that.

    Only what people write is looked at: a component's client can't send what does not fit.
    """
    if request.identity.user == USER.user:
        if (patched.get("apiVersion"), patched.get("kind")) != (current["apiVersion"], current["kind"]):
            why = f"unable to decode {patched.get('apiVersion')}, Kind={patched.get('kind')} into {current['kind']}"
        else:
            why = decode_error(patched)
        if why:
            raise ApiError("Invalid", f'"" is invalid: patch: {why}')
        return without_null_items(patched)
    return patched


def _scale_of(resource: Resource, obj: Obj) -> Obj:
    """Return the autoscaling/v1 Scale of a workload."""
    if not resource.scale:
        raise ApiError("NotFound", "the server could not find the requested resource")
    meta = {k: obj["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    selector = obj["spec"].get("selector") or {}
    labels = selector.get("matchLabels", {}) if "matchLabels" in selector else selector
    text = ",".join(f"{k}={v}" for k, v in sorted(labels.items()) if isinstance(v, str))
    status = {"replicas": get(obj, "status", "replicas", default=0), **({"selector": text} if text else {})}
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": obj["spec"].get("replicas", 1)}, "status": status,
    }  # fmt: skip
